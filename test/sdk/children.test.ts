import { ChildFailedError, TimeoutError, type ChildTask } from '../../src/sdk/index.js';
import { checkpointsOf, expect, finish, gate, runsOf, stateOf, test, until, type TestDatabase } from './support.js';

const childrenOf = async (db: TestDatabase, parent: string, queue = 'default') =>
  (
    await db.query<{ task_id: string; task_name: string; parent_queue: string; idempotency_key: string }>(
      `select task_id, task_name, parent_queue, idempotency_key from absurd."t_${queue}" where parent_task_id = $1`,
      [parent],
    )
  ).rows;

const waitsLeft = async (db: TestDatabase): Promise<unknown[]> =>
  (await db.query('select step_name from absurd.task_waits union all select step_name from absurd.awaited_tasks')).rows;

test('ctx.call: a child runs in the only slot of its parent’s worker, and its result comes back', async ({
  absurd,
  db,
}) => {
  absurd.registerTask<{ n: number }>({ name: 'double' }, async ({ n }) => ({ twice: n * 2 }));
  absurd.registerTask({ name: 'parent' }, async (_, ctx) => {
    const result = await ctx.call<{ n: number }, { twice: number }>('double', { n: 21 });
    return result.twice;
  });
  const { taskID } = await absurd.spawn('parent', {});

  expect(await finish(absurd, taskID)).toEqual({ state: 'completed', result: 42 });

  expect(await childrenOf(db, taskID)).toMatchObject([
    { task_name: 'double', parent_queue: 'default', idempotency_key: `${taskID}:$call:double:spawn` },
  ]);
  expect(Object.keys(await checkpointsOf(db, taskID))).toEqual(['$call:double:spawn', '$call:double']);
  expect(await runsOf(db, taskID)).toHaveLength(1);
  expect(await waitsLeft(db)).toEqual([]);
});

test('Promise.all over ctx.call: the children run at the same time, and no wake-up is lost', async ({ absurd, db }) => {
  absurd.registerTask<number>({ name: 'child' }, async (n, ctx) => {
    if (n % 3 === 0) await ctx.sleepFor('nap', 0.05);
    return n;
  });
  absurd.registerTask({ name: 'parent', defaultMaxAttempts: 1 }, (_, ctx) =>
    Promise.all(Array.from({ length: 30 }, (__, n) => ctx.call('child', n))),
  );
  const parents = await absurd.spawnMany(Array.from({ length: 5 }, () => ({ name: 'parent' })));
  const workers = await Promise.all(
    Array.from({ length: 2 }, () => absurd.startWorker({ concurrency: 4, pollInterval: 0.02 })),
  );

  const results = await Promise.all(parents.map(({ taskID }) => absurd.awaitTaskResult(taskID, { timeout: 60 })));
  await Promise.all(workers.map((worker) => worker.close()));

  const all = Array.from({ length: 30 }, (__, n) => n);
  expect(results).toEqual(parents.map(() => ({ state: 'completed', result: all })));
  expect(await waitsLeft(db)).toEqual([]);
});

test('a parent that crashed between the spawn and its checkpoint gets the same child', async ({ absurd, db }) => {
  const spawned: ChildTask[] = [];
  let attempts = 0;
  absurd.registerTask({ name: 'child' }, async () => 'done');
  absurd.registerTask({ name: 'parent', defaultMaxAttempts: 3 }, async (_, ctx) => {
    const crash = ++attempts === 1;
    if (crash) {
      // The server takes the spawn; the checkpoint never arrives.
      const save = ctx.parts.store.save.bind(ctx.parts.store);
      ctx.parts.store.save = (write) =>
        write.name.startsWith('$spawn') ? Promise.reject(new Error('crashed')) : save(write);
    }
    spawned.push(await ctx.spawn('child', {}));
    return ctx.call('child', {});
  });
  const { taskID } = await absurd.spawn('parent', {});

  expect(await finish(absurd, taskID)).toEqual({ state: 'completed', result: 'done' });

  expect(attempts).toBeGreaterThanOrEqual(2);
  expect(spawned[0]).toMatchObject({ created: false, queue: 'default' });
  expect(await childrenOf(db, taskID)).toHaveLength(2);
});

