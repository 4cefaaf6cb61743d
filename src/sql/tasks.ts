import { schemaFeatures } from './features.js';
import { tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { RawJson, Timestamp } from './values.js';

/** What a spawn or a retry answers. */
export interface SpawnedTask {
  queue_name: string;
  task_id: string;
  run_id: string;
  attempt: number;
  /** False when an idempotency key was known already, or when a task goes on in place. */
  created: boolean;
}

const one = <T>(rows: T[], what: string): T => {
  if (rows[0] === undefined) throw new Error(`${what} returned no row`);
  return rows[0];
};

/** Spawns one task; `params` and `options` are JSON texts. Raises P0002 for an unknown queue, 22023 for a bad option. */
export async function spawnTask(
  db: Queryable,
  spawn: { queueName: string; taskName: string; params: string; options: string },
): Promise<SpawnedTask> {
  const { rows } = await db.query<SpawnedTask>(
    `select $1::text as queue_name, s.task_id, s.run_id, s.attempt, s.created
       from absurd.spawn_task($1, $2, $3::jsonb, $4::jsonb) s`,
    [spawn.queueName, spawn.taskName, spawn.params, spawn.options],
  );
  return one(rows, 'absurd.spawn_task');
}

/** Gives a failed task another attempt. Raises 55000 unless it is failed, 22023 when the limit is not above its attempts. */
export async function retryTask(
  db: Queryable,
  retry: { queueName: string; taskId: string; maxAttempts?: number; spawnNew?: boolean },
): Promise<SpawnedTask> {
  const options = { max_attempts: retry.maxAttempts, spawn_new: retry.spawnNew ? true : undefined };
  const { rows } = await db.query<SpawnedTask>(
    `select $1::text as queue_name, s.task_id, s.run_id, s.attempt, s.created
       from absurd.retry_task($1, $2, $3::jsonb) s`,
    [retry.queueName, retry.taskId, JSON.stringify(options)],
  );
  return one(rows, 'absurd.retry_task');
}

/** Cancels a task and returns its state afterwards; a task that had finished stays as it was. */
export async function cancelTask(db: Queryable, queueName: string, taskId: string): Promise<string> {
  await db.query('select absurd.cancel_task($1, $2)', [queueName, taskId]);
  const { rows } = await db.query<{ state: string }>(`select t.state from ${tasks(queueName)} t where t.task_id = $1`, [
    taskId,
  ]);
  return one(rows, 'the task').state;
}

/** One task, whole. JSON members are the server's text. */
export interface TaskDetail {
  task_id: string;
  task_name: string;
  state: string;
  attempts: number;
  max_attempts: number | null;
  params: RawJson;
  headers: RawJson | null;
  retry_strategy: RawJson | null;
  cancellation: RawJson | null;
  idempotency_key: string | null;
  enqueue_at: Timestamp;
  first_started_at: Timestamp | null;
  cancelled_at: Timestamp | null;
  last_attempt_run: string | null;
  completed_payload: RawJson | null;
  /** The task that spawned it; null where it has none, or the schema knows of no parents. */
  parent_task_id: string | null;
  parent_queue: string | null;
}

export async function getTask(db: Queryable, queueName: string, taskId: string): Promise<TaskDetail | undefined> {
  const parents = (await schemaFeatures(db)).includes('task_tree');
  const { rows } = await db.query<TaskDetail>(
    `select t.task_id, t.task_name, t.state, t.attempts, t.max_attempts, t.params, t.headers, t.retry_strategy,
            t.cancellation, t.idempotency_key, t.enqueue_at, t.first_started_at, t.cancelled_at, t.last_attempt_run,
            t.completed_payload, ${parents ? 't.parent_task_id, t.parent_queue' : 'null::uuid as parent_task_id, null::text as parent_queue'}
       from ${tasks(queueName)} t
      where t.task_id = $1`,
    [taskId],
  );
  return rows[0];
}
