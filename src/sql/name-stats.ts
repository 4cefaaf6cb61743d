import { runs, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';
import { floorId } from './queue-stats.js';
import type { Timestamp } from './values.js';

/** How the tasks of one name in one queue have been doing, by a sample. */
export interface NameStats {
  queue_name: string;
  task_name: string;
  pending: number;
  running: number;
  sleeping: number;
  /** Since when the oldest task that a worker could claim now has been waiting; null when none waits. */
  oldest_waiting_at: Timestamp | null;
  spawned: number;
  completed_runs: number;
  failed_runs: number;
  /** Seconds, as queue-stats has them. */
  wait_p50: number | null;
  wait_p95: number | null;
  run_p50: number | null;
  run_p95: number | null;
  /** Whether the sample is incomplete. */
  sampled: boolean;
}

/** Runs of each state, and tasks made, that are looked at. */
export const sampleSize = 10_000;

/**
 * Names have no index, so ranges of the index of states are read: what waits from the oldest on, what ended from the latest
 * back, 10,000 of each at most, and the latest 10,000 tasks. Each run looks its task up by id.
 */
export async function readNameStats(
  db: Queryable,
  queueName: string,
  sinceMs: number,
  taskName: string | null,
): Promise<NameStats[]> {
  const state = (name: string, order: string): string =>
    `(select r.task_id, r.run_id, r.state, r.available_at, r.created_at, r.started_at, r.completed_at
        from ${runs(queueName)} r
       where r.state = '${name}'${['completed', 'failed'].includes(name) ? ' and r.available_at >= to_timestamp($2::float8)' : ''}
       order by r.available_at ${order}
       limit ${sampleSize})`;
  const times = `percentile_cont(array[0.5, 0.95]) within group`;
  const { rows } = await db.query<NameStats>(
    `with seen as materialized (
       ${[
         state('pending', 'asc'),
         state('sleeping', 'asc'),
         state('running', 'desc'),
         state('completed', 'desc'),
         state('failed', 'desc'),
       ].join('\n union all\n')}
     ),
     made as materialized (
       select t.task_name, count(*)::int as spawned
         from (select one.task_name from ${tasks(queueName)} one
                where one.task_id >= $1::uuid order by one.task_id desc limit ${sampleSize}) t
        where $4::text is null or t.task_name = $4
        group by t.task_name
     ),
     cut as (
       select coalesce(max(n.count), 0) >= ${sampleSize} as sampled
         from (select count(*) from seen s group by s.state union all select sum(m.spawned) from made m) n
     ),
     done as (
       select t.task_name,
              count(*) filter (where s.state = 'pending')::int as pending,
              count(*) filter (where s.state = 'running')::int as running,
              count(*) filter (where s.state = 'sleeping')::int as sleeping,
              min(s.available_at) filter (where s.state in ('pending', 'sleeping')
                and s.available_at <= absurd.current_time()) as oldest_waiting_at,
              count(*) filter (where s.state = 'completed')::int as completed_runs,
              count(*) filter (where s.state = 'failed')::int as failed_runs,
              ${times} (order by extract(epoch from s.started_at - s.created_at)::float8)
                filter (where s.state = 'completed') as waits,
              ${times} (order by extract(epoch from s.completed_at - s.started_at)::float8)
                filter (where s.state = 'completed') as times
         from seen s
        cross join lateral (
          select one.task_name from ${tasks(queueName)} one where one.task_id = s.task_id offset 0
        ) t
        where $4::text is null or t.task_name = $4
        group by t.task_name
     )
     select $3::text as queue_name, coalesce(d.task_name, m.task_name) as task_name, coalesce(d.pending, 0) as pending,
            coalesce(d.running, 0) as running, coalesce(d.sleeping, 0) as sleeping, d.oldest_waiting_at,
            coalesce(m.spawned, 0) as spawned, coalesce(d.completed_runs, 0) as completed_runs,
            coalesce(d.failed_runs, 0) as failed_runs, d.waits[1] as wait_p50, d.waits[2] as wait_p95,
            d.times[1] as run_p50, d.times[2] as run_p95, c.sampled
       from done d
       full join made m on m.task_name = d.task_name
      cross join cut c
      order by coalesce(d.failed_runs, 0) + coalesce(d.completed_runs, 0) desc, 2
      limit 1000`,
    [floorId(sinceMs), sinceMs / 1000, queueName, taskName],
  );
  return rows;
}
