import { endProcess } from './fatal.js';
import { quietTimer } from './timing.js';
import type { Log } from './types.js';

/** How often a run that overran its lease twofold while the server was away is looked at again. */
const lookAgainMs = 1000;

export interface LeaseWatch {
  /** The run, in the log's words. */
  label: string;
  log: Log;
  /** Whether the process ends past twice the lease. */
  fatal: boolean;
  /** Whether calls wait for a server that is away: that keeps a run from renewing its lease, and is no sign of a stuck one. */
  serverAway: () => boolean;
}

/** When a lease ends unless it is extended, by `Date.now()`; `Infinity` for one without an end. */
export interface LeaseEnd {
  endsAtMs: number;
}

/** How long a call may take that begins after the lease ended: it may still extend it. */
const overdueCallMs = 5000;

/**
 * Waits for a call of a handler, but not beyond its lease: the call may wait for a connection of a pool that handlers hold, this
 * one's too, and would never return. While the server is away the call is waited for.
 */
export function untilOver<Result>(lease: LeaseEnd, call: Promise<Result>, serverAway: () => boolean): Promise<Result> {
  if (lease.endsAtMs === Infinity) return call;
  const startedAtMs = Date.now();
  const firstEndMs = lease.endsAtMs > startedAtMs ? 0 : startedAtMs + overdueCallMs;
  return new Promise((resolve, reject) => {
    const waiting: WaitingCall = {
      leftMs: () => Math.max(lease.endsAtMs, firstEndMs) - Date.now(),
      serverAway,
      giveUp: () => reject(new Error(leaseIsOver(Math.round((Date.now() - startedAtMs) / 1000)))),
    };
    waitingCalls.add(waiting);
    void call.then(
      (result) => {
        waitingCalls.delete(waiting);
        resolve(result);
      },
      (error: Error) => {
        waitingCalls.delete(waiting);
        reject(error);
      },
    );
    lookAtCallsAfter(waiting.leftMs());
  });
}

interface WaitingCall {
  leftMs(): number;
  serverAway(): boolean;
  giveUp(): void;
}

/** All calls share one timer, for the lease that ends first: a timer for each call would cost as much as the call. */
const waitingCalls = new Set<WaitingCall>();
let looksAtCallsAtMs = Infinity;
let nextLook: NodeJS.Timeout | undefined;

function lookAtCallsAfter(delayMs: number): void {
  const atMs = Date.now() + delayMs;
  if (atMs >= looksAtCallsAtMs) return;
  clearTimeout(nextLook);
  looksAtCallsAtMs = atMs;
  nextLook = quietTimer(lookAtCalls, delayMs);
}

function lookAtCalls(): void {
  looksAtCallsAtMs = Infinity;
  let nextMs = Infinity;
  for (const waiting of waitingCalls) {
    const leftMs = waiting.leftMs();
    if (leftMs > 0 || waiting.serverAway()) {
      nextMs = Math.min(nextMs, leftMs > 0 ? leftMs : lookAgainMs);
    } else {
      waitingCalls.delete(waiting);
      waiting.giveUp();
    }
  }
  if (nextMs < Infinity) lookAtCallsAfter(nextMs);
}

const leaseIsOver = (seconds: number): string =>
  `The lease of the run is over, and the database has not answered a call for ${seconds} s: ` +
  'handlers may hold all connections of the pool while they wait for one more';

/**
 * The lease of one run as this process knows it: when it ends, and what to do when it was overrun. A lease of 0 seconds or
 * less has no end.
 */
export class Lease {
  private endsAtMs: number;
  private heldUntilMs = 0;
  private watch: LeaseWatch | undefined;
  private timer: NodeJS.Timeout | undefined;
  private firesAtMs = 0;
  private warned = false;
  /** The length of the lease as it was last extended, and since when. */
  private watchedSeconds = 0;
  private watchedSinceMs = 0;

  /** @param seconds length of a lease, as claimed and as each automatic extension asks for */
  constructor(
    readonly seconds: number,
    private readonly onExtended?: (seconds: number) => void,
  ) {
    this.endsAtMs = this.endAfter(seconds);
  }

  /** Warns once the lease is overrun; past twice its length ends the process, if `fatal` and the server is there. */
  startWatching(watch: LeaseWatch): void {
    this.watch = watch;
    this.setTimers(this.seconds);
  }

  stopWatching(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.watch = undefined;
  }

  /** Whether the lease has expired, as far as this process knows. */
  get overdue(): boolean {
    return Date.now() > this.endsAtMs;
  }

  /** Lease seconds to request with a checkpoint; null if that would shorten what `heartbeat(n)` requested. */
  automaticExtension(): number | null {
    return this.isHeldLonger() ? null : this.seconds;
  }

  /** Seconds for a heartbeat that names none: a lease's length, or what is left of a longer one. */
  plainHeartbeat(): number {
    return this.isHeldLonger() ? Math.ceil((this.heldUntilMs - Date.now()) / 1000) : this.seconds;
  }

  /** The server has extended the lease to this number of seconds from now. */
  extended(seconds: number): void {
    this.endsAtMs = this.endAfter(seconds);
    this.setTimers(seconds);
    this.onExtended?.(seconds);
  }

  /** The handler requested this number of seconds: nothing automatic may shorten it. */
  held(seconds: number): void {
    this.heldUntilMs = Date.now() + seconds * 1000;
    this.extended(seconds);
  }

  private isHeldLonger(): boolean {
    return this.heldUntilMs > Date.now() + this.seconds * 1000;
  }

  private endAfter(seconds: number): number {
    return seconds > 0 ? Date.now() + seconds * 1000 : Infinity;
  }

  /** One timer, which looks again when the lease was extended meanwhile: an extension itself costs no timer. */
  private setTimers(seconds: number): void {
    this.watchedSeconds = seconds;
    this.watchedSinceMs = Date.now();
    const firesBefore = this.timer !== undefined && this.firesAtMs <= this.watchedSinceMs + seconds * 1000;
    if (firesBefore && !this.warned && seconds > 0) return;
    this.warned = false;
    this.look();
  }

  private look(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const { watch, watchedSeconds: seconds } = this;
    if (watch === undefined || !(seconds > 0)) return;
    if (!this.warned && this.leftMs(1) <= 0) {
      this.warned = true;
      watch.log.warn(`task ${watch.label} exceeded claim timeout of ${seconds}s: another worker may claim it now`);
    }
    if (this.warned && !watch.fatal) return;
    if (this.warned && this.leftMs(2) <= 0) return this.end(watch, seconds);
    this.lookAfter(this.leftMs(this.warned ? 2 : 1));
  }

  private lookAfter(delayMs: number): void {
    this.firesAtMs = Date.now() + delayMs;
    this.timer = quietTimer(() => this.look(), delayMs);
  }

  /** Time left until a multiple of the lease has passed. */
  private leftMs(times: number): number {
    return this.watchedSinceMs + this.watchedSeconds * 1000 * times - Date.now();
  }

  private end(watch: LeaseWatch, seconds: number): void {
    if (watch.serverAway()) {
      return this.lookAfter(lookAgainMs);
    }
    watch.log.error(`task ${watch.label} exceeded claim timeout of ${seconds}s by more than 100%; ending the process`);
    endProcess();
  }
}
