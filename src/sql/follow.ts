import { checkpoints, runs, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { RawJson, Timestamp } from './values.js';

/** The progress of a task, from its row and its last run. */
export interface TaskProgress {
  task_name: string;
  state: string;
  attempts: number;
  max_attempts: number | null;
  completed_payload: RawJson | null;
  run_id: string | null;
  run_state: string | null;
  available_at: Timestamp | null;
  wake_event: string | null;
  claimed_by: string | null;
  /** The attempt that failed last, and why. */
  failed_attempt: number | null;
  failure_reason: RawJson | null;
}

/** Reads a task: three rows by their keys. Undefined if it no longer exists. */
export async function getProgress(db: Queryable, queueName: string, taskId: string): Promise<TaskProgress | undefined> {
  const { rows } = await db.query<TaskProgress>(
    `select t.task_name, t.state, t.attempts, t.max_attempts, t.completed_payload, r.run_id, r.state as run_state,
            r.available_at, r.wake_event, r.claimed_by, failed.attempt as failed_attempt, failed.failure_reason
       from ${tasks(queueName)} t
       left join ${runs(queueName)} r on r.run_id = t.last_attempt_run
       left join lateral (
         select f.attempt, f.failure_reason
           from ${runs(queueName)} f
          where f.task_id = t.task_id and f.state = 'failed'
          order by f.attempt desc
          limit 1
       ) failed on true
      where t.task_id = $1`,
    [taskId],
  );
  return rows[0];
}

/** An attempt that failed. */
export interface FailedAttempt {
  attempt: number;
  failure_reason: RawJson | null;
  failed_at: Timestamp;
}

/** Failed attempts after that one, in order, at most `limit`. */
export async function listFailuresAfter(
  db: Queryable,
  queueName: string,
  taskId: string,
  attempt: number,
  limit: number,
): Promise<FailedAttempt[]> {
  const { rows } = await db.query<FailedAttempt>(
    `select r.attempt, r.failure_reason, r.failed_at
       from ${runs(queueName)} r
      where r.task_id = $1 and r.state = 'failed' and r.attempt > $2 and r.failed_at is not null
      order by r.attempt
      limit $3`,
    [taskId, attempt, limit],
  );
  return rows;
}

/** A step that is done. */
export interface FinishedStep {
  checkpoint_name: string;
  state: RawJson | null;
  updated_at: Timestamp;
}

/** The checkpoints written since a moment (that moment's too), oldest first, at most `limit`. */
export async function listStepsSince(
  db: Queryable,
  queueName: string,
  taskId: string,
  since: Timestamp,
  limit: number,
): Promise<FinishedStep[]> {
  const { rows } = await db.query<FinishedStep>(
    `select c.checkpoint_name, c.state, c.updated_at
       from ${checkpoints(queueName)} c
      where c.task_id = $1 and c.status = 'committed' and c.updated_at >= $2::timestamptz
      order by c.updated_at, c.checkpoint_name
      limit $3`,
    [taskId, since, limit],
  );
  return rows;
}
