import * as batch from '../sql/sdk-batch.js';
import type {
  AwaitEventRow,
  AwaitEventsRow,
  CheckpointRow,
  CheckpointWrite,
  SdkDatabase,
  SpawnedRow,
  WaitEntry,
} from '../sql/sdk.js';
import { Batcher, type Outcome } from './batcher.js';
import { isCheckoutTimeout, isNotRunning, isConnectionLoss, serverError, SuspendTask } from './errors.js';
import { untilOver, type LeaseEnd } from './lease.js';
import type { Feature } from './features.js';
import { ledger } from './lost-claims.js';
import { spawnInBatches, type PreparedSpawn } from './spawn-many.js';
import { PlainStore, type EventWait } from './store.js';
import { pause } from './timing.js';
import type { ClaimedTask, TaskResultSnapshot } from './types.js';

/** The worker whose runs these are. */
export interface StoreOwner {
  /** Under which name it claims. */
  workerId: string;
  /** Settles when what a claim under way brings is held. */
  claiming(): Promise<unknown>;
  /** Once it fires, neither a lost connection nor a full pool is waited out. */
  givingUp: AbortSignal;
}

/** A run as its worker holds it. */
export interface HeldRun extends LeaseEnd {
  /** By `Date.now()`. */
  readonly sinceMs: number;
}

/** By so much the database's clock and ours may differ on how long something takes. */
const clockSlackMs = 100;
const firstRetryMs = 50;
const longestRetryMs = 500;
/** How many times a call of a handler waits for a connection of the pool, each time as long as the pool lets it. */
const mostCheckouts = 3;

interface Completion {
  runId: string;
  stateJson: string | undefined;
}

function outcomeOf(verdict: batch.BatchVerdict | undefined): Outcome<undefined> {
  if (verdict === undefined) return { error: new Error('The server returned no verdict on a call within a batch') };
  if (verdict.error_code === null) return { result: undefined };
  return { error: serverError(verdict.error_code, verdict.error_message) };
}

/** What the runs of one worker share: calls that come together go out together where the schema has the calls for it. */
export class SharedCalls {
  readonly plain: PlainStore;
  readonly loads: Batcher<ClaimedTask, CheckpointRow[]>;
  readonly saves: Batcher<CheckpointWrite, undefined>;
  readonly completions: Batcher<Completion, undefined>;
  readonly spawns: Batcher<PreparedSpawn, SpawnedRow | undefined>;
  /** How many calls lost their connection and have no answer yet. */
  waitingForServer = 0;

  /** Whether one checkpoint can say when its step began; looked up by the first. */
  private keepsStepTimes: boolean | undefined;

  /** @param capabilities looks once which of our functions the database has */
  constructor(
    readonly db: SdkDatabase,
    readonly queueName: string,
    private readonly capabilities: () => Promise<batch.Capabilities>,
    readonly worker: StoreOwner,
  ) {
    const plain = new PlainStore(db, queueName);
    this.plain = plain;
    this.loads = new Batcher<ClaimedTask, CheckpointRow[]>({
      one: (task) => plain.load(task),
      many: (tasks) => this.loadMany(tasks),
      canDoMany: async () => (await capabilities()).loadCheckpoints,
    });
    this.saves = new Batcher<CheckpointWrite, undefined>({
      one: (write) => this.saveOne(write),
      many: (writes) => this.saveMany(writes),
      canDoMany: async () => (await capabilities()).saveCheckpoints,
    });
    this.completions = new Batcher<Completion, undefined>({
      one: (run) => plain.complete(run.runId, run.stateJson).then(() => undefined),
      many: (runs) => this.completeMany(runs),
      canDoMany: async () => (await capabilities()).completeRuns,
    });
    this.spawns = new Batcher<PreparedSpawn, SpawnedRow | undefined>({
      one: (task) => plain.spawn(task),
      many: async (tasks) => (await spawnInBatches(db, tasks, true)).map((result) => ({ result })),
      canDoMany: async () => (await capabilities()).spawnTasks,
    });
  }

  /** Where the schema keeps when a step began, one checkpoint goes out like many. */
  private async saveOne(write: CheckpointWrite): Promise<undefined> {
    this.keepsStepTimes ??= await this.capabilities().then(
      ({ saveCheckpoints, stepTimes }) => saveCheckpoints && stepTimes,
      () => undefined,
    );
    if (write.startedAtMs === undefined || this.keepsStepTimes !== true) {
      await this.plain.save(write);
      return undefined;
    }
    const [verdict] = await batch.setTaskCheckpointStates(this.db, this.queueName, [write]);
    const outcome = outcomeOf(verdict);
    if ('error' in outcome) throw outcome.error;
    return undefined;
  }

