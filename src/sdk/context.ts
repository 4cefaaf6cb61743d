import { outsideOfHandlers } from './activity.js';
import { awaitAny, type AnyResult, type AnyWaits } from './await-any.js';
import { brand } from './brand.js';
import * as children from './children.js';
import { ContextPromise } from './context-promise.js';
import { asRefusedValue, asRunEnding, endsQuietly } from './errors.js';
import { RunGuard } from './guard.js';
import { toJson, warnOfChange } from './json.js';
import { Lease } from './lease.js';
import { CheckpointNames, Memory } from './memory.js';
import { awaitTaskResult } from './results.js';
import { PlainStore, type RunStore } from './store.js';
import type {
  ClaimedTask,
  JsonObject,
  JsonValue,
  Log,
  ParsedJson,
  Queryable,
  StepHandle,
  TaskResultSnapshot,
} from './types.js';
import { wholeSeconds } from './wait-for.js';
import { WaitRoom } from './waits.js';

/** @internal */
export interface ContextParts {
  task: ClaimedTask;
  queueName: string;
  workerID: string;
  store: RunStore;
  guard: RunGuard;
  lease: Lease;
  log: Log;
  /** Absent in a context that was made without a client. */
  prepareSpawn?: children.PrepareSpawn;
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
  get signal(): AbortSignal {
    return this.parts.guard.signal;
  }
  /** The headers of the spawn; `{}` if it had none. */
  readonly headers: Readonly<JsonObject>;

  /** @internal */ readonly parts: ContextParts;
  /** @internal What `recall` has read, once it was called. Not private: that would tell two builds of this class apart. */
  recalled: Promise<Memory> | undefined;
  /** @internal The same once it is there. */
  memory: Memory | undefined;
  /** @internal */ readonly names = new CheckpointNames();
  /** @internal */ readonly room: WaitRoom;
  /** @internal What waits are open, for the log. */ openWaits: Map<ContextPromise<unknown>, string> | undefined;
  /** @internal What to call when the execution is over; undefined once it is. */ whenOver: (() => void)[] | undefined =
    [];

