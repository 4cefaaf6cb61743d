import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import { getRunStates, type Capabilities } from '../sql/sdk-batch.js';
import type { SdkDatabase } from '../sql/sdk.js';
import { CancelledTask, FailedTask, isConnectionLoss, isNotRunning, mayBeDone, SuspendTask } from './errors.js';
import { RunGuard } from './guard.js';
import { Heartbeat } from './heartbeat.js';
import { processIdentity } from './identity.js';
import { ledger, LostClaims } from './lost-claims.js';
import { listenWhileWanted } from './pickup.js';
import { PollRhythm } from './poll-rhythm.js';
import type { Registry } from './registry.js';
import { ErrorReports, guardedLog } from './reports.js';
import type { RunStore } from './store.js';
import { Bell, pause, quietTimer } from './timing.js';
import type { ClaimedTask, ExecuteOptions, Log, Worker, WorkerCloseOptions, WorkerOptions } from './types.js';
import { SharedCalls, WorkerStore, type HeldRun } from './worker-store.js';

/** What a worker needs of its client; the two calls are looked up each time, so that a program may replace them. */
export interface WorkerHost {
  readonly db: SdkDatabase;
  readonly queueName: string;
  readonly log: Log;
  readonly listenUrl: string | undefined;
  readonly registry: Registry;
  capabilities(): Promise<Capabilities>;
  claimTasks(options: { batchSize: number; claimTimeout: number; workerId: string }): Promise<ClaimedTask[]>;
  executeTask(task: ClaimedTask, claimTimeout: number, options: ExecuteOptions): Promise<void>;
}

/** What a worker has prepared for a run that it claimed; `executeTask` gets it with its options. */
export interface Assignment {
  workerID: string;
  store: RunStore;
  guard: RunGuard;
  /** To be called when the handler has returned and only the end of the run is to be stored. */
  onHandled: () => void;
}

interface Running extends HeldRun {
  task: ClaimedTask;
  guard: RunGuard;
  done: Promise<void>;
}

/**
 * The states of a worker, and where each may lead.
 * - running: claims and runs;
 * - draining: `close` was called; claims nothing more, and waits for its runs;
 * - releasing: gives back what it still holds: runs past the timeout of `close`, claims whose answer came late or was lost;
 * - closed: nothing of it runs any more.
 */
const nextStates = {
  running: ['draining'],
  draining: ['releasing'],
  releasing: ['closed'],
  closed: [],
} as const satisfies Record<string, readonly string[]>;

type WorkerState = keyof typeof nextStates;

/** How often a worker looks whether what it runs was cancelled or lost, for runs that are older than this. */
const watchMs = 500;
/** The longest pause after a claim that failed: a server that is away comes back any moment; the rest takes a person. */
const longestAwayPauseMs = 1000;
const longestErrorPauseMs = 5000;
/** How long a closing worker keeps waiting for a server that is away. */
const closingPatienceMs = 15_000;
/** Past the timeout of `close`: how long releases may take where the server is away, and where it answers. */
const releaseAwayMs = 500;
const releaseMs = 5000;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Poll, claim, run, shut down. */
export class QueueWorker implements Worker {
  readonly workerId: string;
  private state: WorkerState = 'running';
  private readonly claimTimeout: number;
  private readonly concurrency: number;
  private readonly batchSize: number;
  private readonly pollMs: number;
  private readonly fatalOnLeaseTimeout: boolean;
  private readonly running = new Set<Running>();
  /** How many of them only have their end to be stored. */
  private ending = 0;
  /** Settles when what the last claim brought is held. */
  private claiming: Promise<unknown> = Promise.resolve();
  private readonly bell = new Bell();
  private readonly rhythm: PollRhythm;
  private readonly errors: ErrorReports;
  /** Whether the last claim was answered. */
  private answered = false;
  /** Fires with draining, once lost connections are no longer waited out, and with closed. */
  private readonly closing = new AbortController();
  private readonly givingUp = new AbortController();
  private readonly ended = new AbortController();
  /** Fires when a close with a timeout has to end, whatever has no answer yet. */
  private readonly outOfTime = new AbortController();
  private readonly calls: SharedCalls;
  private readonly lostClaims: LostClaims;
  private readonly heartbeat: Heartbeat;
  private readonly polling: Promise<void>;
  private readonly background: Promise<void>[];
  private readonly releases: Promise<void>[] = [];
  private closed: Promise<void> | undefined;

