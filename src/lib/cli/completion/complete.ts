/**
 * The hidden command that a shell's Tab key calls:
 *
 *   __complete bash LINE REPLACED     the line up to the cursor, and the part of it that bash replaces
 *   __complete zsh|fish WORD…         the words up to the cursor, the program's name first
 *
 * The answer's first line says what to offer: `values` (the lines that follow, for zsh and fish each with a tab and a
 * description), `files` or `folders`. It never asks, never writes, never prints an error, and ends within two seconds.
 */
import type { ConnectionFlags } from '../../../connection/settings.js';
import { harmless } from '../format/text.js';
import type { Io } from '../io.js';
import { findPosition, type Position } from './position.js';
import type { CommandSpec, FlagSpec, ValueSpec } from './spec.js';
import { bashReplacement, readLine, type Word, typeable, unquote } from './words.js';

/** A complete word to offer, with its description. */
interface Candidate {
  value: string;
  about: string;
}

type Answer = 'files' | 'folders' | Candidate[];

const patienceMs = 1800;

/** Prints the candidates. `commands` is called late. Always returns exit code 0. */
export async function complete(args: string[], io: Io, commands: () => Promise<CommandSpec[]>): Promise<number> {
  const [shell = '', ...typed] = args;
  try {
    const words = wordsOf(shell, typed, io);
    const answer = await offered(words.slice(1), await commands(), quiet(io));
    io.out(draw(answer, shell, typed, words.at(-1)?.value ?? '', io));
  } catch {
    // Silence is the answer.
  }
  return 0;
}

/** An Io that neither asks nor prints. */
const quiet = (io: Io): Io => ({
  out: () => undefined,
  err: () => undefined,
  stdin: io.stdin,
  env: io.env,
  cwd: io.cwd,
  outTty: false,
  errTty: false,
  inTty: false,
  width: 80,
  colour: false,
  now: () => io.now(),
  onInterrupt: (stop) => io.onInterrupt(stop),
  exitsWhenDone: () => io.exitsWhenDone?.(),
});

function wordsOf(shell: string, typed: string[], io: Io): Word[] {
  if (shell === 'bash') return readLine(typed[0] ?? '', io.env);
  if (shell === 'zsh') return typed.map((raw) => unquote(raw, io.env));
  // fish has removed the quotes of all but the last already.
  return typed.map((raw, i) => {
    if (i === typed.length - 1 || /^\$\w+$/.test(raw)) return unquote(raw, io.env);
    return { value: raw, start: 0, open: '', known: true };
  });
}

function draw(answer: Answer, shell: string, typed: string[], current: string, io: Io): string {
  if (typeof answer === 'string') return `${answer}\n`;
  const lines = answer
    .filter(({ value }) => typeable(value))
    .flatMap(({ value, about }) => {
      if (shell !== 'bash') return [`${value}\t${harmless(about)}`];
      if (!value.startsWith(current)) return [];
      return bashReplacement(typed[0] ?? '', typed[1] ?? '', value, io.env) ?? [];
    });
  return ['values', ...lines].map((line) => `${line}\n`).join('');
}

async function offered(words: Word[], commands: CommandSpec[], io: Io): Promise<Answer> {
  const position = findPosition(words, commands);
  const { slot, command, given } = position;
  if (slot.is === 'command') return programWords(position, commands);
  if (slot.is === 'flag') return flagsOf(words.at(-1)?.value ?? '', position, commands);
  if (slot.is !== 'value' || (command === undefined && !slot.lead && given.size === 0)) return [];
  return valuesOf(slot.of, slot.lead, words.at(-1)?.value ?? '', position, io);
}

function programWords({ help }: Position, commands: CommandSpec[]): Candidate[] {
  const names = commands.map(({ id, summary }) => ({ value: id, about: summary }));
  return help ? names : [...names, { value: 'help', about: 'say what a command does and takes' }];
}

function flagsOf(current: string, { command, given }: Position, commands: CommandSpec[]): Candidate[] {
  const connection = ['database', 'host', 'port', 'user', 'verbose', 'output', 'json'];
  const own = command?.flags ?? commands.find(({ id }) => id === 'list-queues')?.flags ?? [];
  const offers = own.filter(({ name, multiple }) => {
    if (!command && !connection.includes(name) && name !== 'help') return false;
    return multiple || !given.has(name);
  });
  const long = offers.map(({ name, about }) => ({ value: `--${name}`, about: about ?? '' }));
  // A short flag is offered only if it is already typed: Tab then continues to its value.
  const short = offers.filter(({ char }) => char && current === `-${char}`);
  const version = command ? [] : [{ value: '--version', about: 'print the version' }];
  return [...long, ...version, ...short.map(({ char, about }) => ({ value: `-${char}`, about: about ?? '' }))];
}

async function valuesOf(
  of: ValueSpec & Partial<FlagSpec>,
  flagLead: string,
  current: string,
  position: Position,
  io: Io,
): Promise<Answer> {
  const { delimiter, options, lookUp } = of;
  if (lookUp === 'file') return 'files';
  if (lookUp === 'folder') return 'folders';
  const comma = delimiter ? current.lastIndexOf(delimiter) : -1;
  const lead = comma >= flagLead.length ? current.slice(0, comma + 1) : flagLead;
  const withLead = (value: string, about: string): Candidate => ({ value: lead + value, about });
  if (options) return options.map((value) => withLead(value, ''));
  if (!lookUp) return [];
  const connection = connectionOf(position);
  if (!connection) return [];
  const queue = lookUp === 'queue' ? undefined : position.given.get('queue');
  const args = position.args;
  const { lookUp: look } = await import('./values.js');
  const search = look({ what: lookUp, prefix: current.slice(lead.length), queue, connection, args }, io);
  const found = await Promise.race([search, tooLate(io)]);
  return (
    found
      .filter(({ value }) => !args.includes(value))
      // A word of its own that starts with a dash would be taken for a flag.
      .filter(({ value }) => lead !== '' || position.bare || !value.startsWith('-'))
      .map(({ value, about }) => withLead(value, about))
  );
}

const tooLate = (io: Io): Promise<never> =>
  new Promise((_, reject) => {
    const end = (): void => {
      // Exit now, even if something is still running.
      io.exitsWhenDone?.();
      reject(new Error('too late'));
    };
    setTimeout(end, patienceMs).unref();
  });

/** The connection flags as typed; undefined if one of them cannot be known. */
function connectionOf({ given }: Position): ConnectionFlags | undefined {
  const names = ['database', 'host', 'port', 'user'].filter((name) => given.has(name));
  if (names.some((name) => given.get(name) === undefined)) return undefined;
  const port = given.get('port');
  return {
    database: given.get('database'),
    host: given.get('host'),
    user: given.get('user'),
    port: port === undefined ? undefined : Number(port),
  };
}
