import type { CheckpointRow } from '../sql/sdk.js';
import type { StepHandle } from './types.js';
import type { Sleep } from './wait-for.js';

interface Mark {
  /** When it was written, by the server's clock in milliseconds. */
  atMs: number;
  ownerRunId: string | null | undefined;
}

/** A session with a frozen or shifted clock (absurd.fake_now) says nothing about a date of this process. */
const longestSkewMs = 24 * 3600 * 1000;

/** The form in which `await_events` keeps when a sleep ends: by the server's clock, to the microsecond. */
const byServerClock = /\.\d{6}Z$/;

const toMs = (time: Date | string | null | undefined): number => (time ? new Date(time).getTime() : Number.NaN);

/** The checkpoints of a task as this execution knows them, and the server's clock as it was when they were read. */
export class Memory {
  private readonly states = new Map<string, unknown>();
  private readonly marks = new Map<string, Mark>();
  private readonly began = new Map<string, number>();
  private ended: Set<string> | undefined;
  private readonly readAtMs = performance.now();
  private serverMs = Number.NaN;

  constructor(
    rows: readonly CheckpointRow[],
    private readonly runId: string,
  ) {
    for (const row of rows) {
      this.serverMs = toMs(row.server_time);
      if (row.checkpoint_name === null) continue;
      this.states.set(row.checkpoint_name, row.state);
      this.marks.set(row.checkpoint_name, { atMs: toMs(row.updated_at), ownerRunId: row.owner_run_id });
    }
  }

  has(name: string): boolean {
    return this.states.has(name);
  }

  get(name: string): unknown {
    return this.states.get(name);
  }

  /** The step as it stands. If it is not done, it begins now. */
  begin<T>(name: string, checkpointName: string): StepHandle<T> {
    if (this.has(checkpointName)) return { name, checkpointName, done: true, state: this.get(checkpointName) as T };
    this.began.set(checkpointName, this.serverNowMs());
    return { name, checkpointName, done: false };
  }

  /** When a step of this execution began, by the server's clock. */
  beganAtMs(checkpointName: string): number | undefined {
    return this.began.get(checkpointName);
  }

  /** @param atMs when it was written, by the server's clock */
  set(name: string, state: unknown, atMs = this.serverNowMs()): void {
    this.states.set(name, state);
    this.marks.set(name, { atMs, ownerRunId: undefined });
  }

  /** When the checkpoint was written, by the server's clock. */
  writtenAtMs(name: string): number {
    return this.marks.get(name)?.atMs ?? Number.NaN;
  }

  /** When the newest checkpoint was written; 0 without any. */
  get newestMs(): number {
    let newest = 0;
    for (const { atMs } of this.marks.values()) if (atMs > newest) newest = atMs;
    return newest;
  }

  /** The server said that this sleep is over. */
  end(name: string): void {
    (this.ended ??= new Set()).add(name);
  }

  /** The server's clock; this process's own where that is not known, or is another day's. */
  serverNowMs(): number {
    const now = this.exactServerNowMs();
    return Math.abs(now - Date.now()) < longestSkewMs ? now : Date.now();
  }

  private exactServerNowMs(): number {
    return Number.isNaN(this.serverMs) ? Date.now() : this.serverMs + performance.now() - this.readAtMs;
  }

  /** Whether the checkpoint of a sleep holds its end by the server's clock. */
  isByServerClock(name: string): boolean {
    return byServerClock.test(String(this.states.get(name)));
  }

  /** Milliseconds that a sleep will take which has no checkpoint yet. */
  newSleepMs(sleep: Sleep): number {
    return 'sleepUntil' in sleep ? sleep.sleepUntil.getTime() - this.serverNowMs() : sleep.sleepSeconds * 1000;
  }

  /** When a sleep ends that has no checkpoint yet, for its checkpoint. */
  endOfNewSleep(sleep: Sleep): string {
    const end = 'sleepUntil' in sleep ? sleep.sleepUntil : new Date(this.serverNowMs() + sleep.sleepSeconds * 1000);
    return end.toISOString();
  }

  /**
   * Milliseconds that are left of a sleep which has its checkpoint; 0 or less: it is over.
   * @param seconds how long it was to be, for sleeps of a length; it may be another number than when the sleep began
   */
  sleepLeftMs(name: string, seconds?: number): number {
    const state = this.states.get(name);
    const untilMs = new Date(state as string).getTime();
    if (Number.isNaN(untilMs)) throw new Error(`Checkpoint "${name}" holds no date to sleep until`);
    if (this.ended?.has(name)) return 0;
    if (this.isByServerClock(name)) return untilMs - this.exactServerNowMs();
    const leftMs = untilMs - this.serverNowMs();
    const mark = this.marks.get(name);
    if (seconds === undefined || mark?.ownerRunId !== this.runId) return leftMs;
    // Its date is by the clock of the worker that began it, which may be wrong. The same run was claimed again, and the server
    // does that once the sleep is over: one sign that time has passed will do.
    const hasPassed = this.exactServerNowMs() - mark.atMs >= seconds * 1000;
    return hasPassed ? 0 : Math.min(leftMs, untilMs - Date.now());
  }
}

/** The names of an execution's checkpoints: a step's own name at first, then with `#2`, `#3`… in order of use. */
export class CheckpointNames {
  private readonly used = new Set<string>();
  /** Of names that were used more than once. */
  private counts: Map<string, number> | undefined;

  next(name: string): string {
    let count = this.counts?.get(name) ?? 0;
    let checkpointName: string;
    // A step may be called by the name that another one's second use has.
    do checkpointName = ++count === 1 ? name : `${name}#${count}`;
    while (this.used.has(checkpointName));
    if (count > 1) (this.counts ??= new Map()).set(name, count);
    this.used.add(checkpointName);
    return checkpointName;
  }
}