  constructor(
    private readonly host: WorkerHost,
    private readonly options: WorkerOptions,
    private readonly onClosed: (worker: QueueWorker) => void,
  ) {
    this.workerId = options.workerId ?? processIdentity();
    this.claimTimeout = options.claimTimeout ?? 120;
    this.concurrency = options.concurrency ?? 1;
    this.batchSize = options.batchSize ?? this.concurrency;
    this.pollMs = (options.pollInterval ?? 0.25) * 1000;
    this.rhythm = new PollRhythm(this.pollMs, options.adaptivePolling ?? true);
    this.fatalOnLeaseTimeout = options.fatalOnLeaseTimeout ?? true;
    const log = guardedLog(host.log);
    this.errors = new ErrorReports(log, options.onError);
    // As many wait for these two as there are runs.
    setMaxListeners(0, this.closing.signal, this.givingUp.signal);
    this.calls = new SharedCalls(host.db, host.queueName, () => host.capabilities(), {
      workerId: this.workerId,
      claiming: () => this.claiming,
      givingUp: this.givingUp.signal,
    });
    this.lostClaims = new LostClaims(host.db, host.queueName, this.workerId, this.claimTimeout);
    this.heartbeat = new Heartbeat(host, this.workerId, log, () => ({
      running: this.running.size,
      concurrency: this.concurrency,
      draining: this.state !== 'running',
      programVersion: options.programVersion,
    }));
    this.polling = this.poll();
    this.background = [this.watchRuns(), listenWhileWanted(host, log, () => this.bell.ring(), this.closing.signal)];
  }

  close(options: WorkerCloseOptions = {}): Promise<void> {
    this.closed ??= this.shutDown();
    const { timeout } = options;
    if (timeout !== undefined && Number.isFinite(timeout)) void this.releaseAfter(timeout * 1000);
    return this.closed;
  }

  private enter(state: WorkerState): void {
    const allowed: readonly string[] = nextStates[this.state];
    assert(allowed.includes(state), `A worker that is ${this.state} cannot be ${state}`);
    this.state = state;
  }

  // --- poll and claim ---

  private async poll(): Promise<void> {
    let errorPauseMs = this.pollMs;
    while (this.state === 'running') {
      const free = this.freeSlots();
      if (free <= 0) {
        await this.bell.wait(Infinity);
        // Runs that end together free their slots together: one claim fills them all.
        await nextTurn();
        continue;
      }
      // This claim answers all rings until now.
      this.bell.clear();
      try {
        const asked = Math.min(this.batchSize, free);
        const taking = this.take(asked);
        this.claiming = taking.catch(() => undefined);
        const taken = await taking;
        this.answered = true;
        this.errors.clear();
        errorPauseMs = this.pollMs;
        const pauseMs = this.rhythm.claimed(taken, asked);
        if (taken === 0 || pauseMs > 0) await this.bell.wait(pauseMs);
        await nextTurn();
      } catch (error) {
        const away = isConnectionLoss(error);
        if (away) this.answered = false;
        this.errors.reportPoll(error);
        await pause(errorPauseMs, this.closing.signal);
        const longestMs = away ? longestAwayPauseMs : longestErrorPauseMs;
        errorPauseMs = Math.max(this.pollMs, Math.min(errorPauseMs * 2, longestMs));
      }
    }
  }

  /**
   * How many runs may start. One whose handler has returned needs no slot while its end is stored: so the server claims for us
   * while it completes, and neither waits for the other. As many may be ending as may run.
   */
  private freeSlots(): number {
    const { running, concurrency } = this;
    return Math.min(concurrency - (running.size - this.ending), 2 * concurrency - running.size);
  }

  /** Claims and runs; returns how many that were. */
  private async take(batchSize: number): Promise<number> {
    const claimed = await this.claim(batchSize);
    for (const task of claimed) {
      // A claim may return after the time of a closing worker was up.
      if (this.state === 'releasing' || this.state === 'closed') this.releases.push(this.release(task));
      else this.run(task);
    }
    return claimed.length;
  }

  private async claim(batchSize: number): Promise<ClaimedTask[]> {
    const recovered = await this.lostClaims.find();
    if (recovered.length > 0) return recovered;
    const sentAtMs = Date.now();
    try {
      return await this.host.claimTasks({ batchSize, claimTimeout: this.claimTimeout, workerId: this.workerId });
    } catch (error) {
      // A name that the program chose may be that of its other processes too, and their runs are theirs.
      const findable = this.options.workerId === undefined;
      if (findable && isConnectionLoss(error) && mayBeDone(error)) this.lostClaims.note(sentAtMs);
      throw error;
    }
  }

  // --- run ---

  private run(task: ClaimedTask): void {
    const guard = new RunGuard();
    let ending = false;
    const onHandled = (): void => {
      // One at a time means one after the other: the next one may rely on it that this one's end is stored.
      if (ending || this.concurrency === 1) return;
      ending = true;
      const waitsForSlot = this.freeSlots() <= 0;
      this.ending++;
      if (waitsForSlot) this.bell.ring();
    };
    const sinceMs = Date.now();
    const endsAtMs = this.claimTimeout > 0 ? sinceMs + this.claimTimeout * 1000 : Infinity;
    const running: Running = { task, guard, sinceMs, endsAtMs, done: Promise.resolve() };
    const store = new WorkerStore(this.calls, running);
    this.running.add(running);
    ledger.hold(task.run_id);
    running.done = this.execute(task, { workerID: this.workerId, store, guard, onHandled }).finally(() => {
      const waitsForSlot = this.freeSlots() <= 0;
      this.running.delete(running);
      if (ending) this.ending--;
      const soonMs = this.rhythm.ended();
      this.bell.ringWithin(waitsForSlot ? 0 : soonMs);
    });
  }

