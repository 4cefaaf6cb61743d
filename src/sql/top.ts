/** How queues move at this moment: what `top` reads of each at every look. Ranges of indexes only, each count with an end. */
import { runs } from './identifiers.js';
import type { Queryable } from './queryable.js';
import { staleSeconds } from './list-workers.js';

export interface QueuePulse {
  queue_name: string;
  /** Runs claimed within the last minute that completed. */
  completed_in_minute: number;
  /** Runs claimed within the last hour that failed. */
  failed_in_hour: number;
  /** Workers that hold a lease or, where the schema has a registry, had a heartbeat within a minute. */
  workers: number;
}

/** Counts end here. */
const pulseLimit = 10_000;

/** `registry`: the schema has feature `worker_registry`. */
export async function readPulses(
  db: Queryable,
  queues: readonly string[],
  { registry }: { registry: boolean },
): Promise<QueuePulse[]> {
  if (queues.length === 0) return [];
  const ended = (queue: string, state: string, since: string): string =>
    `(select count(*)::int from (select from ${runs(queue)} r
        where r.state = '${state}' and r.available_at >= (select absurd.current_time() - interval '${since}')
        limit ${pulseLimit}) r)`;
  const part = (queue: string, i: number): string => {
    const name = `($1::text[])[${i + 1}]`;
    const registered = `union
             select w.worker_id from absurd.workers w
              where w.queue_name = ${name}
                and w.heartbeat_at >= absurd.current_time() - make_interval(secs => ${staleSeconds})`;
    return `select ${name} as queue_name, ${ended(queue, 'completed', '1 minute')} as completed_in_minute,
            ${ended(queue, 'failed', '1 hour')} as failed_in_hour,
            (select count(*)::int from (
               select r.claimed_by
                 from (select one.claimed_by from ${runs(queue)} one where one.state = 'running' limit ${pulseLimit}) r
                where r.claimed_by is not null
              ${registry ? registered : 'union select null where false'}) w) as workers`;
  };
  const { rows } = await db.query<QueuePulse>(queues.map(part).join(' union all '), [queues]);
  return rows;
}
