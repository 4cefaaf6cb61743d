import type { CheckpointRow } from '../sql/sdk.js';
import { brand } from './brand.js';
import { asRunEnding, endsQuietly, TimeoutError } from './errors.js';
import { RunGuard } from './guard.js';
import { Lease } from './lease.js';
import { checkQueueName } from './registry.js';
import { pollTaskResult } from './results.js';
import { PlainStore, type RunStore } from './store.js';
import type { ClaimedTask, JsonObject, JsonValue, Log, Queryable, StepHandle, TaskResultSnapshot } from './types.js';

/** Marks a step whose wait for an event timed out. Under a name of its own: other SDKs would return it as the payload. */
const timeoutMarker = (checkpointName: string): string => `$timeout:${checkpointName}`;

/** @internal */
export interface ContextParts {
  task: ClaimedTask;
  queueName: string;
  workerID: string;
  store: RunStore;
  guard: RunGuard;
  lease: Lease;
}

/** A handler's view of its run: steps, sleeps, events, the lease. Each wait and each step is one checkpoint. */
export class TaskContext {
  readonly taskID: string;
  readonly runID: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly queueName: string;
  /** Whose lease this run is under. */
  readonly workerID: string;
  /** Fires when the task was cancelled, the lease was lost, or a closing worker handed the run back. */
  readonly signal: AbortSignal;
  /** What was attached to the task when it was spawned; `{}` when nothing was. */
  readonly headers: Readonly<JsonObject>;

  /** @internal */ readonly parts: ContextParts;
  /** @internal What `recall` has read, once it was called. Not private: that would tell two builds of this class apart. */
  recalled: Promise<Map<string, unknown>> | undefined;
  /** @internal */ readonly timesUsed = new Map<string, number>();
  /** @internal */ wakeEvent: string | null;

  /** @internal */
  constructor(parts: ContextParts) {
    const { task, guard } = parts;
    this.parts = parts;
    this.wakeEvent = task.event_payload === null || task.event_payload === undefined ? task.wake_event : null;
    this.taskID = task.task_id;
    this.runID = task.run_id;
    this.attempt = task.attempt;
    this.queueName = parts.queueName;
    this.workerID = parts.workerID;
    this.signal = guard.signal;
    this.headers = task.headers ?? {};
  }

  /** Makes the context of a claimed run, for programs that execute runs by themselves. */
  static async create(args: {
    log: Log;
    taskID: string;
    con: Queryable;
    queueName: string;
    task: ClaimedTask;
    claimTimeout: number;
    onLeaseExtended: (leaseSeconds: number) => void;
  }): Promise<TaskContext> {
    return openContext({
      task: args.task,
      queueName: args.queueName,
      workerID: 'worker',
      store: new PlainStore(args.con, args.queueName),
      guard: new RunGuard(),
      lease: new Lease(args.claimTimeout, args.onLeaseExtended),
    });
  }

  /** Runs `fn` unless this step has a checkpoint already, and returns what it resolved to, then or now. */
  async step<T>(name: string, fn: () => Promise<T>): Promise<T> {
    const handle = await this.beginStep<T>(name);
    return handle.done ? handle.state : this.completeStep(handle, await fn());
  }

  /** The first half of `step`: tells whether the step is done, for loops that cannot hand over a function. */
  async beginStep<T = JsonValue>(name: string): Promise<StepHandle<T>> {
    this.parts.guard.check();
    const checkpointName = this.nextCheckpointName(name);
    const checkpoints = await this.recall();
    if (checkpoints.has(checkpointName)) {
      return { name, checkpointName, done: true, state: checkpoints.get(checkpointName) as T };
    }
    await this.reassureLease();
    return { name, checkpointName, done: false };
  }

  /** The second half of `step`: stores the value. A handle that is done keeps what it has. */
  async completeStep<T>(handle: StepHandle<T>, value: T): Promise<T> {
    if (handle.done) return handle.state;
    if (this.parts.guard.asleep) await this.saveLate(handle.checkpointName, value);
    await this.saveCheckpoint(handle.checkpointName, value);
    return value;
  }

