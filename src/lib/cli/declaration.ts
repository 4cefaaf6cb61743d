/**
 * What a command declares about itself, in addition to oclif's statics. Help, hints for missing rights, completion,
 * docs and tests derive from it.
 */
import type { Command } from '@oclif/core/command';
import type { Need } from '../grants/kinds.js';

/** Groups of commands, in the order in which help shows them. */
export const topics = ['SERVER', 'SCHEMA', 'QUEUES', 'TASKS', 'SCHEDULES', 'WHEN SOMETHING IS STUCK', 'WORK'] as const;
export type Topic = (typeof topics)[number];

export interface Declaration {
  topic: Topic;
  /**
   * The right that a role needs for it. A function decides by the flags; otherwise --dry-run needs `reader`. `reader`
   * changes nothing, `none` connects to no database.
   */
  needs: Need | ((flags: readonly string[]) => Need);
  /**
   * Set if it changes something outside the schema: such a command finishes even if the reader of its output has left.
   */
  changesMachine?: true;
  /** Set if it installs or upgrades the schema, including the table of operations. */
  bringsSchema?: true;
  /** Sample command lines, for the tests over every command. */
  samples: readonly (string | Sample)[];
}

/**
 * Words after the command's name, separated by spaces. Placeholders such as `<queue>` stand for objects that a test
 * creates.
 */
export interface Sample {
  words: string;
  stdin?: string;
  /** It works only in a partitioned queue, or only if pg_cron is installed. */
  only?: 'partitioned' | 'cron';
}

/** The static properties of a command: oclif's, and ours. */
export interface CommandAbout extends Pick<
  typeof Command,
  'id' | 'summary' | 'description' | 'examples' | 'args' | 'flags' | 'baseFlags' | 'strict'
> {
  declares: Declaration;
}

/** The flags of a command line, up to `--`. */
const flagsOf = (argv: readonly string[]): readonly string[] =>
  argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;

/** The right that this command line needs. */
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
