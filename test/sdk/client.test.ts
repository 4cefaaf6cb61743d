import { Absurd, TimeoutError, type SpawnOptions } from '../../src/sdk/index.js';
import { describe, expect, FakeDatabase, finish, runsOf, stateOf, test, until, vi } from './support.js';

const spawned = [{ task_id: 'T', run_id: 'R', attempt: 1, created: true }];

describe('construction', () => {
  test('takes a URL, a pool or options, and names its queue', () => {
    const fake = new FakeDatabase();
    expect(new Absurd(fake).con).toBe(fake);
    expect(new Absurd({ db: fake, queueName: ' odd name ' }).queueName).toBe(' odd name ');
    expect(new Absurd(fake).queueName).toBe('default');
  });

  test('checks queue names before any query, by their bytes', async () => {
    const fake = new FakeDatabase();
    const long = 'é'.repeat(29);
    expect(() => new Absurd({ db: fake, queueName: '' })).toThrow('Queue name must be provided');
    expect(() => new Absurd({ db: fake, queueName: long })).toThrow(`Queue name "${long}" is too long (max 57 bytes).`);
    const absurd = new Absurd(fake);
    const calls = [
      absurd.createQueue(''),
      absurd.dropQueue(long),
      absurd.getQueuePolicy(''),
      absurd.setQueuePolicy(long, { cleanupLimit: 1 }),
      absurd.spawn('x', {}, { queue: long }),
      absurd.emitEvent('e', null, ''),
      absurd.fetchTaskResult('T', { queue: '' }),
      absurd.awaitTaskResult('T', { queue: '' }),
      absurd.retryTask('T', { queue: long }),
      absurd.cancelTask('T', ''),
    ];
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toMatchObject({
        status: 'rejected',
        reason: { message: expect.stringMatching(/must be provided|too long/) },
      });
    }
    expect(() => absurd.registerTask({ name: 'x', queue: long }, async () => null)).toThrow('too long');
    expect(fake.queries).toEqual([]);
  });

  test('finds its database in the environment', async ({ db }) => {
    vi.stubEnv('ABSURD_DATABASE_URL', db.url);
    vi.stubEnv('PGDATABASE', 'postgresql://nobody@127.0.0.1:1/none');
    const absurd = new Absurd();
    expect(await absurd.listQueues()).toEqual([]);
    await absurd.close();
    vi.stubEnv('ABSURD_DATABASE_URL', '');
    vi.stubEnv('PGDATABASE', db.url);
    const other = new Absurd({ queueName: 'q' });
    expect(await other.listQueues()).toEqual([]);
    await other.close();
    const address = new URL(db.url);
    vi.stubEnv('PGHOST', address.hostname);
    vi.stubEnv('PGPORT', address.port);
    vi.stubEnv('PGUSER', address.username);
    vi.stubEnv('PGPASSWORD', decodeURIComponent(address.password));
    vi.stubEnv('PGDATABASE', db.name);
    const named = new Absurd();
    expect(await named.listQueues()).toEqual([]);
    await named.close();
    vi.unstubAllEnvs();
  });

  test('never closes, listens on or connects a database object that it was given', async () => {
    const end = vi.fn();
    const connect = vi.fn();
    const on = vi.fn();
    const given = Object.assign(new FakeDatabase(), { end, connect, on });
    const absurd = new Absurd({ db: given });
    const worker = await absurd.startWorker({ pollInterval: 0.001 });
    await until(() => given.queries.length > 2);
    await worker.close();
    await absurd.close();
    expect([end, connect, on].map((spy) => spy.mock.calls.length)).toEqual([0, 0, 0]);
    // A look at what the schema offers mentions spawn_tasks; all else is claims.
    expect(new Set(given.calls)).toEqual(
      new Set(['spawn_tasks()', `claim_task("default", "${worker.workerId}", 120, 1)`]),
    );
  });
});

