import { Absurd, SuspendTask, TaskContext, TimeoutError, type TaskHandler } from '../../src/sdk/index.js';
import {
  checkpointsOf,
  claimedTask,
  describe,
  expect,
  FakeDatabase,
  runsOf,
  stateOf,
  test,
  type TestDatabase,
} from './support.js';

/** Spawns a task with that handler on a client of the test's clock. */
async function start(
  db: TestDatabase,
  handler: TaskHandler,
  options = {},
): Promise<{ client: Absurd; taskID: string }> {
  const client = new Absurd({ db: db.pool, log: { log() {}, info() {}, warn() {}, error() {} } });
  await client.createQueue();
  client.registerTask({ name: 'job', defaultMaxAttempts: 3 }, handler);
  const { taskID } = await client.spawn('job', {}, options);
  return { client, taskID };
}

describe('steps', () => {
  test('run once, in any number of attempts, and are numbered by use', async ({ db }) => {
    const ran: string[] = [];
    let attempts = 0;
    const { client, taskID } = await start(db, async (_, ctx) => {
      const values: unknown[] = [];
      for (const n of [1, 2, 3]) {
        values.push(
          await ctx.step('again', async () => {
            ran.push(`again ${n}`);
            return { n };
          }),
        );
      }
      values.push(await ctx.step<undefined>('nothing', async () => (ran.push('nothing'), undefined)));
      attempts += 1;
      if (attempts === 1) throw new Error('after the steps');
      return { values, attempt: ctx.attempt };
    });
    await client.workBatch();
    await client.workBatch();
    expect(ran).toEqual(['again 1', 'again 2', 'again 3', 'nothing']);
    expect(await checkpointsOf(db, taskID)).toEqual({
      again: { n: 1 },
      'again#2': { n: 2 },
      'again#3': { n: 3 },
      nothing: null,
    });
    expect(await client.fetchTaskResult(taskID)).toEqual({
      state: 'completed',
      result: { values: [{ n: 1 }, { n: 2 }, { n: 3 }, null], attempt: 2 },
    });
  });

  test('keep apart what is named like another one’s second use', async ({ db }) => {
    const { client, taskID } = await start(db, async (_, ctx) => {
      const values: unknown[] = [];
      for (const name of ['a', 'a#2', 'a', 'a', 'a#2', 'a#3']) {
        values.push(await ctx.step(name, async () => values.length));
      }
      if (ctx.attempt === 1) throw new Error('again');
      return values;
    });
    await client.workBatch();
    await client.workBatch();
    expect(await client.fetchTaskResult(taskID)).toEqual({ state: 'completed', result: [0, 1, 2, 3, 4, 5] });
    expect(Object.keys(await checkpointsOf(db, taskID)).sort()).toEqual(['a', 'a#2', 'a#2#2', 'a#3', 'a#3#2', 'a#4']);
  });

  test('can be taken in two halves', async ({ db }) => {
    const handles: unknown[] = [];
    const { client, taskID } = await start(db, async (_, ctx) => {
      const handle = await ctx.beginStep<number>('turn');
      handles.push(handle);
      if (!handle.done) expect(await ctx.completeStep(handle, 7)).toBe(7);
      else expect(await ctx.completeStep(handle, 99)).toBe(7);
      expect((await ctx.beginStep('turn')).checkpointName).toBe('turn#2');
      if (ctx.attempt === 1) throw new Error('again');
    });
    await client.workBatch();
    await client.workBatch();
    expect(await stateOf(db, taskID)).toBe('completed');
    expect(handles).toEqual([
      { name: 'turn', checkpointName: 'turn', done: false },
      { name: 'turn', checkpointName: 'turn', done: true, state: 7 },
    ]);
    expect(await checkpointsOf(db, taskID)).toEqual({ turn: 7 });
  });

  test('extend the lease, and never shorten one that heartbeat set', async ({ db }) => {
    const leases: number[] = [];
    await db.freeze('2030-01-01T00:00:00Z');
    const { client, taskID } = await start(db, async (_, ctx) => {
      const note = async (): Promise<void> => {
        const [run] = await runsOf(db, ctx.taskID);
        leases.push(((run?.claim_expires_at?.getTime() ?? 0) - Date.parse('2030-01-01T00:00:00Z')) / 1000);
      };
      await note();
      await db.advance('10 seconds');
      await ctx.step('a', async () => 1);
      await note();
      await ctx.heartbeat(600);
      await note();
      await ctx.step('b', async () => 1);
      await ctx.heartbeat();
      await note();
      await ctx.heartbeat(5);
      await ctx.step('c', async () => 1);
      await note();
    });
    await client.workBatch('w', 60);
    expect(await stateOf(db, taskID)).toBe('completed');
    expect(leases).toEqual([60, 70, 610, 610, 70]);
  });

  test('are not begun once another worker has the task', async ({ db }) => {
    let ran = false;
    const { client, taskID } = await start(db, async (_, ctx) => {
      await db.advance('61 seconds');
      const [taken] = await db.claim('default', { worker: 'thief', qty: 5 });
      expect(taken).toMatchObject({ attempt: 2 });
      // Our own clock has to have passed the lease too, as after a pause of the process.
      const now = Date.now;
      Date.now = () => now() + 61_000;
      try {
        await ctx.step('late', async () => (ran = true));
      } finally {
        Date.now = now;
      }
    });
    await db.freeze(new Date());
    await client.workBatch('w', 60);
    expect(ran).toBe(false);
    expect((await runsOf(db, taskID)).map((run) => [run.state, run.claimed_by])).toEqual([
      ['failed', 'w'],
      ['running', 'thief'],
    ]);
  });
});