test('children of the same name in one handler are different tasks, in order of use', async ({ absurd, db }) => {
  absurd.registerTask<number>({ name: 'child' }, async (n) => n);
  absurd.registerTask({ name: 'parent' }, async (_, ctx) => [await ctx.call('child', 1), await ctx.call('child', 2)]);
  const { taskID } = await absurd.spawn('parent', {});

  expect(await finish(absurd, taskID)).toEqual({ state: 'completed', result: [1, 2] });

  expect(Object.keys(await checkpointsOf(db, taskID))).toEqual([
    '$call:child:spawn',
    '$call:child',
    '$call:child#2:spawn',
    '$call:child#2',
  ]);
});

test('a failed child, a cancelled one, and one that no longer exists', async ({ absurd, db }) => {
  const errors: ChildFailedError[] = [];
  absurd.registerTask({ name: 'fails', defaultMaxAttempts: 1 }, async () => {
    throw new RangeError('no such account');
  });
  absurd.registerTask({ name: 'asleep' }, async (_, ctx) => ctx.sleepFor('long', 3600));
  absurd.registerTask({ name: 'parent', defaultMaxAttempts: 1 }, async (_, ctx) => {
    for (const child of ['fails', 'asleep']) {
      await ctx.call(child, {}).catch((error: unknown) => {
        if (!(error instanceof ChildFailedError)) throw error;
        errors.push(error);
      });
    }
    const [gone] = await ctx.awaitTasks(['019a32d3-8425-7ae2-a5af-2f17a6707666']);
    return gone;
  });
  const { taskID } = await absurd.spawn('parent', {});
  const worker = await absurd.startWorker({ pollInterval: 0.02 });
  const asleep = await until(async () =>
    (await childrenOf(db, taskID)).find(({ task_name: name }) => name === 'asleep'),
  );
  await until(async () => (await stateOf(db, taskID)) === 'sleeping');
  await absurd.cancelTask(asleep.task_id);

  const end = await absurd.awaitTaskResult(taskID, { timeout: 60 });
  await worker.close();

  expect(end).toEqual({
    state: 'completed',
    result: { taskID: '019a32d3-8425-7ae2-a5af-2f17a6707666', queue: 'default', state: 'unknown' },
  });
  const failed = errors.find(({ state }) => state === 'failed');
  expect(failed).toMatchObject({ taskName: 'fails', failure: { name: 'RangeError', message: 'no such account' } });
  expect(failed?.message).toContain('failed: no such account');
  expect(failed?.cause).toMatchObject({ name: 'RangeError', message: 'no such account' });
  expect(errors.find(({ state }) => state === 'cancelled')).toMatchObject({
    taskName: 'asleep',
    taskID: asleep.task_id,
    failure: null,
    message: `Child task "asleep" (${asleep.task_id}) was cancelled`,
  });
});

test('a parent fails with its child: the reason holds the child’s error', async ({ absurd, db }) => {
  absurd.registerTask({ name: 'fails', defaultMaxAttempts: 1 }, async () => {
    throw new RangeError('no such account');
  });
  absurd.registerTask({ name: 'parent', defaultMaxAttempts: 1 }, (_, ctx) => ctx.call('fails', {}));
  const { taskID } = await absurd.spawn('parent', {});

  expect((await finish(absurd, taskID)).state).toBe('failed');

  expect((await runsOf(db, taskID))[0]?.failure_reason).toMatchObject({
    name: 'ChildFailedError',
    cause: { name: 'RangeError', message: 'no such account' },
  });
});

test('a timeout: the parent learns of it on every attempt, and the child continues', async ({ absurd, db }) => {
  const release = gate();
  let attempts = 0;
  absurd.registerTask({ name: 'slow' }, async () => {
    await release.promise;
    return 'late';
  });
  absurd.registerTask({ name: 'parent', defaultMaxAttempts: 2 }, async (_, ctx) => {
    let timedOut = false;
    await ctx.call('slow', {}, { timeout: 1 }).catch((error: unknown) => {
      if (!(error instanceof TimeoutError)) throw error;
      timedOut = true;
    });
    if (++attempts === 1) throw new Error('again');
    return timedOut;
  });
  const { taskID } = await absurd.spawn('parent', {});
  const worker = await absurd.startWorker({ concurrency: 2, pollInterval: 0.02 });
  const end = await absurd.awaitTaskResult(taskID, { timeout: 60 });
  const [child] = await childrenOf(db, taskID);
  expect(await stateOf(db, child?.task_id ?? '')).toBe('running');
  release.open();
  const late = await absurd.awaitTaskResult(child?.task_id ?? '', { timeout: 60 });
  await worker.close();

  expect(end).toEqual({ state: 'completed', result: true });
  expect(late).toEqual({ state: 'completed', result: 'late' });
  expect(await checkpointsOf(db, taskID)).toMatchObject({ '$timeout:$call:slow': {} });
});

