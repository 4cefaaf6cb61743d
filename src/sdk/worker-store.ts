import * as batch from '../sql/sdk-batch.js';
import type { AwaitEventRow, AwaitEventsRow, CheckpointRow, CheckpointWrite, WaitEntry } from '../sql/sdk.js';
import { Batcher, type Outcome } from './batcher.js';
import { isConnectionLoss, isNotRunning, serverError, SuspendTask } from './errors.js';
import { timesInHand } from './lost-claims.js';
import { PlainStore, type EventWait } from './store.js';
import { pause } from './timing.js';
import type { ClaimedTask, Queryable, TaskResultSnapshot } from './types.js';

/** The worker whose runs these are. */
export interface StoreOwner {
  /** Under which name it claims. */
  workerId: string;
  /** Settles when what a claim under way brings is in hand. */
  claiming(): Promise<unknown>;
  /** When it had the run in hand, by `Date.now()`. */
  inHandSinceMs(runId: string): number | undefined;
  /** Once it fires, a lost connection is no longer waited out. */
  givingUp: AbortSignal;
}

/** By so much the database's clock and ours may differ on how long something takes. */
const clockSlackMs = 100;
const firstRetryMs = 50;
const longestRetryMs = 500;

function outcomeOf(verdict: batch.BatchVerdict | undefined): Outcome<undefined> {
  if (verdict === undefined) return { error: new Error('The server returned no verdict on a call within a batch') };
  if (verdict.error_code === null) return { result: undefined };
  return { error: serverError(verdict.error_code, verdict.error_message) };
}

/**
 * What a worker's runs use: calls of concurrent runs go out together where the schema has the calls for it, and a lost
 * connection is waited out. The server may have done what we sent before the connection broke, so a call made again takes
 * "no longer running" for an answer. And it looks first whether the run is still this execution's: it may have fallen asleep
 * with what we sent, and be in other hands by now under the same id.
 */
export class WorkerStore extends PlainStore {
  override readonly loadsLate = true;
  private readonly loads: Batcher<ClaimedTask, CheckpointRow[]>;
  private readonly saves: Batcher<CheckpointWrite, undefined>;
  private readonly completions: Batcher<{ runId: string; stateJson: string | undefined }, undefined>;
  /** How many calls lost their connection and have no answer yet. */
  private waitingOut = 0;

  /** @param capabilities looks once which of our functions the database has */
  constructor(
    con: Queryable,
    queueName: string,
    capabilities: () => Promise<batch.Capabilities>,
    private readonly worker: StoreOwner,
  ) {
    super(con, queueName);
    this.loads = new Batcher<ClaimedTask, CheckpointRow[]>({
      one: (task) => super.load(task),
      many: (tasks) => this.loadMany(tasks),
      canDoMany: async () => (await capabilities()).loadCheckpoints,
    });
    this.saves = new Batcher<CheckpointWrite, undefined>({
      one: (write) => super.save(write).then(() => undefined),
      many: (writes) => this.saveMany(writes),
      canDoMany: async () => (await capabilities()).saveCheckpoints,
    });
    this.completions = new Batcher<{ runId: string; stateJson: string | undefined }, undefined>({
      one: (run) => super.complete(run.runId, run.stateJson).then(() => undefined),
      many: (runs) => this.completeMany(runs),
      canDoMany: async () => (await capabilities()).completeRuns,
    });
  }

  override get serverAway(): boolean {
    return this.waitingOut > 0;
  }

  override load(task: ClaimedTask): Promise<CheckpointRow[]> {
    return this.persist(undefined, () => this.loads.submit(task));
  }

  override save(write: CheckpointWrite): Promise<void> {
    return this.persist(write.runId, () => this.saves.submit(write));
  }

  override saveAsleep(write: CheckpointWrite): Promise<void> {
    return this.persist(undefined, () => super.saveAsleep(write));
  }

  override complete(runId: string, stateJson: string | undefined): Promise<void> {
    return this.persist(
      undefined,
      () => this.completions.submit({ runId, stateJson }),
      () => undefined,
    );
  }

  override fail(runId: string, reasonJson: string): Promise<void> {
    return this.persist(
      undefined,
      () => super.fail(runId, reasonJson),
      () => undefined,
    );
  }

  override scheduleAfter(runId: string, delaySeconds: number): Promise<void> {
    const wakeAtMs = Date.now() + delaySeconds * 1000;
    return this.persist(
      runId,
      (again) => super.scheduleAfter(runId, again ? Math.max(0, (wakeAtMs - Date.now()) / 1000) : delaySeconds),
      () => undefined,
    );
  }

  override extend(runId: string, seconds: number): Promise<void> {
    return this.persist(runId, () => super.extend(runId, seconds));
  }

  override awaitEvent(wait: EventWait): Promise<AwaitEventRow | undefined> {
    return this.persist<AwaitEventRow | undefined>(
      wait.runId,
      () => super.awaitEvent(wait),
      () => ({ should_suspend: true, payload: null }),
    );
  }