describe('queues', () => {
  test('are created, listed and dropped; one query where no policy is given', async ({ db }) => {
    const recorded = new FakeDatabase();
    await new Absurd(recorded).createQueue('a', {});
    await new Absurd(recorded).createQueue('b', { storageMode: 'partitioned' });
    await new Absurd(recorded).createQueue('c', { storageMode: 'unpartitioned', cleanupLimit: 5 });
    expect(recorded.calls).toEqual([
      'create_queue("a")',
      'create_queue("b", "partitioned")',
      'create_queue("c")',
      'set_queue_policy("c", "{\\"cleanup_limit\\":5}")',
    ]);
    const absurd = new Absurd(db.pool);
    await absurd.createQueue();
    await absurd.createQueue('zebra');
    expect(await absurd.listQueues()).toEqual(['default', 'zebra']);
    await absurd.dropQueue('zebra');
    await absurd.dropQueue();
    expect(await absurd.listQueues()).toEqual([]);
  });

  test('keep a policy in the words of the options', async ({ absurd }) => {
    await absurd.createQueue('p', {
      storageMode: 'partitioned',
      cleanupTtl: '7 days',
      cleanupLimit: 50,
      detachMode: 'empty',
    });
    await absurd.setQueuePolicy('p', {
      partitionLookahead: '14 days',
      partitionLookback: '2 days',
      detachMinAge: '10 days',
    });
    expect(await absurd.getQueuePolicy('p')).toEqual({
      queueName: 'p',
      storageMode: 'partitioned',
      partitionLookahead: '14 days',
      partitionLookback: '2 days',
      cleanupTtl: '7 days',
      cleanupLimit: 50,
      detachMode: 'empty',
      detachMinAge: '10 days',
    });
    await absurd.setQueuePolicy('p', {});
    expect(await absurd.getQueuePolicy('none')).toBeNull();
  });
});