  /** Sleeps so many seconds, without a worker: the run is released and claimed again when the time has come. */
  async sleepFor(stepName: string, duration: number): Promise<void> {
    await this.sleepUntil(stepName, new Date(Date.now() + duration * 1000));
  }

  /** Sleeps until a date by this process's clock. On a later attempt the date of the first one counts. */
  async sleepUntil(stepName: string, wakeAt: Date): Promise<void> {
    this.parts.guard.check();
    const checkpointName = this.nextCheckpointName(stepName);
    const checkpoints = await this.recall();
    let until = wakeAt;
    if (checkpoints.has(checkpointName)) until = new Date(checkpoints.get(checkpointName) as string);
    else await this.saveCheckpoint(checkpointName, wakeAt.toISOString());
    if (Number.isNaN(until.getTime())) throw new Error(`Checkpoint "${checkpointName}" holds no date to sleep until`);
    const leftMs = until.getTime() - Date.now();
    if (leftMs <= 0) return;
    await this.write(() => this.parts.store.scheduleAfter(this.runID, leftMs / 1000));
    throw this.parts.guard.suspend();
  }

  /**
   * Waits for an event, without a worker, and returns its payload.
   * @param options.stepName the checkpoint's name, default `$awaitEvent:<eventName>`
   * @param options.timeout whole seconds; none: for ever
   * @throws TimeoutError when it did not come in time, on this attempt and on every later one
   */
  async awaitEvent(eventName: string, options?: { stepName?: string; timeout?: number }): Promise<JsonValue> {
    this.parts.guard.check();
    const checkpointName = this.nextCheckpointName(options?.stepName || `$awaitEvent:${eventName}`);
    const checkpoints = await this.recall();
    if (checkpoints.has(timeoutMarker(checkpointName))) throw eventTimeout(eventName);
    if (checkpoints.has(checkpointName)) return checkpoints.get(checkpointName) as JsonValue;
    if (this.wakeEvent === eventName) {
      // Woken by this event's timeout. The server's record of it stays for the next wait of this execution.
      this.wakeEvent = null;
      await this.saveCheckpoint(timeoutMarker(checkpointName), { event: eventName });
      throw eventTimeout(eventName);
    }
    const timeout = options?.timeout;
    const timeoutSeconds =
      timeout !== undefined && Number.isFinite(timeout) && timeout >= 0 ? Math.floor(timeout) : null;
    const wait = { taskId: this.taskID, runId: this.runID, stepName: checkpointName, eventName, timeoutSeconds };
    const answer = await this.write(() => this.parts.store.awaitEvent(wait));
    if (answer === undefined) throw new Error('Failed to await event');
    if (answer.should_suspend) throw this.parts.guard.suspend();
    checkpoints.set(checkpointName, answer.payload);
    return answer.payload as JsonValue;
  }

  /**
   * Waits for a task of another queue to end, holding this run's slot and keeping its lease alive.
   * @param options.queue the other task's queue; its own is refused, since its slots may all be waiting
   * @param options.timeout seconds; none: for ever
   */
  async awaitTaskResult(
    taskID: string,
    options: { queue?: string; timeout?: number; stepName?: string } = {},
  ): Promise<TaskResultSnapshot> {
    const queue = checkQueueName(options.queue ?? this.queueName);
    if (queue === this.queueName) {
      throw new Error(
        `TaskContext.awaitTaskResult cannot wait on tasks in the same queue ("${queue}"): workers that wait for each other ` +
          'never finish. Spawn the task in another queue and name that in options.queue.',
      );
    }
    return this.step(options.stepName || `$awaitTaskResult:${taskID}`, () =>
      pollTaskResult(() => this.write(() => this.parts.store.fetchResult(queue, taskID)), taskID, {
        timeout: options.timeout,
        onPause: this.leaseKeeper(),
        signal: this.signal,
      }),
    );
  }

