/** The flags of commands that touch many tasks, and what they come to. */
import * as Flags from '@oclif/core/flags';
import type { ChoiceFilter, ErrorFilter } from '../../sql/bulk.js';
import type { TaskState } from '../../sql/description.js';
import { usageError } from '../cli/errors.js';
import { parseMoment } from '../cli/time.js';
import { command, hint } from '../cli/hint.js';
import { wholeNumberFlag } from '../cli/flags.js';
import { whereFlag } from '../task/where-flags.js';
import { parseWhere } from '../task/where.js';

export const bulkFlags = {
  'task-name': Flags.string({ char: 'n', helpGroup: 'MANY', helpValue: 'NAME', description: 'tasks of this name' }),
  since: Flags.string({ helpGroup: 'MANY', helpValue: 'TIME', description: 'active at or after: 2h, 2026-01-02' }),
  until: Flags.string({ helpGroup: 'MANY', helpValue: 'TIME', description: 'active at or before' }),
  error: Flags.string({
    helpGroup: 'MANY',
    helpValue: 'TEXT|/REGEX/',
    description: 'tasks whose last error contains the text or matches the expression (/…/i ignores case)',
  }),
  worker: Flags.string({
    helpGroup: 'MANY',
    helpValue: 'ID',
    description: 'tasks whose latest attempt this worker claimed',
  }),
  key: Flags.string({ helpGroup: 'MANY', helpValue: 'KEY', description: 'the task with this idempotency key' }),
  where: whereFlag('MANY'),
  limit: wholeNumberFlag({
    char: 'l',
    helpGroup: 'MANY',
    min: 1,
    helpValue: 'N',
    description: 'maximum number of tasks',
  }),
  all: Flags.boolean({ helpGroup: 'MANY', description: 'all tasks, without a filter except -q' }),
  rate: wholeNumberFlag({
    helpGroup: 'MANY',
    min: 1,
    helpValue: 'N',
    description: 'maximum number of tasks per second',
  }),
  timeout: wholeNumberFlag({
    helpGroup: 'MANY',
    min: 1,
    default: 30,
    helpValue: 'SECONDS',
    description: 'time limit of a statement that searches for tasks',
  }),
  'dry-run': Flags.boolean({ helpGroup: 'MANY', description: 'list the tasks, change nothing' }),
  yes: Flags.boolean({ char: 'y', helpGroup: 'MANY', description: 'do not ask' }),
};

/** --status of those states that the command can do something with. */
export const statusFlag = <State extends TaskState>(states: readonly State[]) =>
  Flags.option({
    char: 's',
    options: states,
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
    helpGroup: 'MANY',
    description: 'tasks in this state; may be repeated',
  })();

interface Given {
  queue?: string;
  'task-name'?: string;
  status?: readonly TaskState[];
  since?: string;
  until?: string;
  error?: string;
  worker?: string;
  key?: string;
  where?: string[];
  limit?: number;
  all?: boolean;
  rate?: number;
  'dry-run'?: boolean;
  yes?: boolean;
}

/** What to take: tasks by their ids, or those that a filter finds. */
export type Choice =
  | { ids: readonly string[]; queue: string | undefined }
  | { filter: ChoiceFilter; queue: string | undefined; limit: number | undefined; all: boolean };

/**
 * Reads ids and flags together. Raises a usage error where both are given, or neither says anything: `-q` alone names no
 * tasks, so that a forgotten id does not touch a whole queue.
 */
export function readChoice(id: string, ids: readonly string[], flags: Given, states: readonly TaskState[]): Choice {
  const filters = (['task-name', 'status', 'since', 'until', 'error', 'worker', 'key', 'where'] as const).filter(
    (name) => flags[name] !== undefined,
  );
  const chosen = flags.all ? ['all', ...filters] : filters;
  if (ids.length > 0) {
    const [extra] = flags.limit === undefined ? chosen : [...chosen, 'limit'];
    if (extra !== undefined) throw usageError(`Use either ids or --${extra}, not both`, command(id, { help: true }));
    return { ids, queue: flags.queue };
  }
  if (flags.all && filters[0] !== undefined) {
    throw usageError(
      `Use either --all or --${filters[0]}, not both`,
      'omit --all to take only the tasks that match the filter',
    );
  }
  if (chosen.length === 0) {
    throw usageError(
      'No tasks are named',
      hint`${command(id)} ID…, - for ids from standard input, a filter such as --task-name NAME --since 2h, or --all`,
    );
  }
  return {
    queue: flags.queue,
    limit: flags.limit,
    all: flags.all === true,
    filter: {
      states: flags.status ?? states,
      taskName: flags['task-name'],
      since: parseMoment(flags.since, '--since'),
      until: parseMoment(flags.until, '--until'),
      error: flags.error === undefined ? undefined : readError(flags.error),
      worker: flags.worker,
      key: flags.key,
      where: flags.where?.map((typed) => parseWhere(typed)),
    },
  };
}

export function readError(typed: string): ErrorFilter {
  if (typed === '') throw usageError('--error is empty', 'give a part of the message, or /an expression/');
  const expression = /^\/(.+)\/(i?)$/s.exec(typed);
  if (expression === null) return { text: typed, how: 'contains' };
  return { text: expression[1] ?? '', how: expression[2] === 'i' ? 'matches-any-case' : 'matches' };
}
