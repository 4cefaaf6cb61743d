import pg from 'pg';
import { Absurd, type Queryable } from '../../src/sdk/index.js';
import { expect, finish, onTestFinished, test, until, type TestDatabase } from './support.js';

/** A driver that asks the server for the types of parameters and writes values by them, as postgres.js does. */
function typeGuided(db: TestDatabase): Queryable {
  const types = new Map<string, Promise<string[]>>();
  const typesOf = async (text: string): Promise<string[]> => {
    const client = await db.pool.connect();
    try {
      await client.query(`prepare guided as ${text}`);
      const { rows } = await client.query(`select parameter_types::text[] as types from pg_prepared_statements`);
      await client.query('deallocate guided');
      return (rows[0] as { types: string[] }).types;
    } finally {
      client.release();
    }
  };
  return {
    async query(text, values = []) {
      const known = types.get(text) ?? typesOf(text);
      types.set(text, known);
      const written = (await known).map((type, n) => (type === 'jsonb' ? JSON.stringify(values[n]) : values[n]));
      return db.pool.query(text, written);
    },
  };
}

test('a driver that writes parameters by their types stores JSON as it is', async ({ db, make }) => {
  const absurd = make({ db: typeGuided(db) });
  await absurd.createQueue('default', { cleanupLimit: 5 });
  absurd.registerTask({ name: 'job' }, async (params: { a: string }, ctx) => {
    const step = await ctx.step('step', async () => ({ got: params.a }));
    await ctx.heartbeat();
    await ctx.emitEvent('here', { b: [1] });
    return { step, event: await ctx.awaitEvent('here'), headers: ctx.headers };
  });
  absurd.registerTask({ name: 'fails', defaultMaxAttempts: 1 }, () => Promise.reject(new Error('no')));
  const many = ['x', 'y', 'z'].map((a) => ({ name: 'job', params: { a }, options: { headers: { h: a } } }));
  const spawned = [await absurd.spawn('job', { a: 'w' }, { headers: { h: 'w' } }), ...(await absurd.spawnMany(many))];
  const failed = await absurd.spawn('fails', {});
  const worker = await absurd.startWorker({ concurrency: 5, pollInterval: 0.02 });
  for (const [n, { taskID }] of spawned.entries()) {
    const a = 'wxyz'[n] as string;
    const result = { step: { got: a }, event: { b: [1] }, headers: { h: a } };
    expect(await absurd.awaitTaskResult(taskID, { timeout: 10 })).toEqual({ state: 'completed', result });
  }
  expect(await absurd.awaitTaskResult(failed.taskID, { timeout: 10 })).toMatchObject({ failure: { message: 'no' } });
  await worker.close();
  expect((await absurd.retryTask(failed.taskID, { spawnNewTask: true })).created).toBe(true);
  expect(await absurd.getQueuePolicy()).toMatchObject({ cleanupLimit: 5 });
});

test('an object that returns bare rows is refused, with what to write', async ({ db }) => {
  const absurd = new Absurd({
    db: { query: async (text, values) => (await db.pool.query(text, values)).rows as never },
  });
  await expect(absurd.listQueues()).rejects.toThrow(/returned an array of rows; the SDK expects \{ rows \}.*Wrap it/);
});

test('a driver’s function without query is refused, instead of the database of the environment', () => {
  const sql = (): void => undefined;
  expect(() => new Absurd(sql as never)).toThrow(/db must be a connection string or an object with query/);
  expect(() => new Absurd({ db: sql as never })).toThrow(/db must be a connection string or an object with query/);
  expect(() => new Absurd({ db: {} as never })).toThrow(/db must be/);
});

test('a single pg.Client works: statements go out one after another, without the driver’s warning', async ({
  db,
  make,
}) => {
  const client = new pg.Client({ connectionString: db.url });
  client.on('error', () => undefined);
  await client.connect();
  onTestFinished(() => client.end());
  const warnings: string[] = [];
  const keep = (warning: Error): void => void warnings.push(warning.message);
  process.on('warning', keep);
  onTestFinished(() => void process.off('warning', keep));
  const absurd = make({ db: client });
  await absurd.createQueue();
  absurd.registerTask({ name: 'job' }, async (n: number, ctx) => ctx.step('s', async () => n));
  const spawned = await Promise.all([1, 2, 3, 4].map((n) => absurd.spawn('job', n)));
  const worker = await absurd.startWorker({ concurrency: 4, pollInterval: 0.02 });
  for (const { taskID } of spawned) await absurd.awaitTaskResult(taskID, { timeout: 10 });
  await worker.close();
  expect(warnings).toEqual([]);
});

test('a single pg.Client that is lost says so, and does not hold up the end of its worker', async ({
  db,
  make,
  log,
}) => {
  const client = new pg.Client({ connectionString: db.url });
  client.on('error', () => undefined);
  await client.connect();
  onTestFinished(() => client.end().catch(() => undefined));
  const absurd = make({ db: client });
  await absurd.createQueue();
  const errors: string[] = [];
  const worker = await absurd.startWorker({ pollInterval: 0.02, onError: (error) => errors.push(error.message) });
  await db.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()',
    [db.name],
  );
  await until(() => errors.some((message) => message.includes('a single client cannot connect again')));
  await worker.close({ timeout: 0.1 });
  expect(log.lines).toEqual([]);
});

test('a task that was spawned with the JSON text "null" and none at all is the same', async ({ absurd }) => {
  absurd.registerTask({ name: 'job' }, async (params) => ({ params }));
  const { taskID } = await absurd.spawn('job', undefined);
  expect(await finish(absurd, taskID)).toEqual({ state: 'completed', result: { params: null } });
});
