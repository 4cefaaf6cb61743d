import * as batch from '../sql/sdk-batch.js';
import * as sql from '../sql/sdk.js';
import { brand } from './brand.js';
import { openPool, type OwnPool } from './database.js';
import { executeRun } from './executor.js';
import { RunGuard } from './guard.js';
import { requireSpawnFeatures } from './features.js';
import { guardedHooks } from './hooks.js';
import { applicationName, processIdentity } from './identity.js';
import { toJson } from './json.js';
import { checkStorageMode, policyJson, toPolicy } from './policy.js';
import {
  checkQueueName,
  queueForSpawn,
  spawnOptionsJson,
  toRegistration,
  withDefaults,
  type Registry,
} from './registry.js';
import { guardedLog } from './reports.js';
import { fetchTaskResult, pollTaskResult } from './results.js';
import * as schedules from './schedules.js';
import { spawnInBatches, type PreparedSpawn } from './spawn-many.js';
import { Statements } from './statements.js';
import { PlainStore } from './store.js';
import * as types from './types.js';
import { checkClaimTimeout, checkWorkerOptions } from './worker-options.js';
import { QueueWorker } from './worker.js';

interface Closable {
  end?: () => Promise<unknown>;
  release?: (destroy?: boolean) => void;
}

function isQueryable(value: object): value is types.Queryable {
  return 'query' in value && typeof value.query === 'function';
}

function toOptions(given: types.AbsurdOptions | string | types.Queryable): types.AbsurdOptions {
  const options = typeof given === 'string' || isQueryable(given) ? { db: given } : given;
  const { db } = options;
  // As options, a driver's function would lead to the database of the environment.
  if (typeof given === 'function' && !db) throw notQueryable(given);
  if (db && typeof db !== 'string' && !isQueryable(db)) throw notQueryable(db);
  return options;
}

const notQueryable = (given: unknown): Error =>
  new Error(`db must be a connection string or an object with query(text, values), not a ${typeof given} without it`);

/** A client of one queue (others by name): spawns tasks, emits events, registers handlers and runs workers. */
export class Absurd {
  /** The connection for all queries: the given pool or connection, or the client's own pool. */
  readonly con: types.Queryable;
  readonly queueName: string;
  readonly defaultMaxAttempts: number;
  readonly defaultRetryStrategy: types.RetryStrategy | undefined;
  readonly log: types.Log;
  readonly hooks: types.AbsurdHooks;
  /** The address on which workers listen for new work; if none, they only poll. */
  readonly listenUrl: string | undefined;

  /** @internal What the client's own statements go through. */ readonly db: Statements;
  /** @internal */ readonly ownPool: OwnPool | undefined;
  /** @internal */ registry: Registry = new Map();
  /** @internal */ owned: boolean;
  /** @internal */ readonly workers = new Set<QueueWorker>();
  /** @internal */ probe: Promise<batch.Capabilities> | undefined;

  constructor(options: types.AbsurdOptions | string | types.Queryable = {}) {
    const { db, queueName, defaultMaxAttempts, defaultRetryStrategy, log, hooks, listenUrl } = toOptions(options);
    this.queueName = checkQueueName(queueName ?? 'default');
    this.defaultMaxAttempts = defaultMaxAttempts ?? 5;
    this.defaultRetryStrategy = defaultRetryStrategy;
    this.log = log ?? console;
    this.hooks = hooks ?? {};
    if (db && typeof db !== 'string') {
      this.con = db;
      this.owned = false;
      this.listenUrl = listenUrl;
    } else {
      const name = applicationName('absurd-sdk', processIdentity());
      this.ownPool = openPool(db || undefined, guardedLog(this.log), name);
      this.con = this.ownPool;
      this.owned = true;
      // Empty: the address that the environment and the folder say, as for the pool.
      this.listenUrl = listenUrl ?? db ?? '';
    }
    this.db = Statements.over(this.con);
  }

