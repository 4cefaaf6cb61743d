import { setMaxListeners } from 'node:events';
import { hostname } from 'node:os';
import { getQueueWakeup, getRunStates, type Capabilities } from '../sql/sdk-batch.js';
import { CancelledTask, FailedTask, SuspendTask, isConnectionLoss, isNotRunning, toError } from './errors.js';
import { RunGuard } from './guard.js';
import { letGo, LostClaims, takeInHand } from './lost-claims.js';
import type { RunStore } from './store.js';
import { Bell, pause } from './timing.js';
import type { ClaimedTask, Log, Queryable, Worker, WorkerCloseOptions, WorkerOptions } from './types.js';
import { subscribeToWakeups } from './wakeup.js';
import { WorkerStore } from './worker-store.js';

/** What a worker needs of its client; the two calls are looked up each time, so that a program may replace them. */
export interface WorkerHost {
  readonly con: Queryable;
  readonly queueName: string;
  readonly log: Log;
  readonly listenUrl: string | undefined;
  capabilities(): Promise<Capabilities>;
  claimTasks(options: { batchSize: number; claimTimeout: number; workerId: string }): Promise<ClaimedTask[]>;
  executeTask(task: ClaimedTask, claimTimeout: number, options: { fatalOnLeaseTimeout?: boolean }): Promise<void>;
}

/** What a worker has prepared for a run that it claimed. */
export interface Assignment {
  workerID: string;
  store: RunStore;
  guard: RunGuard;
  /** To be called when the handler has returned and only the end of the run is to be stored. */
  onHandled: () => void;
}

/** By the claimed row, so that `executeTask` keeps its public form. */
const assignments = new WeakMap<ClaimedTask, Assignment>();

export function assignmentOf(task: ClaimedTask): Assignment | undefined {
  return assignments.get(task);
}

interface Running {
  task: ClaimedTask;
  guard: RunGuard;
  sinceMs: number;
  done: Promise<void>;
}

/** How often a worker looks whether what it runs was cancelled or lost, for runs that are older than this. */
const watchMs = 500;
/** How often a worker looks whether its queue's policy announces new work. */
const policyMs = 15_000;
/** How long a worker that could not listen waits before it tries again. */
const relistenMs = 60_000;
const longestErrorPauseMs = 1000;
/** How long a closing worker goes on waiting for a server that is away. */
const closingPatienceMs = 15_000;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Poll, claim, run, shut down. */
export class QueueWorker implements Worker {
  private readonly workerId: string;
  private readonly claimTimeout: number;
  private readonly concurrency: number;
  private readonly batchSize: number;
  private readonly pollMs: number;
  private readonly fatalOnLeaseTimeout: boolean;
  private readonly running = new Set<Running>();
  /** How many of them only have their end to be stored. */
  private ending = 0;
  /** Settles when what the last claim brought is in hand. */
  private claiming: Promise<unknown> = Promise.resolve();
  private readonly bell = new Bell();
  private readonly closing = new AbortController();
  private readonly givingUp = new AbortController();
  private readonly ended = new AbortController();
  private readonly store: RunStore;
  private readonly lostClaims: LostClaims;
  private readonly polling: Promise<void>;
  private readonly background: Promise<void>[];
  private readonly handingBack: Promise<void>[] = [];
  /** Set when the time is up that a closing worker gives to what runs. */
  private timeIsUp = false;
  private closed: Promise<void> | undefined;

  constructor(
    private readonly host: WorkerHost,
    private readonly options: WorkerOptions,
    private readonly onClosed: (worker: QueueWorker) => void,
  ) {
    this.workerId = options.workerId ?? `${hostname()}:${process.pid}`;
    this.claimTimeout = options.claimTimeout ?? 120;
    this.concurrency = options.concurrency ?? 1;
    this.batchSize = options.batchSize ?? this.concurrency;
    this.pollMs = (options.pollInterval ?? 0.25) * 1000;
    this.fatalOnLeaseTimeout = options.fatalOnLeaseTimeout ?? true;
    // As many wait for these two as there are runs.
    setMaxListeners(0, this.closing.signal, this.givingUp.signal);
    this.store = new WorkerStore(host.con, host.queueName, () => host.capabilities(), {
      workerId: this.workerId,
      claiming: () => this.claiming,
      inHandSinceMs: (runId) => [...this.running].find(({ task }) => task.run_id === runId)?.sinceMs,
      givingUp: this.givingUp.signal,
    });
    this.lostClaims = new LostClaims(host.con, host.queueName, this.workerId, this.claimTimeout);
    this.polling = this.poll();
    this.background = [this.watchRuns(), this.listenWhileWanted()];
  }

  close(options: WorkerCloseOptions = {}): Promise<void> {
    this.closed ??= this.shutDown();
    const { timeout } = options;
    if (timeout !== undefined && Number.isFinite(timeout)) void this.handBackAfter(timeout * 1000);
    return this.closed;
  }

  // --- poll and claim ---

