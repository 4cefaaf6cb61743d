/**
 * What the SDK asks of our own schema beyond the contract: many runs a call, and pickup by notification. Each has a plain
 * counterpart in sdk.ts, so a client looks with `probeCapabilities` first and does without where the schema is the original's.
 */
import { wakeupChannel, wakeupCheckChannel } from './description.js';
import { checkpoints, runs, tasks } from './identifiers.js';
import { hasFeature } from './sdk-engine.js';
import type { CheckpointRow, CheckpointWrite, SdkDatabase, SpawnedRow } from './sdk.js';

/** Which of our additional functions a database has. */
export interface Capabilities {
  spawnTasks: boolean;
  completeRuns: boolean;
  saveCheckpoints: boolean;
  loadCheckpoints: boolean;
  wakeup: boolean;
  workerRegistry: boolean;
  /** Whether `set_task_checkpoint_states` keeps when a step began. */
  stepTimes: boolean;
}

/** The verdict on one element of a batch: `error_code` is null where it went through. */
export interface BatchVerdict {
  error_code: string | null;
  error_message: string | null;
}

/** Reads the catalog; no error if the schema is missing or is the original's. */
export async function probeCapabilities(db: SdkDatabase): Promise<Capabilities> {
  const { rows } = await db.query(
    `SELECT to_regprocedure('absurd.spawn_tasks(text,jsonb)') IS NOT NULL AS spawn_tasks,
            to_regprocedure('absurd.complete_runs(text,jsonb)') IS NOT NULL AS complete_runs,
            to_regprocedure('absurd.set_task_checkpoint_states(text,jsonb)') IS NOT NULL AS save_checkpoints,
            to_regprocedure('absurd.get_run_checkpoints(text,uuid[])') IS NOT NULL AS load_checkpoints,
            to_regprocedure('absurd.get_queue_wakeup(text)') IS NOT NULL AS wakeup,
            to_regprocedure('absurd.heartbeat_worker(text,text,jsonb)') IS NOT NULL AS worker_registry,
            to_regprocedure('absurd.get_schema_features()') IS NOT NULL AS features`,
  );
  const found = (rows?.[0] ?? {}) as Record<string, unknown>;
  return {
    spawnTasks: found['spawn_tasks'] === true,
    completeRuns: found['complete_runs'] === true,
    saveCheckpoints: found['save_checkpoints'] === true,
    loadCheckpoints: found['load_checkpoints'] === true,
    wakeup: found['wakeup'] === true,
    workerRegistry: found['worker_registry'] === true,
    stepTimes: found['features'] === true && (await hasFeature(db, 'step_times')),
  };
}

/** Writes a JSON object whose `raw` members are JSON text already; members without a value are left out. */
function jsonObject(members: Record<string, unknown>, raw: Record<string, string | undefined> = {}): string {
  const parts = Object.entries(members).map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  for (const [key, text] of Object.entries(raw)) {
    if (text !== undefined) parts.push(`${JSON.stringify(key)}:${text}`);
  }
  return `{${parts.join(',')}}`;
}

/** Spawns many tasks in one statement: all or none, results in input order. */
export async function spawnTasks(
  db: SdkDatabase,
  queue: string,
  tasks: readonly { name: string; paramsJson: string | undefined; optionsJson: string }[],
): Promise<SpawnedRow[]> {
  const elements = tasks.map((task) =>
    jsonObject({ task_name: task.name }, { params: task.paramsJson, options: task.optionsJson }),
  );
  const { rows } = await db.query(
    'SELECT task_id, run_id, attempt, created FROM absurd.spawn_tasks($1, $2::text::jsonb)',
    [queue, `[${elements.join(',')}]`],
  );
  return rows as SpawnedRow[];
}

export async function completeRuns(
  db: SdkDatabase,
  queue: string,
  completions: readonly { runId: string; stateJson: string | undefined }[],
): Promise<(BatchVerdict & { run_id: string })[]> {
  const elements = completions.map((run) => jsonObject({ run_id: run.runId }, { state: run.stateJson }));
  const { rows } = await db.query(
    'SELECT run_id, error_code, error_message FROM absurd.complete_runs($1, $2::text::jsonb)',
    [queue, `[${elements.join(',')}]`],
  );
  return rows as (BatchVerdict & { run_id: string })[];
}

export async function setTaskCheckpointStates(
  db: SdkDatabase,
  queue: string,
  writes: readonly CheckpointWrite[],
): Promise<(BatchVerdict & { task_id: string; step_name: string })[]> {
  const elements = writes.map((write) =>
    jsonObject(
      {
        task_id: write.taskId,
        step_name: write.name,
        owner_run: write.runId,
        extend_claim_by: write.extendClaimBy,
        ...(write.startedAtMs !== undefined && { started_at: new Date(write.startedAtMs).toISOString() }),
      },
      { state: write.stateJson },
    ),
  );
  const { rows } = await db.query(
    'SELECT task_id, step_name, error_code, error_message FROM absurd.set_task_checkpoint_states($1, $2::text::jsonb)',
    [queue, `[${elements.join(',')}]`],
  );
  return rows as (BatchVerdict & { task_id: string; step_name: string })[];
}

