/** Workers keep a row of absurd.workers; whatever goes wrong with it, they work on. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { Absurd, type Worker } from '../../src/sdk/index.js';
import { withGrants } from '../commands/roles.js';
import {
  afterEach,
  describe,
  expect,
  FakeDatabase,
  gate,
  KeptLog,
  test,
  until,
  vi,
  type TestDatabase,
} from './support.js';

afterEach(() => {
  vi.useRealTimers();
});

const rows = async (db: TestDatabase) =>
  (await db.query('select * from absurd.workers order by queue_name, worker_id')).rows;
const registered = (db: TestDatabase) => until(async () => (await rows(db))[0]);

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

test('a worker registers itself with what it is, and leaves when it closes', async ({ absurd, db }) => {
  absurd.registerTask({ name: 'b' }, async () => 1);
  absurd.registerTask({ name: 'a' }, async () => 1);
  absurd.registerTask({ name: 'elsewhere', queue: 'other' }, async () => 1);
  const worker = await absurd.startWorker({ concurrency: 3, programVersion: '2.5' });
  expect(await registered(db)).toMatchObject({
    queue_name: 'default',
    worker_id: worker.workerId,
    host: hostname(),
    pid: process.pid,
    sdk_name: 'absurdctl',
    sdk_version: version,
    program_version: '2.5',
    task_names: ['a', 'b'],
    concurrency: 3,
    running: 0,
    state: 'running',
  });
  await worker.close();
  expect(await rows(db)).toEqual([]);
});

test('a worker that drains says so and how much it runs', async ({ absurd, db }) => {
  const handler = gate();
  absurd.registerTask({ name: 'long' }, () => handler.promise);
  await absurd.spawn('long', {});
  const worker = await absurd.startWorker({ pollInterval: 0.02 });
  await until(async () => (await db.query(`select from absurd.r_default where state = 'running'`)).rows.length === 1);
  const closed = worker.close();
  await until(async () => (await rows(db))[0]?.['state'] === 'draining');
  expect(await rows(db)).toMatchObject([{ running: 1 }]);
  handler.open();
  await closed;
  expect(await rows(db)).toEqual([]);
});

test('workers of one process on one queue share a row, which lives as long as the last', async ({ absurd, db }) => {
  absurd.registerTask({ name: 'a' }, async () => 1);
  const twin = absurd.bindToConnection(absurd.con);
  const first = await absurd.startWorker({ concurrency: 2 });
  const second = await twin.startWorker({ concurrency: 5 });
  expect(second.workerId).toBe(first.workerId);
  await until(async () => (await rows(db))[0]?.['concurrency'] === 7);
  await first.close();
  await until(async () => (await rows(db))[0]?.['concurrency'] === 5);
  await second.close();
  expect(await rows(db)).toEqual([]);
});

test('workBatch registers nothing', async ({ absurd, db }) => {
  absurd.registerTask({ name: 'a' }, async () => 1);
  await absurd.spawn('a', {});
  expect(await absurd.workBatch('me')).toBe(1);
  expect(await rows(db)).toEqual([]);
});

describe('every 15 seconds', () => {
  /** Counts heartbeats on a database that is not there, by a clock of the test's own. */
  async function beating(heartbeat: () => unknown[] | Promise<unknown[]>) {
    vi.useFakeTimers();
    const log = new KeptLog();
    const fake = new FakeDatabase((text) => {
      if (text.includes('AS worker_registry')) return [{ worker_registry: true }];
      return text.includes('heartbeat_worker') ? heartbeat() : [];
    });
    const absurd = new Absurd({ db: fake, log });
    const errors: Error[] = [];
    const worker = await absurd.startWorker({ onError: (error) => errors.push(error) });
    await vi.advanceTimersByTimeAsync(1);
    const count = (part: string): number => fake.queries.filter(({ text }) => text.includes(part)).length;
    return { worker, errors, log, count };
  }

  /** By the clock of the test. */
  async function closing(worker: Worker): Promise<void> {
    const closed = worker.close();
    await vi.advanceTimersByTimeAsync(1000);
    await closed;
  }

  test('a beat comes, also after one that failed', async () => {
    const answers = [[{ done: true }], new Error('a lock was not granted'), [{ done: true }]];
    const { worker, errors, log, count } = await beating(() => {
      const answer = answers.shift() ?? [];
      if (answer instanceof Error) throw answer;
      return answer;
    });
    expect(count('heartbeat_worker($1')).toBe(1);
    await vi.advanceTimersByTimeAsync(14_900);
    expect(count('heartbeat_worker($1')).toBe(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(count('heartbeat_worker($1')).toBe(2);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(count('heartbeat_worker($1')).toBe(3);
    await closing(worker);
    expect(count('forget_worker($1')).toBe(1);
    expect({ errors, lines: log.lines }).toEqual({ errors: [], lines: [] });
  });

  test('without the right, one line in the log, and no other try than the next beat', async () => {
    const { worker, errors, log, count } = await beating(() => [{ done: null }]);
    await vi.advanceTimersByTimeAsync(61_000);
    expect(count('heartbeat_worker($1')).toBe(5);
    await closing(worker);
    expect(count('forget_worker($1')).toBe(0);
    expect(errors).toEqual([]);
    expect(log.lines).toEqual([
      'info: This role may not write to absurd.workers: list-workers infers this worker from its claims.',
    ]);
  });

  test('a worker closes also where the registry does not answer', async () => {
    const { worker, count } = await beating(() => new Promise(() => undefined) as never);
    let closed = false;
    void worker.close().then(() => (closed = true));
    await vi.advanceTimersByTimeAsync(6000);
    expect(closed).toBe(true);
    expect(count('forget_worker($1')).toBe(0);
  });
});

test('without the registry, as in the schema of the original, a worker asks for it once', async ({ absurd, db }) => {
  await db.query('drop function absurd.heartbeat_worker');
  absurd.registerTask({ name: 'a' }, async () => 1);
  const { taskID } = await absurd.spawn('a', {});
  const worker = await absurd.startWorker({ pollInterval: 0.02 });
  expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toMatchObject({ state: 'completed' });
  await worker.close();
  expect(await rows(db)).toEqual([]);
});

test('a role without the right works all the same, and is refused nothing', async ({ absurd, make, db, log }) => {
  await withGrants(db, 'worker', async ({ name, url }) => {
    await db.query(`revoke delete on absurd.workers from "${name}"`);
    const limited = make({ db: url });
    limited.registerTask({ name: 'a' }, async () => 1);
    const errors: Error[] = [];
    const worker = await limited.startWorker({ pollInterval: 0.02, onError: (error) => errors.push(error) });
    await until(() => log.lines.length > 0);
    const { taskID } = await absurd.spawn('a', {}, { queue: 'default' });
    expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toMatchObject({ state: 'completed' });
    await limited.close();
    void worker;
    expect({ errors, lines: log.lines.length, rows: await rows(db) }).toEqual({ errors: [], lines: 1, rows: [] });
  });
});

test('a locked registry does not hold the only connection of a worker', async ({ absurd, make, db, log }) => {
  const holder = await db.connect();
  await holder.query('begin; lock table absurd.workers');
  const url = new URL(db.url);
  const pool = make({ db: url.href });
  pool.registerTask({ name: 'a' }, async () => 1);
  const worker = await pool.startWorker({ pollInterval: 0.02 });
  const { taskID } = await absurd.spawn('a', {}, { queue: 'default' });
  expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toMatchObject({ state: 'completed' });
  await worker.close();
  await holder.query('commit');
  expect(log.lines).toEqual([]);
});