  private async poll(): Promise<void> {
    let errorPauseMs = this.pollMs;
    while (!this.closing.signal.aborted) {
      const free = this.freeSlots();
      if (free <= 0) {
        await this.bell.wait(Infinity);
        // Runs that end together free their slots together: one claim fills them all.
        await nextTurn();
        continue;
      }
      // What rang so far, this claim answers.
      this.bell.hush();
      try {
        const taking = this.take(Math.min(this.batchSize, free));
        this.claiming = taking.catch(() => undefined);
        const taken = await taking;
        errorPauseMs = this.pollMs;
        if (taken === 0) await this.bell.wait(this.pollMs);
        await nextTurn();
      } catch (error) {
        this.report(error);
        await pause(errorPauseMs, this.closing.signal);
        // A server that is away is asked less and less often; anything else gets the usual rhythm.
        if (isConnectionLoss(error))
          errorPauseMs = Math.max(this.pollMs, Math.min(errorPauseMs * 2, longestErrorPauseMs));
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
      // A claim may return after its worker's time was up.
      if (this.timeIsUp) this.handingBack.push(this.handBack(task));
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
      if (isConnectionLoss(error) && this.options.workerId === undefined) this.lostClaims.note(sentAtMs);
      throw error;
    }
  }

  private report(reason: unknown): void {
    const error = toError(reason);
    if (this.options.onError !== undefined) this.options.onError(error);
    else this.host.log.error('Worker error:', error);
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
    assignments.set(task, { workerID: this.workerId, store: this.store, guard, onHandled });
    const running: Running = { task, guard, sinceMs: Date.now(), done: Promise.resolve() };
    this.running.add(running);
    takeInHand(task.run_id);
    running.done = this.execute(task).finally(() => {
      this.running.delete(running);
      if (ending) this.ending--;
      this.bell.ring();
    });
  }

  private async execute(task: ClaimedTask): Promise<void> {
    try {
      await this.host.executeTask(task, this.claimTimeout, { fatalOnLeaseTimeout: this.fatalOnLeaseTimeout });
      // A run whose end could not be stored stays in hand: it is its lease's to end, and no lost claim.
      letGo(task.run_id);
    } catch (error) {
      this.report(error);
    }
  }

  /** Tells handlers whose task was cancelled or whose lease was lost while they were busy with something else. */
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
        for (const row of await getRunStates(this.host.con, this.host.queueName, [...watched.keys()])) {
          if (row.state === 'cancelled') watched.get(row.run_id)?.stop(new CancelledTask());
          else if (row.state === 'failed') watched.get(row.run_id)?.stop(new FailedTask());
        }
      } catch {
        // A handler hears of it at its next step all the same; what is wrong with the database, the poll reports.
      }
    }
  }

  // --- pickup by notification ---

  /** Listens for the queue's announcements as long as its policy makes them and there is a connection to listen on. */
  private async listenWhileWanted(): Promise<void> {
    const { closing } = this;
    let leave: (() => Promise<void>) | undefined;
    let quietUntilMs = 0;
    while (this.host.listenUrl !== undefined && !closing.signal.aborted) {
      const wanted = await this.policyWantsWakeup();
      if (wanted && leave === undefined && Date.now() >= quietUntilMs) {
        leave = await this.listen(this.host.listenUrl, quietUntilMs === 0);
        quietUntilMs = Date.now() + relistenMs;
      } else if (wanted === false && leave !== undefined) {
        await leave();
        leave = undefined;
      }
      await pause(policyMs, closing.signal);
    }
    await leave?.();
  }

  /** Warns, the first time, where announcements do not come through. */
  private async listen(url: string, first: boolean): Promise<(() => Promise<void>) | undefined> {
    const { con, queueName, log } = this.host;
    try {
      return await subscribeToWakeups(url, queueName, () => this.bell.ring(), con, this.closing.signal);
    } catch (error) {
      if (first && !this.closing.signal.aborted) {
        log.warn(
          `queue "${queueName}" announces new work, but listening for it does not work: ${toError(error).message}. ` +
            'Polling instead; set listenUrl to a direct connection for pickup in milliseconds.',
        );
      }
      return undefined;
    }
  }

  /** Undefined where the database does not answer now. */
  private async policyWantsWakeup(): Promise<boolean | undefined> {
    try {
      return (await this.host.capabilities()).wakeup && (await getQueueWakeup(this.host.con, this.host.queueName));
    } catch {
      return undefined;
    }
  }

  // --- shut down ---

  private async shutDown(): Promise<void> {
    this.closing.abort();
    this.bell.ring();
    const patience = setTimeout(() => this.givingUp.abort(), closingPatienceMs);
    patience.unref?.();
    await this.polling;
    await this.drained();
    await this.returnLostClaims();
    await Promise.all(this.handingBack);
    clearTimeout(patience);
    this.givingUp.abort();
    this.ended.abort();
    await Promise.all(this.background);
    this.onClosed(this);
  }

  private async drained(): Promise<void> {
    while (this.running.size > 0) await Promise.all([...this.running].map((running) => running.done));
  }

  /** After so many milliseconds, gives back what still runs: anybody may claim it at once. */
  private async handBackAfter(timeoutMs: number): Promise<void> {
    await pause(timeoutMs, this.ended.signal);
    this.timeIsUp = true;
    for (const { task, guard } of this.running) {
      if (guard.ended) continue;
      guard.stop(new SuspendTask());
      // A slot is free a moment after its run was taken away; whether the server has heard of it, the end of closing waits for.
      this.handingBack.push(this.handBack(task));
    }
  }

  /** Hands back what a claim may have made whose answer was lost while we closed: nobody has it in hand. */
  private async returnLostClaims(): Promise<void> {
    while (this.lostClaims.pending && !this.givingUp.signal.aborted) {
      try {
        await Promise.all((await this.lostClaims.find()).map((task) => this.handBack(task)));
      } catch (error) {
        if (!isConnectionLoss(error)) return this.report(error);
      }
      await pause(Math.min(this.pollMs, 100), this.givingUp.signal);
    }
  }

  private async handBack(task: ClaimedTask): Promise<void> {
    try {
      await this.store.scheduleAfter(task.run_id, 0);
    } catch (error) {
      if (!isNotRunning(error)) this.report(error);
    }
  }
}
