import { execFileSync } from 'node:child_process';
import { pgbouncer, startPooler, withoutPgbouncer } from '../support/pgbouncer.js';
import { expect, test as base, until } from './support.js';

/** The address of this test's database behind a PgBouncer in transaction mode with two server connections. */
const test = base.extend<{ pooled: string }>({
  pooled: async ({ db }, use) => {
    const pooler = await startPooler(db.url);
    await use(pooler.url);
    pooler.stop();
  },
});

test.skipIf(pgbouncer === undefined)(
  `a worker and its client behind PgBouncer in transaction mode${withoutPgbouncer}`,
  async ({ make, pooled, db, log }) => {
    expect(execFileSync(pgbouncer ?? '', ['--version'], { encoding: 'utf8' })).toMatch(/PgBouncer/i);
    const absurd = make({ db: pooled });
    await absurd.createQueue();
    await absurd.setQueueWakeup(true);
    absurd.registerTask({ name: 'job' }, async (params, ctx) => {
      const doubled = await ctx.step('double', async () => params.n * 2);
      await ctx.sleepFor('nap', 0.05);
      const event = await ctx.awaitEvent(`go ${params.n}`, { timeout: 60 });
      return { doubled, event };
    });
    const spawned = await absurd.spawnMany(Array.from({ length: 30 }, (_, n) => ({ name: 'job', params: { n } })));
    const worker = await absurd.startWorker({ concurrency: 10, pollInterval: 0.05 });
    for (let n = 0; n < 30; n += 1) await absurd.emitEvent(`go ${n}`, n);
    for (const [n, { taskID }] of spawned.entries()) {
      expect(await absurd.awaitTaskResult(taskID, { timeout: 20 })).toEqual({
        state: 'completed',
        result: { doubled: n * 2, event: n },
      });
    }
    await until(() => log.lines.find((line) => line.includes('listenUrl')));
    await worker.close();
    const direct = make({ db: pooled, listenUrl: db.url });
    direct.registerTask({ name: 'quick' }, async () => 'done');
    const listening = await direct.startWorker({ pollInterval: 3600 });
    await until(
      async () =>
        (await db.query(`select 1 from pg_stat_activity where datname = current_database() and query like 'LISTEN%'`))
          .rows[0],
    );
    const { taskID } = await direct.spawn('quick', {});
    expect((await direct.awaitTaskResult(taskID, { timeout: 60 })).state).toBe('completed');
    await listening.close();
  },
);
