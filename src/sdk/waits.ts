/**
 * The waits and sleeps that a handler has open. They are gathered for a turn of the event loop; those that have ended are
 * settled, in the order in which they ended, so that a race has the same winner on every attempt. Once nothing but waits holds
 * the handler up, all of them are registered together and the run sleeps until the first one ends.
 */
import { Activities, type Activity } from './activity.js';
import { TimeoutError } from './errors.js';
import type { RunGuard } from './guard.js';
import type { Memory } from './memory.js';
import { registerWaits, type WaitHost } from './register-waits.js';
import { quietTimer } from './timing.js';
import {
  deadlineMarker,
  isEventWait,
  isSleep,
  secondsOf,
  timeoutMarker,
  type EventWait,
  type TasksWait,
  type TurnsDeadline,
  type WaitFor,
} from './wait-for.js';

interface OpenWait {
  wait: WaitFor;
  within: Activity | undefined;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

type Ended = { atMs: number } & ({ value: unknown } | { error: Error });

export interface RoomParts extends WaitHost {
  guard: RunGuard;
  memory(): Promise<Memory>;
  /** Seconds of a lease, as claimed. */
  leaseSeconds: number;
  /** The event whose timeout woke the run; cleared once that has been told. */
  wakeEvent: string | null;
}

/** Without a lease: how long a handler may be busy with its own work while waits are open that it may have left behind. */
const holdSecondsWithoutLease = 60;

export class WaitRoom {
  readonly activities = new Activities(() => this.handlerHasATurn());
  /** Set where waits may be registered that are not open any more: one that is registered alone is not alone then. */
  strays = false;
  private readonly open = new Set<OpenWait>();
  /** Whether a wait was opened since the last step, call or wait of the handler ended. */
  private fresh = false;
  private turns = 0;
  private proceeding: Promise<void> | undefined;
  private held: NodeJS.Timeout | undefined;
  private heldLongEnough = false;
  private closed = false;

  constructor(private readonly parts: RoomParts) {
    parts.guard.onTaken((reason) => this.rejectAll(reason));
  }

