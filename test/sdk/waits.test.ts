import { Absurd, TimeoutError, type TaskContext, type TaskHandler } from '../../src/sdk/index.js';
import {
  checkpointsOf,
  describe,
  expect,
  gate,
  KeptLog,
  runsOf,
  stateOf,
  test,
  until,
  type TestDatabase,
} from './support.js';

const schemas = ['with await_events', 'without await_events'] as const;

/** A client of a queue of a schema that can register several waits at once, or cannot. */
async function open(db: TestDatabase, schema: (typeof schemas)[number]): Promise<{ client: Absurd; log: KeptLog }> {
  if (schema === 'without await_events') await db.query('drop function absurd.await_events');
  const log = new KeptLog();
  const client = new Absurd({ db: db.pool, log });
  await client.createQueue();
  return { client, log };
}

async function start(client: Absurd, handler: TaskHandler): Promise<string> {
  client.registerTask({ name: 'job', defaultMaxAttempts: 3 }, handler);
  return (await client.spawn('job', {})).taskID;
}

/** Works until all tasks have ended; fails where one has not after a while. */
async function workUntilEnded(client: Absurd, tasks: readonly string[], afterStart?: () => Promise<void>) {
  const worker = await client.startWorker({ concurrency: 10, pollInterval: 0.02 });
  try {
    await afterStart?.();
    return await Promise.all(tasks.map((id) => client.awaitTaskResult(id, { timeout: 60 })));
  } finally {
    await worker.close();
  }
}

const either = (ctx: TaskContext) =>
  Promise.race([ctx.awaitEvent('approve').then(() => 'approved'), ctx.awaitEvent('reject').then(() => 'rejected')]);

describe.for(schemas)('several waits at once, %s', (schema) => {
  test('a race of 40 runs ends with the event that comes', async ({ db }) => {
    const { client, log } = await open(db, schema);
    client.registerTask({ name: 'job', defaultMaxAttempts: 1 }, (_, ctx) => either(ctx));
    const tasks = (await client.spawnMany(Array.from({ length: 40 }, () => ({ name: 'job' })))).map((t) => t.taskID);
    const results = await workUntilEnded(client, tasks, async () => {
      await until(async () => {
        const { rows } = await db.query(`select from absurd.r_default where state = 'sleeping'`);
        return rows.length === 40;
      });
      await client.emitEvent('reject');
    });
    expect(results).toEqual(tasks.map(() => ({ state: 'completed', result: 'rejected' })));
    expect(log.lines.filter((line) => line.startsWith('error'))).toEqual([]);
  });

  test('all of two, where the first times out after a second: 20 runs get both', async ({ db }) => {
    const { client, log } = await open(db, schema);
    client.registerTask({ name: 'job', defaultMaxAttempts: 1 }, (_, ctx) =>
      Promise.all([
        ctx.awaitEvent('late', { timeout: 1 }).catch((error: unknown) => {
          if (!(error instanceof TimeoutError)) throw error;
          return 'timed out';
        }),
        ctx.awaitEvent('soon'),
      ]),
    );
    const tasks = (await client.spawnMany(Array.from({ length: 20 }, () => ({ name: 'job' })))).map((t) => t.taskID);
    const results = await workUntilEnded(client, tasks, async () => {
      await until(async () => {
        const { rows } = await db.query(`select from absurd.c_default where checkpoint_name like '$timeout:%'`);
        return rows.length === 20;
      });
      await client.emitEvent('late', 'too late');
      await client.emitEvent('soon', 'here');
    });
    expect(results).toEqual(tasks.map(() => ({ state: 'completed', result: ['timed out', 'here'] })));
    expect(log.lines.filter((line) => line.startsWith('error'))).toEqual([]);
  });

  test('a deadline that is a sleep', async ({ db }) => {
    const { client } = await open(db, schema);
    const id = await start(client, (_, ctx) =>
      Promise.race([ctx.awaitEvent('approve'), ctx.sleepFor('deadline', 1).then(() => 'over')]),
    );
    expect(await workUntilEnded(client, [id])).toEqual([{ state: 'completed', result: 'over' }]);
  });

  test('all of two sleeps last as long as the longer one', async ({ db }) => {
    const { client } = await open(db, schema);
    const id = await start(client, async (_, ctx) => {
      await Promise.all([ctx.sleepFor('long', 2), ctx.sleepFor('short', 1)]);
      return 'rested';
    });
    const startedMs = Date.now();
    expect(await workUntilEnded(client, [id])).toEqual([{ state: 'completed', result: 'rested' }]);
    expect(Date.now() - startedMs).toBeGreaterThan(1990);
  });

  test('an event emitted as null is one', async ({ db }) => {
    const { client } = await open(db, schema);
    await client.emitEvent('empty');
    const id = await start(client, (_, ctx) => Promise.all([ctx.awaitEvent('empty'), ctx.awaitEvent('full')]));
    expect(await workUntilEnded(client, [id], () => client.emitEvent('full', 1))).toEqual([
      { state: 'completed', result: [null, 1] },
    ]);
  });

  test('a race has the same winner on every attempt', async ({ db }) => {
    const { client } = await open(db, schema);
    const won: unknown[] = [];
    const id = await start(client, async (_, ctx) => {
      won.push(
        await Promise.race([
          ctx.awaitEvent('reject').then(() => 'rejected'),
          ctx.awaitEvent('approve').then(() => 'approved'),
          ctx.sleepFor('deadline', 3600).then(() => 'over'),
        ]),
      );
      await ctx.step('first', async () => 1);
      if (ctx.attempt < 3) throw new Error('again');
      return won;
    });
    const results = await workUntilEnded(client, [id], async () => {
      await until(async () => (await stateOf(db, id)) === 'sleeping');
      await client.emitEvent('approve');
      await new Promise((resolve) => setTimeout(resolve, 5));
      await client.emitEvent('reject');
    });
    // Where waits take turns, the first one that is noticed wins.
    const winner = schema === 'with await_events' ? 'approved' : won[0];
    expect(results).toEqual([{ state: 'completed', result: [winner, winner, winner] }]);
  });
});