  /** Extends the lease to so many seconds from now; default: the length it was claimed with. */
  async heartbeat(seconds?: number): Promise<void> {
    const asked = seconds ?? this.parts.lease.plainHeartbeat();
    await this.write(() => this.parts.store.extend(this.runID, asked));
    if (seconds === undefined) this.parts.lease.extended(asked);
    else this.parts.lease.held(seconds);
  }

  /** Emits an event in this task's queue. The first emission of a name counts, for ever. */
  async emitEvent(eventName: string, payload?: JsonValue): Promise<void> {
    if (!eventName) throw new Error('eventName must be a non-empty string');
    await this.write(() => this.parts.store.emitEvent(eventName, JSON.stringify(payload ?? null)));
  }

  /** @internal The name a step's checkpoint has: the step's own at first, then with `#2`, `#3`… in order of use. */
  nextCheckpointName(name: string): string {
    const count = (this.timesUsed.get(name) ?? 0) + 1;
    this.timesUsed.set(name, count);
    return count === 1 ? name : `${name}#${count}`;
  }

  /** @internal What earlier executions left, read once: before the handler, or by its first step where the store can wait. */
  recall(): Promise<Map<string, unknown>> {
    this.recalled ??= this.write(async () => {
      const rows: CheckpointRow[] = await this.parts.store.load(this.parts.task);
      return new Map(rows.map((row) => [row.checkpoint_name, row.state]));
    });
    return this.recalled;
  }

  /** @internal */
  async saveCheckpoint(name: string, value: unknown): Promise<void> {
    const { lease, store } = this.parts;
    const extendClaimBy = lease.automaticExtension();
    const stateJson = JSON.stringify(value) as string | undefined;
    await this.write(() => store.save({ taskId: this.taskID, runId: this.runID, name, stateJson, extendClaimBy }));
    (await this.recall()).set(name, value);
    if (extendClaimBy !== null) lease.extended(extendClaimBy);
  }

  /**
   * @internal Keeps the result of a step that ran beside a sleep or a wait which put the run to sleep, so that it does not run
   * again. Where that cannot be, it does.
   */
  async saveLate(name: string, value: unknown): Promise<void> {
    const stateJson = JSON.stringify(value) as string | undefined;
    const write = { taskId: this.taskID, runId: this.runID, name, stateJson, extendClaimBy: null };
    await this.parts.store.saveAsleep(write).catch(() => undefined);
  }

  /**
   * @internal Asks for the lease before new work when it ran out by our clock (a slow handler, a process that was stopped):
   * where another worker has the task by now, nothing is done twice.
   */
  async reassureLease(): Promise<void> {
    const { lease, store } = this.parts;
    if (!lease.overdue) return;
    await this.write(() => store.extend(this.runID, lease.seconds));
    lease.extended(lease.seconds);
  }

  /** @internal Every call to the server passes here: refused once the run has ended, and the first to hear that it has. */
  async write<T>(call: () => Promise<T>): Promise<T> {
    const { guard } = this.parts;
    guard.check();
    try {
      return await call();
    } catch (error) {
      guard.check();
      const ending = asRunEnding(error);
      throw ending instanceof Error && endsQuietly(ending) ? guard.stop(ending) : ending;
    }
  }

  /** @internal Extends the lease each time half of it has passed. */
  leaseKeeper(): () => Promise<void> {
    const { lease } = this.parts;
    let extendedAtMs = Date.now();
    return async () => {
      const seconds = lease.automaticExtension();
      if (seconds === null || seconds <= 0 || Date.now() - extendedAtMs < seconds * 500) return;
      await this.write(() => this.parts.store.extend(this.runID, seconds));
      lease.extended(seconds);
      extendedAtMs = Date.now();
    };
  }
}

brand(TaskContext, 'TaskContext');

const eventTimeout = (eventName: string): TimeoutError =>
  new TimeoutError(`Timed out waiting for event "${eventName}"`);

/** @internal Makes a run’s context, its checkpoints read unless they can wait for the first step that asks. */
export async function openContext(parts: ContextParts): Promise<TaskContext> {
  const context = new TaskContext(parts);
  if (!parts.store.loadsLate) await context.recall();
  return context;
}