  /** Resolves with an event's payload, how tasks stand, or undefined after a sleep; rejects with what ends the execution. */
  wait(wait: WaitFor): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const within = this.activities.place();
      this.open.add({ wait, within, resolve, reject });
      for (let step = within; step !== undefined; step = step.within) step.openWaits += 1;
      this.fresh = true;
      this.takeTurn();
    });
  }

  /** Forgets waits whose end does not matter any more. Where they are registered, they stay so. */
  drop(steps: ReadonlySet<string>): void {
    for (const open of this.open) if (steps.has(open.wait.step)) this.remove(open);
    this.strays = true;
  }

  /** Nothing is registered after this; resolves when what is being registered has been. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.held);
    this.activities.stopLooking();
    await this.proceeding;
  }

  private remove(open: OpenWait): void {
    this.open.delete(open);
    for (let step = open.within; step !== undefined; step = step.within) step.openWaits -= 1;
  }

  /** A step, call or wait that the handler may have waited for has ended. */
  private handlerHasATurn(): void {
    this.fresh = false;
    this.heldLongEnough = false;
    this.activities.continued = false;
    this.takeTurn();
  }

  private takeTurn(): void {
    if (this.closed || this.open.size === 0) return;
    clearTimeout(this.held);
    const turn = ++this.turns;
    this.activities.lookForATurn(() => {
      if (turn !== this.turns) return;
      this.activities.stopLooking();
      this.proceed();
    });
  }

  private proceed(): void {
    if (this.closed || this.proceeding !== undefined) return;
    const turn = this.turns;
    this.proceeding = this.settleOrSleep()
      .catch((error: unknown) => this.rejectAll(error))
      .then(() => {
        this.proceeding = undefined;
        if (turn !== this.turns) this.takeTurn();
      });
  }

  private async settleOrSleep(): Promise<void> {
    const { guard } = this.parts;
    guard.check();
    const memory = await this.parts.memory();
    await this.noteEnds(memory);
    if (this.settleEnded(memory) || this.closed || this.activities.busy || this.open.size === 0) return;
    if (!this.fresh && this.activities.continued && !this.heldLongEnough) {
      // The handler works on something of its own, after a race that one wait won. A lease without a sign of life is lost, so
      // it cannot do that for long; if it hangs on the waits after all, they are registered then.
      const { leaseSeconds } = this.parts;
      const seconds = leaseSeconds > 0 ? leaseSeconds / 2 : holdSecondsWithoutLease;
      clearTimeout(this.held);
      this.held = quietTimer(() => {
        this.heldLongEnough = true;
        this.proceed();
      }, seconds * 1000);
      return;
    }
    const waits = [...this.open].map(({ wait }) => wait);
    if (await registerWaits(this.parts, memory, waits, this.strays)) throw guard.suspend(this.heldLongEnough);
    this.takeTurn();
  }

  /** Stores that waits have timed out and that sleeps are over before they began. */
  private async noteEnds(memory: Memory): Promise<void> {
    for (const { wait } of this.open) {
      if (!isSleep(wait)) {
        if (memory.has(timeoutMarker(wait.step)) || memory.has(wait.step) || !this.timesOut(memory, wait)) continue;
        await this.parts.save(timeoutMarker(wait.step), isEventWait(wait) ? { event: wait.event } : {});
      } else if (!memory.has(wait.step)) {
        if (memory.newSleepMs(wait) > 0) continue;
        await this.parts.save(wait.step, memory.endOfNewSleep(wait));
        memory.end(wait.step);
      }
    }
  }

  private timesOut(memory: Memory, wait: EventWait | TasksWait): boolean {
    const deadline = deadlineMarker(wait.step);
    const kept = memory.get(deadline) as string | TurnsDeadline | undefined;
    if (typeof kept === 'object' && kept !== null) {
      return kept.until !== null && Date.parse(kept.until) <= memory.serverNowMs();
    }
    if (kept !== undefined && memory.sleepLeftMs(deadline) <= 0) return true;
    if (!isEventWait(wait) || this.parts.wakeEvent !== wait.event) return false;
    // The server's record of it stays for the next wait of this execution.
    this.parts.wakeEvent = null;
    return true;
  }

  /** Settles what has ended, the earliest first. Whether there was anything. */
  private settleEnded(memory: Memory): boolean {
    const ended: { open: OpenWait; end: Ended }[] = [];
    for (const open of this.open) {
      const end = endOf(memory, open.wait);
      if (end !== undefined) ended.push({ open, end });
    }
    if (ended.length === 0) return false;
    ended.sort((one, other) => one.end.atMs - other.end.atMs || 0);
    for (const { open, end } of ended) {
      this.remove(open);
      if ('error' in end) open.reject(end.error);
      else open.resolve(end.value);
    }
    this.handlerHasATurn();
    return true;
  }

  private rejectAll(error: unknown): void {
    for (const open of this.open) {
      this.remove(open);
      open.reject(error);
    }
  }
}

function awaited(wait: EventWait | TasksWait): string {
  if (isEventWait(wait)) return `event "${wait.event}"`;
  const [only] = wait.tasks;
  return only !== undefined && wait.tasks.length === 1 ? `task "${only.task_id}"` : `${wait.tasks.length} tasks`;
}

function endOf(memory: Memory, wait: WaitFor): Ended | undefined {
  if (isSleep(wait)) {
    if (!memory.has(wait.step)) return undefined;
    if (memory.sleepLeftMs(wait.step, secondsOf(wait)) > 0) return undefined;
    return { atMs: Date.parse(memory.get(wait.step) as string), value: undefined };
  }
  const { step } = wait;
  if (memory.has(timeoutMarker(step))) {
    const deadline = memory.get(deadlineMarker(step));
    const atMs = typeof deadline === 'string' ? Date.parse(deadline) : memory.writtenAtMs(timeoutMarker(step));
    return { atMs, error: new TimeoutError(`Timed out waiting for ${awaited(wait)}`) };
  }
  return memory.has(step) ? { atMs: memory.writtenAtMs(step), value: memory.get(step) } : undefined;
}