describe('awaitAny', () => {
  test.for(schemas)('says which one ended, the same on every attempt, %s', async (schema, { db }) => {
    const { client } = await open(db, schema);
    const told: unknown[] = [];
    const id = await start(client, async (_, ctx) => {
      const answer = await ctx.awaitAny({
        rejected: { event: 'reject' },
        approved: { event: 'approve' },
        reminder: { sleepFor: 3600 },
      });
      told.push(answer);
      if (ctx.attempt === 1) throw new Error('again');
      const after = await ctx.awaitAny({ rejected: { event: 'reject' }, reminder: { sleepUntil: new Date(0) } });
      return [answer, after.key === 'reminder' ? after.value : 'not the reminder'];
    });
    const results = await workUntilEnded(client, [id], async () => {
      await until(async () => (await stateOf(db, id)) === 'sleeping');
      await client.emitEvent('approve', { by: 'Ada' });
      await until(() => told.length === 2);
    });
    const answer = { key: 'approved', value: { by: 'Ada' } };
    expect(results).toEqual([{ state: 'completed', result: [answer, null] }]);
    expect(told).toEqual([answer, answer]);
    expect((await checkpointsOf(db, id))['$awaitAny']).toEqual(answer);
  });

  test.for(schemas)('times out for good, %s', async (schema, { db }) => {
    const { client } = await open(db, schema);
    let timeouts = 0;
    const id = await start(client, async (_, ctx) => {
      try {
        await ctx.awaitAny({ approved: { event: 'approve' }, rejected: { event: 'reject' } }, { timeout: 1 });
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
        timeouts += 1;
      }
      await ctx.step('emit', () => ctx.emitEvent('approve'));
      if (ctx.attempt === 1) throw new Error('again');
      return 'escalated';
    });
    expect(await workUntilEnded(client, [id])).toEqual([{ state: 'completed', result: 'escalated' }]);
    expect(timeouts).toBe(2);
  });

  test('refuses what it cannot wait for', async ({ db }) => {
    const { client } = await open(db, schemas[0]);
    const id = await start(client, async (_, ctx) => {
      await expect(ctx.awaitAny({})).rejects.toThrow('at least one');
      for (const wait of [{}, { event: '' }, { sleepFor: Number.NaN }, { event: 'e', sleepFor: 1 }]) {
        await expect(ctx.awaitAny({ odd: wait as never })).rejects.toThrow('"odd" must be one of');
      }
    });
    await client.workBatch();
    expect(await stateOf(db, id)).toBe('completed');
  });
});

