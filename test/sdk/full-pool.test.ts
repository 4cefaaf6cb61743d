import pg from 'pg';
import { describe, expect, onTestFinished, stateOf, test, until, type TestDatabase } from './support.js';

function poolOf(db: TestDatabase, options: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool({ connectionString: db.url, max: 3, ...options });
  pool.on('error', () => undefined);
  onTestFinished(() => pool.end());
  return pool;
}

describe('handlers that hold all connections of the pool while their calls wait for one more', () => {
  test('give up after a few waits, and all work is done', async ({ db, make, log }) => {
    const pool = poolOf(db, { connectionTimeoutMillis: 200 });
    const absurd = make({ db: pool });
    await absurd.createQueue();
    absurd.registerTask({ name: 'job' }, async (n: number, ctx) => {
      const connection = await pool.connect();
      try {
        return await ctx.step('write', async () => n);
      } finally {
        connection.release();
      }
    });
    const spawned = await absurd.spawnMany(
      Array.from({ length: 12 }, (_, n) => ({ name: 'job', params: n, options: { maxAttempts: 50 } })),
    );
    const worker = await absurd.startWorker({ concurrency: 6, pollInterval: 0.02, onError: () => undefined });
    for (const { taskID } of spawned) {
      expect(await until(async () => (await stateOf(db, taskID)) === 'completed', { timeoutMs: 60_000 })).toBe(true);
    }
    await worker.close();
    const said = log.lines.filter((line) => line.includes('No connection of the pool became free'));
    expect(said.length).toBeGreaterThan(0);
  });

  test('give up once the lease is over, where the pool waits without limit', async ({ db, make, log }) => {
    const pool = poolOf(db, { max: 1 });
    const absurd = make({ db: pool });
    await absurd.createQueue();
    absurd.registerTask({ name: 'job' }, async (_, ctx) => {
      if (ctx.attempt > 1) return 'done';
      const connection = await pool.connect();
      try {
        return await ctx.step('write', async () => 1);
      } finally {
        connection.release();
      }
    });
    const { taskID } = await absurd.spawn('job', {});
    const options = { claimTimeout: 1, pollInterval: 0.02, fatalOnLeaseTimeout: false };
    const worker = await absurd.startWorker({ ...options, onError: () => undefined });
    await until(async () => (await stateOf(db, taskID)) === 'completed', { timeoutMs: 30_000 });
    await worker.close();
    expect(log.lines.join('\n')).toContain('The lease of the run is over, and the database has not answered a call');
  });
});

test('a claim that found no free connection was not sent, so nothing is looked for and close is prompt', async ({
  db,
  make,
}) => {
  const pool = poolOf(db, { max: 1, connectionTimeoutMillis: 50 });
  const texts: string[] = [];
  const absurd = make({ db: { query: (text, values) => (texts.push(text), pool.query(text, values)) } });
  await absurd.createQueue();
  const connection = await pool.connect();
  const errors: string[] = [];
  const worker = await absurd.startWorker({ pollInterval: 0.01, onError: (error) => errors.push(error.message) });
  await until(() => errors.length >= 2);
  connection.release();
  await worker.close();
  expect(errors[0]).toMatch(/timeout exceeded when trying to connect/);
  expect(texts.filter((text) => text.includes('r.claimed_by = $1'))).toEqual([]);
});