  /**
   * A client with the same registered tasks whose queries go through this connection: inside the caller's transaction, a
   * spawn becomes visible with its commit.
   * @param owned whether `close()` of the new client closes the connection
   */
  bindToConnection(con: types.Queryable, owned = false): Absurd {
    const bound = new Absurd({
      db: con,
      queueName: this.queueName,
      defaultMaxAttempts: this.defaultMaxAttempts,
      ...(this.defaultRetryStrategy && { defaultRetryStrategy: this.defaultRetryStrategy }),
      log: this.log,
      hooks: this.hooks,
      listenUrl: this.listenUrl,
    });
    bound.registry = this.registry;
    bound.owned = owned;
    return bound;
  }

  registerTask<P = types.ParsedJson, R = types.ParsedJson>(
    options: types.TaskRegistrationOptions,
    handler: types.TaskHandler<P, R>,
  ): void {
    const registration = toRegistration(options, handler as types.TaskHandler, this.queueName);
    this.registry.set(registration.name, registration);
  }

  // --- queues ---

  /** Creates a queue, if it is not there yet, and sets its policy, if one is given. */
  async createQueue(queueName?: string, options: types.CreateQueueOptions = {}): Promise<void> {
    const queue = checkQueueName(queueName ?? this.queueName);
    await sql.createQueue(this.db, queue, checkStorageMode(options.storageMode));
    await this.setQueuePolicy(queue, options);
  }

  async setQueuePolicy(queueName?: string, options: types.QueuePolicyOptions = {}): Promise<void> {
    const queue = checkQueueName(queueName ?? this.queueName);
    const policy = policyJson(options);
    if (policy !== undefined) await sql.setQueuePolicy(this.db, queue, policy);
  }

  async getQueuePolicy(queueName?: string): Promise<types.QueuePolicy | null> {
    const row = await sql.getQueuePolicy(this.db, checkQueueName(queueName ?? this.queueName));
    return row === undefined ? null : toPolicy(row);
  }

  /**
   * Turns wake-ups (NOTIFY) for a queue on or off. With them, workers pick up new work within milliseconds. Off by
   * default.
   */
  async setQueueWakeup(enabled: boolean, queueName = this.queueName): Promise<void> {
    const queue = checkQueueName(queueName);
    if (!(await this.capabilities()).wakeup) {
      throw new Error('This database has no absurd.set_queue_wakeup: apply the schema of absurdctl (absurdctl init).');
    }
    await batch.setQueueWakeup(this.db, queue, enabled);
  }

  /** False also where the schema knows no announcements. */
  async getQueueWakeup(queueName = this.queueName): Promise<boolean> {
    const queue = checkQueueName(queueName);
    return (await this.capabilities()).wakeup && batch.getQueueWakeup(this.db, queue);
  }

  async dropQueue(queueName?: string): Promise<void> {
    await sql.dropQueue(this.db, checkQueueName(queueName ?? this.queueName));
  }

  async listQueues(): Promise<string[]> {
    return (await sql.listQueues(this.db)).map((row) => row.queue_name);
  }

  /** Gives a queue's workers, of every SDK, no new work until the pause ends. Runs in progress continue. */
  async pauseQueue(queueName = this.queueName, options: schedules.PauseOptions = {}): Promise<void> {
    await schedules.pauseQueue(this.db, checkQueueName(queueName), options);
  }

  /** False when the queue was not paused. */
  async resumeQueue(queueName = this.queueName): Promise<boolean> {
    return schedules.resumeQueue(this.db, checkQueueName(queueName));
  }

  /** The queues that are paused now. */
  async listPauses(): Promise<schedules.QueuePause[]> {
    return schedules.listPauses(this.db);
  }

  // --- schedules ---

  /**
   * Creates a schedule, or replaces the one of that name: safe at every start of a program. Workers of every SDK fire it, each
   * time exactly once.
   */
  async schedule<P = types.ParsedJson>(name: string, options: schedules.ScheduleOptions<P>): Promise<void> {
    await schedules.setSchedule(this, name, options);
  }

  /** False where there was none. Tasks that it has spawned stay. */
  async dropSchedule(name: string): Promise<boolean> {
    return schedules.dropSchedule(this.db, name);
  }

  async pauseSchedule(name: string, options: schedules.PauseOptions = {}): Promise<void> {
    await schedules.pauseSchedule(this.db, name, options);
  }

