/** From a choice to the tasks that it takes, in the order in which they will be done. */
import { text } from 'node:stream/consumers';
import { QueueReader, type SkippedQueue } from '../../sql/each-queue.js';
import { chooseTasks, findTasks, readMoment, type ChoiceFilter, type ChosenTask } from '../../sql/bulk.js';
import type { Moment, Timestamp } from '../../sql/values.js';
import type { Queryable } from '../../sql/queryable.js';
import { usageError } from '../cli/errors.js';
import type { Io } from '../cli/io.js';
import { findTask } from '../../sql/find-task.js';
import { ambiguous, isWholeId, queuesToLookIn, rangeOf, requireId } from '../task/find-task.js';
import type { Choice } from './flags.js';

const idsAtOnce = 1000;

export interface Chosen {
  tasks: ChosenTask[];
  /** Ids that no queue has. */
  unknown: string[];
  /** The choice with its spans of time as the points that they meant. */
  choice: Choice;
  /** When all were chosen, by the server's clock. */
  at: Timestamp;
  /** Queues that could not be read. */
  skipped: SkippedQueue[];
}

/** Runs inside a read-only transaction. Every id is looked up once, however often it was given. */
export async function choose(db: Queryable, choice: Choice): Promise<Chosen> {
  const queues = await queuesToLookIn(db, choice.queue);
  const reader = new QueueReader(db);
  const settled = 'ids' in choice ? choice : { ...choice, filter: await settle(db, choice.filter) };
  const found =
    'ids' in settled
      ? await byIds(reader, queues, settled.ids)
      : { tasks: await byFilter(reader, queues, settled), unknown: [] };
  reader.finish(queues);
  return { ...found, choice: settled, at: await readMoment(db), skipped: reader.skipped };
}

async function settle(db: Queryable, filter: ChoiceFilter): Promise<ChoiceFilter> {
  const point = async (moment: Moment | undefined): Promise<Moment | undefined> =>
    moment === undefined || 'at' in moment ? moment : { at: await readMoment(db, moment.secondsAgo) };
  return { ...filter, since: await point(filter.since), until: await point(filter.until) };
}

async function byFilter(
  reader: QueueReader,
  queues: readonly string[],
  { filter, limit = Number.MAX_SAFE_INTEGER }: Extract<Choice, { filter: unknown }>,
): Promise<ChosenTask[]> {
  const tasks: ChosenTask[] = [];
  await reader.each(queues, async (queue) => {
    if (tasks.length >= limit) return;
    for (const task of await chooseTasks(reader.db, queue, filter, limit - tasks.length)) tasks.push(task);
  });
  return tasks;
}

async function byIds(
  reader: QueueReader,
  queues: readonly string[],
  ids: readonly string[],
): Promise<Pick<Chosen, 'tasks' | 'unknown'>> {
  const found = new Map<string, ChosenTask>();
  await reader.each(queues, async (queue) => {
    const left = ids.filter((id) => isWholeId(id) && !found.has(id));
    for (let first = 0; first < left.length; first += idsAtOnce) {
      const rows = await findTasks(reader.db, queue, left.slice(first, first + idsAtOnce));
      for (const { id, ...task } of rows) found.set(id, task);
    }
  });
  for (const id of ids.filter((one) => !isWholeId(one))) {
    const tasks = await findTask(reader, rangeOf(id), queues);
    if (tasks.length > 1) throw ambiguous(id, tasks);
    if (tasks[0]) found.set(id, tasks[0]);
  }
  const tasks = new Map<string, ChosenTask>();
  for (const id of ids) {
    const task = found.get(id);
    if (task !== undefined) tasks.set(task.task_id, task);
  }
  return { tasks: [...tasks.values()], unknown: ids.filter((id) => !found.has(id)) };
}

/** The ids of a command line, with those of standard input where one is `-`; each once. Raises a usage error for a bad one. */
export async function readIds(io: Io, typed: readonly string[]): Promise<string[]> {
  if (!typed.includes('-')) return [...new Set(typed.map((id) => requireId(id)))];
  if (typed.length > 1) throw usageError('- reads all ids from standard input', 'omit the other ids');
  if (io.inTty) throw usageError('- reads ids from a pipe, and standard input is a terminal');
  const ids = (await text(io.stdin)).split(/\s+/).filter((id) => id !== '');
  if (ids.length === 0) throw usageError('No ids came on standard input', 'write one id per line');
  return [...new Set(ids.map((id) => requireId(id)))];
}
