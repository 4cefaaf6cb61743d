/**
 * Registers the waits of a handler. A single wait uses the contract's own calls. Several use one call of
 * `await_events`; if the schema lacks it, they take turns: the run sleeps in one of them for a while, then in the
 * next.
 */
import type { WaitEntry } from '../sql/sdk.js';
import { Memory } from './memory.js';
import type { RunStore } from './store.js';
import {
  deadlineMarker,
  isEventWait,
  isSleep,
  isTasksWait,
  secondsOf,
  type EventWait,
  type Sleep,
  type TurnsDeadline,
  type WaitFor,
} from './wait-for.js';

export interface WaitHost {
  readonly taskId: string;
  readonly runId: string;
  readonly store: RunStore;
  readonly wakeEvent: string | null;
  /** Saves a checkpoint of this run. */
  save(name: string, value: unknown, startedAtMs?: number): Promise<void>;
  /** Makes a call on behalf of the run; rejects once that has ended. */
  write<T>(call: () => Promise<T>): Promise<T>;
}

/** Returns whether the run sleeps now. If it does not, the waits that have ended are in the memory. */
export async function registerWaits(
  host: WaitHost,
  memory: Memory,
  waits: readonly WaitFor[],
  notAlone: boolean,
): Promise<boolean> {
  const [wait] = waits;
  const isSingle = waits.length === 1 && !notAlone && !waits.some((each) => memory.has(deadlineMarker(each.step)));
  if (isSingle && wait !== undefined && !isTasksWait(wait)) {
    return isEventWait(wait) ? awaitOneEvent(host, memory, wait) : sleep(host, memory, [wait]);
  }
  // A schema that can wait for tasks can wait for several things, too.
  const together = waits.some(isTasksWait) || (await host.write(() => host.store.canAwaitEvents()));
  return together ? awaitTogether(host, memory, waits) : takeTurns(host, memory, waits);
}

// --- one ---

async function awaitOneEvent(host: WaitHost, memory: Memory, wait: EventWait): Promise<boolean> {
  const { step, event, timeoutSeconds } = wait;
  const { taskId, runId, store } = host;
  const answer = await host.write(() =>
    store.awaitEvent({ taskId, runId, stepName: step, eventName: event, timeoutSeconds }),
  );
  if (answer === undefined) throw new Error('Failed to await event');
  if (!answer.should_suspend) memory.set(step, answer.payload ?? null);
  return answer.should_suspend;
}

/** Keeps when each sleep ends, and sleeps until the first one does. */
async function sleep(host: WaitHost, memory: Memory, sleeps: readonly Sleep[]): Promise<true> {
  await keepSleeps(host, memory, sleeps);
  const leftMs = Math.min(...sleeps.map((wait) => leftOf(memory, wait)));
  await host.write(() => host.store.scheduleAfter(host.runId, Math.max(0, leftMs) / 1000));
  return true;
}

async function keepSleeps(host: WaitHost, memory: Memory, sleeps: readonly Sleep[]): Promise<void> {
  for (const wait of sleeps) {
    if (memory.has(wait.step)) continue;
    await host.save(wait.step, memory.endOfNewSleep(wait), memory.serverNowMs());
  }
}

function leftOf(memory: Memory, wait: Sleep): number {
  return memory.has(wait.step) ? memory.sleepLeftMs(wait.step, secondsOf(wait)) : memory.newSleepMs(wait);
}

// --- several in one call ---

async function awaitTogether(host: WaitHost, memory: Memory, waits: readonly WaitFor[]): Promise<boolean> {
  const { taskId, runId, store } = host;
  const entries = waits.flatMap((wait) => entriesOf(memory, wait));
  const answer = await host.write(() => store.awaitEvents({ taskId, runId }, entries));
  if (answer === undefined) throw new Error('Failed to await events');
  for (const ended of answer.results) {
    const atMs = Date.parse(ended.at);
    if (ended.tasks !== undefined) {
      memory.set(ended.step, ended.tasks, atMs);
    } else if (ended.event === undefined) {
      if (!memory.has(ended.step)) memory.set(ended.step, ended.at, atMs);
      memory.end(ended.step);
    } else if (ended.timed_out) {
      memory.set(deadlineMarker(ended.step), ended.at, atMs);
      memory.end(deadlineMarker(ended.step));
    } else {
      memory.set(ended.step, ended.payload, atMs);
    }
  }
  return answer.should_suspend;
}

