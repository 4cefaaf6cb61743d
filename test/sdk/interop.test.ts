import { Absurd as Other } from 'absurd-sdk';
import { TimeoutError } from '../../src/sdk/index.js';
import { checkpointsOf, expect, runsOf, stateOf, test, type TestDatabase } from './support.js';

const silent = { log() {}, info() {}, warn() {}, error() {} };

function other(db: TestDatabase): Other {
  return new Other({ db: db.pool, log: silent });
}

test('each runs what the other spawned', async ({ absurd, db }) => {
  const theirs = other(db);
  absurd.registerTask({ name: 'a' }, async (params) => ({ by: 'ours', params }));
  theirs.registerTask({ name: 'a' }, async (params) => ({ by: 'theirs', params }));
  const options = { headers: { h: 1 }, retryStrategy: { kind: 'fixed', baseSeconds: 1 } } as const;
  const first = await theirs.spawn('a', { n: 1 }, options);
  await absurd.workBatch();
  expect(await theirs.fetchTaskResult(first.taskID)).toEqual({
    state: 'completed',
    result: { by: 'ours', params: { n: 1 } },
  });
  const second = await absurd.spawn('a', { n: 2 }, options);
  await theirs.workBatch();
  expect(await absurd.fetchTaskResult(second.taskID)).toEqual({
    state: 'completed',
    result: { by: 'theirs', params: { n: 2 } },
  });
  const { rows } = await db.query(
    'select task_name, headers, retry_strategy, max_attempts, cancellation from absurd.t_default',
  );
  expect(rows[0]).toEqual(rows[1]);
});

test.for(['ours', 'theirs'] as const)(
  'a task begun by %s it resumes with the other from its checkpoints',
  async (first, { absurd, db }) => {
    const theirs = other(db);
    const ran: string[] = [];
    type Ctx = {
      step<T>(name: string, fn: () => Promise<T>): Promise<T>;
      sleepFor(name: string, seconds: number): Promise<void>;
      awaitEvent(name: string, options?: { timeout?: number }): Promise<unknown>;
    };
    const handler = (who: string) => async (_: unknown, ctx: Ctx) => {
      const values: unknown[] = [];
      for (const n of [1, 2]) {
        values.push(
          await ctx.step('s', async () => {
            ran.push(`${who} ${n}`);
            return { n };
          }),
        );
      }
      await ctx.sleepFor('nap', 0.05);
      values.push(await ctx.step('t', async () => (ran.push(`${who} t`), who)));
      values.push(await ctx.awaitEvent('go', { timeout: 60 }));
      values.push(await ctx.step('s', async () => (ran.push(`${who} 3`), who)));
      return values;
    };
    absurd.registerTask({ name: 'flow' }, handler('ours'));
    theirs.registerTask({ name: 'flow' }, handler('theirs'));
    const [one, two] = first === 'ours' ? [absurd, theirs] : [theirs, absurd];
    const { taskID } = await one.spawn('flow', {});
    await one.workBatch();
    expect(await stateOf(db, taskID)).toBe('sleeping');
    await db.query(`update absurd.r_default set available_at = now() - interval '1 second'`);
    await db.query(`update absurd.c_default set state = '"2020-01-01T00:00:00.000Z"' where checkpoint_name = 'nap'`);
    await two.workBatch();
    await one.emitEvent('go', { now: true });
    await one.workBatch();
    const last = first === 'ours' ? 'ours' : 'theirs';
    const between = first === 'ours' ? 'theirs' : 'ours';
    expect(await two.fetchTaskResult(taskID)).toEqual({
      state: 'completed',
      result: [{ n: 1 }, { n: 2 }, between, { now: true }, last],
    });
    expect(ran).toEqual([`${first} 1`, `${first} 2`, `${between} t`, `${last} 3`]);
    expect(Object.keys(await checkpointsOf(db, taskID)).sort()).toEqual([
      '$awaitEvent:go',
      'nap',
      's',
      's#2',
      's#3',
      't',
    ]);
  },
);

test('workers of both share one queue, each task done once', async ({ absurd, db }) => {
  const theirs = other(db);
  const done: number[] = [];
  absurd.registerTask({ name: 'job' }, async (params, ctx) => ctx.step('s', async () => done.push(params.n)));
  theirs.registerTask({ name: 'job' }, async (params, ctx) => ctx.step('s', async () => done.push(params.n)));
  const spawned = await absurd.spawnMany(Array.from({ length: 60 }, (_, n) => ({ name: 'job', params: { n } })));
  const options = { concurrency: 5, pollInterval: 0.02 };
  const workers = [
    await absurd.startWorker({ ...options, workerId: 'ours' }),
    await theirs.startWorker({ ...options, workerId: 'theirs' }),
  ];
  for (const { taskID } of spawned)
    expect((await theirs.awaitTaskResult(taskID, { timeout: 60 })).state).toBe('completed');
  await Promise.all(workers.map((worker) => worker.close()));
  expect(done.sort((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, n) => n));
  const { rows } = await db.query<{ claimed_by: string }>(
    'select distinct claimed_by from absurd.r_default order by 1',
  );
  expect(rows).toEqual([{ claimed_by: 'ours' }, { claimed_by: 'theirs' }]);
});

test('the marker of a timed-out wait does not disturb the other', async ({ absurd, db }) => {
  const theirs = other(db);
  const told: string[] = [];
  absurd.registerTask({ name: 'wait' }, async (_, ctx) => {
    await ctx.awaitEvent('never', { timeout: 5 }).catch((error: unknown) => {
      if (!(error instanceof TimeoutError)) throw error;
      told.push('timed out');
    });
    throw new Error('again');
  });
  theirs.registerTask({ name: 'wait' }, async (_, ctx) => {
    told.push(`came: ${String(await ctx.awaitEvent('never', { timeout: 5 }))}`);
  });
  const { taskID } = await absurd.spawn('wait', {});
  const ours = absurd.bindToConnection(db.pool);
  await db.freeze('2030-01-01T00:00:00Z');
  await ours.workBatch();
  await db.advance('6 seconds');
  await ours.workBatch();
  await ours.emitEvent('never', 'news');
  await theirs.workBatch();
  expect(told).toEqual(['timed out', 'came: news']);
  expect((await runsOf(db, taskID)).map((run) => run.state)).toEqual(['failed', 'completed']);
});
