/** From an id that a user typed to the task it names, wherever that is. */
import { findTask, readableQueues, type FoundTask } from '../../sql/find-task.js';
import { listQueueNames } from '../../sql/schema.js';
import type { Queryable } from '../../sql/queryable.js';
import { notFound, usageError } from '../cli/errors.js';
import { unknownQueue } from '../cli/explain.js';
import { counted } from '../cli/format/text.js';
import { command, hint } from '../cli/hint.js';

const uuid = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

/** Checks that a text is a UUID and returns it as the server writes it; raises a usage error. */
export function requireId(text: string, what = 'a task or run'): string {
  if (!uuid.test(text))
    throw usageError(`"${text}" is not the id of ${what}`, hint`${command('list-tasks')} shows the ids`);
  const digits = text.toLowerCase().replaceAll('-', '');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The queue that was named, or all that can be read. Raises exit 3 for an unknown one. */
export async function queuesToLookIn(db: Queryable, queue: string | undefined): Promise<string[]> {
  const readable = await readableQueues(db);
  if (queue === undefined) return readable;
  if (!readable.includes(queue)) throw unknownQueue(queue, await listQueueNames(db));
  return [queue];
}

/**
 * Finds the task of an id, which may be that of a task or of a run, in one queue or in all. Raises exit 2 for a malformed
 * id, exit 3 where nothing has it.
 */
export async function locateTask(db: Queryable, id: string, queue: string | undefined): Promise<FoundTask> {
  const queues = await queuesToLookIn(db, queue);
  const [found] = await findTask(db, requireId(id), queues);
  if (found) return found;
  const elsewhere = queue === undefined ? undefined : (await findTask(db, id, await readableQueues(db)))[0];
  const where = queue === undefined ? `any of ${counted(queues.length, 'queue')}` : `queue "${queue}"`;
  throw notFound(
    `No task or run ${id} in ${where}`,
    elsewhere
      ? `queue "${elsewhere.queue_name}" has it`
      : hint`it may have been cleaned up; ${command('list-tasks')} shows what is there`,
    'task_not_found',
  );
}