describe('spawn', () => {
  test('refuses what the registry forbids', async ({ absurd }) => {
    absurd.registerTask({ name: 'mine', queue: 'A' }, async () => null);
    await expect(absurd.spawn('other', {})).rejects.toThrow(
      'Task "other" is not registered. Provide options.queue when spawning unregistered tasks.',
    );
    await expect(absurd.spawn('mine', {}, { queue: 'B' })).rejects.toThrow(
      'Task "mine" is registered for queue "A" but spawn requested queue "B".',
    );
    expect(() => absurd.registerTask({ name: '' }, async () => null)).toThrow('requires a name');
    expect(() => absurd.registerTask({ name: 'x', defaultMaxAttempts: 0 }, async () => null)).toThrow('at least 1');
  });

  test('falls back from its options to the registration to the client', async () => {
    const fake = new FakeDatabase(() => spawned);
    const absurd = new Absurd({ db: fake, defaultMaxAttempts: 9 });
    absurd.registerTask({ name: 'reg', defaultMaxAttempts: 7, defaultCancellation: { maxDelay: 3 } }, async () => null);
    await absurd.spawn('reg', { a: 1 });
    await absurd.spawn('reg', null, { maxAttempts: 2, cancellation: { maxDuration: 1.5 } });
    await absurd.spawn('free', undefined, { queue: 'q' });
    const options = fake.queries.map(({ values }) => JSON.parse(String(values?.[3])) as unknown);
    expect(options).toEqual([
      { max_attempts: 7, cancellation: { max_delay: 3 } },
      { max_attempts: 2, cancellation: { max_duration: 1.5 } },
      { max_attempts: 9 },
    ]);
    expect(fake.queries.map(({ values }) => values?.slice(0, 3))).toEqual([
      ['default', 'reg', '{"a":1}'],
      ['default', 'reg', 'null'],
      ['q', 'free', undefined],
    ]);
  });

  test('stores every option and returns the same task for the same key', async ({ absurd, db }) => {
    const options: SpawnOptions = {
      queue: 'default',
      maxAttempts: 3,
      retryStrategy: { kind: 'exponential', baseSeconds: 2, factor: 3, maxSeconds: 90 },
      headers: { trace: 'abc' },
      cancellation: { maxDuration: 60, maxDelay: 30 },
      idempotencyKey: 'once',
    };
    const first = await absurd.spawn('job', { n: 1 }, options);
    expect(first).toMatchObject({ attempt: 1, created: true });
    expect(await absurd.spawn('job', { n: 2 }, options)).toEqual({ ...first, created: false });
    const { rows } = await db.query('select * from absurd.t_default');
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      params: { n: 1 },
      headers: { trace: 'abc' },
      max_attempts: 3,
      retry_strategy: { kind: 'exponential', base_seconds: 2, factor: 3, max_seconds: 90 },
      cancellation: { max_duration: 60, max_delay: 30 },
      idempotency_key: 'once',
    });
  });

  test('rejects a retry strategy that the schema cannot use, with its code', async ({ absurd, db }) => {
    const bad = { queue: 'default', retryStrategy: { kind: 'fixed', baseSeconds: 86_401 } } as const;
    const message = 'retry_strategy.base_seconds must be between 0 and 86400';
    await expect(absurd.spawn('job', {}, bad)).rejects.toMatchObject({ code: 'AB003', message });
    const many = absurd.spawnMany([
      { name: 'job', options: { queue: 'default' } },
      { name: 'job', options: bad },
    ]);
    await expect(many).rejects.toMatchObject({ code: 'AB003', message });
    expect((await db.query('select 1 from absurd.t_default')).rows).toEqual([]);
  });

  test('lets the hook see and change the effective options', async ({ make, db }) => {
    const seen: unknown[] = [];
    const absurd = make({
      hooks: {
        beforeSpawn: async (name, params, options) => {
          seen.push([name, params, options]);
          return { ...options, headers: { ...options.headers, trace: 't-1' } };
        },
      },
    });
    await absurd.createQueue();
    absurd.registerTask({ name: 'reg' }, async () => null);
    const { taskID } = await absurd.spawn('reg', { a: 1 }, { headers: { own: true } });
    expect(seen).toEqual([['reg', { a: 1 }, { headers: { own: true }, maxAttempts: 5 }]]);
    const { rows } = await db.query('select headers from absurd.t_default where task_id = $1', [taskID]);
    expect(rows).toEqual([{ headers: { own: true, trace: 't-1' } }]);
  });

  test('within the caller’s transaction commits and rolls back with it', async ({ absurd, db }) => {
    absurd.registerTask({ name: 'reg' }, async () => null);
    const con = await db.pool.connect();
    const bound = absurd.bindToConnection(con);
    await con.query('begin');
    const lost = await bound.spawn('reg', {});
    await bound.spawnMany([{ name: 'reg' }, { name: 'reg' }]);
    expect(await absurd.fetchTaskResult(lost.taskID)).toBeNull();
    await con.query('rollback');
    expect(await absurd.fetchTaskResult(lost.taskID)).toBeNull();
    await con.query('begin');
    const kept = await bound.spawn('reg', {});
    await con.query('commit');
    expect(await absurd.fetchTaskResult(kept.taskID)).toEqual({ state: 'pending' });
    await bound.close();
    expect((await con.query('select 1 as alive')).rows).toEqual([{ alive: 1 }]);
    await absurd.bindToConnection(con, true).close();
    expect((await db.query('select count(*)::int as n from absurd.t_default')).rows).toEqual([{ n: 1 }]);
  });

  test('an owned connection is closed with its client', async () => {
    const end = vi.fn(async () => undefined);
    await new Absurd(new FakeDatabase()).bindToConnection(Object.assign(new FakeDatabase(), { end }), true).close();
    expect(end).toHaveBeenCalledTimes(1);
  });
});

