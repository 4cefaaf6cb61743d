import { hostname } from 'node:os';
import { expect, gate, runsOf, stateOf, test as base, until, type TestDatabase } from './support.js';
import { expireLeases, ledgerOf, makeLedger, startWorkerProcess, type WorkerProcess } from './worker-process.js';

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
  first.child.kill('SIGKILL');
  expect(await first.exited).toBe('SIGKILL');
  await expireLeases(db);
  await work('second');
  expect(await absurd.awaitTaskResult(taskID, { timeout: 10 })).toEqual({ state: 'completed', result: 'second' });
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
  first.child.kill('SIGKILL');
  await first.exited;
  const before = await db.query<{ n: number }>(
    `select count(*)::int as n from absurd.t_default where state = 'completed'`,
  );
  expect(before.rows[0]?.n).toBeLessThan(600);
  await expireLeases(db);
  await work('second', { concurrency: 20 });
  for (const [n, { taskID }] of spawned.entries()) {
    expect(await absurd.awaitTaskResult(taskID, { timeout: 20 })).toMatchObject({ state: 'completed', result: { n } });
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
  expect(await absurd.awaitTaskResult(taskID, { timeout: 10 })).toEqual({ state: 'completed', result: 'second' });
  second.child.kill('SIGKILL');
  await second.exited;
  first.child.kill('SIGCONT');
  const next = await absurd.spawn('two steps', {}, { queue: 'default' });
  expect(await absurd.awaitTaskResult(next.taskID, { timeout: 10 })).toEqual({ state: 'completed', result: 'first' });
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

test('a claim whose answer was lost is found again, and nobody else’s run is', async ({ absurd, db }) => {
  const ran: string[] = [];
  absurd.registerTask({ name: 'job' }, async (_, ctx) => ran.push(ctx.taskID));
  const othersOld = await absurd.spawn('job', {});
  await db.claim('default', { worker: `${hostname()}:${process.pid}`, timeout: 60 });
  await db.query(`update absurd.r_default set started_at = started_at - interval '1 minute',
    claim_expires_at = claim_expires_at - interval '1 minute' + interval '1 hour'`);
  const lost = await absurd.spawn('job', {});
  const claimTasks = absurd.claimTasks.bind(absurd);
  let claims = 0;
  absurd.claimTasks = async (options) => {
    const claimed = await claimTasks(options);
    claims += 1;
    if (claims === 1) throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    return claimed;
  };
  const worker = await absurd.startWorker({ claimTimeout: 60, pollInterval: 0.02, onError: () => undefined });
  expect((await absurd.awaitTaskResult(lost.taskID, { timeout: 5 })).state).toBe('completed');
  const before = claims;
  await until(() => claims > before + 5);
  await worker.close();
  expect(ran).toEqual([lost.taskID]);
  expect((await runsOf(db, lost.taskID)).map((run) => run.attempt)).toEqual([1]);
  expect(await stateOf(db, othersOld.taskID)).toBe('running');
});

test('a worker that shares its name takes none of the others’ runs for what it lost', async ({ absurd, db }) => {
  const ran: string[] = [];
  absurd.registerTask({ name: 'job' }, async (_, ctx) => ran.push(ctx.taskID));
  const claimTasks = absurd.claimTasks.bind(absurd);
  const lost = gate();
  const goOn = gate();
  let claims = 0;
  absurd.claimTasks = async (options) => {
    claims += 1;
    if (claims > 1) return claimTasks(options);
    lost.open();
    await goOn.promise;
    throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
  };
  const worker = await absurd.startWorker({
    workerId: 'mailer',
    claimTimeout: 60,
    pollInterval: 0.02,
    onError: () => undefined,
  });
  await lost.promise;
  const others = await absurd.spawn('job', {});
  await db.claim('default', { worker: 'mailer', timeout: 60 });
  goOn.open();
  await until(() => claims > 5);
  await worker.close();
  expect(ran).toEqual([]);
  expect(await stateOf(db, others.taskID)).toBe('running');
});

test('a claim whose answer was lost while its worker closed is handed back', async ({ absurd, db }) => {
  absurd.registerTask({ name: 'job' }, async () => 'done');
  const { taskID } = await absurd.spawn('job', {});
  const claimTasks = absurd.claimTasks.bind(absurd);
  let closed: Promise<void> | undefined;
  absurd.claimTasks = async (options) => {
    const claimed = await claimTasks(options);
    closed = worker.close();
    throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', claimed });
  };
  const worker = await absurd.startWorker({ claimTimeout: 600, onError: () => undefined });
  await until(() => closed !== undefined);
  await closed;
  expect(await stateOf(db, taskID)).toBe('sleeping');
  expect(await db.claim('default')).toHaveLength(1);
});

/** A database that does what it is asked, loses the first answer to one kind of call, and then answers only once told to. */
function losing(db: TestDatabase, call: string) {
  const lost = gate();
  const back = gate();
  let losses = 0;
  return {
    lost: lost.promise,
    back: back.open,
    async query(text: string, values?: unknown[]) {
      if (losses > 0) await back.promise;
      const answer = await db.pool.query(text, values);
      if (!text.includes(call) || losses > 0) return answer;
      losses += 1;
      lost.open();
      throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    },
  };
}

for (const [what, call] of [
  ['sleeps', 'schedule_run'],
  ['waits for an event', 'await_event'],
] as const) {
  test(`a run that ${what}, unknown to its worker, and goes on elsewhere is left alone`, async ({ make, db }) => {
    const cut = losing(db, call);
    const [one, two] = [make({ db: cut }), make()];
    await two.createQueue();
    const ran: { task: string; step: string }[] = [];
    const again = gate();
    const goOn = gate();
    for (const client of [one, two]) {
      client.registerTask({ name: 'job' }, async (_, ctx) => {
        const note = (step: string): number => ran.push({ task: ctx.taskID, step: `${step} by ${ctx.workerID}` });
        await ctx.step('before', async () => note('before'));
        if (call === 'schedule_run') await ctx.sleepFor('nap', 0.1);
        else await ctx.awaitEvent('go');
        await ctx.step('after', async () => {
          note('after');
          again.open();
          await goOn.promise;
        });
        return ctx.workerID;
      });
    }
    const { taskID } = await two.spawn('job', {});
    const options = { pollInterval: 0.01, claimTimeout: 600, onError: () => undefined };
    const first = await one.startWorker({ ...options, workerId: 'one' });
    await cut.lost;
    await two.emitEvent('go');
    const second = await two.startWorker({ ...options, workerId: 'two' });
    await again.promise;
    cut.back();
    // The first worker hears what became of its call, and takes other work.
    const { taskID: next } = await two.spawn('job', {});
    await until(() => ran.some(({ step }) => step === 'after by one'));
    goOn.open();
    expect((await two.awaitTaskResult(taskID, { timeout: 10 })).state).toBe('completed');
    expect((await two.awaitTaskResult(next, { timeout: 10 })).state).toBe('completed');
    await Promise.all([first.close(), second.close()]);
    const steps = ran.filter(({ task }) => task === taskID).map(({ step }) => step);
    expect(steps).toEqual(['before by one', 'after by two']);
    expect((await runsOf(db, taskID)).map((run) => [run.state, run.claimed_by])).toEqual([['completed', 'two']]);
  });
}

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
