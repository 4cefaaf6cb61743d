import { expect } from 'vitest';
import { retryStrategyFault } from '../../src/lib/task/retry-strategy.js';
import { engine, noon, refuses, type Scene } from './support.js';

const between = (key: string): string => `retry_strategy.${key} must be between 0 and 86400`;
const notObject = 'retry_strategy must be a JSON object';
const badFactor = 'retry_strategy.factor must be a finite non-negative number';
const noNumber = 'retry_strategy contains an invalid number';

/** Strategies that cannot be used, as JSON text, and what is said of them. */
const faults: [string, string][] = [
  ['null', notObject],
  ['[]', notObject],
  ['"fixed"', notObject],
  ['3', notObject],
  ['{"kind": "linear"}', 'Unsupported retry strategy kind "linear"'],
  ['{"kind": ""}', 'Unsupported retry strategy kind ""'],
  ['{"kind": "Fixed"}', 'Unsupported retry strategy kind "Fixed"'],
  ['{"kind": 7}', 'Unsupported retry strategy kind "7"'],
  ['{"kind": "fixed", "base_seconds": -1}', between('base_seconds')],
  ['{"kind": "fixed", "base_seconds": 86400.5}', between('base_seconds')],
  ['{"kind": "fixed", "base_seconds": "NaN"}', between('base_seconds')],
  ['{"kind": "fixed", "base_seconds": "Infinity"}', between('base_seconds')],
  ['{"kind": "fixed", "base_seconds": 1e400}', between('base_seconds')],
  ['{"kind": "fixed", "base_seconds": "-1e400"}', between('base_seconds')],
  ['{"kind": "exponential", "base_seconds": 86401}', between('base_seconds')],
  ['{"kind": "exponential", "factor": -0.5}', badFactor],
  ['{"kind": "exponential", "factor": "NaN"}', badFactor],
  ['{"kind": "exponential", "factor": "-Infinity"}', badFactor],
  ['{"kind": "exponential", "factor": 1e400}', badFactor],
  ['{"kind": "exponential", "max_seconds": -1}', between('max_seconds')],
  ['{"kind": "exponential", "max_seconds": 86401}', between('max_seconds')],
  ['{"kind": "exponential", "base_seconds": 0, "max_seconds": "nan"}', between('max_seconds')],
  ['{"kind": "fixed", "base_seconds": "soon"}', noNumber],
  ['{"kind": "fixed", "base_seconds": ""}', noNumber],
  ['{"kind": "fixed", "base_seconds": true}', noNumber],
  ['{"kind": "exponential", "factor": {}}', noNumber],
  ['{"kind": "exponential", "max_seconds": [1]}', noNumber],
];

/** Strategies with an attempt, and the delay that follows it. */
const delays: [string | null, number | null, number][] = [
  [null, 3, 0],
  ['{}', 1, 0],
  ['{"kind": null}', 1, 0],
  ['{"kind": "none", "base_seconds": -1}', 1, 0],
  ['{"kind": "fixed"}', 9, 60],
  ['{"kind": "fixed", "base_seconds": null}', 1, 60],
  ['{"kind": "fixed", "base_seconds": 86400}', 2, 86400],
  ['{"kind": "fixed", "base_seconds": " 1.5 "}', 2, 1.5],
  ['{"kind": "fixed", "base_seconds": 1e-400}', 1, 0],
  ['{"kind": "fixed", "factor": "x", "max_seconds": -1}', 1, 60],
  ['{"kind": "exponential"}', 1, 30],
  ['{"kind": "exponential"}', 3, 120],
  ['{"kind": "exponential"}', 40, 86400],
  ['{"kind": "exponential"}', null, 30],
  ['{"kind": "exponential"}', -4, 30],
  ['{"kind": "exponential", "base_seconds": "10", "factor": "3", "max_seconds": "50"}', 2, 30],
  ['{"kind": "exponential", "base_seconds": 10, "factor": 10, "max_seconds": 50}', 3, 50],
  ['{"kind": "exponential", "base_seconds": 60, "max_seconds": 20}', 1, 20],
  ['{"kind": "exponential", "base_seconds": 0, "factor": 1e300}', 9, 0],
  ['{"kind": "exponential", "base_seconds": 5, "factor": 1e300, "max_seconds": 70}', 9, 70],
  ['{"kind": "exponential", "base_seconds": 5, "factor": 1e-300}', 9, 0],
  ['{"kind": "exponential", "base_seconds": 8, "factor": 0.5}', 3, 2],
  ['{"kind": "exponential", "base_seconds": 8, "factor": 0}', 1, 8],
  ['{"kind": "exponential", "base_seconds": 8, "factor": 0}', 2, 0],
  ['{"kind": "exponential", "base_seconds": 8, "max_seconds": 0}', 1, 0],
  ['{"kind": "exponential", "base_seconds": 1e-300, "factor": 2.275e9}', 34, 86400],
];

