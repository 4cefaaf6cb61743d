/** How queues, or the task names in them, have been doing. */
import { readNameStats, type NameStats } from '../../sql/name-stats.js';
import type { Queryable } from '../../sql/queryable.js';
import { readQueueFlow, type QueueFlow } from '../../sql/queue-stats.js';
import { countTasks, type QueueOverview } from '../../sql/queue-counts.js';
import { listRegisteredQueues } from '../../sql/queues.js';

interface Rate {
  /** Of the runs that ended since then; null when none did. */
  failure_rate: number | null;
}

/** A queue's tasks as list-queues counts them and its flow, or those of a task name. */
export type Stats =
  (QueueOverview & QueueFlow & Rate & { task_name?: undefined; sampled?: undefined }) | (NameStats & Rate);

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
): Promise<Stats[]> {
  const stats: Stats[] = [];
  if (by === 'task-name') {
    for (const queue of queues) {
      const rows = await read((db) => readNameStats(db, queue, sinceMs, taskName));
      stats.push(...rows.map((row) => ({ ...row, ...rate(row) })));
    }
    return stats;
  }
  const registered = (await read(listRegisteredQueues)).filter((queue) => queues.includes(queue.queue_name));
  for (const queue of registered) {
    const [overview] = await read((db) => countTasks(db, [queue]));
    const flow = await read((db) => readQueueFlow(db, queue.queue_name, sinceMs));
    if (overview !== undefined && flow !== undefined) stats.push({ ...overview, ...flow, ...rate(flow) });
  }
  return stats;
}