describe('spawnMany', () => {
  test('spawns in order across queues, honours keys, and is all or nothing', async ({ absurd, db }) => {
    await absurd.createQueue('other');
    absurd.registerTask({ name: 'reg' }, async () => null);
    const requests = Array.from({ length: 2500 }, (_, n) =>
      n % 5 === 0
        ? { name: 'free', params: { n }, options: { queue: 'other', idempotencyKey: `k${n % 10}` } }
        : { name: 'reg', params: { n } },
    );
    const results = await absurd.spawnMany(requests);
    expect(results).toHaveLength(2500);
    expect(new Set(results.filter((_, n) => n % 5 === 0).map((result) => result.taskID)).size).toBe(2);
    expect(results[0]?.created).toBe(true);
    expect(results[10]).toEqual({ ...results[0], created: false });
    const { rows } = await db.query<{ n: number }>(
      'select (params->>$1)::int as n from absurd.t_default where task_id = $2',
      ['n', results[1234]?.taskID],
    );
    expect(rows).toEqual([{ n: 1234 }]);
    await expect(absurd.spawnMany([{ name: 'reg' }, { name: 'reg', options: { maxAttempts: 0 } }])).rejects.toThrow();
    expect((await db.query('select count(*)::int as n from absurd.t_default')).rows).toEqual([{ n: 2000 }]);
    expect(await absurd.spawnMany([])).toEqual([]);
  });

  test('does without the call for many where the database has none', async () => {
    const fake = new FakeDatabase((text) => (text.includes('spawn_task(') ? spawned : []));
    const results = await new Absurd(fake).spawnMany([
      { name: 'a', options: { queue: 'q' } },
      { name: 'b', params: 1, options: { queue: 'q' } },
    ]);
    expect(results).toHaveLength(2);
    expect(fake.calls.slice(1)).toEqual([
      'spawn_task("q", "a", undefined, "{\\"max_attempts\\":5}")',
      'spawn_task("q", "b", "1", "{\\"max_attempts\\":5}")',
    ]);
  });
});

