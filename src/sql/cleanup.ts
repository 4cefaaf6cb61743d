import { events, runs, tasks } from './identifiers.js';
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

/** What a cleanup would delete now. */
export interface CleanupCount {
  completed: number;
  failed: number;
  cancelled: number;
  events: number;
}

/** Counts by the rule of the deletion and by the database's clock. It reads every ended task of the queue. */
export async function countCleanup(db: Queryable, queueName: string, ttlSeconds: number): Promise<CleanupCount> {
  const { rows } = await db.query<CleanupCount>(
    `with cut as (select absurd.current_time() - make_interval(secs => $1) as at),
          ended as (
            select t.state
              from ${tasks(queueName)} t
              left join ${runs(queueName)} r on r.run_id = t.last_attempt_run
             cross join cut
             where case t.state
                     when 'completed' then r.completed_at
                     when 'failed' then r.failed_at
                     when 'cancelled' then t.cancelled_at
                   end < cut.at
          )
     select count(*) filter (where ended.state = 'completed')::int as completed,
            count(*) filter (where ended.state = 'failed')::int as failed,
            count(*) filter (where ended.state = 'cancelled')::int as cancelled,
            (select count(*)::int from ${events(queueName)} e cross join cut
              where e.emitted_at < cut.at and e.payload is not null) as events
       from ended`,
    [ttlSeconds],
  );
  return rows[0] ?? { completed: 0, failed: 0, cancelled: 0, events: 0 };
}
