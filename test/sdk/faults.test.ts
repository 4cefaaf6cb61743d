import { expect, gate, runsOf, stateOf, test as base, until } from './support.js';
import {
  expireLeases,
  killWorker,
  ledgerOf,
  makeLedger,
  startWorkerProcess,
  type WorkerProcess,
} from './worker-process.js';

const test = base.extend<{ work: (id: string, options?: object) => Promise<WorkerProcess> }>({
  work: async ({ db }, use) => {
    await makeLedger(db);
    const started: WorkerProcess[] = [];
    await use(async (id, options) => {
      const worker = await startWorkerProcess(db, id, options);
      started.push(worker);
      return worker;
    });
    for (const { child, exited } of started) {
      child.kill('SIGKILL');
      await exited;
    }
  },
});

test('kill -9: what was done is kept, what was not is done by another worker', async ({ absurd, db, work }) => {
  const first = await work('first');
  const { taskID } = await absurd.spawn('two steps', { stuckOn: 'first' }, { queue: 'default' });
  await first.says(`stuck ${taskID}`);
  await killWorker(db, 'first', first);
  await expireLeases(db);
  await work('second');
  expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toEqual({ state: 'completed', result: 'second' });
  expect(await ledgerOf(db, taskID)).toEqual(['first: one', 'second: two']);
  const [lost, done] = await runsOf(db, taskID);
  expect(lost).toMatchObject({ state: 'failed', failure_reason: { name: '$ClaimTimeout' } });
  expect(done).toMatchObject({ state: 'completed', attempt: 2 });
});

test('kill -9 amid many completions: none is lost, none that was finished runs again', async ({ absurd, db, work }) => {
  const spawned = await absurd.spawnMany(
    Array.from({ length: 600 }, (_, n) => ({ name: 'quick', params: { n }, options: { queue: 'default' } })),
  );
  const first = await work('first', { concurrency: 20 });
  await until(
    async () => (await db.query(`select 1 from absurd.t_default where state = 'completed' offset 100 limit 1`)).rows[0],
  );
  await killWorker(db, 'first', first);
  const before = await db.query<{ n: number }>(
    `select count(*)::int as n from absurd.t_default where state = 'completed'`,
  );
  expect(before.rows[0]?.n).toBeLessThan(600);
  await expireLeases(db);
  await work('second', { concurrency: 20 });
  for (const [n, { taskID }] of spawned.entries()) {
    expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toMatchObject({ state: 'completed', result: { n } });
  }
  const after = await db.query<{ n: number }>(
    `select count(*)::int as n from absurd.t_default where completed_payload->>'by' = 'first'`,
  );
  expect(after.rows).toEqual(before.rows);
  const again = await db.query(
    `select l.task_id from ledger l join absurd.t_default t on t.task_id = l.task_id
      where t.completed_payload->>'by' = 'first' and l.worker = 'second'`,
  );
  expect(again.rows).toEqual([]);
});

test('stopped beyond its lease and resumed: the old worker changes nothing, lives on and takes new work', async ({
  absurd,
  db,
  work,
}) => {
  const first = await work('first', { claimTimeout: 1, fatalOnLeaseTimeout: false });
  const { taskID } = await absurd.spawn('two steps', { stuckOn: 'first', holdMs: 1500 }, { queue: 'default' });
  await first.says(`stuck ${taskID}`);
  first.child.kill('SIGSTOP');
  await expireLeases(db);
  const second = await work('second');
  expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toEqual({ state: 'completed', result: 'second' });
  await killWorker(db, 'second', second);
  first.child.kill('SIGCONT');
  const next = await absurd.spawn('two steps', {}, { queue: 'default' });
  expect(await absurd.awaitTaskResult(next.taskID, { timeout: 60 })).toEqual({ state: 'completed', result: 'first' });
  expect(await ledgerOf(db, taskID)).toEqual(['first: one', 'second: two']);
  expect((await runsOf(db, taskID)).map((run) => [run.state, run.claimed_by])).toEqual([
    ['failed', 'first'],
    ['completed', 'second'],
  ]);
  expect(await stateOf(db, taskID)).toBe('completed');
  expect(first.child.exitCode).toBeNull();
});

test('connections that the server cuts are made anew, busy or idle', async ({ make, db }) => {
  const absurd = make();
  await absurd.createQueue();
  let steps = 0;
  absurd.registerTask({ name: 'job' }, async (_, ctx) => {
    for (let n = 0; n < 10; n += 1) {
      await ctx.step('s', async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return (steps += 1);
      });
    }
  });
  const worker = await absurd.startWorker({ concurrency: 8, pollInterval: 0.02, onError: () => undefined });
  const spawned = await absurd.spawnMany(Array.from({ length: 24 }, () => ({ name: 'job' })));
  for (let n = 0; n < 8; n += 1) {
    const before = steps;
    await until(() => steps > before + 5 || steps === 240);
    await db.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    );
  }
  for (const { taskID } of spawned) {
    const runs = await until(async () => {
      const found = await runsOf(db, taskID);
      return found.every((run) => run.state === 'completed') ? found : undefined;
    });
    expect(runs.map((run) => run.attempt)).toEqual([1]);
  }
  await worker.close();
  expect(steps).toBe(240);
});

test('what still runs is handed back by the time that close resolves, however slow the server', async ({
  make,
  db,
}) => {
  const slow = {
    async query(text: string, values?: unknown[]) {
      // Longer than a handler has to wind up.
      if (text.includes('schedule_run')) await new Promise((resolve) => setTimeout(resolve, 500));
      return db.pool.query(text, values);
    },
  };
  const absurd = make({ db: slow });
  await absurd.createQueue();
  absurd.registerTask({ name: 'stuck' }, () => new Promise(() => undefined));
  const { taskID } = await absurd.spawn('stuck', {});
  const worker = await absurd.startWorker({ pollInterval: 0.01, claimTimeout: 600 });
  await until(async () => (await stateOf(db, taskID)) === 'running');
  await worker.close({ timeout: 0 });
  expect((await runsOf(db, taskID)).map((run) => run.state)).toEqual(['sleeping']);
});

test('so is what a claim brings once the time of a closing worker is up', async ({ make, db }) => {
  const claiming = gate();
  const goOn = gate();
  const slow = {
    async query(text: string, values?: unknown[]) {
      const answer = await db.pool.query(text, values);
      if (text.includes('claim_task') && answer.rows.length > 0) {
        claiming.open();
        await goOn.promise;
      }
      return answer;
    },
  };
  const absurd = make({ db: slow });
  await absurd.createQueue();
  let ran = false;
  absurd.registerTask({ name: 'stuck' }, async () => (ran = true));
  const { taskID } = await absurd.spawn('stuck', {});
  const worker = await absurd.startWorker({ pollInterval: 0.01, claimTimeout: 600 });
  await claiming.promise;
  const closed = worker.close({ timeout: 0 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  goOn.open();
  await closed;
  expect(ran).toBe(false);
  expect((await runsOf(db, taskID)).map((run) => run.state)).toEqual(['sleeping']);
});
