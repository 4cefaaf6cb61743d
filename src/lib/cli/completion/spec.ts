/** What completion knows about a command. The build derives it from the command and writes completion.json. */
import type { CommandAbout } from '../declaration.js';

/**
 * Values to look up in the database (failed and open: ids of tasks in such a state; step: checkpoints of the task
 * whose id comes before), or by the shell (file, folder).
 */
export const lookedUp = [
  'queue',
  'task-name',
  'event',
  'id',
  'failed-id',
  'open-id',
  'step',
  'partition',
  'schedule',
  'file',
  'folder',
] as const;
export type LookedUp = (typeof lookedUp)[number];

export interface ValueSpec {
  name: string;
  /** Values that are known beforehand. */
  options?: readonly string[];
  lookUp?: LookedUp;
  multiple?: boolean;
}

export interface FlagSpec extends ValueSpec {
  char?: string;
  about?: string;
  /** Whether a value follows. */
  takes: boolean;
  delimiter?: string;
}

export interface CommandSpec {
  id: string;
  summary: string;
  flags: FlagSpec[];
  args: ValueSpec[];
}

/** The members of oclif's flags and arguments that count here, and our own: `suggest`. */
interface Described {
  char?: string;
  description?: string;
  summary?: string;
  helpValue?: string | string[];
  options?: readonly string[];
  type?: 'boolean' | 'option';
  multiple?: boolean;
  delimiter?: string;
  hidden?: boolean;
  allowNo?: boolean;
  /** What to look up, or the possible values, if the name does not imply it. */
  suggest?: LookedUp | readonly string[];
}

/** Flags and arguments whose name implies their values. */
const byName: Record<string, LookedUp> = {
  queue: 'queue',
  'task-name': 'task-name',
  event: 'event',
  id: 'id',
  'task-id': 'id',
  'run-id': 'id',
  step: 'step',
  'from-step': 'step',
  partition: 'partition',
  file: 'file',
  dir: 'folder',
};

function valueSpec(name: string, item: Described): ValueSpec {
  const { suggest, multiple } = item;
  const options = item.options ?? (typeof suggest === 'object' ? suggest : undefined);
  const lookUp = typeof suggest === 'string' ? suggest : item.helpValue === 'QUEUE' ? 'queue' : byName[name];
  return {
    name,
    ...(options ? { options } : lookUp ? { lookUp } : {}),
    ...(multiple ? { multiple } : {}),
  };
}

function flagSpecs([name, item]: [string, Described]): FlagSpec[] {
  const about = item.summary ?? item.description ?? '';
  const { char, delimiter } = item;
  const takes = item.type !== 'boolean';
  const own: FlagSpec = {
    ...(takes ? valueSpec(name, item) : { name }),
    about,
    takes,
    ...(char ? { char } : {}),
    ...(delimiter ? { delimiter } : {}),
  };
  return item.allowNo ? [own, { name: `no-${name}`, about: `not: ${about}`, takes: false }] : [own];
}

const visible = (items: object): [string, Described][] =>
  Object.entries(items as Record<string, Described>).filter(([, item]) => !item.hidden);

/** A command's definition as a spec. */
export function commandSpec(command: CommandAbout): CommandSpec {
  const args = visible(command.args ?? {}).map(([name, item]) => valueSpec(name, item));
  const last = args.at(-1);
  // Extra words belong to the last argument.
  if (last && command.strict === false) last.multiple = true;
  return {
    id: command.id,
    summary: command.summary ?? '',
    flags: [
      ...visible({ ...command.flags, ...command.baseFlags }).flatMap(flagSpecs),
      { name: 'help', about: 'say what the command does and takes', takes: false },
    ],
    args,
  };
}
