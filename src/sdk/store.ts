import { saveWhileAsleep } from '../sql/sdk-batch.js';
import * as sql from '../sql/sdk.js';
import { asRefusedValue } from './errors.js';
import { requireFeature, type Feature } from './features.js';
import { fetchTaskResult } from './results.js';
import type { PreparedSpawn } from './spawn-many.js';
import { Statements } from './statements.js';
import type { ClaimedTask, TaskResultSnapshot } from './types.js';

export interface EventWait {
  taskId: string;
  runId: string;
  stepName: string;
  eventName: string;
  timeoutSeconds: number | null;
}

/** What the execution of a run reads and writes. Values are JSON text. */
export interface RunStore {
  /** Whether checkpoints are read when a handler first asks for one: a task without steps costs no read. */
  readonly loadsLate: boolean;
  /** Whether calls wait for a server that is away. */
  readonly serverAway: boolean;
  load(task: ClaimedTask): Promise<sql.CheckpointRow[]>;
  save(write: sql.CheckpointWrite): Promise<void>;
  /** Saves the result of a step that was under way when its run fell asleep, unless somebody has claimed the run since. */
  saveAsleep(write: sql.CheckpointWrite): Promise<void>;
  complete(runId: string, stateJson: string | undefined): Promise<void>;
  fail(runId: string, reasonJson: string): Promise<void>;
  scheduleAfter(runId: string, delaySeconds: number): Promise<void>;
  extend(runId: string, seconds: number): Promise<void>;
  awaitEvent(wait: EventWait): Promise<sql.AwaitEventRow | undefined>;
  /** Whether several waits can be registered in one call. */
  canAwaitEvents(): Promise<boolean>;
  awaitEvents(
    run: { taskId: string; runId: string },
    waits: readonly sql.WaitEntry[],
  ): Promise<sql.AwaitEventsRow | undefined>;
  emitEvent(eventName: string, payloadJson: string | undefined): Promise<void>;
  fetchResult(queue: string, taskId: string): Promise<TaskResultSnapshot | null>;
  /** Raises where the schema lacks a feature; `what` is what cannot be done then. */
  requireFeature(feature: Feature, what: string): Promise<void>;
  /** Spawns a task that has an idempotency key: the call may be sent again. */
  spawn(task: PreparedSpawn): Promise<sql.SpawnedRow | undefined>;
}

/** Connections whose schema has `await_events`. Where it is missing, it may come while we run. */
const withAwaitEvents = new WeakSet<sql.SdkDatabase>();

/** One statement a call, and every error goes to the caller: what `executeTask` uses when the program calls it itself. */
export class PlainStore implements RunStore {
  readonly loadsLate: boolean = false;

  get serverAway(): boolean {
    return false;
  }

  protected readonly db: sql.SdkDatabase;

  constructor(
    con: sql.SdkDatabase,
    protected readonly queueName: string,
  ) {
    this.db = Statements.over(con);
  }

  load(task: ClaimedTask): Promise<sql.CheckpointRow[]> {
    return sql.getTaskCheckpointStates(this.db, this.queueName, task.task_id, task.run_id);
  }

  save(write: sql.CheckpointWrite): Promise<void> {
    return sql.setTaskCheckpointState(this.db, this.queueName, write);
  }

  saveAsleep(write: sql.CheckpointWrite): Promise<void> {
    return saveWhileAsleep(this.db, this.queueName, write);
  }

  complete(runId: string, stateJson: string | undefined): Promise<void> {
    const completed = sql.completeRun(this.db, this.queueName, runId, stateJson);
    return completed.catch((error: unknown) => {
      throw asRefusedValue(`The result of run ${runId}`, error);
    });
  }

  fail(runId: string, reasonJson: string): Promise<void> {
    return sql.failRun(this.db, this.queueName, runId, reasonJson);
  }

  scheduleAfter(runId: string, delaySeconds: number): Promise<void> {
    return sql.scheduleRunAfter(this.db, this.queueName, runId, delaySeconds);
  }

  extend(runId: string, seconds: number): Promise<void> {
    return sql.extendClaim(this.db, this.queueName, runId, seconds);
  }

  awaitEvent(wait: EventWait): Promise<sql.AwaitEventRow | undefined> {
    return sql.awaitEvent(this.db, this.queueName, wait);
  }

  async canAwaitEvents(): Promise<boolean> {
    if (withAwaitEvents.has(this.db)) return true;
    const found = await sql.hasAwaitEvents(this.db);
    if (found) withAwaitEvents.add(this.db);
    return found;
  }

  awaitEvents(
    run: { taskId: string; runId: string },
    waits: readonly sql.WaitEntry[],
  ): Promise<sql.AwaitEventsRow | undefined> {
    return sql.awaitEvents(this.db, this.queueName, run, waits);
  }

  emitEvent(eventName: string, payloadJson: string | undefined): Promise<void> {
    return sql.emitEvent(this.db, this.queueName, eventName, payloadJson);
  }

  fetchResult(queue: string, taskId: string): Promise<TaskResultSnapshot | null> {
    return fetchTaskResult(this.db, queue, taskId);
  }

  requireFeature(feature: Feature, what: string): Promise<void> {
    return requireFeature(this.db, feature, what);
  }

  spawn({ queue, name, paramsJson, optionsJson }: PreparedSpawn): Promise<sql.SpawnedRow | undefined> {
    return sql.spawnTask(this.db, queue, name, paramsJson, optionsJson);
  }
}
