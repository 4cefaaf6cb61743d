/** The shapes that programs see. Durations are in seconds unless a name says otherwise. */
import type { TaskContext } from './context.js';
import type { Assignment } from './worker.js';

/**
 * What the driver hands over for a JSON column: the type of `JSON.parse`. Handlers declare what they expect of it, as in
 * `registerTask<Order>(…)`; nothing can check it before the value is there.
 */
export type ParsedJson = ReturnType<typeof JSON.parse>;

/**
 * Anything that can run one parameterised statement: a `pg` pool, a client, a checked-out client, or another driver's
 * object of that form. The SDK needs nothing else and holds no connection between two queries.
 */
export interface Queryable {
  // Programs name the rows they expect, as with the driver's own type; an object that knows no such names fits all the same.
  query<_Row = ParsedJson>(text: string, values?: unknown[]): Promise<{ rows: ParsedJson[]; rowCount?: number | null }>;
}

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };
export type JsonObject = { [key: string]: JsonValue };

/**
 * How long to wait before the next attempt: `fixed` base, `exponential` base × factor^(attempt-1) up to the maximum. The
 * schema refuses delays outside 0 to 86400 seconds, and a negative factor, with SQLSTATE AB003.
 */
export interface RetryStrategy {
  kind: 'fixed' | 'exponential' | 'none';
  baseSeconds?: number;
  factor?: number;
  maxSeconds?: number;
}

/** When the server gives up on a task: so long after its first start, or so long without ever having been started. */
export interface CancellationPolicy {
  maxDuration?: number;
  maxDelay?: number;
}

export interface SpawnOptions {
  maxAttempts?: number;
  retryStrategy?: RetryStrategy;
  headers?: JsonObject;
  queue?: string;
  cancellation?: CancellationPolicy;
  /** A second spawn with the same key returns the first task, `created` false, and writes nothing. An empty key is refused. */
  idempotencyKey?: string;
  /** When the task may start; a moment in the past means now. Use either this or `delay`. */
  startAt?: Date;
  /** Seconds, by the server's clock, until the task may start. */
  delay?: number;
  /** The task that this one belongs to; `queue` is where that is, default: the new task's own. */
  parent?: { taskID: string; queue?: string };
}

/** One element of `spawnMany`: what `spawn` takes as its three arguments. */
export interface SpawnRequest<P = ParsedJson> {
  name: string;
  params?: P;
  options?: SpawnOptions;
}

export type QueueStorageMode = 'unpartitioned' | 'partitioned';
export type QueueDetachMode = 'none' | 'empty';

/** Maintenance settings of a queue. Intervals are PostgreSQL's text, as in `'30 days'`. */
export interface QueuePolicyOptions {
  partitionLookahead?: string;
  partitionLookback?: string;
  cleanupTtl?: string;
  cleanupLimit?: number;
  detachMode?: QueueDetachMode;
  detachMinAge?: string;
}

export interface CreateQueueOptions extends QueuePolicyOptions {
  storageMode?: QueueStorageMode;
}

export interface QueuePolicy {
  queueName: string;
  storageMode: QueueStorageMode;
  partitionLookahead: string;
  partitionLookback: string;
  cleanupTtl: string;
  cleanupLimit: number;
  detachMode: QueueDetachMode;
  detachMinAge: string;
}

export interface RetryTaskOptions {
  queue?: string;
  maxAttempts?: number;
  spawnNewTask?: boolean;
}

/** A claimed run as the server returns it. */
export interface ClaimedTask {
  run_id: string;
  task_id: string;
  task_name: string;
  attempt: number;
  params: JsonValue;
  retry_strategy: JsonValue;
  max_attempts: number | null;
  headers: JsonObject | null;
  wake_event: string | null;
  event_payload: JsonValue | null;
}