  private async loadMany(tasks: ClaimedTask[]): Promise<Outcome<CheckpointRow[]>[]> {
    const found = new Map<string, CheckpointRow[]>(tasks.map((task) => [task.run_id, []]));
    const rows = await batch.getRunCheckpoints(
      this.db,
      this.queueName,
      tasks.map((task) => task.run_id),
    );
    for (const row of rows) found.get(row.run_id)?.push(row);
    return tasks.map((task) => ({ result: found.get(task.run_id) ?? [] }));
  }

  private async saveMany(writes: CheckpointWrite[]): Promise<Outcome<undefined>[]> {
    const rows = await batch.setTaskCheckpointStates(this.db, this.queueName, writes);
    // In the order of the calls. By task and step two attempts at one task could not be told apart.
    return writes.map((_, index) => outcomeOf(rows[index]));
  }

  private async completeMany(runs: Completion[]): Promise<Outcome<undefined>[]> {
    const rows = await batch.completeRuns(this.db, this.queueName, runs);
    return runs.map((_, index) => outcomeOf(rows[index]));
  }
}

/** Whose call it is. A handler may hold the connection that its own call waits for; its call must have an end. */
type Caller = 'handler' | 'worker';

interface Call<Result> {
  caller: Caller;
  /** The run, for calls that would disturb another execution of it; absent for those that would not. */
  runId?: string;
  send(again: boolean): Promise<Result>;
  /** What a call sent again comes to when it finds the run no longer running, or no longer ours. */
  doneAlready?: () => Result;
}

/**
 * What one run of a worker uses. A server that is away is waited for. It may have done what we sent before the connection broke, so a
 * call sent again takes "no longer running" for an answer. And it looks first whether the run is still this execution's: it may have
 * fallen asleep with what we sent, and have been claimed by another worker under the same id.
 */
export class WorkerStore extends PlainStore {
  override readonly loadsLate = true;

  /** @param held absent in a store that releases runs */
  constructor(
    private readonly shared: SharedCalls,
    private readonly held?: HeldRun,
  ) {
    super(shared.db, shared.queueName);
  }

  override get serverAway(): boolean {
    return this.shared.waitingForServer > 0;
  }

  override load(task: ClaimedTask): Promise<CheckpointRow[]> {
    return this.persist({ caller: 'handler', send: () => this.shared.loads.submit(task) });
  }

  override save(write: CheckpointWrite): Promise<void> {
    const { runId, extendClaimBy } = write;
    const send = (): Promise<void> => this.shared.saves.submit(write);
    return this.persist({ caller: 'handler', runId, send: () => this.extending(extendClaimBy, send) });
  }

  override saveAsleep(write: CheckpointWrite): Promise<void> {
    return this.persist({ caller: 'handler', send: () => super.saveAsleep(write) });
  }

  override complete(runId: string, stateJson: string | undefined): Promise<void> {
    return this.persist<void>({
      caller: 'worker',
      send: () => this.shared.completions.submit({ runId, stateJson }),
      doneAlready: () => undefined,
    });
  }

  override fail(runId: string, reasonJson: string): Promise<void> {
    return this.persist<void>({
      caller: 'worker',
      send: () => super.fail(runId, reasonJson),
      doneAlready: () => undefined,
    });
  }

  override scheduleAfter(runId: string, delaySeconds: number): Promise<void> {
    const wakeAtMs = Date.now() + delaySeconds * 1000;
    return this.persist<void>({
      caller: this.held === undefined ? 'worker' : 'handler',
      runId,
      send: (again) => super.scheduleAfter(runId, again ? Math.max(0, (wakeAtMs - Date.now()) / 1000) : delaySeconds),
      doneAlready: () => undefined,
    });
  }

  override extend(runId: string, seconds: number): Promise<void> {
    const send = (): Promise<void> => super.extend(runId, seconds);
    return this.persist({ caller: 'handler', runId, send: () => this.extending(seconds, send) });
  }

  override awaitEvent(wait: EventWait): Promise<AwaitEventRow | undefined> {
    return this.persist<AwaitEventRow | undefined>({
      caller: 'handler',
      runId: wait.runId,
      send: () => super.awaitEvent(wait),
      doneAlready: () => ({ should_suspend: true, payload: null }),
    });
  }

  override canAwaitEvents(): Promise<boolean> {
    return this.persist({ caller: 'handler', send: () => super.canAwaitEvents() });
  }

  override awaitEvents(
    run: { taskId: string; runId: string },
    waits: readonly WaitEntry[],
  ): Promise<AwaitEventsRow | undefined> {
    return this.persist<AwaitEventsRow | undefined>({
      caller: 'handler',
      runId: run.runId,
      send: () => super.awaitEvents(run, waits),
      doneAlready: () => ({ should_suspend: true, results: [] }),
    });
  }

