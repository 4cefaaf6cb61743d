/** How many runs ended, minute by minute or finer: what a chart of a queue's throughput is drawn from. */
import { runs } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';

/** Runs that ended, of those that were claimed within one bucket. */
export interface ThroughputBucket {
  queue_name: string;
  /** Number of the bucket since 1970. */
  bucket: number;
  completed: number;
  failed: number;
}

export interface Throughput {
  /** Buckets in which something ended. */
  buckets: ThroughputBucket[];
  /** By queue: nothing before this moment was counted, because there was too much. */
  cutBefore: Map<string, Timestamp>;
}

/** Runs of each state of a queue that are counted, the latest first. */
const throughputLimit = 10_000;

/**
 * The runs of these queues that ended, by when they were last claimed. Read backwards from `r_<queue>_sai`, at most 10,000 of
 * each state of a queue, so the cost follows the span and never the queue. Ask for some 50 queues at a time.
 */
export async function readThroughput(
  db: Queryable,
  queues: readonly string[],
  { fromMs, bucketSeconds }: { fromMs: number; bucketSeconds: number },
): Promise<Throughput> {
  if (queues.length === 0) return { buckets: [], cutBefore: new Map() };
  const part = (queue: string, index: number): string => `
    select ($1::text[])[${index + 1}] as queue_name, s.state, r.bucket, count(*)::int as ended, min(r.available_at) as first
      from unnest(array['completed', 'failed']) s (state)
     cross join lateral (
             select u.available_at, floor(extract(epoch from u.available_at) / $3::float8)::float8 as bucket
               from ${runs(queue)} u
              where u.state = s.state
                and u.available_at >= to_timestamp($2::float8)
                and u.available_at <= absurd.current_time()
              order by u.available_at desc
              limit ${throughputLimit}
           ) r
     group by s.state, r.bucket`;
  const { rows } = await db.query<{
    queue_name: string;
    state: 'completed' | 'failed';
    bucket: number;
    ended: number;
    first: Timestamp;
  }>(queues.map(part).join(' union all '), [queues, fromMs / 1000, bucketSeconds]);
  const buckets = new Map<string, ThroughputBucket>();
  const totals = new Map<string, { ended: number; first: Timestamp }>();
  for (const { queue_name, state, bucket, ended, first } of rows) {
    const key = `${bucket} ${queue_name}`;
    const held = buckets.get(key) ?? { queue_name, bucket, completed: 0, failed: 0 };
    held[state] += ended;
    buckets.set(key, held);
    const of = `${state} ${queue_name}`;
    const total = totals.get(of);
    totals.set(of, {
      ended: (total?.ended ?? 0) + ended,
      first: total === undefined || first < total.first ? first : total.first,
    });
  }
  const cutBefore = new Map<string, Timestamp>();
  for (const [of, { ended, first }] of totals) {
    const queue = of.slice(of.indexOf(' ') + 1);
    const known = cutBefore.get(queue);
    if (ended >= throughputLimit && (known === undefined || first > known)) cutBefore.set(queue, first);
  }
  return { buckets: [...buckets.values()].sort((a, b) => a.bucket - b.bucket), cutBefore };
}