describe('results', () => {
  test('come as a snapshot of the state', async ({ absurd }) => {
    absurd.registerTask({ name: 'ok' }, async (params) => ({ twice: params.n * 2 }));
    absurd.registerTask({ name: 'bad', defaultMaxAttempts: 1 }, async () => {
      throw new RangeError('no');
    });
    const ok = await absurd.spawn('ok', { n: 21 });
    const bad = await absurd.spawn('bad', {});
    const gone = await absurd.spawn('ok', { n: 0 });
    await absurd.cancelTask(gone.taskID);
    expect(await absurd.fetchTaskResult(ok.taskID)).toEqual({ state: 'pending' });
    await absurd.workBatch('w', 30, 10);
    expect(await absurd.fetchTaskResult(ok.taskID)).toEqual({ state: 'completed', result: { twice: 42 } });
    expect(await absurd.fetchTaskResult(bad.taskID)).toMatchObject({
      state: 'failed',
      failure: { name: 'RangeError', message: 'no' },
    });
    expect(await absurd.awaitTaskResult(gone.taskID)).toEqual({ state: 'cancelled' });
    expect(await absurd.fetchTaskResult('019a32d3-8425-7ae2-a5af-2f17a6707666')).toBeNull();
  });

  test('are waited for with a limit, less and less often', async ({ absurd }) => {
    const { taskID } = await absurd.spawn('x', {}, { queue: 'default' });
    await expect(absurd.awaitTaskResult(taskID, { timeout: 0.12 })).rejects.toBeInstanceOf(TimeoutError);
    for (const timeout of [Number.NaN, -1]) {
      await expect(absurd.awaitTaskResult(taskID, { timeout })).rejects.toThrow(
        'timeout must be a finite non-negative number',
      );
    }
    await expect(absurd.awaitTaskResult('019a32d3-8425-7ae2-a5af-2f17a6707666')).rejects.toThrow('not found');
    const waiting = absurd.awaitTaskResult(taskID, { timeout: Infinity });
    await absurd.cancelTask(taskID);
    expect(await waiting).toEqual({ state: 'cancelled' });
  });

  test('look at a task at 0, 50, 150, 350 ms and so on', async () => {
    vi.useFakeTimers();
    const fake = new FakeDatabase(() => [{ state: 'running' }]);
    const waiting = expect(new Absurd(fake).awaitTaskResult('T', { timeout: 5 })).rejects.toThrow('Timed out');
    const looks: number[] = [];
    for (let ms = 0; ms <= 5000; ms += 50) {
      looks.push(fake.queries.length);
      await vi.advanceTimersByTimeAsync(50);
    }
    await waiting;
    vi.useRealTimers();
    expect(looks.slice(0, 8)).toEqual([1, 2, 2, 3, 3, 3, 3, 4]);
    expect(fake.queries.length).toBe(10);
  });

  test('retry a failed task in place or anew', async ({ absurd, db }) => {
    let fail = true;
    absurd.registerTask({ name: 'flaky', defaultMaxAttempts: 1 }, async () => {
      if (fail) throw new Error('not yet');
      return 'done';
    });
    const { taskID } = await absurd.spawn('flaky', {});
    await absurd.workBatch();
    await expect(absurd.retryTask(taskID, { maxAttempts: 1 })).rejects.toThrow('must be greater than current attempts');
    const anew = await absurd.retryTask(taskID, { spawnNewTask: true, maxAttempts: 4 });
    expect(anew).toMatchObject({ attempt: 1, created: true });
    expect(anew.taskID).not.toBe(taskID);
    const again = await absurd.retryTask(taskID);
    expect(again).toMatchObject({ taskID, attempt: 2, created: false });
    fail = false;
    expect(await finish(absurd, taskID)).toEqual({ state: 'completed', result: 'done' });
    expect((await runsOf(db, taskID)).map((run) => run.state)).toEqual(['failed', 'completed']);
    await expect(absurd.retryTask(taskID)).rejects.toThrow('not currently failed');
  });

  test('cancel, and emit events to any queue', async ({ absurd, db }) => {
    await absurd.createQueue('other');
    const { taskID } = await absurd.spawn('x', {}, { queue: 'other' });
    await absurd.cancelTask(taskID, 'other');
    expect(await stateOf(db, taskID, 'other')).toBe('cancelled');
    await absurd.emitEvent('ready', { a: 1 }, 'other');
    await absurd.emitEvent('ready', { a: 2 }, 'other');
    await absurd.emitEvent('empty');
    expect((await db.query('select event_name, payload from absurd.e_other')).rows).toEqual([
      { event_name: 'ready', payload: { a: 1 } },
    ]);
    expect((await db.query('select payload::text from absurd.e_default')).rows).toEqual([{ payload: 'null' }]);
    await expect(absurd.emitEvent('')).rejects.toThrow('eventName must be a non-empty string');
  });
});

test('claims in snake case, with the defaults of one run for 120 seconds', async ({ absurd, db }) => {
  await absurd.spawn('x', { a: 1 }, { queue: 'default', headers: { h: 1 } });
  const [task] = await absurd.claimTasks();
  expect(task).toMatchObject({
    task_name: 'x',
    attempt: 1,
    params: { a: 1 },
    headers: { h: 1 },
    max_attempts: 5,
    wake_event: null,
    event_payload: null,
  });
  const [run] = await runsOf(db, task?.task_id ?? '');
  expect(run).toMatchObject({ run_id: task?.run_id, claimed_by: 'worker' });
  expect(((run?.claim_expires_at?.getTime() ?? 0) - (run?.available_at.getTime() ?? 0)) / 1000).toBe(120);
  expect(await absurd.claimTasks({ batchSize: 5, claimTimeout: 7, workerId: 'w' })).toEqual([]);
});