  /** False when the schedule was not paused. */
  async resumeSchedule(name: string): Promise<boolean> {
    return schedules.resumeSchedule(this.db, name);
  }

  /** Spawns the task of a schedule once, now. */
  async triggerSchedule(name: string): Promise<{ taskID: string; runID: string }> {
    return schedules.triggerSchedule(this.db, name);
  }

  /** Spawns a task for each time in a span that has none. */
  async backfillSchedule(name: string, span: { from: Date; to: Date }): Promise<schedules.BackfilledTask[]> {
    return schedules.backfillSchedule(this.db, name, span);
  }

  /** Schedules, the next to fire first; of one queue where it is named. */
  async listSchedules(options: { queue?: string } = {}): Promise<schedules.Schedule[]> {
    return schedules.listSchedules(this.db, options.queue === undefined ? null : checkQueueName(options.queue));
  }

  // --- tasks ---

  /** Puts a task into its queue. A name that is not registered here needs `options.queue`. */
  async spawn<P = types.ParsedJson>(
    taskName: string,
    params: P,
    options: types.SpawnOptions = {},
  ): Promise<types.SpawnResult> {
    const task = await this.prepareSpawn(taskName, params, options);
    return toSpawnResult(
      await sql.spawnTask(this.db, task.queue, task.name, task.paramsJson, task.optionsJson),
      'spawn',
    );
  }

  /**
   * Spawns many tasks and returns their results in the same order. With absurdctl's schema that takes one statement for each
   * queue and thousand tasks, each of them all or nothing; with another schema one statement a task.
   */
  async spawnMany(requests: readonly types.SpawnRequest[]): Promise<types.SpawnResult[]> {
    const tasks: PreparedSpawn[] = [];
    for (const [index, { name, params, options }] of requests.entries()) {
      if (!name) throw new Error(`spawnMany: element ${index + 1} has no task name`);
      tasks.push(await this.prepareSpawn(name, params, options ?? {}));
    }
    if (tasks.length === 0) return [];
    const manyAtOnce = tasks.length > 1 && (await this.capabilities()).spawnTasks;
    const rows = await spawnInBatches(this.db, tasks, manyAtOnce);
    return rows.map((row) => toSpawnResult(row, 'spawn'));
  }

  /** Emits an event. Only the first emission of a name counts. */
  async emitEvent(eventName: string, payload?: unknown, queueName?: string): Promise<void> {
    if (!eventName) throw new Error('eventName must be a non-empty string');
    await sql.emitEvent(
      this.db,
      checkQueueName(queueName ?? this.queueName),
      eventName,
      toJson(payload ?? null, `The payload of event "${eventName}"`),
    );
  }

  /** A task's state, with its result or its last failure; null when the queue has no such task. */
  async fetchTaskResult(taskID: string, options: { queue?: string } = {}): Promise<types.TaskResultSnapshot | null> {
    return fetchTaskResult(this.db, checkQueueName(options.queue ?? this.queueName), taskID);
  }

  /**
   * Waits until a task has completed, failed or been cancelled.
   * @param options.timeout seconds; none: for ever
   * @throws TimeoutError when it did not end in time
   */
  async awaitTaskResult(
    taskID: string,
    options: { queue?: string; timeout?: number } = {},
  ): Promise<types.TaskResultSnapshot> {
    const queue = checkQueueName(options.queue ?? this.queueName);
    return pollTaskResult(() => fetchTaskResult(this.db, queue, taskID), taskID, { timeout: options.timeout });
  }

  /** Gives a failed task another attempt, or starts a new task from the same inputs. */
  async retryTask(taskID: string, options: types.RetryTaskOptions = {}): Promise<types.SpawnResult> {
    const queue = checkQueueName(options.queue ?? this.queueName);
    const json = JSON.stringify({ max_attempts: options.maxAttempts, spawn_new: options.spawnNewTask || undefined });
    return toSpawnResult(await sql.retryTask(this.db, queue, taskID, json), 'retry');
  }

  /** Cancels an unfinished task. A running handler learns of it at its next step, and through its context's signal. */
  async cancelTask(taskID: string, queueName?: string): Promise<void> {
    await sql.cancelTask(this.db, checkQueueName(queueName ?? this.queueName), taskID);
  }

