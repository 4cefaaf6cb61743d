/** The position of the cursor in a command line, which decides what to offer. */
import type { CommandSpec, FlagSpec, ValueSpec } from './spec.js';
import type { Word } from './words.js';

export interface Position {
  /** Undefined while the command itself is typed. */
  command: CommandSpec | undefined;
  /** Whether the words are `help NAME`. */
  help: boolean;
  /** Flags typed before, by name, with their values; undefined if a value is unknown. */
  given: Map<string, string | undefined>;
  /** Arguments typed before. */
  args: string[];
  /** What is being typed. */
  slot: { is: 'command' } | { is: 'flag' } | { is: 'value'; of: ValueSpec; lead: string } | { is: 'nothing' };
  /** Whether `--` came before: a word that starts with a dash is then an argument. */
  bare: boolean;
}

/** Flags that may come before the command, as main.ts takes them. */
const leading = new Set(['database', 'host', 'port', 'user', 'verbose', 'output', 'json']);

interface Typed {
  flag: FlagSpec;
  /** The value in the same word, if there is one. */
  value: string | undefined;
  /** The text before it in that word. */
  lead: string;
}

/** Reads a word that starts with a dash: `--name`, `--name=value`, `-n`, `-nvalue`, `-vn value`. */
function readFlag(word: string, flags: FlagSpec[]): Typed[] {
  const long = /^--([\w-]+)(=(.*))?$/s.exec(word);
  if (long) {
    const flag = flags.find(({ name }) => name === long[1]);
    return flag ? [{ flag, value: long[3], lead: `--${flag.name}=` }] : [];
  }
  const found: Typed[] = [];
  for (let at = 1; at < word.length; at++) {
    const flag = flags.find(({ char }) => char === word[at]);
    if (!flag) break;
    const value = flag.takes && at + 1 < word.length ? word.slice(at + 1) : undefined;
    found.push({ flag, value, lead: word.slice(0, at + 1) });
    if (flag.takes) break;
  }
  return found;
}

/** `words` without the program's name; the last is the one at the cursor. */
export function findPosition(words: readonly Word[], commands: readonly CommandSpec[]): Position {
  const position: Position = {
    command: undefined,
    help: false,
    given: new Map(),
    args: [],
    slot: { is: 'nothing' },
    bare: false,
  };
  // Any command has the flags of the connection.
  const before = (commands.find(({ flags }) => flags.some(({ name }) => name === 'database'))?.flags ?? []).filter(
    ({ name }) => leading.has(name),
  );
  const flagsNow = (): FlagSpec[] => position.command?.flags ?? before;
  let waiting: FlagSpec | undefined;
  for (const { value, known } of words.slice(0, -1)) {
    if (waiting) {
      position.given.set(waiting.name, known ? value : undefined);
      waiting = undefined;
    } else if (position.bare || !/^-./.test(value)) {
      if (position.command || position.bare) position.args.push(value);
      else if (value === 'help' && !position.help) position.help = true;
      else {
        position.command = commands.find(({ id }) => id === value);
        // An unknown command: nothing is known about the rest.
        if (!position.command || position.help) return position;
      }
    } else if (value === '--') position.bare = true;
    else {
      for (const typed of readFlag(value, flagsNow())) {
        position.given.set(typed.flag.name, known ? typed.value : undefined);
        if (typed.flag.takes && typed.value === undefined) waiting = typed.flag;
      }
    }
  }
  const current = words.at(-1)?.value ?? '';
  position.slot = waiting ? { is: 'value', of: waiting, lead: '' } : slotOf(current, position, flagsNow());
  return position;
}

function slotOf(current: string, { command, bare, args }: Position, flags: FlagSpec[]): Position['slot'] {
  if (!bare && current.startsWith('-')) {
    const typed = readFlag(current, flags).at(-1);
    if (typed?.flag.takes && typed.value !== undefined) return { is: 'value', of: typed.flag, lead: typed.lead };
    return { is: 'flag' };
  }
  if (!command) return { is: 'command' };
  const last = command.args.at(-1);
  const of = command.args[args.length] ?? (last?.multiple ? last : undefined);
  return of ? { is: 'value', of, lead: '' } : { is: 'nothing' };
}
