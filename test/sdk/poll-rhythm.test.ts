/** When a worker claims: counted in claims, on a clock that only the test moves. */
import { Absurd, type ClaimedTask, type WorkerOptions } from '../../src/sdk/index.js';
import { PollRhythm } from '../../src/sdk/poll-rhythm.js';
import { Bell } from '../../src/sdk/timing.js';
import { afterEach, claimedTask, describe, expect, FakeDatabase, KeptLog, test, vi } from './support.js';

afterEach(() => {
  vi.useRealTimers();
});

const claimed = (run: string): ClaimedTask => claimedTask({ run_id: run, task_name: 't' });

/** Plays arrivals to a worker whose handlers end at once, and counts its claims and how long each task waited. */
async function play(options: WorkerOptions, arrivalsMs: readonly number[], untilMs: number) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
  const startMs = Date.now();
  const absurd = new Absurd({ db: new FakeDatabase(), log: new KeptLog() });
  const claimsMs: number[] = [];
  const waitedMs: number[] = [];
  let next = 0;
  vi.spyOn(absurd, 'claimTasks').mockImplementation(async ({ batchSize = 1 } = {}) => {
    const nowMs = Date.now() - startMs;
    claimsMs.push(nowMs);
    const taken: ClaimedTask[] = [];
    for (; taken.length < batchSize && (arrivalsMs[next] ?? Infinity) <= nowMs; next++) {
      waitedMs.push(nowMs - (arrivalsMs[next] ?? 0));
      taken.push(claimed(`r${next}`));
    }
    return taken;
  });
  vi.spyOn(absurd, 'executeTask').mockResolvedValue(undefined);
  const worker = await absurd.startWorker(options);
  const move = async (ms: number): Promise<void> => {
    for (let at = 0; at < ms; at++) {
      for (let turn = 0; turn < 6; turn++) await new Promise((resolve) => setImmediate(resolve));
      await vi.advanceTimersByTimeAsync(1);
    }
  };
  await move(untilMs);
  const result = { claims: claimsMs.length, claimsMs: [...claimsMs], waitedMs: [...waitedMs].sort((a, b) => a - b) };
  const closing = worker.close();
  await vi.advanceTimersByTimeAsync(20_000);
  await closing;
  vi.useRealTimers();
  return { ...result, p50: result.waitedMs[Math.floor(result.waitedMs.length / 2)] ?? NaN };
}

/** Arrivals with random gaps of that mean, the same in each run. */
function arrivals(gapMs: number, count: number): number[] {
  let seed = 7;
  const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
  let at = 500;
  return Array.from({ length: count }, () => (at += -Math.log(random()) * gapMs));
}

describe('adaptive polling', () => {
  test('an idle worker makes no more than four claims a second', async () => {
    const { claims } = await play({ concurrency: 4 }, [], 5000);
    expect(claims).toBeLessThanOrEqual(21);
    expect(claims).toBeGreaterThan(15);
  });

  test('after a task it polls at 15 ms, then slower, then as before', async () => {
    const { claimsMs } = await play({ concurrency: 4 }, [600], 2500);
    const gaps = claimsMs.slice(1).map((at, i) => at - (claimsMs[i] ?? 0));
    const found = claimsMs.findIndex((at) => at >= 600);
    expect(gaps.slice(found - 1, found + 4).map((gap) => Math.round(gap / 5) * 5)).toEqual([250, 15, 15, 30, 250]);
  });

  test.for([
    [20, 15],
    [50, 20],
    [100, 30],
  ] as const)('tasks %i ms apart are picked up in %i ms, within two early claims a task', async ([gapMs, mostMs]) => {
    const times = arrivals(gapMs, 100);
    const lengthMs = (times.at(-1) ?? 0) + 1000;
    const adaptive = await play({ concurrency: 8 }, times, lengthMs);
    const fixed = await play({ concurrency: 8, adaptivePolling: false }, times, lengthMs);
    expect(adaptive.waitedMs).toHaveLength(100);
    expect(fixed.waitedMs).toHaveLength(100);
    expect(adaptive.p50).toBeLessThanOrEqual(mostMs);
    expect(fixed.p50).toBeGreaterThan(adaptive.p50);
    // One claim that finds it, two early ones that do not, and the regular ones.
    expect(adaptive.claims).toBeLessThanOrEqual(3 * 100 + lengthMs / 250 + 1);
  });

  test('where tasks are rare it makes at most two claims a task more than a fixed rhythm', async () => {
    const times = arrivals(2000, 10);
    const lengthMs = (times.at(-1) ?? 0) + 1000;
    const adaptive = await play({ concurrency: 8 }, times, lengthMs);
    const fixed = await play({ concurrency: 8, adaptivePolling: false }, times, lengthMs);
    expect(adaptive.claims).toBeLessThanOrEqual(fixed.claims + 2 * 10);
  });
});

test('a rhythm: full claims go on at once, a poll interval below 15 ms is kept, and credit has an end', () => {
  const rhythm = new PollRhythm(250, true);
  expect(rhythm.claimed(0, 4)).toBe(250);
  expect(rhythm.claimed(4, 4)).toBe(0);
  expect(rhythm.claimed(3, 4)).toBe(15);
  for (let n = 0; n < 1000; n++) expect(rhythm.ended()).toBe(15);
  const pauses = Array.from({ length: 10 }, () => rhythm.claimed(0, 4));
  expect(pauses).toEqual([15, 30, 60, 120, 240, 250, 250, 250, 250, 250]);
  expect(rhythm.ended()).toBe(15);
  expect([rhythm.claimed(0, 4), rhythm.claimed(0, 4)]).toEqual([15, 250]);

  const quick = new PollRhythm(5, true);
  expect([quick.ended(), quick.claimed(1, 2), quick.claimed(0, 2), quick.claimed(0, 2)]).toEqual([5, 5, 5, 5]);
  const fixed = new PollRhythm(250, false);
  expect([fixed.ended(), fixed.claimed(1, 2), fixed.claimed(2, 2), fixed.claimed(0, 2)]).toEqual([0, 0, 0, 250]);
});

test('a bell may be told to ring sooner, never later', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const bell = new Bell();
  let rang = 0;
  const waiting = bell.wait(100).then(() => rang++);
  bell.ringWithin(500);
  bell.ringWithin(20);
  bell.ringWithin(50);
  await vi.advanceTimersByTimeAsync(19);
  expect(rang).toBe(0);
  await vi.advanceTimersByTimeAsync(2);
  expect(rang).toBe(1);
  await waiting;
  // Nobody waits: it is not kept.
  bell.ringWithin(20);
  void bell.wait(100).then(() => rang++);
  await vi.advanceTimersByTimeAsync(50);
  expect(rang).toBe(1);
  await vi.advanceTimersByTimeAsync(60);
  expect(rang).toBe(2);
});
