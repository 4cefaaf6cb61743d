/** Lists over one queue or all of them, where a queue that cannot be read is left out and named. */
import { QueueReader } from '../../sql/each-queue.js';
import { acrossQueues } from '../cli/lists.js';
import type { Database } from '../connection/database.js';
import { queuesToLookIn } from '../task/find-task.js';

/** Rows, and what a reader must know of them. */
export interface Listing<Row> {
  rows: Row[];
  /** More rows exist than were asked for. */
  more: boolean;
  /** Queues that could not be read, and why. */
  skipped: { queue_name: string; reason: string }[];
}

/** Longest time for one statement. A page is looked at again and again: it must not cost more than a list does. */
export const timeoutMs = 10_000;

/** Gives `work` the queues to read, and says which of them refused. Where all did, that is the error. */
export async function overQueues<T>(
  database: Database,
  queue: string | undefined,
  work: (reader: QueueReader, queues: string[]) => Promise<T>,
): Promise<T & { skipped: Listing<never>['skipped'] }> {
  return database.readRanges(async (db) => {
    const reader = new QueueReader(db);
    const queues = await queuesToLookIn(db, queue);
    const answer = await work(reader, queues);
    reader.finish(queues);
    return { ...answer, skipped: reader.skipped.map(({ queue_name, reason }) => ({ queue_name, reason })) };
  }, timeoutMs);
}

/** The first `limit` rows of all queues by `compare`. */
export async function listOver<Row>(
  database: Database,
  { queue, limit }: { queue: string | undefined; limit: number },
  read: (reader: QueueReader, queue: string, limit: number) => Promise<Row[]>,
  compare: (a: Row, b: Row) => number,
): Promise<Listing<Row>> {
  return overQueues(database, queue, async (reader, queues) => {
    const { rows, more } = await acrossQueues(reader, queues, limit, (name, some) => read(reader, name, some), compare);
    return { rows, more };
  });
}