describe('sleep', () => {
  test('holds its date in the checkpoint, and the run by the server’s clock', async ({ db }) => {
    const before = Date.now();
    let woken = false;
    const { client, taskID } = await start(db, async (_, ctx) => {
      await ctx.sleepFor('nap', 30);
      woken = true;
      await ctx.sleepUntil('past', new Date(5));
      await ctx.sleepFor('nap', -1);
    });
    await db.freeze('2030-01-01T00:00:00Z');
    await client.workBatch();
    const [run] = await runsOf(db, taskID);
    expect(run?.state).toBe('sleeping');
    const ahead = ((run?.available_at.getTime() ?? 0) - Date.parse('2030-01-01T00:00:00Z')) / 1000;
    expect(ahead).toBeGreaterThan(28);
    expect(ahead).toBeLessThanOrEqual(30);
    const { nap } = await checkpointsOf(db, taskID);
    expect(Date.parse(String(nap)) - before).toBeGreaterThanOrEqual(30_000);
    // The date of the first attempt counts, not a new one.
    await db.query(`update absurd.c_default set state = '"2020-02-02T02:02:02.000Z"'`);
    await db.advance('31 seconds');
    await client.workBatch();
    expect(woken).toBe(true);
    expect(await stateOf(db, taskID)).toBe('completed');
    expect(Object.keys(await checkpointsOf(db, taskID)).sort()).toEqual(['nap', 'nap#2', 'past']);
    expect((await checkpointsOf(db, taskID))['past']).toBe('1970-01-01T00:00:00.005Z');
  });

  test('ends the execution even where the handler catches the suspension', async ({ db }) => {
    const caught: unknown[] = [];
    const { client, taskID } = await start(db, async (_, ctx) => {
      await ctx.sleepFor('nap', 30).catch((error: unknown) => caught.push(error));
      await ctx.step('too late', async () => 1).catch((error: unknown) => caught.push(error));
    });
    await client.workBatch();
    expect(caught).toHaveLength(2);
    expect(caught.every((error) => error instanceof SuspendTask)).toBe(true);
    expect(await stateOf(db, taskID)).toBe('sleeping');
    expect(Object.keys(await checkpointsOf(db, taskID))).toEqual(['nap']);
  });
});