  // --- work ---

  async claimTasks(options?: {
    batchSize?: number;
    claimTimeout?: number;
    workerId?: string;
  }): Promise<types.ClaimedTask[]> {
    const { batchSize = 1, claimTimeout = 120, workerId = 'worker' } = options ?? {};
    checkClaimTimeout(claimTimeout);
    return sql.claimTasks(this.db, this.queueName, workerId, claimTimeout, batchSize);
  }

  /**
   * Claims once, runs the claimed tasks one after another, and returns their number. Rejects with the first error,
   * after all have run.
   */
  async workBatch(workerId = 'worker', claimTimeout = 120, batchSize = 1): Promise<number> {
    const errors: unknown[] = [];
    const claimed = await this.claimTasks({ batchSize, claimTimeout, workerId });
    for (const task of claimed) {
      await this.executeTask(task, claimTimeout).catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
    return claimed.length;
  }

  /** Starts to claim and run tasks of this client's queue until the worker or the client is closed. */
  async startWorker(options: types.WorkerOptions = {}): Promise<types.Worker> {
    checkWorkerOptions(options);
    const name = options.workerId;
    if (name && this.ownPool) this.ownPool.sessionName = applicationName('absurd-sdk', name);
    const worker = new QueueWorker(this, options, () => this.workers.delete(worker));
    this.workers.add(worker);
    return worker;
  }

  /** Closes this client's workers (waiting for their runs) and the pool, if the client created it. */
  async close(): Promise<void> {
    await Promise.all([...this.workers].map((worker) => worker.close()));
    if (!this.owned) return;
    this.owned = false;
    const con = this.con as Closable;
    if (typeof con.release === 'function') con.release(true);
    else await con.end?.();
  }

  /** Runs one claimed task to its end, its suspension, or its failure. */
  async executeTask(task: types.ClaimedTask, claimTimeout: number, options: types.ExecuteOptions = {}): Promise<void> {
    const { assignment } = options;
    await executeRun({
      task,
      queueName: this.queueName,
      workerID: assignment?.workerID ?? 'worker',
      claimTimeoutSeconds: claimTimeout,
      fatalOnLeaseTimeout: options.fatalOnLeaseTimeout ?? false,
      registration: this.registry.get(task.task_name),
      store: assignment?.store ?? new PlainStore(this.db, this.queueName),
      guard: assignment?.guard ?? new RunGuard(),
      log: guardedLog(this.log),
      hooks: guardedHooks(this.hooks),
      prepareSpawn: (name, params, spawnOptions) => this.prepareSpawn(name, params, spawnOptions),
      ...(assignment && { onHandled: assignment.onHandled }),
    });
  }

  /** @internal What the database offers beyond the contract; looked up once, when first needed. */
  capabilities(): Promise<batch.Capabilities> {
    this.probe ??= batch.probeCapabilities(this.db).catch((error: unknown) => {
      this.probe = undefined;
      throw error;
    });
    return this.probe;
  }

  /** @internal */
  async prepareSpawn(name: string, params: unknown, options: types.SpawnOptions): Promise<PreparedSpawn> {
    if (!name) throw new Error('A spawn requires a task name');
    const registration = this.registry.get(name);
    const queue = queueForSpawn(name, options.queue, registration);
    let effective = withDefaults(options, registration, this);
    if (this.hooks.beforeSpawn !== undefined) {
      effective = await this.hooks.beforeSpawn(name, params as types.JsonValue, effective);
    }
    const paramsJson = toJson(params, `The parameters of "${name}"`);
    const optionsJson = spawnOptionsJson(name, effective);
    await requireSpawnFeatures(this.db, effective);
    return { queue, name, paramsJson, optionsJson };
  }
}

brand(Absurd, 'Absurd');

function toSpawnResult(row: sql.SpawnedRow | undefined, verb: 'spawn' | 'retry'): types.SpawnResult {
  if (row === undefined) throw new Error(`Failed to ${verb} task`);
  return { taskID: row.task_id, runID: row.run_id, attempt: row.attempt, created: row.created };
}
