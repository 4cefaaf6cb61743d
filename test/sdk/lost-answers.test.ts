import { processIdentity } from '../../src/sdk/identity.js';
import { expect, gate, runsOf, stateOf, test, until, type TestDatabase } from './support.js';

test('a claim whose answer was lost is found again, and nobody else’s run is', async ({ absurd, db }) => {
  const ran: string[] = [];
  absurd.registerTask({ name: 'job' }, async (_, ctx) => ran.push(ctx.taskID));
  const othersOld = await absurd.spawn('job', {});
  await db.claim('default', { worker: processIdentity(), timeout: 60 });
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
  expect((await absurd.awaitTaskResult(lost.taskID, { timeout: 60 })).state).toBe('completed');
  const before = claims;
  await until(() => claims > before + 5);
  await worker.close();
  expect(ran).toEqual([lost.taskID]);
  expect((await runsOf(db, lost.taskID)).map((run) => run.attempt)).toEqual([1]);
  expect(await stateOf(db, othersOld.taskID)).toBe('running');
});

test('a run that falls asleep while a lost claim is looked for is not taken for one', async ({ make, db }) => {
  const [mayStart, mayAnswer, found, asleep] = [gate(), gate(), gate(), gate()];
  const slow = {
    async query(text: string, values?: unknown[]) {
      const answer = await db.pool.query(text, values);
      if (!text.includes('r.claimed_by = $1')) return answer;
      found.open();
      await mayAnswer.promise;
      return answer;
    },
  };
  const absurd = make({ db: slow });
  await absurd.createQueue();
  let executions = 0;
  absurd.registerTask({ name: 'job' }, async (_, ctx) => {
    executions += 1;
    await mayStart.promise;
    try {
      await ctx.sleepFor('nap', 600);
    } finally {
      asleep.open();
    }
  });
  const { taskID } = await absurd.spawn('job', {});
  const claimTasks = absurd.claimTasks.bind(absurd);
  let claims = 0;
  absurd.claimTasks = async (options) => {
    claims += 1;
    if (claims === 2) throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    return claimTasks(options);
  };
  const worker = await absurd.startWorker({ concurrency: 2, pollInterval: 0.01, onError: () => undefined });
  await found.promise;
  mayStart.open();
  await asleep.promise;
  expect(await stateOf(db, taskID)).toBe('sleeping');
  mayAnswer.open();
  await until(() => claims > 5);
  await worker.close();
  expect(executions).toBe(1);
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
        if (call === 'schedule_run') await ctx.sleepFor('nap', 0.5);
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
    expect((await two.awaitTaskResult(taskID, { timeout: 60 })).state).toBe('completed');
    expect((await two.awaitTaskResult(next, { timeout: 60 })).state).toBe('completed');
    await Promise.all([first.close(), second.close()]);
    const steps = ran.filter(({ task }) => task === taskID).map(({ step }) => step);
    expect(steps).toEqual(['before by one', 'after by two']);
    expect((await runsOf(db, taskID)).map((run) => [run.state, run.claimed_by])).toEqual([['completed', 'two']]);
  });
}

test('a run that another process of the same name has by now is left to it', async ({ make, db }) => {
  const cut = losing(db, 'schedule_run');
  const absurd = make({ db: cut });
  await absurd.createQueue();
  absurd.registerTask({ name: 'job' }, async (_, ctx) => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    await ctx.sleepFor('nap', 1);
  });
  const { taskID } = await absurd.spawn('job', {});
  const worker = await absurd.startWorker({ workerId: 'mailer', pollInterval: 10, claimTimeout: 600 });
  await cut.lost;
  const [anew] = await until(async () => {
    const claimed = await db.claim('default', { worker: 'mailer', timeout: 600 });
    return claimed.length > 0 ? claimed : undefined;
  });
  expect(anew?.task_id).toBe(taskID);
  cut.back();
  await worker.close();
  expect((await runsOf(db, taskID)).map((run) => [run.state, run.attempt])).toEqual([['running', 1]]);
});

test('a run that woke, and whose claim by the same worker is on its way, is left to that claim', async ({
  make,
  db,
}) => {
  const [lost, back, claimed, looked, mayHear, goOn] = [gate(), gate(), gate(), gate(), gate(), gate()];
  let losses = 0;
  const cut = {
    async query(text: string, values?: unknown[]) {
      if (text.includes('claimed_ms_ago') && losses > 0) await claimed.promise;
      const answer = await db.pool.query(text, values);
      if (text.includes('claimed_ms_ago') && losses > 0) looked.open();
      if (!text.includes('await_event') || losses > 0) return answer;
      losses += 1;
      lost.open();
      await back.promise;
      throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    },
  };
  const [absurd, other] = [make({ db: cut }), make()];
  await absurd.createQueue();
  let after = 0;
  absurd.registerTask({ name: 'job' }, async (_, ctx) => {
    await ctx.awaitEvent('go');
    await ctx.step('after', async () => {
      after += 1;
      await goOn.promise;
    });
  });
  const claimTasks = absurd.claimTasks.bind(absurd);
  let taken = 0;
  absurd.claimTasks = async (options) => {
    const tasks = await claimTasks(options);
    taken += tasks.length;
    if (taken === 2) {
      claimed.open();
      await mayHear.promise;
    }
    return tasks;
  };
  const { taskID } = await absurd.spawn('job', {});
  const worker = await absurd.startWorker({ concurrency: 2, pollInterval: 0.01, claimTimeout: 600 });
  await lost.promise;
  await other.emitEvent('go');
  await claimed.promise;
  back.open();
  await looked.promise;
  // Time enough for an execution that thinks the run is still its own.
  await new Promise((resolve) => setTimeout(resolve, 100));
  mayHear.open();
  await until(() => after > 0);
  await new Promise((resolve) => setTimeout(resolve, 100));
  goOn.open();
  expect((await other.awaitTaskResult(taskID, { timeout: 60 })).state).toBe('completed');
  await worker.close();
  expect(after).toBe(1);
});
