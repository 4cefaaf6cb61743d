/** How queues, or the task names in them, have been doing. */
import { readNameStats, type NameStats } from '../../sql/name-stats.js';
import type { Queryable } from '../../sql/queryable.js';
import { readQueueFlow, type QueueFlow } from '../../sql/queue-stats.js';
import { countTasks, type QueueOverview } from '../../sql/queue-counts.js';
import { listRegisteredQueues } from '../../sql/queues.js';
import { findPauses } from '../../sql/pauses.js';
import { withPause, type PauseColumns } from './pause.js';
import { QueueReader, type SkippedQueue } from '../../sql/each-queue.js';

interface Rate {
  /** Of the runs that ended since then; null when none did. */
  failure_rate: number | null;
}

/** A queue's tasks as list-queues counts them and its flow, or those of a task name. */
export type Stats =
  | (QueueOverview & QueueFlow & PauseColumns & Rate & { task_name?: undefined; sampled?: undefined })
  | (NameStats & Rate);

/** Runs a bounded, read-only piece of work in a transaction of its own. */
type Read = <T>(work: (db: Queryable) => Promise<T>) => Promise<T>;

const rate = ({
  completed_runs: done,
  failed_runs: failed,
}: Pick<QueueFlow, 'completed_runs' | 'failed_runs'>): Rate => ({
  failure_rate: done + failed === 0 ? null : failed / (done + failed),
});

/** Reads one queue after another, each with a time limit of its own. */
export async function readStats(
  read: Read,
  queues: readonly string[],
  { by, sinceMs, taskName }: { by: 'queue' | 'task-name'; sinceMs: number; taskName: string | null },
): Promise<{ stats: Stats[]; skipped: SkippedQueue[] }> {
  const stats: Stats[] = [];
  const skipped: Refused[] = [];
  if (by === 'task-name') {
    for (const queue of queues) {
      const rows = (await one(read, queue, skipped, (db) => readNameStats(db, queue, sinceMs, taskName))) ?? [];
      stats.push(...rows.map((row) => ({ ...row, ...rate(row) })));
    }
    return answered(stats, skipped, queues);
  }
  const registered = (await read(listRegisteredQueues)).filter((queue) => queues.includes(queue.queue_name));
  const pauses = await read(findPauses);
  for (const queue of registered) {
    const name = queue.queue_name;
    const [overview] = (await one(read, name, skipped, (db) => countTasks(db, [queue]))) ?? [];
    if (overview === undefined) continue;
    const flow = await one(read, name, skipped, (db) => readQueueFlow(db, name, sinceMs));
    if (flow !== undefined) stats.push(withPause({ ...overview, ...flow, ...rate(flow) }, pauses));
  }
  return answered(stats, skipped, queues);
}

type Refused = SkippedQueue & { error: unknown };

/** Where no queue could be read, that is the error. */
function answered(stats: Stats[], skipped: Refused[], queues: readonly string[]) {
  const [first] = skipped;
  if (first !== undefined && skipped.length === queues.length) throw first.error;
  return { stats, skipped };
}

/** One queue's answer; undefined where it cannot be read, which `skipped` then says. */
async function one<T>(
  read: Read,
  queue: string,
  skipped: Refused[],
  work: (db: Queryable) => Promise<T>,
): Promise<T | undefined> {
  return read(async (db) => {
    const reader = new QueueReader(db);
    const [answer] = await reader.each([queue], () => work(db));
    skipped.push(...reader.skipped.map((refused) => ({ ...refused, error: reader.firstError })));
    return answer;
  });
}
