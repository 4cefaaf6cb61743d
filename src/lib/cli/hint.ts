/**
 * What people are told to type next, as data: words, and commands of ours among them. Only the base command turns it into
 * text, because a command must reach the database that was named on the command line (-d, -h, -p, -U).
 *
 *   command('retry-task', id, { queue })              absurdctl retry-task ID --queue QUEUE
 *   hint`${command('why', id)} names the session`     words around a command
 *
 * A plain string is advice without a command. JSON has all of it as text, without the words that name the database.
 */
import { option, shellWord } from './format/shell.js';

/** `args` are words as a process receives them: unquoted, flags before a `--` and names that start with a dash after it. */
export interface CommandLine {
  readonly id: string;
  readonly args: readonly string[];
}

/** The flags that name the database. A password in `database` must be masked. */
export interface Place {
  readonly database?: string;
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
}

/** Commands that take no database. A test compares the list with what the commands declare. */
export const withoutDatabase: ReadonlySet<string> = new Set(['demo', 'dev', 'completion', 'install-skill']);

export class Hint {
  constructor(readonly parts: readonly (string | CommandLine)[]) {}

  /** As text: every command with the flags that name the database. */
  text(place: Place = {}): string {
    return this.parts.map((part) => (typeof part === 'string' ? part : typed(part, place))).join('');
  }

  toJSON(): string {
    return this.text();
  }
}

/** Text for people, with or without commands. */
export type Advice = string | Hint;

export const adviceText = (advice: Advice, place: Place = {}): string =>
  typeof advice === 'string' ? advice : advice.text(place);

/** Flags by name, in the order to show them: `{ queue: 'q', yes: true }`; a name of one letter is a short flag, a list repeats it. */
export type CommandFlags = Readonly<Record<string, string | number | true | readonly string[] | undefined>>;

/** A command to run. Strings are its arguments, even if they start with a dash; objects are flags. */
export function command(id: string, ...words: (string | CommandFlags)[]): Hint {
  const names = words.filter((word) => typeof word === 'string');
  const flags = (word: CommandFlags): string[] =>
    Object.entries(word).flatMap(([name, value]) =>
      typeof value === 'object' ? value.flatMap((one) => flag(name, one)) : flag(name, value),
    );
  // If an argument starts with a dash, all arguments come last, after `--`.
  const args = names.some((name) => /^-./.test(name))
    ? [...words.flatMap((word) => (typeof word === 'string' ? [] : flags(word))), '--', ...names]
    : words.flatMap((word) => (typeof word === 'string' ? [word] : flags(word)));
  return new Hint([{ id, args }]);
}

function flag(name: string, value: string | number | true | undefined): string[] {
  if (value === undefined) return [];
  const typed = name.length === 1 ? `-${name}` : `--${name}`;
  if (value === true) return [typed];
  const text = String(value);
  return text.startsWith('-') ? [`${typed}=${text}`] : [typed, text];
}

/** Text with commands or other advice inside. */
export function hint(words: TemplateStringsArray, ...values: (Advice | number)[]): Hint {
  return joined(words.flatMap((text, i) => (i < values.length ? [text, values[i] ?? ''] : [text])));
}

/** Several pieces of advice in one. */
export function joined(pieces: readonly (Advice | number)[], separator = ''): Hint {
  const parts = pieces.flatMap((piece, i) => [
    ...(i > 0 && separator !== '' ? [separator] : []),
    ...(piece instanceof Hint ? piece.parts : [String(piece)]),
  ]);
  return new Hint(parts.filter((part) => part !== ''));
}

/** A command line for a POSIX shell, with the flags that lead to the same database. */
function typed({ id, args }: CommandLine, place: Place): string {
  const end = args.indexOf('--');
  const words = args.map((word, i) => (end >= 0 && i > end ? shellWord(word) : flagWord(word)));
  return [
    'absurdctl',
    id,
    ...(withoutDatabase.has(id) || args.includes('--help') ? [] : where(args, place)),
    ...words,
  ].join(' ');
}

/** A flag is not quoted; its value is. */
export function flagWord(word: string): string {
  const [, name, value] = /^(--?[a-z][a-z-]*)(?:=([^]*))?$/i.exec(word) ?? [];
  if (name === undefined) return word === '--' || word === '-' ? word : shellWord(word);
  return value === undefined ? name : `${name}=${shellWord(value)}`;
}

/** Keep a role that the command names itself. */
function where(args: readonly string[], { database, host, port, user }: Place): string[] {
  const own = args.some((word) => /^(-U|--user(=|$))/.test(word));
  return [
    ...(database === undefined ? [] : [option('database', database)]),
    ...(host === undefined ? [] : [option('host', host)]),
    ...(port === undefined ? [] : [option('port', String(port))]),
    ...(user === undefined || own ? [] : [option('user', user)]),
  ];
}