test('awaitTasks: a thousand children wake their parent once', async ({ absurd, db }) => {
  let executions = 0;
  absurd.registerTask<number>({ name: 'child' }, async (n) => n);
  absurd.registerTask({ name: 'parent', defaultMaxAttempts: 1 }, async (_, ctx) => {
    executions += 1;
    const children = await Promise.all(Array.from({ length: 1000 }, (__, n) => ctx.spawn('child', n)));
    const ends = await ctx.awaitTasks(children);
    return ends.reduce((sum, end) => sum + (end.state === 'completed' ? Number(end.result) : 0), 0);
  });
  const { taskID } = await absurd.spawn('parent', {});
  const worker = await absurd.startWorker({ concurrency: 20, pollInterval: 0.02 });

  const end = await absurd.awaitTaskResult(taskID, { timeout: 120 });
  await worker.close();

  expect(end).toEqual({ state: 'completed', result: 499_500 });
  expect(executions).toBe(2);
  expect(await childrenOf(db, taskID)).toHaveLength(1000);
  expect(await waitsLeft(db)).toEqual([]);
});

test('awaitTasks with any: the first that ends, and where the others stand', async ({ absurd }) => {
  absurd.registerTask({ name: 'quick' }, async () => 'quick');
  absurd.registerTask({ name: 'slow' }, async (_, ctx) => ctx.sleepFor('long', 3600));
  absurd.registerTask({ name: 'parent' }, async (_, ctx) => {
    const children = [await ctx.spawn('slow', {}), await ctx.spawn('quick', {})];
    return (await ctx.awaitTasks(children, { mode: 'any' })).map(({ state }) => state === 'completed');
  });
  const { taskID } = await absurd.spawn('parent', {});

  expect(await finish(absurd, taskID)).toEqual({ state: 'completed', result: [false, true] });
});

test('awaitAny over an event, a child and a deadline: whichever ends first', async ({ absurd, db }) => {
  absurd.registerTask<{ seconds: number }>({ name: 'child' }, async ({ seconds }, ctx) => {
    await ctx.sleepFor('nap', seconds);
    return 'child';
  });
  absurd.registerTask<{ seconds: number; deadline: number }>({ name: 'parent' }, async (params, ctx) => {
    const child = await ctx.spawn('child', { seconds: params.seconds });
    const first = await ctx.awaitAny({
      approved: { event: `approve:${ctx.taskID}` },
      child: { task: child },
      deadline: { sleepFor: params.deadline },
    });
    if (first.key === 'child') return first.value.state === 'completed' ? first.value.result : first.value.state;
    return first;
  });
  const byChild = await absurd.spawn('parent', { seconds: 0.1, deadline: 3600 });
  const byEvent = await absurd.spawn('parent', { seconds: 3600, deadline: 3600 });
  const byDeadline = await absurd.spawn('parent', { seconds: 3600, deadline: 0.5 });
  const worker = await absurd.startWorker({ concurrency: 2, pollInterval: 0.02 });
  await until(async () => (await stateOf(db, byEvent.taskID)) === 'sleeping');
  await absurd.emitEvent(`approve:${byEvent.taskID}`, 'yes');
  const ends = await Promise.all(
    [byChild, byEvent, byDeadline].map(({ taskID }) => absurd.awaitTaskResult(taskID, { timeout: 60 })),
  );
  await worker.close();

  expect(ends).toEqual([
    { state: 'completed', result: 'child' },
    { state: 'completed', result: { key: 'approved', value: 'yes' } },
    { state: 'completed', result: { key: 'deadline', value: null } },
  ]);
});