describe('awaitEvent', () => {
  test('suspends, resumes with the payload, and keeps it', async ({ db }) => {
    const seen: unknown[] = [];
    const { client, taskID } = await start(db, async (_, ctx) => {
      seen.push(await ctx.awaitEvent('paid'));
      seen.push(await ctx.awaitEvent('paid', { stepName: 'second look', timeout: 5 }));
      if (ctx.attempt === 1) throw new Error('again');
    });
    await client.workBatch();
    expect(await stateOf(db, taskID)).toBe('sleeping');
    await client.emitEvent('paid', { amount: 5 });
    await client.workBatch();
    await client.workBatch();
    expect(seen).toEqual(Array.from({ length: 4 }, () => ({ amount: 5 })));
    expect(Object.keys(await checkpointsOf(db, taskID)).sort()).toEqual(['$awaitEvent:paid', 'second look']);
  });

  test('an event emitted as null resolves null', async ({ db }) => {
    let seen: unknown = 'unset';
    const { client, taskID } = await start(db, async (_, ctx) => {
      seen = await ctx.awaitEvent('empty', { timeout: 60 });
    });
    await client.workBatch();
    await client.emitEvent('empty');
    await client.workBatch();
    expect(seen).toBeNull();
    expect(await stateOf(db, taskID)).toBe('completed');
  });

  test('times out for good: at once on later attempts, with later steps under their names', async ({ db }) => {
    const told: string[] = [];
    const { client, taskID } = await start(db, async (_, ctx) => {
      try {
        await ctx.awaitEvent('late', { timeout: 10 });
        told.push('came');
      } catch (error) {
        expect(error).toBeInstanceOf(TimeoutError);
        told.push('timed out');
      }
      await ctx.step('after', async () => 1);
      if (ctx.attempt === 1) throw new Error('again');
      return ctx.awaitEvent('late');
    });
    await db.freeze('2030-01-01T00:00:00Z');
    await client.workBatch();
    expect(await stateOf(db, taskID)).toBe('sleeping');
    await db.advance('11 seconds');
    await client.workBatch();
    expect(await stateOf(db, taskID)).toBe('pending');
    await client.emitEvent('late', 'at last');
    await client.workBatch();
    expect(told).toEqual(['timed out', 'timed out']);
    expect(await client.fetchTaskResult(taskID)).toEqual({ state: 'completed', result: 'at last' });
    expect(Object.keys(await checkpointsOf(db, taskID)).sort()).toEqual([
      '$awaitEvent:late#2',
      '$timeout:$awaitEvent:late',
      'after',
    ]);
  });

  test('after a timeout, the next await of that event in the same execution is null and waits for nothing', async ({
    db,
  }) => {
    let seen: unknown = 'unset';
    const { client, taskID } = await start(db, async (_, ctx) => {
      await ctx.awaitEvent('late', { timeout: 10 }).catch((error: unknown) => {
        if (!(error instanceof TimeoutError)) throw error;
      });
      seen = await ctx.awaitEvent('late', { timeout: 10 });
    });
    await db.freeze('2030-01-01T00:00:00Z');
    await client.workBatch();
    await db.advance('11 seconds');
    await client.workBatch();
    expect(seen).toBeNull();
    expect(await stateOf(db, taskID)).toBe('completed');
    expect((await db.query('select * from absurd.w_default')).rows).toEqual([]);
  });

  test('takes whole seconds, rounded up, and none where the timeout is none', async () => {
    for (const [timeout, sent] of [
      [5, 5],
      [1.2, 2],
      [0, 0],
      [Infinity, null],
      [undefined, null],
    ] as const) {
      const fake = new FakeDatabase((text) =>
        text.includes('await_event') ? [{ should_suspend: false, payload: 1 }] : [],
      );
      const absurd = new Absurd(fake);
      absurd.registerTask({ name: 't' }, (_, ctx) => ctx.awaitEvent('e', { timeout }));
      await absurd.executeTask({ ...bare, task_name: 't' }, 60);
      expect(fake.queries.find(({ text }) => text.includes('await_event'))?.values?.at(-1)).toBe(sent);
    }
  });
});

test('numbers of seconds that cannot work are refused', async () => {
  const refused: string[] = [];
  const fake = new FakeDatabase();
  const absurd = new Absurd(fake);
  absurd.registerTask({ name: 't' }, async (_, ctx) => {
    const note = (error: Error): number => refused.push(error.message);
    for (const timeout of [-1, Number.NaN, 1e12, '5' as never]) {
      await ctx.awaitEvent('e', { timeout }).catch(note);
      await ctx.awaitAny({ e: { event: 'e' } }, { timeout }).catch(note);
    }
    for (const seconds of [1.5, Number.NaN, 'x' as never]) await ctx.heartbeat(seconds).catch(note);
    for (const seconds of [Number.NaN, Infinity, 'x' as never]) await ctx.sleepFor('nap', seconds).catch(note);
    await ctx.sleepUntil('nap', new Date('never')).catch(note);
  });
  await absurd.executeTask({ ...bare, task_name: 't' }, 60);
  expect(refused).toHaveLength(15);
  expect(refused[0]).toBe('awaitEvent("e"): timeout must be a number of seconds and not negative, it is "-1"');
  expect(refused[8]).toBe('heartbeat needs a whole number of seconds, not 1.5');
  expect(fake.calls.filter((call) => !call.startsWith('complete_run') && !call.startsWith('get_'))).toEqual([]);
});

const bare = claimedTask({ run_id: 'R', task_name: 't' });