export async function getRunCheckpoints(
  db: SdkDatabase,
  queue: string,
  runIds: readonly string[],
): Promise<(CheckpointRow & { run_id: string })[]> {
  const { rows } = await db.query(
    `SELECT asked.run_id, c.checkpoint_name, c.state, c.owner_run_id, c.updated_at, clock AS server_time
       FROM absurd.current_time() AS clock
      CROSS JOIN unnest($2::uuid[]) AS asked (run_id)
       LEFT JOIN absurd.get_run_checkpoints($1, $2::uuid[]) AS c ON c.run_id = asked.run_id`,
    [queue, runIds],
  );
  return rows as (CheckpointRow & { run_id: string })[];
}

/**
 * Saves the checkpoint of a step that was under way when its run fell asleep: only while nobody has claimed the run anew, which
 * the lock on it holds off, and never over a checkpoint that is there.
 */
export async function saveWhileAsleep(db: SdkDatabase, queue: string, write: CheckpointWrite): Promise<void> {
  await db.query(
    `INSERT INTO ${checkpoints(queue)} (task_id, checkpoint_name, state, status, owner_run_id, updated_at)
     SELECT asleep.task_id, $2, $3::text::jsonb, 'committed', asleep.run_id, absurd.current_time()
       FROM (SELECT r.task_id, r.run_id
               FROM ${runs(queue)} r
              WHERE r.run_id = $1 AND r.state IN ('sleeping', 'pending')
                FOR UPDATE) asleep
     ON CONFLICT DO NOTHING`,
    [write.runId, write.name, write.stateJson],
  );
}

/** A run as currently stored. */
export interface RunStateRow {
  run_id: string;
  state: string;
  claimed_by: string | null;
  /** Milliseconds since it was claimed, by the database's clock. */
  claimed_ms_ago: number | null;
}

/** These runs as the table has them now: how a worker hears of a cancellation while a handler is busy. */
export async function getRunStates(db: SdkDatabase, queue: string, runIds: readonly string[]): Promise<RunStateRow[]> {
  const { rows } = await db.query(
    `SELECT r.run_id, r.state, r.claimed_by,
            (extract(epoch FROM absurd.current_time() - r.started_at) * 1000)::float8 AS claimed_ms_ago
       FROM ${runs(queue)} r
      WHERE r.run_id = ANY ($1::uuid[])`,
    [runIds],
  );
  return rows as RunStateRow[];
}

/**
 * Runs that this worker claimed in the last so many seconds and that show no sign of life since: among them those of a claim
 * whose answer was lost with its connection. In the form in which a claim returns them.
 */
export async function findRecentClaims<Row>(
  db: SdkDatabase,
  queue: string,
  workerId: string,
  claimTimeoutSeconds: number,
  withinSeconds: number,
): Promise<Row[]> {
  const { rows } = await db.query(
    `SELECT r.run_id, r.task_id, r.attempt, t.task_name, t.params, t.retry_strategy, t.max_attempts, t.headers,
            r.wake_event, r.event_payload
       FROM ${runs(queue)} r
       JOIN ${tasks(queue)} t ON t.task_id = r.task_id
      WHERE r.state = 'running'
        AND r.claimed_by = $1
        AND r.started_at >= absurd.current_time() - make_interval(secs => $3)
        AND r.claim_expires_at IS NOT DISTINCT FROM
            CASE WHEN $2::integer > 0 THEN r.started_at + make_interval(secs => $2::integer) END`,
    [workerId, claimTimeoutSeconds, withinSeconds],
  );
  return rows as Row[];
}

// --- pickup by notification -------------------------------------------------------------------------------------------

export async function listenForWakeups(db: SdkDatabase): Promise<void> {
  await db.query(`LISTEN ${wakeupChannel}`);
  await db.query(`LISTEN ${wakeupCheckChannel}`);
}

export async function sendWakeupCheck(db: SdkDatabase, token: string): Promise<void> {
  await db.query('SELECT pg_notify($1, $2)', [wakeupCheckChannel, token]);
}

export async function getQueueWakeup(db: SdkDatabase, queue: string): Promise<boolean> {
  const { rows } = await db.query('SELECT absurd.get_queue_wakeup($1) AS enabled', [queue]);
  return (rows?.[0] as { enabled?: boolean } | undefined)?.enabled === true;
}

export async function setQueueWakeup(db: SdkDatabase, queue: string, enabled: boolean): Promise<void> {
  await db.query('SELECT absurd.set_queue_wakeup($1, $2)', [queue, enabled]);
}
