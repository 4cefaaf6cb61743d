import { Absurd } from '../../src/sdk/index.js';
import { describe, expect, FakeDatabase, test, until, vi } from './support.js';

describe('registration and defaults', () => {
  test('a task without a handler is refused', () => {
    const absurd = new Absurd({ db: new FakeDatabase() });
    expect(() => absurd.registerTask({ name: 'job' }, undefined as never)).toThrow(
      'Task "job" requires a handler function',
    );
  });

  const strategy = (fake: FakeDatabase): unknown =>
    (JSON.parse(String(fake.queries.at(-1)?.values?.[3])) as { retry_strategy?: unknown }).retry_strategy;

  test('a default retry strategy of the task, else of the client; a spawn’s own or none at all comes first', async () => {
    const fake = new FakeDatabase(() => [{ task_id: 'T', run_id: 'R', attempt: 1, created: true }]);
    const given = new Absurd({ db: fake, defaultRetryStrategy: { kind: 'fixed', baseSeconds: 7 } });
    const absurd = given.bindToConnection(fake);
    absurd.registerTask({ name: 'own', defaultRetryStrategy: { kind: 'none' } }, async () => null);
    absurd.registerTask({ name: 'plain' }, async () => null);
    await absurd.spawn('plain', {});
    expect(strategy(fake)).toEqual({ kind: 'fixed', base_seconds: 7 });
    await absurd.spawn('own', {});
    expect(strategy(fake)).toEqual({ kind: 'none' });
    await absurd.spawn('own', {}, { retryStrategy: { kind: 'exponential' } });
    expect(strategy(fake)).toEqual({ kind: 'exponential' });
    await absurd.spawn('own', {}, { retryStrategy: null as never });
    expect(strategy(fake)).toBeUndefined();
    const without = new Absurd({ db: fake });
    await without.spawn('job', {}, { queue: 'q' });
    expect(strategy(fake)).toBeUndefined();
  });

  test('workBatch returns how many runs it executed', async ({ absurd }) => {
    absurd.registerTask({ name: 'job' }, async () => 'done');
    await absurd.spawnMany([{ name: 'job' }, { name: 'job' }, { name: 'job' }]);
    expect([await absurd.workBatch('w', 60, 2), await absurd.workBatch('w', 60, 2), await absurd.workBatch()]).toEqual([
      2, 1, 0,
    ]);
  });

  test('a spawn without a name is refused before any query, and spawnMany says which one it is', async () => {
    const fake = new FakeDatabase();
    const absurd = new Absurd({ db: fake });
    const unnamed = [{ name: 'a', options: { queue: 'q' } }, { options: { queue: 'q' } }] as never;
    await expect(absurd.spawnMany(unnamed)).rejects.toThrow('spawnMany: element 2 has no task name');
    await expect(absurd.spawn('', {}, { queue: 'q' })).rejects.toThrow('A spawn requires a task name');
    expect(fake.queries).toEqual([]);
  });

  test('an empty idempotency key is refused before any query, also one that a hook has set', async () => {
    const fake = new FakeDatabase();
    const absurd = new Absurd({ db: fake });
    const refusal = 'The spawn of "job" has an empty idempotencyKey';
    const options = { queue: 'q', idempotencyKey: '' };
    await expect(absurd.spawn('job', {}, options)).rejects.toThrow(refusal);
    await expect(absurd.spawnMany([{ name: 'job', options }])).rejects.toThrow(refusal);
    const hooks = { beforeSpawn: () => options };
    await expect(new Absurd({ db: fake, hooks }).spawn('job', {}, { queue: 'q' })).rejects.toThrow(refusal);
    expect(fake.queries).toEqual([]);
  });

  test('what JSON cannot hold is refused before any query, and named', async () => {
    const fake = new FakeDatabase();
    const absurd = new Absurd({ db: fake });
    const spawn = (params: unknown, headers = {}): Promise<unknown> =>
      absurd.spawn('job', params, { queue: 'q', headers });
    await expect(spawn({ sum: 10n })).rejects.toThrow(
      'The parameters of "job" cannot be stored as JSON: a BigInt at sum',
    );
    await expect(spawn({ a: ['x\0'] })).rejects.toThrow('the character U+0000 at a[0]');
    await expect(spawn({}, { trace: '😀'.slice(0, 1) })).rejects.toThrow(
      'The options of "job" cannot be stored as JSON: half of a surrogate pair',
    );
    await expect(absurd.emitEvent('paid', { text: '\0' })).rejects.toThrow(
      'The payload of event "paid" cannot be stored',
    );
    expect(fake.queries).toEqual([]);
  });

  test('the server’s verdict on a retry strategy reaches the caller with its code', async () => {
    const refusal = Object.assign(new Error('retry_strategy.base_seconds must be between 0 and 86400'), {
      code: 'AB003',
    });
    const fake = new FakeDatabase((text) => {
      if (text.includes('spawn_task')) throw refusal;
      return text.includes('to_regprocedure') ? [{ spawn_tasks: true }] : [];
    });
    const absurd = new Absurd({ db: fake });
    const request = {
      name: 'job',
      params: {},
      options: { queue: 'q', retryStrategy: { kind: 'fixed', baseSeconds: -1 } },
    } as const;
    await expect(absurd.spawn(request.name, request.params, request.options)).rejects.toBe(refusal);
    await expect(absurd.spawnMany([request, request])).rejects.toBe(refusal);
  });
});

describe('sessions of the client’s own pool', () => {
  const names = async (db: { query: (sql: string) => Promise<{ rows: unknown[] }> }): Promise<unknown[]> => {
    const { rows } = await db.query(
      `select distinct application_name from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and application_name <> ''`,
    );
    return rows.map((row) => (row as { application_name: string }).application_name);
  };

  test('lead to the worker', async ({ make, db }) => {
    const absurd = make();
    await absurd.createQueue();
    const worker = await absurd.startWorker();
    expect(await names(db)).toEqual([`absurd-sdk:${worker.workerId}`.slice(0, 63)]);
    await worker.close();
    const named = make();
    const mailer = await named.startWorker({ workerId: 'mailer' });
    await until(async () => (await names(db)).includes('absurd-sdk:mailer'));
    await mailer.close();
  });

  test('keep a name of the user’s', async ({ make, db }) => {
    await make({ db: `${db.url}?application_name=billing` }).listQueues();
    vi.stubEnv('PGAPPNAME', 'shop');
    await make().listQueues();
    vi.unstubAllEnvs();
    expect((await names(db)).sort()).toEqual(['billing', 'shop']);
  });
});