/** A wait with a timeout is two waits: when it times out has to outlast the wake-ups by others. */
function entriesOf(memory: Memory, wait: WaitFor): WaitEntry[] {
  if (isSleep(wait)) return [sleepEntry(memory, wait.step, leftOf(memory, wait))];
  const { step, timeoutSeconds } = wait;
  const deadline = deadlineMarker(step);
  if (isTasksWait(wait)) {
    const entry: WaitEntry = { step, tasks: wait.tasks, mode: wait.mode };
    if (memory.has(deadline)) return [entry, { step: deadline, sleep_until: String(memory.get(deadline)) }];
    return timeoutSeconds === null ? [entry] : [entry, { step: deadline, sleep_for: timeoutSeconds }];
  }
  const { event } = wait;
  const kept = memory.get(deadline);
  if (typeof kept === 'string') {
    return [
      { step, event, timeout_at: kept },
      { step: deadline, sleep_until: kept },
    ];
  }
  if (timeoutSeconds === null) return [{ step, event }];
  return [
    { step, event, timeout: timeoutSeconds },
    { step: deadline, sleep_for: timeoutSeconds },
  ];
}

function sleepEntry(memory: Memory, step: string, leftMs: number): WaitEntry {
  // By the server's clock already: to the microsecond.
  if (memory.isByServerClock(step)) return { step, sleep_until: String(memory.get(step)) };
  return { step, sleep_for: leftMs / 1000 };
}

// --- several, one after another ---

/** How long one wait may keep the others waiting: a tenth of the time that the run has been idle, within these bounds. */
const shortestTurnSeconds = 1;
const longestTurnSeconds = 60;

async function takeTurns(host: WaitHost, memory: Memory, waits: readonly WaitFor[]): Promise<boolean> {
  const sleeps = waits.filter(isSleep);
  const events = waits.filter(isEventWait);
  if (events.length === 0) return sleep(host, memory, sleeps);
  await keepSleeps(host, memory, sleeps);
  for (const wait of events) await keepTurnsDeadline(host, memory, wait);

  const leftMs = Math.min(
    ...sleeps.map((wait) => leftOf(memory, wait)),
    ...events.map(({ step }) => deadlineLeftMs(memory, step)),
  );
  const idleSeconds = (memory.serverNowMs() - Math.max(memory.newestMs, uuidTimeMs(host.runId))) / 1000;
  const turnSeconds = Math.min(longestTurnSeconds, Math.max(shortestTurnSeconds, idleSeconds / 10), leftMs / 1000);
  // The one whose turn is over comes last.
  const last = events.findIndex(({ event }) => event === host.wakeEvent);
  for (const wait of [...events.slice(last + 1), ...events.slice(0, last + 1)]) {
    const suspended = await awaitOneTurn(host, memory, wait, Math.max(1, Math.ceil(turnSeconds)));
    if (suspended || memory.has(wait.step)) return suspended;
  }
  return false;
}

/** Like `awaitOneEvent`, but the first answer without a payload may be that the turn before is over. */
async function awaitOneTurn(host: WaitHost, memory: Memory, wait: EventWait, seconds: number): Promise<boolean> {
  const turn = { ...wait, timeoutSeconds: seconds };
  const before = new Memory([], host.runId);
  if (await awaitOneEvent(host, before, turn)) return true;
  if (before.get(wait.step) === null && (await awaitOneEvent(host, before, turn))) return true;
  memory.set(wait.step, before.get(wait.step));
  return false;
}

async function keepTurnsDeadline(host: WaitHost, memory: Memory, wait: EventWait): Promise<void> {
  const name = deadlineMarker(wait.step);
  if (memory.has(name)) return;
  const { timeoutSeconds } = wait;
  const untilMs = timeoutSeconds === null ? null : memory.serverNowMs() + timeoutSeconds * 1000;
  const deadline: TurnsDeadline = { until: untilMs === null ? null : new Date(untilMs).toISOString() };
  await host.save(name, deadline);
}

function deadlineLeftMs(memory: Memory, step: string): number {
  const kept = memory.get(deadlineMarker(step)) as string | TurnsDeadline | undefined;
  if (typeof kept === 'string') return memory.sleepLeftMs(deadlineMarker(step));
  if (kept?.until == null) return Infinity;
  return Date.parse(kept.until) - memory.serverNowMs();
}

/** When a UUIDv7 was made; 0 for anything else. */
function uuidTimeMs(id: string): number {
  const ms = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);
  return id[14] === '7' && Number.isFinite(ms) ? ms : 0;
}
