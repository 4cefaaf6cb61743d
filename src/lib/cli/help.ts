/** The help, derived from the commands' statics. Loads nothing, so it is fast. */
import type { CommandAbout } from './declaration.js';
import { displayWidth } from './format/text.js';
import type { Io } from './io.js';

/** The fields of oclif's flags and arguments that help shows. */
interface Described {
  char?: string;
  name?: string;
  description?: string;
  helpValue?: string | string[];
  helpGroup?: string;
  options?: readonly string[];
  default?: unknown;
  type?: 'boolean' | 'option';
  multiple?: boolean;
  required?: boolean;
  hidden?: boolean;
  allowNo?: boolean;
}

export interface Topic {
  title: string;
  commands: Pick<CommandAbout, 'id' | 'summary'>[];
}

const widthOf = (io: Io): number => (io.outTty ? Math.max(60, Math.min(io.width, 110)) : 100);
const bold = (io: Io, text: string): string => (io.colour ? `\u001b[1m${text}\u001b[22m` : text);
const fill = (text: string): string => text.replaceAll('<%= config.bin %>', 'absurdctl');

/** Wraps a text at spaces to a number of columns. */
function wrap(text: string, width: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines = [''];
    for (const word of paragraph.split(' ')) {
      const last = lines.at(-1) ?? '';
      if (last !== '' && displayWidth(last) + 1 + displayWidth(word) > width) lines.push(word);
      else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
    }
    return lines;
  });
}

function columns(io: Io, rows: [string, string][], least = 0): string[] {
  const left = Math.min(34, Math.max(least, ...rows.map(([first]) => displayWidth(first)))) + 2;
  return rows.flatMap(([first, second]) => {
    const lines = wrap(second, widthOf(io) - left - 2);
    const own = displayWidth(first) > left - 2;
    const head = own
      ? [`  ${first}`, `  ${' '.repeat(left)}${lines[0] ?? ''}`]
      : [`  ${first.padEnd(left)}${lines[0] ?? ''}`];
    return [...head, ...lines.slice(1).map((line) => `  ${' '.repeat(left)}${line}`)].map((line) => line.trimEnd());
  });
}

function flagTerm(name: string, flag: Described): string {
  const value = flag.helpValue === undefined ? (flag.options?.join('|') ?? name.toUpperCase()) : String(flag.helpValue);
  const long = flag.allowNo ? `--[no-]${name}` : `--${name}`;
  return `${flag.char ? `-${flag.char}, ` : '    '}${long}${flag.type === 'boolean' ? '' : ` ${value}`}`;
}

function about({ description = '', default: preset, required, multiple, options, helpValue }: Described): string {
  const notes = [
    ...(required ? ['required'] : []),
    ...(multiple ? ['repeatable'] : []),
    ...(options && helpValue !== undefined && helpValue !== options.join('|') ? [`one of ${options.join(', ')}`] : []),
    ...(['string', 'number'].includes(typeof preset) ? [`default: ${String(preset)}`] : []),
  ];
  return notes.length > 0 ? `${description} [${notes.join('; ')}]` : description;
}

const described = (record: object | undefined): [string, Described][] =>
  Object.entries((record ?? {}) as Record<string, Described>).filter(([, item]) => !item.hidden);

function flagGroups(io: Io, command: CommandAbout): string[] {
  const groups = new Map<string, [string, string][]>();
  for (const [name, flag] of described({ ...command.flags, ...command.baseFlags })) {
    const group = flag.helpGroup ?? 'FLAGS';
    groups.set(group, [...(groups.get(group) ?? []), [flagTerm(name, flag), about(flag)]]);
  }
  const order = ['FLAGS', ...[...groups.keys()].filter((name) => !['FLAGS', 'OUTPUT', 'CONNECTION'].includes(name))];
  return [...order, 'OUTPUT', 'CONNECTION'].flatMap((name) => {
    const rows = groups.get(name);
    return rows ? ['', bold(io, name), ...columns(io, rows)] : [];
  });
}

function exampleLines(command: CommandAbout): string[] {
  return (command.examples ?? []).flatMap((example) => {
    if (typeof example === 'string')
      return fill(example)
        .split('\n')
        .map((line) => `  $ ${line}`.trimEnd());
    return [`  ${fill(example.description)}:`, `    $ ${fill(example.command)}`];
  });
}

/** The help of one command. */
export function commandHelp(io: Io, command: CommandAbout): string {
  const args = described(command.args);
  const words = args.map(([arg, { required }]) => (required ? arg.toUpperCase() : `[${arg.toUpperCase()}]`));
  const description = command.description === undefined ? [] : ['', ...wrap(fill(command.description), widthOf(io))];
  const lines = [
    fill(command.summary ?? ''),
    '',
    bold(io, 'USAGE'),
    `  $ ${['absurdctl', command.id, ...words, '[FLAGS]'].join(' ')}`,
    ...description,
    ...(args.length > 0
      ? [
          '',
          bold(io, 'ARGUMENTS'),
          ...columns(
            io,
            args.map(([arg, item]) => [arg.toUpperCase(), about(item)]),
          ),
        ]
      : []),
    ...flagGroups(io, command),
    ...(command.examples?.length ? ['', bold(io, 'EXAMPLES'), ...exampleLines(command)] : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** The help of the program: all commands, by topic. */
export function programHelp(io: Io, topics: Topic[]): string {
  const lines = [
    'Operate Absurd: durable execution on nothing but Postgres',
    '',
    bold(io, 'USAGE'),
    '  $ absurdctl COMMAND [ARGUMENTS] [FLAGS]',
  ];
  const longest = Math.max(...topics.flatMap(({ commands }) => commands.map(({ id }) => id.length)));
  for (const { title, commands } of topics) {
    const rows = commands.map((command): [string, string] => [command.id, fill(command.summary ?? '')]);
    if (rows.length > 0) lines.push('', bold(io, title), ...columns(io, rows, longest));
  }
  lines.push(
    '',
    'absurdctl COMMAND --help shows more about one. Every command takes -d NAME|URI for the database and -o for the output format.',
  );
  return `${lines.join('\n')}\n`;
}