  private async execute(task: ClaimedTask, assignment: Assignment): Promise<void> {
    const { claimTimeout, fatalOnLeaseTimeout } = this;
    try {
      await this.host.executeTask(task, claimTimeout, { fatalOnLeaseTimeout, assignment });
      // A run whose end could not be stored stays in the ledger: its lease ends it, and it is no lost claim.
      ledger.release(task.run_id);
    } catch (error) {
      this.errors.report(error);
    }
  }

  /** Stops handlers whose task was cancelled or whose lease was lost while they did something else. */
  private async watchRuns(): Promise<void> {
    while (!this.ended.signal.aborted) {
      await pause(watchMs, this.ended.signal);
      const settled = Date.now() - watchMs;
      const watched = new Map<string, RunGuard>();
      for (const { task, guard, sinceMs } of this.running) {
        if (sinceMs <= settled && !guard.ended) watched.set(task.run_id, guard);
      }
      if (watched.size === 0) continue;
      try {
        for (const row of await getRunStates(this.host.db, this.host.queueName, [...watched.keys()])) {
          if (row.state === 'cancelled') watched.get(row.run_id)?.stop(new CancelledTask());
          else if (row.state === 'failed') watched.get(row.run_id)?.stop(new FailedTask());
        }
      } catch {
        // A handler learns of it at its next step all the same; the poll reports what is wrong with the database.
      }
    }
  }

  // --- shut down ---

  private async shutDown(): Promise<void> {
    this.enter('draining');
    this.closing.abort();
    this.bell.ring();
    if (this.running.size > 0) this.heartbeat.changed();
    const patience = quietTimer(() => this.givingUp.abort(), closingPatienceMs);
    await this.withinTime(this.drainAndRelease());
    clearTimeout(patience);
    if (this.state === 'draining') this.enter('releasing');
    this.enter('closed');
    this.givingUp.abort();
    this.ended.abort();
    // What listens or looks may wait for an answer that does not come.
    const limit = quietTimer(() => this.outOfTime.abort(), releaseAwayMs);
    await Promise.all([this.heartbeat.leave(), this.withinTime(Promise.all(this.background))]);
    clearTimeout(limit);
    this.onClosed(this);
  }

  private async drainAndRelease(): Promise<void> {
    // A claim without an answer is not waited for beyond the patience; if it does arrive, its runs are released.
    await Promise.race([this.polling, fired(this.givingUp.signal)]);
    await this.drained();
    if (this.state === 'draining') this.enter('releasing');
    await this.releaseLostClaims();
    await Promise.all(this.releases);
  }

  private async drained(): Promise<void> {
    while (this.running.size > 0) await Promise.all([...this.running].map((running) => running.done));
  }

  private async withinTime(work: Promise<unknown>): Promise<void> {
    await Promise.race([work, fired(this.outOfTime.signal)]);
  }

  /** After that many milliseconds, releases what still runs: any worker may claim it at once. */
  private async releaseAfter(timeoutMs: number): Promise<void> {
    await pause(timeoutMs, this.ended.signal);
    if (this.state === 'closed') return;
    if (this.state === 'draining') this.enter('releasing');
    for (const { task, guard } of this.running) {
      if (guard.ended) continue;
      guard.stop(new SuspendTask());
      // A slot is free a moment after its run was taken away; the end of closing waits until the server knows of it.
      this.releases.push(this.release(task));
    }
    await pause(releaseAwayMs, this.ended.signal);
    this.givingUp.abort();
    if (this.answered) await pause(releaseMs - releaseAwayMs, this.ended.signal);
    this.outOfTime.abort();
  }

  /** Releases what a claim may have made whose answer was lost while we closed: no worker holds it. */
  private async releaseLostClaims(): Promise<void> {
    while (this.lostClaims.pending && !this.givingUp.signal.aborted) {
      try {
        await Promise.all((await this.lostClaims.find()).map((task) => this.release(task)));
      } catch (error) {
        if (!isConnectionLoss(error)) return this.errors.report(error);
      }
      await pause(Math.min(this.pollMs, 100), this.givingUp.signal);
    }
  }

  private async release(task: ClaimedTask): Promise<void> {
    try {
      await new WorkerStore(this.calls).scheduleAfter(task.run_id, 0);
    } catch (error) {
      if (!isNotRunning(error)) this.errors.report(error);
    }
  }
}

function fired(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
