import { afterEach, describe, expect, runsOf, stateOf, test, type TestDatabase } from './support.js';
import { Absurd, type TaskHandler } from '../../src/sdk/index.js';

const realNow = Date.now;
const RealDate = Date;

/** This process's clock is wrong by so many seconds, for `new Date()` too. */
function skewClock(seconds: number): void {
  const now = (): number => realNow() + seconds * 1000;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args) => (args.length === 0 ? new target(now()) : Reflect.construct(target, args)),
    get: (target, key) => (key === 'now' ? now : Reflect.get(target, key)),
  }) as DateConstructor;
}

afterEach(() => {
  globalThis.Date = RealDate;
});

async function start(db: TestDatabase, handler: TaskHandler): Promise<{ client: Absurd; id: string }> {
  const client = new Absurd({ db: db.pool, log: { log() {}, info() {}, warn() {}, error() {} } });
  await client.createQueue();
  client.registerTask({ name: 'job', defaultMaxAttempts: 1 }, handler);
  return { client, id: (await client.spawn('job', {})).taskID };
}

/** How long the run sleeps by the server's clock, in seconds. */
async function asleepFor(db: TestDatabase, id: string): Promise<number> {
  expect(await stateOf(db, id)).toBe('sleeping');
  const run = (await runsOf(db, id)).at(-1);
  const { rows } = await db.query<{ now: Date }>('select absurd.current_time() as now');
  return ((run?.available_at.getTime() ?? 0) - (rows[0]?.now.getTime() ?? 0)) / 1000;
}

/** A frozen clock of the server that is near the real one, and not before what was just spawned. */
const freeze = (db: TestDatabase): Promise<void> => db.freeze(new RealDate(realNow() + 10));

describe.for([20, -20])('a worker whose clock is wrong by %i seconds', (skew) => {
  for (const seconds of [1, 60]) {
    test(`sleepFor(${seconds}) ends when it ends for the server, on another worker too`, async ({ db }) => {
      const { client, id } = await start(db, async (_, ctx) => ctx.sleepFor('nap', seconds));
      await freeze(db);
      skewClock(skew);
      await client.workBatch();
      expect(await asleepFor(db, id)).toBeCloseTo(seconds, 0);
      skewClock(0);
      await db.advance(`${seconds + 0.5} seconds`);
      await client.workBatch();
      expect(await stateOf(db, id)).toBe('completed');
    });

    test(`resumes sleepFor(${seconds}) of another worker once, when it is over`, async ({ db }) => {
      const { client, id } = await start(db, async (_, ctx) => ctx.sleepFor('nap', seconds));
      await freeze(db);
      await client.workBatch();
      skewClock(skew);
      await db.advance(`${seconds + 0.5} seconds`);
      await client.workBatch();
      expect(await stateOf(db, id)).toBe('completed');
    });
  }

  test('neither ends a sleep early nor late that an event interrupts', async ({ db }) => {
    const { client, id } = await start(db, async (_, ctx) => {
      await Promise.all([ctx.awaitEvent('go'), ctx.sleepFor('nap', 60)]);
    });
    await freeze(db);
    skewClock(skew);
    await client.workBatch();
    expect(await asleepFor(db, id)).toBeCloseTo(60, 0);
    skewClock(-skew);
    await db.advance('50 seconds');
    await client.emitEvent('go');
    await client.workBatch();
    expect(await asleepFor(db, id)).toBeCloseTo(10, 0);
    await db.advance('10.5 seconds');
    await client.workBatch();
    expect(await stateOf(db, id)).toBe('completed');
  });

  test('a sleep whose length depends on the clock is over when it is over', async ({ db }) => {
    let nextLength = 2;
    const { client, id } = await start(db, async (_, ctx) => {
      const seconds = nextLength;
      nextLength = 86_400;
      await ctx.sleepFor('until midnight', seconds);
    });
    await freeze(db);
    await client.workBatch();
    // The worker that resumes it has its clock right, or ahead.
    skewClock(Math.max(0, skew));
    await db.advance('2.5 seconds');
    skewClock(Math.max(3, skew));
    await client.workBatch();
    expect(await stateOf(db, id)).toBe('completed');
  });

  test('sleepUntil ends when the date has come for the server, in the first execution too', async ({ db }) => {
    const until = new RealDate(realNow() + 10_000);
    const { client, id } = await start(db, async (_, ctx) => ctx.sleepUntil('date', until));
    await freeze(db);
    skewClock(skew);
    await client.workBatch();
    expect(await asleepFor(db, id)).toBeCloseTo(10, 0);
    await db.advance('10.5 seconds');
    await client.workBatch();
    expect(await stateOf(db, id)).toBe('completed');
  });

  test('a later attempt on another worker does not sleep again', async ({ db }) => {
    const { client, id } = await start(db, async () => undefined);
    client.registerTask({ name: 'job', defaultMaxAttempts: 2 }, async (_, ctx) => {
      await ctx.sleepFor('nap', 5);
      if (ctx.attempt === 1) throw new Error('once');
    });
    const { taskID } = await client.spawn('job', {}, { maxAttempts: 2 });
    await client.cancelTask(id);
    await freeze(db);
    skewClock(skew);
    await client.workBatch();
    expect(await asleepFor(db, taskID)).toBeCloseTo(5, 0);
    await db.advance('5.5 seconds');
    skewClock(0);
    await client.workBatch();
    await client.workBatch();
    expect(await stateOf(db, taskID)).toBe('completed');
  });

  test('a second attempt sleeps what is left of the first one’s sleep', async ({ db }) => {
    const { client, id } = await start(db, async () => undefined);
    await client.cancelTask(id);
    client.registerTask({ name: 'two' }, async (_, ctx) => {
      const nap = ctx.sleepFor('nap', 60);
      await (ctx.attempt === 1 ? Promise.race([nap, ctx.awaitEvent('go')]) : nap);
      if (ctx.attempt === 1) throw new Error('once');
    });
    const { taskID } = await client.spawn('two', {}, { maxAttempts: 2 });
    await freeze(db);
    skewClock(skew);
    await client.workBatch();
    await db.advance('20 seconds');
    await client.emitEvent('go');
    skewClock(-skew);
    await client.workBatch();
    await client.workBatch();
    expect(await asleepFor(db, taskID)).toBeCloseTo(40, 0);
  });
});