  override emitEvent(eventName: string, payloadJson: string | undefined): Promise<void> {
    return this.persist({ caller: 'handler', send: () => super.emitEvent(eventName, payloadJson) });
  }

  override fetchResult(queue: string, taskId: string): Promise<TaskResultSnapshot | null> {
    return this.persist({ caller: 'handler', send: () => super.fetchResult(queue, taskId) });
  }

  override requireFeature(feature: Feature, what: string): Promise<void> {
    return this.persist({ caller: 'handler', send: () => super.requireFeature(feature, what) });
  }

  override spawn(task: PreparedSpawn): Promise<SpawnedRow | undefined> {
    return this.persist({ caller: 'handler', send: () => this.shared.spawns.submit(task) });
  }

  private extending(seconds: number | null, send: () => Promise<void>): Promise<void> {
    const { held } = this;
    if (held === undefined || seconds === null || !(seconds > 0)) return send();
    return send().then(() => {
      held.endsAtMs = Date.now() + seconds * 1000;
    });
  }

  /**
   * Makes a call until the server answers it.
   * @throws SuspendTask when the run is no longer ours and the call cannot have been the reason
   */
  private persist<Result>(call: Call<Result>): Promise<Result> {
    const { held } = this;
    const sent = call.send(false);
    const answered =
      call.caller === 'worker' || held === undefined ? sent : untilOver(held, sent, () => this.serverAway);
    return answered.catch((failure: unknown) => this.persistAgain(call, failure));
  }

  private async persistAgain<Result>(call: Call<Result>, firstFailure: unknown): Promise<Result> {
    let failure = firstFailure;
    for (let retry = 1, delayMs = firstRetryMs; ; retry++, delayMs = Math.min(delayMs * 2, longestRetryMs)) {
      this.giveUpOn(call, failure, retry);
      const away = isConnectionLoss(failure) ? 1 : 0;
      this.shared.waitingForServer += away;
      try {
        // By chance, so that handlers that wait for each other's connections do not give up together.
        await pause(away ? delayMs : Math.random() * delayMs * 4, this.shared.worker.givingUp);
        return await this.sendAgain(call);
      } catch (error) {
        if (call.doneAlready !== undefined && isNotRunning(error)) return call.doneAlready();
        failure = error;
      } finally {
        this.shared.waitingForServer -= away;
      }
    }
  }

  /** Throws where a call that failed is not to be sent again. */
  private giveUpOn(call: Call<unknown>, failure: unknown, retry: number): void {
    if (this.shared.worker.givingUp.aborted) throw failure;
    if (isConnectionLoss(failure)) return;
    if (!isCheckoutTimeout(failure)) throw failure;
    if (call.caller === 'worker') return;
    const isOver = this.held !== undefined && Date.now() >= this.held.endsAtMs;
    if (!isOver && retry < mostCheckouts) return;
    const since = isOver ? 'and the lease of the run is over' : `in ${mostCheckouts} attempts`;
    throw new Error(
      `No connection of the pool became free ${since}: handlers may hold all of them while they wait for one more`,
      { cause: failure },
    );
  }

  private async sendAgain<Result>({ runId, send, doneAlready }: Call<Result>): Promise<Result> {
    if (runId === undefined || (await this.isStillOurs(runId))) return send(true);
    if (doneAlready !== undefined) return doneAlready();
    throw new SuspendTask();
  }

  /** False when the run sleeps, or was claimed again. A run that has ended is the server's to refuse, in its words. */
  private async isStillOurs(runId: string): Promise<boolean> {
    const askedAtMs = Date.now();
    let run: batch.RunStateRow | undefined;
    try {
      [run] = await batch.getRunStates(this.db, this.queueName, [runId]);
    } catch (error) {
      if (isConnectionLoss(error) || isCheckoutTimeout(error)) throw error;
      // Where the tables may not be read, the call itself has to do.
      return true;
    }
    if (run?.state === 'sleeping' || run?.state === 'pending') return false;
    if (run?.state !== 'running') return true;
    // It may have fallen asleep, woken, and be what a claim of ours is about to bring.
    await this.shared.worker.claiming();
    return this.isMe(run.claimed_by) && ledger.count(runId) <= 1 && !this.isClaimedAgain(run, askedAtMs);
  }

  /** Whether the claim is younger than this execution: another process of its name made it. */
  private isClaimedAgain({ claimed_ms_ago: claimedMsAgo }: batch.RunStateRow, askedAtMs: number): boolean {
    if (this.held === undefined || claimedMsAgo === null) return false;
    return claimedMsAgo + clockSlackMs < askedAtMs - this.held.sinceMs;
  }

  /** The server calls a worker without a name "worker". */
  private isMe(claimedBy: string | null): boolean {
    return claimedBy?.trim() === (this.shared.worker.workerId.trim() || 'worker');
  }
}
