/**
 * The statements that the SDK sends, one function a statement of the contract. They run through whatever object with a `query`
 * the program gave (a pool, a client inside a transaction, a fake), so nothing here holds a connection between two queries.
 * Every JSON value arrives as its JSON text, and its parameter is text: a driver that asks the server for the types of parameters
 * would write the text as a JSON string.
 */

/** Anything that can run one parameterised statement: a pool, a client, a checked-out client. */
export interface SdkDatabase {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

export interface SpawnedRow {
  task_id: string;
  run_id: string;
  attempt: number;
  created: boolean;
}

export interface CheckpointRow {
  /** Null in the one row of a task without checkpoints, which has the server's clock only. */
  checkpoint_name: string | null;
  state: unknown;
  owner_run_id?: string | null;
  updated_at?: Date | string;
  /** The server's clock when it was read. */
  server_time?: Date | string;
}

export interface ResultRow {
  task_id: string;
  state: string;
  result: unknown;
  failure_reason: unknown;
}

export interface AwaitEventRow {
  should_suspend: boolean;
  payload: unknown;
}

export interface QueuePolicyRow {
  queue_name: string;
  storage_mode: string;
  default_partition: string;
  partition_lookahead: unknown;
  partition_lookback: unknown;
  cleanup_ttl: unknown;
  cleanup_limit: number;
  detach_mode: string;
  detach_min_age: unknown;
}

async function rowsOf<Row>(db: SdkDatabase, text: string, values?: unknown[]): Promise<Row[]> {
  const result = await (values === undefined ? db.query(text) : db.query(text, values));
  return (result?.rows ?? []) as Row[];
}

async function firstRow<Row>(db: SdkDatabase, text: string, values: unknown[]): Promise<Row | undefined> {
  return (await rowsOf<Row>(db, text, values))[0];
}

// --- queues -----------------------------------------------------------------------------------------------------------

export async function createQueue(db: SdkDatabase, queue: string, storageMode?: string): Promise<void> {
  if (storageMode === undefined) await db.query('SELECT absurd.create_queue($1)', [queue]);
  else await db.query('SELECT absurd.create_queue($1, $2)', [queue, storageMode]);
}

export async function setQueuePolicy(db: SdkDatabase, queue: string, policyJson: string): Promise<void> {
  await db.query('SELECT absurd.set_queue_policy($1, $2::text::jsonb)', [queue, policyJson]);
}

/** Intervals come as text, so that no driver setting turns them into objects. */
export function getQueuePolicy(db: SdkDatabase, queue: string): Promise<QueuePolicyRow | undefined> {
  return firstRow(
    db,
    `SELECT queue_name, storage_mode, default_partition, partition_lookahead::text AS partition_lookahead,
            partition_lookback::text AS partition_lookback, cleanup_ttl::text AS cleanup_ttl, cleanup_limit,
            detach_mode, detach_min_age::text AS detach_min_age
       FROM absurd.get_queue_policy($1)`,
    [queue],
  );
}

export async function dropQueue(db: SdkDatabase, queue: string): Promise<void> {
  await db.query('SELECT absurd.drop_queue($1)', [queue]);
}

export function listQueues(db: SdkDatabase): Promise<{ queue_name: string }[]> {
  return rowsOf(db, 'SELECT queue_name FROM absurd.list_queues()');
}

// --- tasks ------------------------------------------------------------------------------------------------------------

export function spawnTask(
  db: SdkDatabase,
  queue: string,
  name: string,
  paramsJson: string | undefined,
  optionsJson: string,
): Promise<SpawnedRow | undefined> {
  return firstRow(
    db,
    'SELECT task_id, run_id, attempt, created FROM absurd.spawn_task($1, $2, $3::text::jsonb, $4::text::jsonb)',
    [queue, name, paramsJson, optionsJson],
  );
}

export function retryTask(
  db: SdkDatabase,
  queue: string,
  taskId: string,
  optionsJson: string,
): Promise<SpawnedRow | undefined> {
  return firstRow(db, 'SELECT task_id, run_id, attempt, created FROM absurd.retry_task($1, $2, $3::text::jsonb)', [
    queue,
    taskId,
    optionsJson,
  ]);
}

export async function cancelTask(db: SdkDatabase, queue: string, taskId: string): Promise<void> {
  await db.query('SELECT absurd.cancel_task($1, $2)', [queue, taskId]);
}

export function getTaskResult(db: SdkDatabase, queue: string, taskId: string): Promise<ResultRow | undefined> {
  return firstRow(db, 'SELECT task_id, state, result, failure_reason FROM absurd.get_task_result($1, $2)', [
    queue,
    taskId,
  ]);
}

export async function emitEvent(
  db: SdkDatabase,
  queue: string,
  eventName: string,
  payloadJson: string | undefined,
): Promise<void> {
  await db.query('SELECT absurd.emit_event($1, $2, $3::text::jsonb)', [queue, eventName, payloadJson]);
}

// --- runs -------------------------------------------------------------------------------------------------------------

/** Claims up to `quantity` runs for `claimTimeoutSeconds`; rows come in the order in which they should start. */
export function claimTasks<Row>(
  db: SdkDatabase,
  queue: string,
  workerId: string,
  claimTimeoutSeconds: number,
  quantity: number,
): Promise<Row[]> {
  return rowsOf(
    db,
    `SELECT run_id, task_id, attempt, task_name, params, retry_strategy, max_attempts, headers, wake_event, event_payload
       FROM absurd.claim_task($1, $2, $3, $4)`,
    [queue, workerId, claimTimeoutSeconds, quantity],
  );
}

export async function completeRun(
  db: SdkDatabase,
  queue: string,
  runId: string,
  stateJson: string | undefined,
): Promise<void> {
  await db.query('SELECT absurd.complete_run($1, $2, $3::text::jsonb)', [queue, runId, stateJson]);
}

export async function failRun(db: SdkDatabase, queue: string, runId: string, reasonJson: string): Promise<void> {
  await db.query('SELECT absurd.fail_run($1, $2, $3::text::jsonb, $4)', [queue, runId, reasonJson, null]);
}

/** Puts a run to sleep for so many seconds of the server's clock; 0 makes it claimable at once. */
export async function scheduleRunAfter(
  db: SdkDatabase,
  queue: string,
  runId: string,
  delaySeconds: number,
): Promise<void> {
  await db.query('SELECT absurd.schedule_run($1, $2, absurd.current_time() + make_interval(secs => $3))', [
    queue,
    runId,
    delaySeconds,
  ]);
}

export async function extendClaim(db: SdkDatabase, queue: string, runId: string, seconds: number): Promise<void> {
  await db.query('SELECT absurd.extend_claim($1, $2, $3)', [queue, runId, seconds]);
}

// --- checkpoints and events of a run ----------------------------------------------------------------------------------

export function getTaskCheckpointStates(
  db: SdkDatabase,
  queue: string,
  taskId: string,
  runId: string,
): Promise<CheckpointRow[]> {
  return rowsOf(
    db,
    `SELECT checkpoint_name, state, status, owner_run_id, updated_at, clock AS server_time
       FROM absurd.get_task_checkpoint_states($1, $2, $3)
      RIGHT JOIN absurd.current_time() AS clock ON true`,
    [queue, taskId, runId],
  );
}

export interface CheckpointWrite {
  taskId: string;
  runId: string;
  name: string;
  /** JSON text; undefined is stored as NULL, which counts as done. */
  stateJson: string | undefined;
  /** New length of the lease in seconds from now; null leaves the lease as it is. */
  extendClaimBy: number | null;
  /** When the step began, in milliseconds. The contract's own call has no place for it. */
  startedAtMs?: number | undefined;
}

export async function setTaskCheckpointState(db: SdkDatabase, queue: string, write: CheckpointWrite): Promise<void> {
  await db.query('SELECT absurd.set_task_checkpoint_state($1, $2, $3, $4::text::jsonb, $5, $6)', [
    queue,
    write.taskId,
    write.name,
    write.stateJson,
    write.runId,
    write.extendClaimBy,
  ]);
}

export function awaitEvent(
  db: SdkDatabase,
  queue: string,
  wait: { taskId: string; runId: string; stepName: string; eventName: string; timeoutSeconds: number | null },
): Promise<AwaitEventRow | undefined> {
  return firstRow(db, 'SELECT should_suspend, payload FROM absurd.await_event($1, $2, $3, $4, $5, $6)', [
    queue,
    wait.taskId,
    wait.runId,
    wait.stepName,
    wait.eventName,
    wait.timeoutSeconds,
  ]);
}

// --- several waits at once --------------------------------------------------------------------------------------------

/** One wait of several: for an event, or for a moment (seconds from now, or by the server's clock). */
export type WaitEntry =
  | { step: string; event: string; timeout?: number; timeout_at?: string }
  | { step: string; tasks: readonly TaskToAwait[]; mode: 'all' | 'any' }
  | { step: string; sleep_for: number }
  | { step: string; sleep_until: string };

/** Without a queue: the waiting run's own. */
export interface TaskToAwait {
  task_id: string;
  queue?: string;
}

/** How an awaited task stands. */
export interface TaskRow {
  task_id: string;
  queue: string;
  state: 'pending' | 'running' | 'sleeping' | 'completed' | 'failed' | 'cancelled' | 'unknown';
  result: unknown;
  failure_reason: unknown;
}

/** A wait that has ended: an event with its payload or timed out, tasks, or a sleep. */
export interface EndedWait {
  step: string;
  tasks?: readonly TaskRow[];
  event?: string;
  payload?: unknown;
  timed_out?: boolean;
  /** When, as the server's text. */
  at: string;
}

export interface AwaitEventsRow {
  should_suspend: boolean;
  results: EndedWait[];
}

/** Whether the schema registers several waits in one call. */
export async function hasAwaitEvents(db: SdkDatabase): Promise<boolean> {
  const row = await firstRow<{ found: boolean }>(db, `SELECT to_regprocedure($1) IS NOT NULL AS found`, [
    'absurd.await_events(text,uuid,uuid,jsonb)',
  ]);
  return row?.found === true;
}

export function awaitEvents(
  db: SdkDatabase,
  queue: string,
  run: { taskId: string; runId: string },
  waits: readonly WaitEntry[],
): Promise<AwaitEventsRow | undefined> {
  return firstRow(
    db,
    `SELECT should_suspend, results
       FROM absurd.await_events($1, $2, $3, (
              SELECT jsonb_agg(CASE
                       WHEN wait ? 'sleep_for' THEN wait - 'sleep_for' || jsonb_build_object('sleep_until',
                         absurd.current_time() + make_interval(secs => (wait ->> 'sleep_for')::float8))
                       WHEN wait ? 'timeout_at' THEN wait - 'timeout_at' || jsonb_build_object('timeout',
                         greatest(0, extract(epoch FROM (wait ->> 'timeout_at')::timestamptz - absurd.current_time())))
                       ELSE wait END ORDER BY place)
                FROM jsonb_array_elements($4::text::jsonb) WITH ORDINALITY AS given (wait, place)))`,
    [queue, run.taskId, run.runId, JSON.stringify(waits)],
  );
}
