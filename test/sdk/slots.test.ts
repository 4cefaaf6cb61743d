import { describe, expect, gate, test, until } from './support.js';

describe('slots', () => {
  const wrapTaskExecution = async <T>(_context: unknown, execute: () => Promise<T>): Promise<T> => execute();

  test.for([
    {
      concurrency: 2,
      hooks: {},
      started: 7,
      why: 'a run whose handler has returned gives its slot away',
    },
    {
      concurrency: 1,
      hooks: {},
      started: 1,
      why: 'one at a time: the next run starts when the end of the last is stored',
    },
    { concurrency: 2, hooks: { wrapTaskExecution }, started: 2, why: 'a hook around the execution keeps its slot' },
  ])('$why', async ({ concurrency, hooks, started }, { make, db, second }) => {
    const absurd = make({ hooks });
    await absurd.createQueue();
    const first = gate();
    let here = 0;
    absurd.registerTask({ name: 'job' }, async () => {
      here += 1;
      if (here <= concurrency) await first.promise;
    });
    const spawned = await absurd.spawnMany(Array.from({ length: 7 }, () => ({ name: 'job' })));
    const worker = await absurd.startWorker({ concurrency, pollInterval: 0.02 });
    await until(() => here === concurrency);
    // The ends of the first runs cannot be stored.
    await second.query('begin');
    await second.query(`select 1 from absurd.r_default where state = 'running' for update`);
    first.open();
    try {
      await until(() => here >= started);
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(here).toBe(started);
      const { rowCount } = await db.query(`select 1 from absurd.t_default where state = 'running'`);
      expect(rowCount).toBe(concurrency);
    } finally {
      await second.query('rollback');
    }
    for (const { taskID } of spawned) {
      expect((await absurd.awaitTaskResult(taskID, { timeout: 60 })).state).toBe('completed');
    }
    await worker.close();
  });
});