  /** @internal */
  constructor(parts: ContextParts) {
    const { task, guard } = parts;
    this.parts = parts;
    this.taskID = task.task_id;
    this.runID = task.run_id;
    this.attempt = task.attempt;
    this.queueName = parts.queueName;
    this.workerID = parts.workerID;
    this.headers = task.headers ?? {};
    this.room = new WaitRoom({
      taskId: task.task_id,
      runId: task.run_id,
      store: parts.store,
      guard,
      leaseSeconds: parts.lease.seconds,
      wakeEvent: (task.event_payload ?? null) === null ? task.wake_event : null,
      memory: () => this.recall(),
      save: (name, value, startedAtMs) =>
        this.saveCheckpoint(name, toJson(value, `Checkpoint "${name}"`), value, startedAtMs),
      write: (call) => this.write(call),
    });
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
      log: args.log,
    });
  }

  /** Runs `fn` unless this step has a checkpoint, and returns its result or the stored one. */
  step<T>(name: string, fn: () => Promise<T>): Promise<T> {
    return this.track(`step "${name}"`, () => this.runStep(name, fn));
  }

  /** The first half of `step`: returns whether the step is done, for loops that cannot pass a function. */
  beginStep<T = JsonValue>(name: string): Promise<StepHandle<T>> {
    return this.calling(`step "${name}"`, () => this.begin<T>(name));
  }

  /** The second half of `step`: stores the value. A handle that is already done keeps its value. */
  completeStep<T>(handle: StepHandle<T>, value: T): Promise<T> {
    return this.calling(`step "${handle.name}"`, () => this.complete(handle, value));
  }

  /** Sleeps for a number of seconds without a worker: the run is released, and claimed again afterwards. */
  sleepFor(stepName: string, duration: number): Promise<void> {
    return this.wait(`sleep "${stepName}"`, () => {
      if (Number.isNaN(new Date(Date.now() + duration * 1000).getTime())) {
        throw new Error(`sleepFor("${stepName}") needs a number of seconds, not ${String(duration)}`);
      }
      return this.room.wait({ step: this.names.next(stepName), sleepSeconds: Number(duration) });
    }) as Promise<void>;
  }

  /** Sleeps until a date. On a later attempt the date of the first one counts. */
  sleepUntil(stepName: string, wakeAt: Date): Promise<void> {
    return this.wait(`sleep "${stepName}"`, () => {
      if (Number.isNaN(wakeAt.getTime())) throw new Error(`sleepUntil("${stepName}") needs a valid date`);
      return this.room.wait({ step: this.names.next(stepName), sleepUntil: wakeAt });
    }) as Promise<void>;
  }

  /**
   * Waits for an event, without a worker, and returns its payload.
   * @param options.stepName the checkpoint's name, default `$awaitEvent:<eventName>`
   * @param options.timeout seconds, rounded up to whole ones; none: no limit
   * @throws TimeoutError when it did not come in time, on this attempt and on every later one
   */
  awaitEvent<T = JsonValue>(eventName: string, options?: { stepName?: string; timeout?: number }): Promise<T> {
    return this.wait(`wait for event "${eventName}"`, () => {
      const step = this.names.next(options?.stepName || `$awaitEvent:${eventName}`);
      const timeoutSeconds = wholeSeconds(options?.timeout, `awaitEvent("${eventName}")`);
      return this.room.wait({ step, event: eventName, timeoutSeconds });
    }) as Promise<T>;
  }

  /**
   * Waits for the first of several events, tasks and sleeps, and says which it was. The answer is a checkpoint: it is the same
   * on every later attempt, whatever has happened since.
   * @param waits `{ approved: { event: 'approve' }, paid: { task: child }, reminder: { sleepFor: 3600 }, end: { sleepUntil: date } }`
   * @param options.timeout seconds, rounded up to whole ones; none: no limit
   * @param options.stepName the checkpoint's name, default `$awaitAny`
   * @returns the key of the wait that ended first, and the event's payload or how the task ended (null for a sleep)
   * @throws TimeoutError when none ended in time, on this attempt and on every later one
   */
  awaitAny<const Waits extends AnyWaits>(
    waits: Waits,
    options: { timeout?: number; stepName?: string } = {},
  ): Promise<AnyResult<Waits>> {
    const what = `awaitAny of ${Object.keys(waits).join(', ')}`;
    return this.track(what, async () => {
      this.parts.guard.check();
      const name = this.names.next(options.stepName || '$awaitAny');
      return awaitAny(this, name, waits, wholeSeconds(options.timeout, 'awaitAny'));
    });
  }

  /**
   * Waits for a task of another queue to end, holding this run's slot and keeping its lease alive.
   * @param options.queue the other task's queue; its own is refused, since its slots may all be waiting
   * @param options.timeout seconds; none: for ever
   */
  awaitTaskResult(
    taskID: string,
    options: { queue?: string; timeout?: number; stepName?: string } = {},
  ): Promise<TaskResultSnapshot> {
    return this.track(`wait for task "${taskID}"`, () => awaitTaskResult(this, taskID, options));
  }

  /**
   * Spawns a child of this task, as a step: a later attempt gets the same child and spawns none.
   * @param options.stepName the checkpoint's name, default `$spawn:<taskName>`
   */
  spawn<P = ParsedJson>(taskName: string, params: P, options: children.ChildOptions = {}): Promise<children.ChildTask> {
    return this.track(`spawn of "${taskName}"`, () => children.spawnChild(this, taskName, params, options));
  }

  /**
   * Spawns a child and waits for its result, without a worker.
   * @throws ChildFailedError when the child failed or was cancelled; TimeoutError after `options.timeout` seconds
   */
  call<P = ParsedJson, R = ParsedJson>(taskName: string, params: P, options: children.CallOptions = {}): Promise<R> {
    return this.track(`call of "${taskName}"`, () => children.callChild(this, taskName, params, options)) as Promise<R>;
  }

  /**
   * Waits for tasks to end, without a worker, and returns how each of them stands, in the same order.
   * @throws TimeoutError when they did not end in time, on this attempt and on every later one
   */
  awaitTasks(
    tasks: readonly children.TaskRef[],
    options: children.AwaitTasksOptions = {},
  ): Promise<children.TaskOutcome[]> {
    return this.track(`wait for ${tasks.length} tasks`, () => children.awaitTasks(this, tasks, options));
  }

  /** Extends the lease to a whole number of seconds from now; default: the length it was claimed with. */
  heartbeat(seconds?: number): Promise<void> {
    return this.calling('heartbeat', async () => {
      const asked = seconds ?? this.parts.lease.plainHeartbeat();
      if (!Number.isInteger(asked)) throw new Error(`heartbeat needs a whole number of seconds, not ${String(asked)}`);
      await this.write(() => this.parts.store.extend(this.runID, asked));
      if (seconds === undefined) this.parts.lease.extended(asked);
      else this.parts.lease.held(seconds);
    });
  }

  /** Emits an event in this task's queue. Only the first emission of a name counts. */
  emitEvent(eventName: string, payload?: unknown): Promise<void> {
    return this.calling(`event "${eventName}"`, async () => {
      if (!eventName) throw new Error('eventName must be a non-empty string');
      const json = toJson(payload ?? null, `The payload of event "${eventName}"`);
      await this.write(() => this.parts.store.emitEvent(eventName, json));
    });
  }

  /** @internal Makes the promise of a method, which is never an unhandled rejection. */
  track<T>(what: string, work: () => Promise<T>): ContextPromise<T> {
    return ContextPromise.of(work(), (error, isAwaited) => {
      const report = (): void => {
        if (isAwaited() || endsQuietly(error)) return;
        this.parts.log.error(`[absurd] ${this.label}: ${what} failed, and nothing awaited it:`, error);
      };
      if (this.whenOver === undefined) report();
      else this.whenOver.push(report);
    });
  }

  /** @internal A call to the server: the run does not sleep while it is under way. */
  calling<T>(what: string, work: () => Promise<T>): Promise<T> {
    return this.track(what, () => this.room.activities.during(work));
  }

  /** @internal */
  wait(what: string, open: () => Promise<unknown>): Promise<unknown> {
    const promise = this.track(what, async () => {
      this.parts.guard.check();
      return open();
    });
    const openWaits = (this.openWaits ??= new Map());
    openWaits.set(promise, what);
    const ended = (): boolean => openWaits.delete(promise);
    void Promise.prototype.then.call(promise, ended, ended);
    return promise;
  }

  /** @internal The execution is over: reports steps that the handler left running. */
  finish(): void {
    void this.room.close();
    for (const [promise, what] of this.openWaits ?? []) {
      if (this.parts.guard.ended || promise.isAwaited) continue;
      this.parts.log.warn(`[absurd] ${this.label}: the handler ended without its ${what}, which nothing awaited`);
    }
    const calls = this.whenOver ?? [];
    this.whenOver = undefined;
    // Wait one turn: the handler's own rejection is known by then.
    if (calls.length > 0) void outsideOfHandlers(() => Promise.resolve().then(() => calls.forEach((call) => call())));
  }

  /** @internal */
  get label(): string {
    return `task ${this.parts.task.task_name} (${this.taskID})`;
  }

  /** @internal One function, because the cost of a step is mostly its promises. */
  async runStep<T>(name: string, fn: () => Promise<T>): Promise<T> {
    const { activities } = this.room;
    const activity = activities.enter();
    try {
      const handle = this.beginAtOnce<T>(name) ?? (await this.begin<T>(name));
      if (handle.done) return handle.state;
      const value = await activities.inside(activity, fn);
      await this.complete(handle, value);
      return value;
    } finally {
      activities.leave(activity);
    }
  }

  /** @internal What `begin` comes to where it needs no call to the server. */
  beginAtOnce<T>(name: string): StepHandle<T> | undefined {
    if (this.memory === undefined || this.parts.lease.overdue) return undefined;
    this.parts.guard.check();
    return this.memory.begin(name, this.names.next(name));
  }

  /** @internal */
  async begin<T>(name: string): Promise<StepHandle<T>> {
    this.parts.guard.check();
    const checkpointName = this.names.next(name);
    const handle = (await this.recall()).begin<T>(name, checkpointName);
    if (!handle.done) await this.reassureLease();
    return handle;
  }

  /** @internal */
  async complete<T>(handle: StepHandle<T>, value: T): Promise<T> {
    if (handle.done) return handle.state;
    const { guard } = this.parts;
    if (guard.outcome !== undefined) {
      throw new Error(`Step "${handle.name}" ended when its run had ${guard.outcome} already: its value is not stored`);
    }
    const what = `The value of step "${handle.name}"`;
    const json = toJson(value, what);
    warnOfChange(this.parts.log, this.parts.task.task_name, handle.name, value);
    if (guard.asleep) await this.saveLate(handle.checkpointName, json);
    await this.saveCheckpoint(handle.checkpointName, json, value, this.memory?.beganAtMs(handle.checkpointName));
    return value;
  }

  /** @internal What earlier executions left, read once: before the handler, or by its first step where the store can wait. */
  recall(): Promise<Memory> {
    this.recalled ??= this.write(async () => {
      this.memory = new Memory(await this.parts.store.load(this.parts.task), this.runID);
      return this.memory;
    });
    return this.recalled;
  }

  /** @internal */
  saveCheckpoint(name: string, stateJson: string | undefined, value: unknown, startedAtMs?: number): Promise<void> {
    const { lease, store } = this.parts;
    const extendClaimBy = lease.automaticExtension();
    const checkpoint = { taskId: this.taskID, runId: this.runID, name, stateJson, extendClaimBy, startedAtMs };
    return this.write(() => store.save(checkpoint)).then(
      () => {
        if (extendClaimBy !== null) lease.extended(extendClaimBy);
        if (this.memory === undefined) return this.recall().then((memory) => memory.set(name, value));
        this.memory.set(name, value);
        return undefined;
      },
      (error: unknown) => {
        throw asRefusedValue(`The value of step "${name}"`, error);
      },
    );
  }

  /**
   * @internal Keeps the result of a step that ran beside a sleep or a wait which put the run to sleep, so that it does not run
   * again. Where that cannot be, it does.
   */
  async saveLate(name: string, stateJson: string | undefined): Promise<void> {
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

  /** @internal Every call to the server passes here: refused after the run has ended, and the first to detect that. */
  write<T>(call: () => Promise<T>): Promise<T> {
    const { guard } = this.parts;
    if (guard.refusal !== undefined) return Promise.reject(guard.refusal);
    return outsideOfHandlers(call).catch((error: unknown) => {
      guard.check();
      const ending = asRunEnding(error);
      throw ending instanceof Error && endsQuietly(ending) ? guard.stop(ending) : ending;
    });
  }
}

brand(TaskContext, 'TaskContext');

/** @internal Makes a run’s context, its checkpoints read unless they can wait for the first step that asks. */
export async function openContext(parts: ContextParts): Promise<TaskContext> {
  const context = new TaskContext(parts);
  if (!parts.store.loadsLate) await context.recall();
  return context;
}