engine('retry_delay_seconds computes the delay of every strategy', async ({ value }) => {
  for (const [strategy, attempt, seconds] of delays) {
    const found = await value<number>('select absurd.retry_delay_seconds($1, $2)', [strategy, attempt]);
    expect(found, `${strategy} after ${attempt}`).toBeCloseTo(seconds, 0);
    expect(strategy === null ? null : retryStrategyFault(JSON.parse(strategy)), String(strategy)).toBeNull();
  }
});

engine(
  'a strategy that cannot be used is refused with AB003, at every way in, before anything is written',
  async (scene) => {
    const { db, queue, value } = scene;
    for (const [strategy, message] of faults) {
      await refuses(db.query('select absurd.retry_delay_seconds($1, 1)', [strategy]), 'AB003', message);
      const options = `{"idempotency_key": "k", "retry_strategy": ${strategy}}`;
      const one = db.query('select absurd.spawn_task($1, $2, $3, $4)', [queue, 'job', '{}', options]);
      await refuses(one, 'AB003', message);
      const many = `[{"task_name": "a"}, {"task_name": "job", "options": ${options}}]`;
      await refuses(db.query('select absurd.spawn_tasks($1, $2)', [queue, many]), 'AB003', message);
      // The command line finds the same fault without a server. A number too large for JavaScript is infinite there.
      expect(retryStrategyFault(JSON.parse(strategy)), strategy).toBe(message);
    }
    expect(await value(`select count(*)::int from absurd."t_${queue}"`)).toBe(0);
  },
);

/** Claims a task that got its strategy from a client which did not check it. */
async function withStored(scene: Scene, strategy: string, timeout = 30): Promise<{ task: string; run: string }> {
  const { db, queue } = scene;
  const { task_id: task } = await db.spawn(queue, 'job', {}, { max_attempts: 5 });
  await db.query(`update absurd."t_${queue}" set retry_strategy = $2 where task_id = $1`, [task, strategy]);
  const [claimed] = await db.claim(queue, { timeout });
  expect(claimed?.task_id).toBe(task);
  return { task, run: String(claimed?.run_id) };
}

engine('a stored strategy that cannot be used fails its own task for good', async (scene) => {
  const { db, queue, run, task, value } = scene;
  for (const [strategy] of faults) {
    const stored = await withStored(scene, strategy);
    await db.query('select absurd.fail_run($1, $2, $3)', [queue, stored.run, '{"message": "x"}']);
    expect(await task(stored.task), strategy).toMatchObject({ state: 'failed', attempts: 1, max_attempts: 5 });
    expect(await run(stored.run)).toMatchObject({ state: 'failed', failure_reason: { message: 'x' } });
  }
  expect(await value(`select count(*)::int from absurd."r_${queue}"`)).toBe(faults.length);
});

engine('a stored strategy is not read where the time of the retry is given', async (scene) => {
  const { db, queue, task } = scene;
  await db.freeze(noon);
  const stored = await withStored(scene, '{"kind": "linear"}');
  await db.query('select absurd.fail_run($1, $2, $3, $4)', [queue, stored.run, '{}', '2026-03-04T12:30:00Z']);
  expect(await task(stored.task)).toMatchObject({ state: 'sleeping', attempts: 2 });
});

engine('the sweep of expired leases fails such tasks for good, and no other', async (scene) => {
  const { db, queue, task } = scene;
  await db.freeze(noon);
  const bad = await withStored(scene, '{"kind": "fixed", "base_seconds": 1e300}', 5);
  const worse = await withStored(scene, '"often"', 5);
  const { task_id: good } = await db.spawn(queue, 'job', {}, { retry_strategy: { kind: 'fixed', base_seconds: 7 } });
  await db.claim(queue, { timeout: 5 });
  await db.advance('1 minute');
  await db.spawn(queue, 'next');
  expect(await db.claim(queue, { qty: 10 })).toMatchObject([{ task_name: 'next' }]);
  for (const { task: id } of [bad, worse]) expect(await task(id)).toMatchObject({ state: 'failed', attempts: 1 });
  expect(await task(good)).toMatchObject({ state: 'sleeping', attempts: 2 });
});

engine(
  'retry_task gives such a task one more attempt; spawn_new does not copy what would be refused',
  async (scene) => {
    const { db, queue, task } = scene;
    const stored = await withStored(scene, '{"kind": "linear"}');
    await db.query('select absurd.fail_run($1, $2, $3)', [queue, stored.run, '{}']);
    const again = db.query(`select absurd.retry_task($1, $2, '{"spawn_new": true}')`, [queue, stored.task]);
    await refuses(again, 'AB003', 'Unsupported retry strategy kind "linear"');
    await db.query('select absurd.retry_task($1, $2)', [queue, stored.task]);
    expect(await task(stored.task)).toMatchObject({ state: 'pending', attempts: 2 });
  },
);