describe('awaitTaskResult', () => {
  test('refuses its own queue, and waits for another one’s task as a step', async ({ db }) => {
    const { client, taskID } = await start(db, async (_, ctx) => {
      await expect(ctx.awaitTaskResult(child.taskID)).rejects.toThrow('cannot wait on tasks in the same queue');
      await expect(ctx.awaitTaskResult(child.taskID, { queue: 'default' })).rejects.toThrow('same queue');
      await expect(ctx.awaitTaskResult(child.taskID, { queue: 'kids', timeout: 0.05 })).rejects.toBeInstanceOf(
        TimeoutError,
      );
      await db.query('select absurd.cancel_task($1, $2)', ['kids', child.taskID]);
      return ctx.awaitTaskResult(child.taskID, { queue: 'kids', stepName: 'child' });
    });
    await client.createQueue('kids');
    const child = await client.spawn('kid', {}, { queue: 'kids' });
    await client.workBatch();
    expect(await client.fetchTaskResult(taskID)).toEqual({ state: 'completed', result: { state: 'cancelled' } });
    expect(await checkpointsOf(db, taskID)).toEqual({ child: { state: 'cancelled' } });
  });

  test('may wait for many at once, and node warns of nothing', async ({ db }) => {
    const warnings: Error[] = [];
    const note = (warning: Error): number => warnings.push(warning);
    process.on('warning', note);
    const other = new Absurd({ db: db.pool, queueName: 'other' });
    await other.createQueue();
    const requests = Array.from({ length: 40 }, () => ({ name: 'part', options: { queue: 'other' } }));
    const parts = (await other.spawnMany(requests)).map((part) => part.taskID);
    const { client, taskID } = await start(db, async (_, ctx) => {
      await Promise.allSettled(parts.map((part) => ctx.awaitTaskResult(part, { queue: 'other', timeout: 0.2 })));
    });
    await client.workBatch();
    expect(await stateOf(db, taskID)).toBe('completed');
    process.off('warning', note);
    expect(warnings.filter(({ name }) => name === 'MaxListenersExceededWarning')).toEqual([]);
  });

  test('keeps the lease alive meanwhile', async ({ db }) => {
    let expiry: Date | null | undefined;
    const { client, taskID } = await start(db, async (_, ctx) => {
      expiry = (await runsOf(db, ctx.taskID))[0]?.claim_expires_at;
      await ctx.awaitTaskResult(child.taskID, { queue: 'kids', timeout: 1.2 }).catch(() => undefined);
      const later = (await runsOf(db, ctx.taskID))[0]?.claim_expires_at;
      expect(later?.getTime()).toBeGreaterThan(expiry?.getTime() ?? Infinity);
    });
    await client.createQueue('kids');
    const child = await client.spawn('kid', {}, { queue: 'kids' });
    await client.workBatch('w', 1);
    expect(await stateOf(db, taskID)).toBe('completed');
  });
});

describe('the rest of the context', () => {
  test('tells who and where it is, emits events and shows the headers', async ({ db }) => {
    const { client, taskID } = await start(
      db,
      async (_, ctx) => {
        await ctx.emitEvent('hello', { from: ctx.taskID });
        await expect(ctx.emitEvent('')).rejects.toThrow('non-empty');
        await expect(ctx.heartbeat(0)).rejects.toThrow('extend_by must be > 0');
        return [ctx.taskID, ctx.runID, ctx.attempt, ctx.queueName, ctx.headers, ctx.signal.aborted];
      },
      { headers: { trace: 1 } },
    );
    await client.workBatch('me');
    const [run] = await runsOf(db, taskID);
    expect(await client.fetchTaskResult(taskID)).toEqual({
      state: 'completed',
      result: [taskID, run?.run_id, 1, 'default', { trace: 1 }, false],
    });
    expect((await db.query('select payload from absurd.e_default')).rows).toEqual([{ payload: { from: taskID } }]);
  });

  test('can be made by a program that executes runs by itself', async () => {
    const fake = new FakeDatabase((text) => (text.includes('states') ? [{ checkpoint_name: 'a', state: 5 }] : []));
    const extended: number[] = [];
    const ctx = await TaskContext.create({
      log: console,
      taskID: 'T',
      con: fake,
      queueName: 'q',
      task: bare,
      claimTimeout: 33,
      onLeaseExtended: (seconds) => extended.push(seconds),
    });
    expect(ctx).toBeInstanceOf(TaskContext);
    expect(await ctx.step('a', async () => 6)).toBe(5);
    expect(await ctx.step('b', async () => 6)).toBe(6);
    await ctx.heartbeat(7);
    expect(extended).toEqual([33, 7]);
    expect(fake.calls.at(-1)).toBe('extend_claim("q", "R", 7)');
  });
});