test('children in another queue, of another worker; and one whose queue is dropped', async ({ absurd, make, db }) => {
  const other = make({ queueName: 'other' });
  await other.createQueue();
  other.registerTask({ name: 'elsewhere' }, async () => 'from elsewhere');
  absurd.registerTask({ name: 'parent' }, async (_, ctx) => {
    const result = await ctx.call<object, string>('elsewhere', {}, { queue: 'other' });
    const lost = await ctx.spawn('nobody-knows', {}, { queue: 'dropped' });
    const [end] = await ctx.awaitTasks([lost]);
    return [result, end?.state];
  });
  await absurd.createQueue('dropped');
  const { taskID } = await absurd.spawn('parent', {});
  const workers = [await absurd.startWorker({ pollInterval: 0.02 }), await other.startWorker({ pollInterval: 0.02 })];
  await until(async () => (await childrenOf(db, taskID, 'dropped')).length === 1);
  await until(async () => (await stateOf(db, taskID)) === 'sleeping');
  await absurd.dropQueue('dropped');
  // What it looks at every minute.
  await db.query(`select absurd.wake_task('default', $1)`, [taskID]);
  const end = await absurd.awaitTaskResult(taskID, { timeout: 60 });
  await Promise.all(workers.map((worker) => worker.close()));

  expect(end).toEqual({ state: 'completed', result: ['from elsewhere', 'unknown'] });
});

test('a wait for the own parent is refused', async ({ absurd }) => {
  absurd.registerTask<{ parent: string }>({ name: 'child', defaultMaxAttempts: 1 }, async ({ parent }, ctx) =>
    ctx.awaitTasks([parent]),
  );
  absurd.registerTask({ name: 'parent', defaultMaxAttempts: 1 }, (_, ctx) => ctx.call('child', { parent: ctx.taskID }));
  const { taskID } = await absurd.spawn('parent', {});

  const end = await finish(absurd, taskID);

  expect(end).toMatchObject({
    state: 'failed',
    failure: { message: expect.stringContaining('it is the same task or an ancestor') },
  });
});

test('where the schema lacks it, nothing is written, and the error names the command', async ({ absurd, db }) => {
  await db.query(`create or replace function absurd.get_schema_features() returns text[] language sql
                  as 'select array[''await_events'']::text[]'`);
  let message = '';
  absurd.registerTask({ name: 'child' }, async () => 1);
  absurd.registerTask({ name: 'parent', defaultMaxAttempts: 1 }, async (_, ctx) => {
    for (const attempt of [() => ctx.spawn('child', {}), () => ctx.call('child', {}), () => ctx.awaitTasks(['x'])]) {
      await attempt().catch((error: unknown) => (message += `${String(error)}\n`));
    }
  });
  const { taskID } = await absurd.spawn('parent', {});
  expect((await finish(absurd, taskID)).state).toBe('completed');
  for (const refused of [
    () => absurd.spawn('child', {}, { delay: 5 }),
    () => absurd.spawn('child', {}, { startAt: new Date() }),
    () => absurd.spawn('child', {}, { parent: { taskID } }),
    () =>
      absurd.spawnMany([
        { name: 'child', params: {} },
        { name: 'child', options: { delay: 1 } },
      ]),
    () => absurd.schedule('weekly', { task: 'child', cron: '@weekly' }),
    () => absurd.pauseQueue(),
  ]) {
    await expect(refused()).rejects.toThrow(/The schema of this database cannot .*absurdctl init/);
  }
  expect(message.match(/absurdctl init/g)).toHaveLength(3);
  expect((await db.query('select from absurd.t_default')).rows).toHaveLength(1);
});

test('startAt and delay: the task starts then', async ({ absurd, db }) => {
  absurd.registerTask({ name: 'later' }, async () => 1);
  const soon = await absurd.spawn('later', {}, { delay: 0.3 });
  const [, much] = await absurd.spawnMany([
    { name: 'later', params: {}, options: { startAt: new Date(0) } },
    { name: 'later', params: {}, options: { startAt: new Date('2199-01-01T00:00:00Z') } },
  ]);
  expect(await stateOf(db, soon.taskID)).toBe('sleeping');
  expect((await finish(absurd, soon.taskID)).state).toBe('completed');
  expect((await runsOf(db, much?.taskID ?? ''))[0]?.available_at).toEqual(new Date('2199-01-01T00:00:00Z'));
  await expect(absurd.spawn('later', {}, { delay: Number.NaN })).rejects.toThrow('delay must be a number');
  await expect(absurd.spawn('later', {}, { delay: 1, startAt: new Date() })).rejects.toThrow('not both');
  await expect(absurd.spawn('later', {}, { startAt: new Date('x') })).rejects.toThrow('valid date');
});
