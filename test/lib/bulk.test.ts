import { expect, test } from 'vitest';
import { applyToAll, type BulkTask, type BulkWork } from '../../src/lib/bulk/apply.js';
import { CliError, exit, interrupted } from '../../src/lib/cli/errors.js';
import type { ChosenTask } from '../../src/sql/bulk.js';

const tasks = (n: number): ChosenTask[] =>
  Array.from({ length: n }, (_, i) => ({
    task_id: String(i),
    queue_name: i % 3 === 2 ? 'b' : 'a',
    task_name: 't',
    state: 'failed' as const,
    attempts: 1,
  })).sort((left, right) => left.queue_name.localeCompare(right.queue_name));

const work: BulkWork = {
  batch: (_queue, ids) =>
    Promise.resolve(ids.map((id) => ({ task_id: id, state: 'retried', new_task_id: id, run_id: id, attempt: 2 }))),
  outcome: () => ({ outcome: 'retried', reason: null }),
  refused: () => 'failed',
};

test('--rate: never ahead of so many a second, whatever a batch takes', async () => {
  let nowMs = 0;
  const done: [number, number][] = [];
  let count = 0;
  const ended = await applyToAll(tasks(250), work, {
    rate: 40,
    nowMs: () => nowMs,
    pause: (ms) => Promise.resolve(void (nowMs += ms)),
    report: (batch) => {
      count += batch.length;
      done.push([nowMs, count]);
      nowMs += 100;
      return Promise.resolve();
    },
  });
  expect(ended).toBeUndefined();
  expect(count).toBe(250);
  // The first second's worth goes at once; from then on it keeps to the rate.
  for (const [ms, so] of done) expect(so).toBeLessThanOrEqual(40 + (ms / 1000) * 40);
  expect(nowMs).toBeGreaterThanOrEqual(((250 - 40) / 40) * 1000);
});

test('tasks of several queues in any order: each is done once, in its own queue', async () => {
  const mixed = tasks(250).sort((left, right) => Number(left.task_id) - Number(right.task_id));
  const calls: [string, string][] = [];
  const told: BulkTask[] = [];
  const ended = await applyToAll(
    mixed,
    {
      ...work,
      batch: (queue, ids) => {
        calls.push(...ids.map((id): [string, string] => [queue, id]));
        return work.batch(queue, ids);
      },
    },
    { nowMs: () => 0, pause: () => Promise.resolve(), report: (batch) => Promise.resolve(void told.push(...batch)) },
  );
  const once = mixed.map((task) => `${task.queue_name} ${task.task_id}`).sort();
  expect(ended).toBeUndefined();
  expect(calls.map(([queue, id]) => `${queue} ${id}`).sort()).toEqual(once);
  expect(told.map((task) => `${task.queue_name ?? ''} ${task.task_id}`).sort()).toEqual(once);
});

test('what ends it early leaves every task accounted for, once', async () => {
  const told: BulkTask[] = [];
  const lost = new CliError('The connection was lost', { exitCode: exit.unreachable });
  let batches = 0;
  const ended = await applyToAll(
    tasks(1000),
    { ...work, batch: (queue, ids) => (++batches === 4 ? Promise.reject(lost) : work.batch(queue, ids)) },
    {
      nowMs: () => 0,
      pause: () => Promise.resolve(),
      report: (batch) => Promise.resolve(void told.push(...batch)),
    },
  );
  expect(ended).toBe(lost);
  expect(new Set(told.map((task) => task.task_id)).size).toBe(1000);
  expect(told.filter((task) => task.outcome === 'retried')).toHaveLength(300);
  expect(told.filter((task) => task.outcome === 'left')).toHaveLength(700);
});

test('Ctrl-C while it keeps to its rate', async () => {
  let left = 0;
  const ended = await applyToAll(tasks(300_000), work, {
    rate: 10,
    nowMs: () => 0,
    pause: () => Promise.reject(interrupted()),
    report: (batch) => Promise.resolve(void (left += batch.filter((task) => task.outcome === 'left').length)),
  });
  expect(ended?.exitCode).toBe(exit.interrupted);
  expect(left).toBe(299_990);
});
