import { queueLettersSql } from './description.js';
import { runs, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';

/** Statistics of a queue. Counts stop at 10,000; times are of the latest 1,000 runs that completed. */
export interface QueueFlow {
  /** Tasks made since then. */
  spawned: number;
  /** Runs claimed since then that completed, and that failed. */
  completed_runs: number;
  failed_runs: number;
  /** Seconds from a run's creation to its last claim: an inference where a run slept in between. */
  wait_p50: number | null;
  wait_p95: number | null;
  /** Seconds from a run's last claim to its end. */
  run_p50: number | null;
  run_p95: number | null;
  bytes: number;
  dead_rows: number;
}

/** The lowest UUIDv7 of a millisecond: a lower bound for later ids. */
export const floorId = (ms: number): string => {
  const hex = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
};

/**
 * Reads index ranges only: ids since a moment, runs of a state since a moment, and the latest 1,000 completed. Sizes are asked of
 * the queue's own tables by their oids: a look through pg_class for them would cost with every other queue of the database.
 */
export async function readQueueFlow(db: Queryable, queueName: string, sinceMs: number): Promise<QueueFlow | undefined> {
  const claimed = (state: string): string =>
    `(select count(*)::int from (select from ${runs(queueName)} r
        where r.state = '${state}' and r.available_at >= to_timestamp($2::float8)
        order by r.available_at limit 10001) r)`;
  const { rows } = await db.query<QueueFlow>(
    `select (select count(*)::int
               from (select from ${tasks(queueName)} t where t.task_id >= $1::uuid order by t.task_id limit 10001) t) as spawned,
            ${claimed('completed')} as completed_runs,
            ${claimed('failed')} as failed_runs,
            sample.waits[1] as wait_p50, sample.waits[2] as wait_p95, sample.times[1] as run_p50, sample.times[2] as run_p95,
            size.bytes::float8 as bytes, size.dead_rows::float8 as dead_rows
       from (
         select percentile_cont(array[0.5, 0.95]) within group (order by extract(epoch from r.started_at - r.created_at)::float8) as waits,
                percentile_cont(array[0.5, 0.95]) within group (order by extract(epoch from r.completed_at - r.started_at)::float8) as times
           from (select * from ${runs(queueName)} one where one.state = 'completed' order by one.available_at desc limit 1000) r
       ) sample
      cross join (
         select coalesce(sum(pg_total_relation_size(leaf.oid)), 0) as bytes,
                coalesce(sum(pg_stat_get_dead_tuples(leaf.oid)), 0) as dead_rows
           from unnest(${queueLettersSql}) letter
          cross join lateral (select to_regclass(format('absurd.%I', letter || '_' || $3::text)) as oid) parent
          cross join lateral (
                  select parent.oid as oid union select tree.relid from pg_partition_tree(parent.oid) tree
                ) part
           join pg_class leaf on leaf.oid = part.oid
          where leaf.relkind = 'r'
       ) size`,
    [floorId(sinceMs), sinceMs / 1000, queueName],
  );
  return rows[0];
}