export interface WorkerOptions {
  /** Who holds the lease, as operators see it; default `hostname:pid:random`, which only this process has. */
  workerId?: string;
  /** Length of a lease in whole seconds; default 120. */
  claimTimeout?: number;
  /** Most runs a claim; default: the concurrency. */
  batchSize?: number;
  /** Most handlers at a time; default 1. */
  concurrency?: number;
  /** Seconds between two looks at an empty queue; default 0.25. */
  pollInterval?: number;
  /**
   * Poll quickly, from 15 ms up to `pollInterval`, while tasks arrive; default true. At most two of these claims a task; false: claim
   * again at once after a claim that brought work, and wait `pollInterval` after one that did not.
   */
  adaptivePolling?: boolean;
  /** Is called with what a claim or a run rejects with; default: the client's log. */
  onError?: (error: Error) => void;
  /** End the process when a run takes twice its lease without a sign of life; default true. */
  fatalOnLeaseTimeout?: boolean;
  /** The release of the program, as `list-workers` shows it; `doctor` finds two that work on one queue for hours. */
  programVersion?: string;
}

export interface ExecuteOptions {
  /** End the process when the run takes twice its lease without a sign of life; default false. */
  fatalOnLeaseTimeout?: boolean;
  /** @internal What the worker that claimed the run has prepared for it. */
  assignment?: Assignment;
}

export interface WorkerCloseOptions {
  /** Seconds to wait for runs; then they are released, and others may claim them at once. Default: no limit. */
  timeout?: number;
}

export interface Worker {
  /** Under which name this worker claims. */
  readonly workerId: string;
  /** Stops claiming, waits for what runs (up to the timeout), and resolves when nothing of this worker runs any more. */
  close(options?: WorkerCloseOptions): Promise<void>;
}

export interface SpawnResult {
  taskID: string;
  runID: string;
  attempt: number;
  created: boolean;
}

export type TaskResultState = 'pending' | 'running' | 'sleeping' | 'completed' | 'failed' | 'cancelled';

export type TaskResultSnapshot =
  | { state: 'pending' | 'running' | 'sleeping' }
  | { state: 'completed'; result: JsonValue | null }
  | { state: 'failed'; failure: JsonValue | null }
  | { state: 'cancelled' };

export type TaskHandler<P = ParsedJson, R = ParsedJson> = (params: P, ctx: TaskContext) => Promise<R>;

export interface TaskRegistrationOptions {
  name: string;
  queue?: string;
  defaultMaxAttempts?: number;
  defaultCancellation?: CancellationPolicy;
  /** For spawns without a `retryStrategy`; default: the client's. */
  defaultRetryStrategy?: RetryStrategy;
}

/** A task as a module for `absurdctl work` may export it, in an array: what `registerTask` takes, in one object. */
export interface TaskDefinition extends TaskRegistrationOptions {
  handler: TaskHandler;
}

export interface Log {
  log(...args: unknown[]): void;
  info(...args: unknown[]): void;
  warn(...args: unknown[]): void;
  error(...args: unknown[]): void;
}

export interface AbsurdHooks {
  /** Called before each spawn with the options as they will be used; what it returns is used instead. */
  beforeSpawn?: (taskName: string, params: JsonValue, options: SpawnOptions) => SpawnOptions | Promise<SpawnOptions>;
  /** Wraps a run: must call `execute` and return what it returns. The run is completed within `execute`. */
  wrapTaskExecution?: <T>(ctx: TaskContext, execute: () => Promise<T>) => Promise<T>;
}

export interface AbsurdOptions {
  /** A connection string, or a pool of the program's own (which stays the program's to close). */
  db?: Queryable | string;
  /** Default `default`. */
  queueName?: string;
  /** Default 5. */
  defaultMaxAttempts?: number;
  /** For spawns without a `retryStrategy`, unless their task has one; default: retry at once. */
  defaultRetryStrategy?: RetryStrategy;
  log?: Log;
  hooks?: AbsurdHooks;
  /**
   * A direct connection for notifications, for queues whose policy announces new work (`setQueueWakeup`). Needed where
   * `db` is a pool object or leads through a pooler in transaction mode; default: `db`, when that is a connection string.
   */
  listenUrl?: string;
}

/** A step begun by `beginStep`: one checkpoint, already `done` or still to be completed by `completeStep`. */
export type StepHandle<T = JsonValue> = {
  readonly name: string;
  readonly checkpointName: string;
} & ({ readonly done: false; readonly state?: never } | { readonly done: true; readonly state: T });