describe('a run sleeps only when nothing but waits holds its handler up', () => {
  test('a step that runs is finished first, and is kept', async ({ db }) => {
    const { client } = await open(db, schemas[0]);
    const work = gate<string>();
    let ran = 0;
    const id = await start(client, (_, ctx) =>
      Promise.all([ctx.step('slow', () => (ran++, work.promise)), ctx.awaitEvent('go')]),
    );
    const batch = client.workBatch();
    await until(() => ran === 1);
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(await stateOf(db, id)).toBe('running');
    work.open('done');
    await batch;
    expect(await stateOf(db, id)).toBe('sleeping');
    await client.emitEvent('go', 1);
    await client.workBatch();
    expect(await client.fetchTaskResult(id)).toEqual({ state: 'completed', result: ['done', 1] });
    expect(ran).toBe(1);
  });

  test('all of two with one that has ended sleeps on, and holds no slot', async ({ db }) => {
    const { client } = await open(db, schemas[0]);
    const id = await start(client, (_, ctx) =>
      Promise.all([
        ctx.awaitEvent('one'),
        ctx.awaitEvent('two').then((value) => [value]),
        (async () => {
          const value = await ctx.awaitEvent('three');
          return { value };
        })(),
        ctx.step('beside', async () => 4),
      ]),
    );
    for (const event of ['one', 'two', 'three']) {
      const startedMs = Date.now();
      await client.workBatch();
      // Half of the lease is how long a handler may work while waits are open.
      expect(Date.now() - startedMs).toBeLessThan(60_000);
      expect(await stateOf(db, id)).toBe('sleeping');
      await client.emitEvent(event, event);
    }
    await client.workBatch();
    expect(await client.fetchTaskResult(id)).toEqual({
      state: 'completed',
      result: ['one', ['two'], { value: 'three' }, 4],
    });
  }, 50_000);

  test('a wait inside of a step does not wait for the step', async ({ db }) => {
    const { client } = await open(db, schemas[0]);
    const id = await start(client, (_, ctx) =>
      ctx.step('outer', () => ctx.step('inner', async () => ['got', await ctx.awaitEvent('go')])),
    );
    await client.workBatch();
    expect(await stateOf(db, id)).toBe('sleeping');
    await client.emitEvent('go', 1);
    await client.workBatch();
    expect(await client.fetchTaskResult(id)).toEqual({ state: 'completed', result: ['got', 1] });
  });

  test('a wait that lost its race does not put the run to sleep while the handler works', async ({ db }) => {
    const { client } = await open(db, schemas[0]);
    const id = await start(client, async (_, ctx) => {
      const won = await either(ctx);
      // Not a step: the context does not know of it.
      await db.query('select pg_sleep(0.1)');
      await new Promise((resolve) => setTimeout(resolve, 50));
      await ctx.step('ship', async () => 1);
      await db.query('select pg_sleep(0.1)');
      return won;
    });
    await client.workBatch();
    await client.emitEvent('approve');
    await client.workBatch();
    expect(await client.fetchTaskResult(id)).toEqual({ state: 'completed', result: 'approved' });
  });

  test('a handler that works while waits are open sleeps after half of its lease', async ({ db }) => {
    const { client } = await open(db, schemas[0]);
    const never = new Promise(() => undefined);
    const id = await start(client, async (_, ctx) => {
      await either(ctx);
      await never;
    });
    await client.workBatch();
    await client.emitEvent('approve');
    await client.workBatch('w', 2);
    expect(await stateOf(db, id)).toBe('sleeping');
  });

  test('a wait that lost its race wakes the run once at the most, and a later wait keeps its timeout', async ({
    db,
  }) => {
    const { client } = await open(db, schemas[0]);
    await db.freeze('2030-01-01T00:00:00Z');
    const id = await start(client, async (_, ctx) => {
      const won = await either(ctx);
      const paid = await ctx.awaitEvent('paid', { timeout: 60 }).catch((error: unknown) => {
        if (!(error instanceof TimeoutError)) throw error;
        return 'not paid';
      });
      return [won, paid];
    });
    await client.workBatch();
    await client.emitEvent('approve');
    await client.workBatch();
    await db.advance('40 seconds');
    await client.emitEvent('reject');
    await client.workBatch();
    const [run] = await runsOf(db, id);
    expect(run?.available_at.toISOString()).toBe('2030-01-01T00:01:00.000Z');
    await db.advance('21 seconds');
    await client.workBatch();
    expect(await client.fetchTaskResult(id)).toEqual({ state: 'completed', result: ['approved', 'not paid'] });
  });
});