  override canAwaitEvents(): Promise<boolean> {
    return this.persist(undefined, () => super.canAwaitEvents());
  }

  override awaitEvents(
    run: { taskId: string; runId: string },
    waits: readonly WaitEntry[],
  ): Promise<AwaitEventsRow | undefined> {
    return this.persist<AwaitEventsRow | undefined>(
      run.runId,
      () => super.awaitEvents(run, waits),
      () => ({ should_suspend: true, results: [] }),
    );
  }

  override emitEvent(eventName: string, payloadJson: string | undefined): Promise<void> {
    return this.persist(undefined, () => super.emitEvent(eventName, payloadJson));
  }

  override fetchResult(queue: string, taskId: string): Promise<TaskResultSnapshot | null> {
    return this.persist(undefined, () => super.fetchResult(queue, taskId));
  }

  /**
   * Makes a call until the server answers it.
   * @param runId the run, for calls that would disturb whoever has it now; undefined for those that would not
   * @param doneAlready what it comes to when a call made again finds the run no longer running, or no longer ours
   * @throws SuspendTask when it is no longer ours and the call cannot have been the reason
   */
  private async persist<Result>(
    runId: string | undefined,
    call: (again: boolean) => Promise<Result>,
    doneAlready?: () => Result,
  ): Promise<Result> {
    try {
      return await call(false);
    } catch (error) {
      if (!isConnectionLoss(error) || this.worker.givingUp.aborted) throw error;
    }
    this.waitingOut++;
    return this.persistAgain(runId, call, doneAlready).finally(() => this.waitingOut--);
  }

  private async persistAgain<Result>(
    runId: string | undefined,
    call: (again: boolean) => Promise<Result>,
    doneAlready?: () => Result,
  ): Promise<Result> {
    for (let delayMs = firstRetryMs; ; delayMs = Math.min(delayMs * 2, longestRetryMs)) {
      await pause(delayMs, this.worker.givingUp);
      try {
        if (runId !== undefined && !(await this.isStillOurs(runId))) {
          if (doneAlready !== undefined) return doneAlready();
          throw new SuspendTask();
        }
        return await call(true);
      } catch (error) {
        if (doneAlready !== undefined && isNotRunning(error)) return doneAlready();
        if (!isConnectionLoss(error) || this.worker.givingUp.aborted) throw error;
      }
    }
  }

  /** False when the run sleeps, or somebody claimed it anew. A run that has ended is the server's to refuse, in its words. */
  private async isStillOurs(runId: string): Promise<boolean> {
    const askedAtMs = Date.now();
    let run: batch.RunStateRow | undefined;
    try {
      [run] = await batch.getRunStates(this.con, this.queueName, [runId]);
    } catch (error) {
      if (isConnectionLoss(error)) throw error;
      // Where the tables may not be read, the call itself has to do.
      return true;
    }
    if (run?.state === 'sleeping' || run?.state === 'pending') return false;
    if (run?.state !== 'running') return true;
    // It may have fallen asleep, woken, and be what a claim of ours is about to bring.
    await this.worker.claiming();
    return this.isMe(run.claimed_by) && timesInHand(runId) <= 1 && !this.isClaimedAnew(run, askedAtMs);
  }

  /** Whether the claim is younger than what this worker has in hand: another process of its name made it. */
  private isClaimedAnew(
    { run_id: runId, claimed_ms_ago: claimedMsAgo }: batch.RunStateRow,
    askedAtMs: number,
  ): boolean {
    const sinceMs = this.worker.inHandSinceMs(runId);
    if (sinceMs === undefined || claimedMsAgo === null) return false;
    return claimedMsAgo + clockSlackMs < askedAtMs - sinceMs;
  }

  /** The server calls a worker without a name "worker". */
  private isMe(claimedBy: string | null): boolean {
    return claimedBy?.trim() === (this.worker.workerId.trim() || 'worker');
  }

  private async loadMany(tasks: ClaimedTask[]): Promise<Outcome<CheckpointRow[]>[]> {
    const found = new Map<string, CheckpointRow[]>(tasks.map((task) => [task.run_id, []]));
    const rows = await batch.getRunCheckpoints(
      this.con,
      this.queueName,
      tasks.map((task) => task.run_id),
    );
    for (const row of rows) found.get(row.run_id)?.push(row);
    return tasks.map((task) => ({ result: found.get(task.run_id) ?? [] }));
  }

  private async saveMany(writes: CheckpointWrite[]): Promise<Outcome<undefined>[]> {
    const rows = await batch.setTaskCheckpointStates(this.con, this.queueName, writes);
    // In the order of the calls. By task and step two attempts at one task could not be told apart.
    return writes.map((_, index) => outcomeOf(rows[index]));
  }

  private async completeMany(runs: { runId: string; stateJson: string | undefined }[]): Promise<Outcome<undefined>[]> {
    const rows = await batch.completeRuns(this.con, this.queueName, runs);
    return runs.map((_, index) => outcomeOf(rows[index]));
  }
}
