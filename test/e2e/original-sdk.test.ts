/** The published absurd-sdk runs a workflow on our schema, while our commands watch it and act on it. */
import { Absurd, TimeoutError } from 'absurd-sdk';
import { Absurd as Ours, ChildFailedError } from '../../src/sdk/index.js';
import { expect, test, type TestDatabase } from '../support/database.js';
import { run, type RunResult } from '../support/command.js';

interface Dump {
  state: string;
  attempts: number;
  runs: { state: string; attempt: number; wake_event: string | null }[];
  waits: { event_name: string }[];
  checkpoints: { checkpoint_name: string; state: unknown }[];
  completed_payload: unknown;
}

const quiet = { log: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** Looks by our dump until it fits. */
async function until(db: TestDatabase, id: string, fits: (dump: Dump) => boolean): Promise<Dump> {
  let dump: Dump | undefined;
  await expect
    .poll(
      async () => {
        dump = (await run(['dump-task', id, '--json'], db)).json<Dump>();
        return fits(dump);
      },
      { timeout: 15_000 },
    )
    .toBe(true);
  return dump as Dump;
}

test('steps, a sleep, an event, a timeout and a retry, watched by our commands', async ({ db }) => {
  const created: RunResult = await run(['create-queue', 'orders'], db);
  expect(created.code).toBe(0);
  const app = new Absurd({ db: db.pool, queueName: 'orders', log: quiet });
  let failures = 0;
  const ran: string[] = [];
  app.registerTask({ name: 'order' }, async (params: { item: string }, ctx) => {
    const reserved = await ctx.step('reserve', async () => {
      ran.push('reserve');
      return { item: params.item };
    });
    await ctx.step('charge', async () => {
      ran.push('charge');
      if (failures++ === 0) throw new TypeError('the bank is asleep');
      return { cents: 1999 };
    });
    await ctx.sleepFor('settle', 1);
    let late = false;
    try {
      await ctx.awaitEvent('never', { timeout: 1 });
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      late = true;
    }
    const packed = await ctx.awaitEvent('packed');
    return { reserved, packed, late };
  });
  const worker = await app.startWorker({ concurrency: 2, pollInterval: 0.05, workerId: 'theirs' });
  try {
    const spawned = await run(
      [
        'spawn-task',
        'order',
        '-q',
        'orders',
        '-P',
        'item=book',
        '--max-attempts',
        '3',
        '--retry-kind',
        'fixed',
        '--retry-base',
        '0',
        '--json',
      ],
      db,
    );
    const { task_id: id } = spawned.json<{ task_id: string }>();

    const asleep = await until(
      db,
      id,
      (dump) => dump.attempts === 2 && dump.state === 'sleeping' && dump.waits.length === 0,
    );
    expect(asleep.runs).toMatchObject([
      { attempt: 1, state: 'failed' },
      { attempt: 2, state: 'sleeping' },
    ]);
    const text = await run(['dump-task', id], db);
    expect(text.stdout).toContain('TypeError: the bank is asleep');

    const waiting = await until(db, id, (dump) => dump.waits.some((wait) => wait.event_name === 'packed'));
    expect(waiting.checkpoints.map((one) => one.checkpoint_name)).toEqual(['reserve', 'charge', 'settle']);
    const why = (await run(['why', id, '--json'], db)).json<{ code: string }>();
    expect(why.code).toMatch(/event/);
    const listed = await run(['list-tasks', '-q', 'orders', '-s', 'sleeping', '--json'], db);
    expect(listed.json()).toMatchObject([{ task_id: id, wake_event: 'packed' }]);

    const emitted = await run(['emit-event', 'packed', '-q', 'orders', '-P', 'grams:=450', '--json'], db);
    expect(emitted.json()).toMatchObject({ first: true, waiting: 1 });
    const done = await run(['await-task', id, '--timeout', '15', '--json'], db);
    expect(done.code).toBe(0);
    expect(done.json()).toMatchObject([
      { state: 'completed', attempts: 2, result: { reserved: { item: 'book' }, packed: { grams: 450 }, late: true } },
    ]);
    expect(ran).toEqual(['reserve', 'charge', 'charge']);
  } finally {
    await worker.close();
    await app.close();
  }
});

test('a task of theirs that failed goes on after our retry, and one that we cancel stops', async ({ db }) => {
  await run(['create-queue', 'jobs'], db);
  const app = new Absurd({ db: db.pool, queueName: 'jobs', log: quiet });
  let broken = true;
  let steps = 0;
  app.registerTask({ name: 'flaky', defaultMaxAttempts: 1 }, async (_params, ctx) => {
    await ctx.step('once', async () => ++steps);
    if (broken) throw new Error('not yet');
    return 'fine';
  });
  let beats = 0;
  app.registerTask({ name: 'endless' }, async (_params, ctx) => {
    for (;;) {
      await ctx.heartbeat(60);
      beats++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  const worker = await app.startWorker({ concurrency: 2, pollInterval: 0.05 });
  try {
    const { taskID } = await app.spawn('flaky', {});
    const failed = await run(['await-task', taskID, '--timeout', '15'], db);
    expect(failed.code).toBe(6);
    broken = false;
    expect((await run(['retry-task', taskID], db)).code).toBe(0);
    expect((await run(['await-task', taskID, '--timeout', '15'], db)).code).toBe(0);
    expect(steps).toBe(1);

    const endless = await app.spawn('endless', {});
    await expect.poll(() => beats, { timeout: 60_000 }).toBeGreaterThan(0);
    expect((await run(['cancel-task', endless.taskID], db)).code).toBe(0);
    expect((await run(['await-task', endless.taskID], db)).code).toBe(6);
    const seen = beats;
    // Its worker is free again: it takes and finishes further work.
    const after = await app.spawn('flaky', {});
    expect((await run(['await-task', after.taskID, '--timeout', '15'], db)).code).toBe(0);
    expect(beats).toBeLessThanOrEqual(seen + 2);
  } finally {
    await worker.close();
    await app.close();
  }
});

test('a parent of ours calls children that their worker runs, in its own queue and in another', async ({ db }) => {
  const ours = new Ours({ db: db.pool, queueName: 'parents', log: quiet });
  await ours.createQueue();
  await ours.createQueue('children');
  ours.registerTask({ name: 'parent' }, async (_, ctx) => {
    const quick = await ctx.call<object, number>('theirs', { n: 20 }, { queue: 'children' });
    const failed = await ctx
      .call('theirs', { n: -1 }, { queue: 'children', maxAttempts: 1 })
      .catch((error: unknown) => {
        if (!(error instanceof ChildFailedError)) throw error;
        return error.state;
      });
    const many = await Promise.all(
      Array.from({ length: 20 }, (__, n) => ctx.spawn('theirs', { n }, { queue: 'children' })),
    );
    const ends = await ctx.awaitTasks(many);
    return [quick, failed, ends.filter(({ state }) => state === 'completed').length];
  });
  const app = new Absurd({ db: db.pool, queueName: 'children', log: quiet });
  app.registerTask({ name: 'theirs' }, async ({ n }: { n: number }, ctx) => {
    if (n < 0) throw new Error('too small');
    if (n % 5 === 0) await ctx.sleepFor('nap', 0.1);
    return n * 2;
  });
  const workers = [
    await app.startWorker({ concurrency: 3, pollInterval: 0.05 }),
    await ours.startWorker({ pollInterval: 0.05 }),
  ];
  try {
    const { taskID } = await ours.spawn('parent', {});
    expect(await ours.awaitTaskResult(taskID, { timeout: 50 })).toEqual({
      state: 'completed',
      result: [40, 'failed', 20],
    });
  } finally {
    await Promise.all(workers.map((worker) => worker.close()));
  }
});
