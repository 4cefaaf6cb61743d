/** What a command declares of itself, beside oclif's statics. Help, hints for missing rights, completion, docs and tests derive from it. */
import type { Command } from '@oclif/core/command';
import type { Need } from '../grants/kinds.js';

/** Groups of commands, in the order in which help shows them. */
export const topics = ['SERVER', 'SCHEMA', 'QUEUES', 'TASKS', 'SCHEDULES', 'WHEN SOMETHING IS STUCK', 'WORK'] as const;
export type Topic = (typeof topics)[number];

export interface Declaration {
  topic: Topic;
  /**
   * What a role needs for it. A function answers by the flags that were typed; otherwise --dry-run needs `reader`. `reader`
   * changes nothing, `none` connects to no database.
   */
  needs: Need | ((flags: readonly string[]) => Need);
  /** Set where it changes something outside the schema: such a command finishes when the reader of its output leaves. */
  changesMachine?: true;
  /** Set where it installs or upgrades the schema, with what records operations. */
  bringsSchema?: true;
  /** Command lines that do something, for the tests that go over every command. */
  samples: readonly (string | Sample)[];
}

/** Words after the command's name, separated by spaces. `<queue>` and its kin stand for what a test has made. */
export interface Sample {
  words: string;
  stdin?: string;
  /** It does something only in a partitioned queue, or only where pg_cron is installed. */
  only?: 'partitioned' | 'cron';
}

/** What a command says of itself: oclif's statics, and ours. */
export interface CommandAbout extends Pick<
  typeof Command,
  'id' | 'summary' | 'description' | 'examples' | 'args' | 'flags' | 'baseFlags' | 'strict'
> {
  declares: Declaration;
}

/** The flags of a command line: what stands after `--` is none. */
const flagsOf = (argv: readonly string[]): readonly string[] =>
  argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;

/** What this command line needs. */
export function needOf({ declares: { needs }, flags = {} }: CommandAbout, argv: readonly string[]): Need {
  const typed = flagsOf(argv);
  if (typeof needs === 'function') return needs(typed);
  const dry = flags['dry-run'];
  const looks =
    dry !== undefined && typed.some((word) => word === '--dry-run' || word === `-${dry.char ?? '-dry-run'}`);
  return looks ? 'reader' : needs;
}

/** Whether this command line changes something. */
export function changes(command: CommandAbout, argv: readonly string[]): boolean {
  const need = needOf(command, argv);
  return command.declares.changesMachine === true || (need !== 'none' && need !== 'reader');
}
