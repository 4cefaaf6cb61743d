/** Does something to many tasks: in batches, no faster than asked, and with a clear account of what was done when it ends early. */
import type { BatchOutcome, ChosenTask } from '../../sql/bulk.js';
import { CliError, errorCode, toCliError } from '../cli/errors.js';

/** What became of one task. `left`: it was not reached. */
export type Outcome = 'retried' | 'cancelled' | 'woken' | 'skipped' | 'failed' | 'left';

export interface BulkTask {
  task_id: string;
  /** Null where no queue has the id. */
  queue_name: string | null;
  task_name: string | null;
  outcome: Outcome;
  /** The task that a retry started instead of another attempt of the same one. */
  new_task_id: string | null;
  run_id: string | null;
  attempt: number | null;
  /** Why it was skipped, or failed. */
  reason: string | null;
}

export interface BulkWork {
  /** One batch in one transaction: all of it, or it raises. */
  batch(queueName: string, taskIds: readonly string[]): Promise<BatchOutcome[]>;
  /** How a task that went through is called, by its row. */
  outcome(row: BatchOutcome): { outcome: Outcome; reason: string | null };
  /** The same for a task that was refused: by SQLSTATE and message. */
  refused(code: string | undefined, message: string): Outcome;
}

export interface BulkPace {
  /** Tasks a second; without it as fast as it goes. */
  rate?: number;
  nowMs(): number;
  pause(ms: number): Promise<void>;
  /** Called after every batch. */
  report(done: BulkTask[]): Promise<void>;
}

/** Tasks a transaction: enough to hide round trips, few enough that no worker waits for its locks. */
const batchSize = 100;

/** Errors of a single task; anything else (a lost connection, Ctrl-C) ends the whole. */
const ofOneTask = /^(P0002|55000|AB00[12]|22|23|40|55P03)/;

/**
 * Goes through them queue by queue, for a batch is a call for one queue. Returns what ended it early, or undefined when every
 * task was tried.
 */
export async function applyToAll(
  chosen: readonly ChosenTask[],
  work: BulkWork,
  pace: BulkPace,
): Promise<CliError | undefined> {
  const tasks = byQueue(chosen);
  const startedAt = pace.nowMs();
  const size = Math.min(batchSize, pace.rate ?? batchSize);
  for (let first = 0, done = 0; first < tasks.length;) {
    const queue = tasks[first]?.queue_name ?? '';
    const batch = tasks.slice(first, first + size).filter((task) => task.queue_name === queue);
    let outcomes: BulkTask[];
    try {
      outcomes = await doBatch(queue, batch, work);
    } catch (error) {
      const rest = tasks.slice(first).map((task) => account(task, 'left'));
      await pace.report(error instanceof Broken ? [...error.done, ...rest.slice(error.done.length)] : rest);
      return toCliError(error instanceof Broken ? error.cause : error);
    }
    first += batch.length;
    done += batch.length;
    await pace.report(outcomes);
    const early = pace.rate === undefined ? 0 : startedAt + (done / pace.rate) * 1000 - pace.nowMs();
    if (early > 0 && first < tasks.length) {
      try {
        await pace.pause(early);
      } catch (error) {
        await pace.report(tasks.slice(first).map((task) => account(task, 'left')));
        return toCliError(error);
      }
    }
  }
  return undefined;
}

/** The same tasks, those of a queue together: ids that were typed may name them in any order. */
function byQueue(tasks: readonly ChosenTask[]): ChosenTask[] {
  const queues = new Map<string, ChosenTask[]>();
  for (const task of tasks) {
    const those = queues.get(task.queue_name);
    if (those === undefined) queues.set(task.queue_name, [task]);
    else those.push(task);
  }
  return [...queues.values()].flat();
}

/** A batch that ended among its single tasks. */
class Broken extends Error {
  constructor(
    readonly done: BulkTask[],
    cause: unknown,
  ) {
    super('ended early', { cause });
  }
}

/** All at once; where one of them is refused, one by one. */
async function doBatch(queue: string, batch: readonly ChosenTask[], work: BulkWork): Promise<BulkTask[]> {
  try {
    return accounts(batch, await work.batch(queue, ids(batch)), work);
  } catch (error) {
    if (!ofOneTask.test(errorCode(error) ?? '')) throw error;
  }
  const done: BulkTask[] = [];
  for (const task of batch) {
    try {
      done.push(...accounts([task], await work.batch(queue, ids([task])), work));
    } catch (error) {
      const code = errorCode(error);
      if (!ofOneTask.test(code ?? '')) throw new Broken(done, error);
      const message = code === '55P03' ? 'another session holds it; why names the session' : toCliError(error).message;
      done.push(account(task, work.refused(code, message), message));
    }
  }
  return done;
}

const ids = (batch: readonly ChosenTask[]): string[] => batch.map((task) => task.task_id);

function accounts(batch: readonly ChosenTask[], rows: readonly BatchOutcome[], work: BulkWork): BulkTask[] {
  const byId = new Map(rows.map((row) => [row.task_id, row]));
  return batch.map((task) => {
    const row = byId.get(task.task_id);
    if (row === undefined) return { ...account(task, 'failed'), reason: 'the task no longer exists' };
    const { new_task_id, run_id, attempt } = row;
    const other = new_task_id === task.task_id ? null : new_task_id;
    return { ...account(task, 'failed'), ...work.outcome(row), new_task_id: other, run_id, attempt };
  });
}

/** A task of which there is no more to say than this. */
export const account = (
  task: { task_id: string; queue_name?: string; task_name?: string },
  outcome: Outcome,
  reason: string | null = null,
): BulkTask => ({
  task_id: task.task_id,
  queue_name: task.queue_name ?? null,
  task_name: task.task_name ?? null,
  outcome,
  new_task_id: null,
  run_id: null,
  attempt: null,
  reason,
});
