/** Deletes what ended, batch by batch, each a transaction of its own, so that it may be interrupted and gone on with. */
import { cleanupEvents, cleanupTasks } from '../../sql/cleanup.js';
import type { Database } from '../connection/database.js';
import { CliError, exit } from '../cli/errors.js';
import { counted } from '../cli/format/text.js';

/** A batch passes over locked rows; a locked table is not waited for longer than this. */
const lockTimeoutMs = 5000;

/** What of one queue goes. */
export interface Scope {
  queue_name: string;
  ttl_seconds: number;
  /** Rows a batch. */
  limit: number;
  tasks: boolean;
  events: boolean;
}

/** What has gone of one queue. */
export interface Deleted {
  queue_name: string;
  tasks: number;
  events: number;
}

/**
 * Goes on until nothing is left that it may take: a batch passes over what somebody has locked, so only an empty one is the
 * last. `deleted` counts along, and `tell` is called with it after every batch. Raises CliError with exit code 130 and an account of what went when it is interrupted.
 */
export async function drainQueue(
  db: Database,
  { queue_name, ttl_seconds, limit, tasks, events }: Scope,
  deleted: Deleted,
  tell: (deleted: Deleted) => void,
): Promise<Deleted> {
  const drain = async (kind: 'tasks' | 'events', batch: typeof cleanupTasks): Promise<void> => {
    for (let taken = limit; taken > 0;) {
      taken = await db.transaction((one) => batch(one, queue_name, ttl_seconds, limit), {
        lockTimeoutMs,
        touched: (rows) => (rows > 0 ? { queue: queue_name, count: kind === 'tasks' ? rows : 0 } : []),
      });
      deleted[kind] += taken;
      tell(deleted);
    }
  };
  try {
    if (tasks) await drain('tasks', cleanupTasks);
    if (events) await drain('events', cleanupEvents);
  } catch (error) {
    if (!(error instanceof CliError) || error.exitCode !== exit.interrupted) throw error;
    throw new CliError(
      `Interrupted: ${counted(deleted.tasks, 'task')} and ${counted(deleted.events, 'event')} of queue "${queue_name}" are deleted`,
      { exitCode: exit.interrupted, code: 'interrupted', hint: 'the same command continues', cause: error },
    );
  }
  return deleted;
}
