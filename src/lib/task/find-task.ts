/** From an id that a user typed to the task it names, wherever that is. */
import { QueueReader, type SkippedQueue } from '../../sql/each-queue.js';
import { findTask, readableQueues, type FoundTask, type IdRange } from '../../sql/find-task.js';
import { listQueueNames } from '../../sql/schema.js';
import type { Queryable } from '../../sql/queryable.js';
import { CliError, exit, notFound, usageError } from '../cli/errors.js';
import { unknownQueue } from '../cli/explain.js';
import { counted } from '../cli/format/text.js';
import { command, hint, type Advice } from '../cli/hint.js';

const uuid = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;
const uuidStart = /^[0-9a-f]{8}(-?[0-9a-f]{0,4}){0,3}(-?[0-9a-f]{0,12})?$/i;

/** Tasks that an ambiguous beginning of an id lists. */
const listed = 10;

const dashed = (digits: string): string =>
  [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)]
    .filter((part) => part !== '')
    .join('-');

/** Checks that a text is a UUID, or begins one, and returns it as the server writes it; raises a usage error. */
export function requireId(text: string, what = 'a task or run'): string {
  if (uuid.test(text) || uuidStart.test(text)) return dashed(text.toLowerCase().replaceAll('-', ''));
  const short = /^[0-9a-f-]{1,8}$/i.test(text) ? '; type at least its first 8 characters' : '';
  throw usageError(`"${text}" is not the id of ${what}${short}`, hint`${command('list-tasks')} shows the ids`);
}

/** The ids that begin with these characters, as `requireId` returns them. */
export function rangeOf(id: string): IdRange {
  const digits = id.replaceAll('-', '');
  return { first: dashed(digits.padEnd(32, '0')), last: dashed(digits.padEnd(32, 'f')) };
}

export const isWholeId = (id: string): boolean => id.length === 36;

/** The queue that was named, or all that have their tables. Raises exit 3 for an unknown one. */
export async function queuesToLookIn(db: Queryable, queue: string | undefined): Promise<string[]> {
  const readable = await readableQueues(db);
  if (queue === undefined) return readable;
  if (!readable.includes(queue)) throw unknownQueue(queue, await listQueueNames(db));
  return [queue];
}

/**
 * Finds the task of an id, or of a unique beginning of one, which may be that of a task or of a run, in one queue or in all. Must
 * run inside a transaction. Raises exit 2 for a malformed or ambiguous id, exit 3 where nothing has it.
 */
export async function locateTask(db: Queryable, id: string, queue: string | undefined): Promise<FoundTask> {
  const wanted = requireId(id);
  const queues = await queuesToLookIn(db, queue);
  const reader = new QueueReader(db);
  const found = await findTask(reader, rangeOf(wanted), queues);
  if (!isWholeId(wanted) && found.length > 1) throw ambiguous(id, found);
  if (found[0]) return found[0];
  reader.finish(queues);
  const everywhere = new QueueReader(db);
  const [elsewhere] = queue === undefined ? [] : await findTask(everywhere, rangeOf(wanted), await readableQueues(db));
  const where = queue === undefined ? `any of ${counted(queues.length, 'queue')}` : `queue "${queue}"`;
  throw notFound(
    `No task or run ${id} in ${where}${unreadNote(reader.skipped)}`,
    elsewhere ? `queue "${elsewhere.queue_name}" has it` : adviseOnMissing(reader.skipped),
    'task_not_found',
  );
}

const unreadNote = (skipped: readonly SkippedQueue[]): string =>
  skipped.length === 0
    ? ''
    : ` that could be read; not read: ${skipped
        .slice(0, 5)
        .map(({ queue_name: name, reason }) => `"${name}" (${reason})`)
        .join(', ')}${skipped.length > 5 ? ` and ${skipped.length - 5} more` : ''}`;

function adviseOnMissing([first]: readonly SkippedQueue[]): Advice {
  return first === undefined
    ? hint`it may have been cleaned up; ${command('list-tasks')} shows what exists`
    : hint`${command('why', { queue: first.queue_name })} says what blocks it`;
}

/** The beginning of an id that more than one task has, with the tasks. */
export function ambiguous(id: string, found: readonly FoundTask[]): CliError {
  const lines = found
    .slice(0, listed)
    .map(
      ({ task_id, task_name, state, queue_name }) =>
        `  ${task_id}  ${JSON.stringify(task_name)} ${state}, queue ${JSON.stringify(queue_name)}`,
    );
  const more = found.length > listed ? ['  … and more'] : [];
  return new CliError([`${id} matches the ids of several tasks:`, ...lines, ...more].join('\n'), {
    exitCode: exit.usage,
    code: 'ambiguous_id',
    hint: 'ids start with their time of creation: type more characters, or the whole id',
    lines: true,
  });
}
