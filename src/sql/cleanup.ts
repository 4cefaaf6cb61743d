import { checkpoints, events, runs, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';

/** Deletes one batch of the oldest ended tasks, and returns how many. */
export async function cleanupTasks(
  db: Queryable,
  queueName: string,
  ttlSeconds: number,
  limit: number,
): Promise<number> {
  const { rows } = await db.query<{ n: number }>('select absurd.cleanup_tasks($1, $2, $3) as n', [
    queueName,
    ttlSeconds,
    limit,
  ]);
  return rows[0]?.n ?? 0;
}

/** Deletes one batch of the oldest emitted events, and returns how many. */
export async function cleanupEvents(
  db: Queryable,
  queueName: string,
  ttlSeconds: number,
  limit: number,
): Promise<number> {
  const { rows } = await db.query<{ n: number }>('select absurd.cleanup_events($1, $2, $3) as n', [
    queueName,
    ttlSeconds,
    limit,
  ]);
  return rows[0]?.n ?? 0;
}

/** What one batch deleted from a queue, by the queue's own policy. */
export interface PolicyBatch {
  queue_name: string;
  tasks_deleted: number;
  events_deleted: number;
}

/** Deletes one batch of a queue, or of each (null), by its policy: what the job of pg_cron does. Needs schema 0.4.0. */
export async function cleanupByPolicy(db: Queryable, queueName: string | null): Promise<PolicyBatch[]> {
  const { rows } = await db.query<PolicyBatch>(
    'select c.queue_name, c.tasks_deleted, c.events_deleted from absurd.cleanup_all_queues($1) c',
    [queueName],
  );
  return rows;
}

/** How long a queue keeps ended tasks, and the size of a batch. */
export interface CleanupPolicy {
  ttl_seconds: number;
  cleanup_limit: number;
}

/** `2147483647` seconds are 68 years: a longer retention is treated as forever. */
const secondsOf = (interval: string): string =>
  `least(extract(epoch from absurd.current_time() - (absurd.current_time() - least(${interval}, interval '100 years'))), 2147483647)::int`;

/** Needs schema 0.4.0 (42883 before). Months are calendar months back from now, as in the deletion. */
export async function readCleanupPolicy(db: Queryable, queueName: string): Promise<CleanupPolicy | undefined> {
  const { rows } = await db.query<CleanupPolicy>(
    `select ${secondsOf('p.cleanup_ttl')} as ttl_seconds, p.cleanup_limit from absurd.get_queue_policy($1) p`,
    [queueName],
  );
  return rows[0];
}

/** Seconds of a span as PostgreSQL reads it (`14 days`, `1 month`), back from now. Raises 22007 or 22008 for no span. */
export async function readInterval(db: Queryable, text: string): Promise<number> {
  const { rows } = await db.query<{ seconds: number }>(`select ${secondsOf('$1::interval')} as seconds`, [text]);
  return rows[0]?.seconds ?? 0;
}

/** What a cleanup would delete now. */
export interface CleanupCount {
  completed: number;
  failed: number;
  cancelled: number;
  events: number;
  /** Bytes of those rows, without indexes: an estimate from the oldest 1,000 tasks and events of them. */
  bytes: number;
}

/** Rows that the estimate of bytes looks at. */
const sampled = 1000;

/**
 * Counts by the same rule and clock as the deletion, so that a deletion right after deletes exactly these. Reads the
 * index entries of all of them.
 */
export async function countCleanup(
  db: Queryable,
  queueName: string,
  ttlSeconds: number,
  of: { tasks: boolean; events: boolean },
): Promise<CleanupCount> {
  const { rows } = await db.query<CleanupCount>(
    `with cut as materialized (select absurd.current_time() - make_interval(secs => $1::int) as at),
          ended as materialized (
            select t.task_id, t.state
              from ${runs(queueName)} r
              join ${tasks(queueName)} t on t.task_id = r.task_id
             where $2::boolean and r.state in ('completed', 'failed')
               and coalesce(r.completed_at, r.failed_at) < (select cut.at from cut)
               and t.last_attempt_run = r.run_id
               and t.state in ('completed', 'failed')
             union all
            select t.task_id, t.state
              from ${tasks(queueName)} t
             where $2::boolean and t.state = 'cancelled' and t.cancelled_at < (select cut.at from cut)
          ),
          old_event as materialized (
            select e.event_name
              from ${events(queueName)} e
             where $3::boolean and e.payload is not null and e.emitted_at > 'epoch' and e.emitted_at < (select cut.at from cut)
          ),
          few as materialized (select ended.task_id from ended limit ${sampled}),
          few_events as materialized (select old_event.event_name from old_event limit ${sampled}),
          counted as (
            select count(*) filter (where ended.state = 'completed')::int as completed,
                   count(*) filter (where ended.state = 'failed')::int as failed,
                   count(*) filter (where ended.state = 'cancelled')::int as cancelled,
                   count(*) as tasks, (select count(*)::int from old_event) as events
              from ended
          )
     select c.completed, c.failed, c.cancelled, c.events,
            round(
              coalesce(c.tasks * (
                coalesce((select sum(pg_column_size(t)) from ${tasks(queueName)} t where t.task_id in (select task_id from few)), 0)
                + coalesce((select sum(pg_column_size(r)) from ${runs(queueName)} r where r.task_id in (select task_id from few)), 0)
                + coalesce((select sum(pg_column_size(p)) from ${checkpoints(queueName)} p where p.task_id in (select task_id from few)), 0)
              ) / nullif((select count(*) from few), 0), 0)
              + coalesce(c.events * (
                select sum(pg_column_size(e)) from ${events(queueName)} e where e.event_name in (select event_name from few_events)
              ) / nullif((select count(*) from few_events), 0), 0)
            )::float8 as bytes
       from counted c`,
    [ttlSeconds, of.tasks, of.events],
  );
  return rows[0] ?? { completed: 0, failed: 0, cancelled: 0, events: 0, bytes: 0 };
}
