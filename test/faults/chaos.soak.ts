import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureBuilt } from '../support/database.js';
import { withoutPgbouncer } from '../support/pgbouncer.js';
import { loudFaults, plan, planScript, quietFaults, type Deal } from './chaos/plan.js';
import { Random } from './chaos/random.js';
import { playRound } from './chaos/round.js';
import { startChaosServer, type ChaosServer } from './chaos/server.js';

/** Rounds that together deal every fault once or more; ABSURD_CHAOS_SEED deals them otherwise. */
const seed = Number(process.env['ABSURD_CHAOS_SEED'] ?? 7);
const rounds = 3;
const faults = { loud: 4, quiet: 3, spawns: 80 };

let server: ChaosServer;
beforeAll(async () => {
  await ensureBuilt();
  server = await startChaosServer();
}, 120_000);
afterAll(() => server.stop());

for (let round = 0; round < rounds; round += 1) {
  const deal: Deal = { seed, round, hasPooler: withoutPgbouncer === '', ...faults };
  const { mode, loud, quiet } = plan(deal);
  const what = [...loud, ...quiet].join(', ');
  test(`seed ${seed}, round ${round}, ${mode} queue: ${what}`, { timeout: 300_000 }, async () => {
    const { tasks, history, violations } = await playRound(server, deal);
    const words = violations.map((violation) => `${violation.invariant}: ${violation.words}`);
    expect(words, `npm run chaos -- --seed ${seed} --round ${round} plays a longer one`).toEqual([]);
    expect(tasks).toBeGreaterThan(0);
    expect(history.length).toBeGreaterThan(tasks);
  });
}

test(`every fault has its turn${withoutPgbouncer}`, () => {
  const dealt = Array.from({ length: rounds }, (_, round) => plan({ seed, round, hasPooler: true, ...faults }));
  expect(new Set(dealt.flatMap(({ loud, quiet }) => [...loud, ...quiet]))).toEqual(
    new Set([...loudFaults, ...quietFaults]),
  );
});

test('a seed decides the faults, the workers and the tasks', () => {
  const play = (of: number): string => {
    const { random, ...rest } = plan({ seed: of, round: 3, loud: 4, quiet: 4, spawns: 1, hasPooler: true });
    return JSON.stringify([rest, Array.from({ length: 20 }, () => planScript(random))]);
  };
  expect(play(7)).toBe(play(7));
  expect(play(7)).not.toBe(play(8));
  const random = new Random(1);
  const drawn = Array.from({ length: 1000 }, () => random.between(1, 4));
  expect([1, 2, 3, 4].map((n) => drawn.filter((one) => one === n).length > 200)).toEqual([true, true, true, true]);
});
