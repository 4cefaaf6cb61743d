import { expect, finish, test, until, type TestDatabase } from './support.js';

const timesOf = async (db: TestDatabase, taskID: string) =>
  (
    await db.query<{ name: string; known: boolean; ordered: boolean }>(
      `select checkpoint_name as name, started_at is not null as known, started_at <= updated_at as ordered
         from absurd.c_default where task_id = $1 order by checkpoint_name`,
      [taskID],
    )
  ).rows;

test('steps, sleeps, waits and children say when they began, whether saved alone or with others', async ({
  absurd,
  db,
}) => {
  absurd.registerTask({ name: 'child' }, async () => 1);
  absurd.registerTask({ name: 'job' }, async (_, ctx) => {
    await ctx.step('one', async () => 1);
    await ctx.sleepFor('nap', 0.05);
    await ctx.awaitEvent('go');
    await Promise.all([ctx.step('two', async () => 2), ctx.step('three', async () => 3)]);
    await ctx.call('child', {});
    await Promise.all([ctx.awaitEvent('left'), ctx.awaitEvent('right')]);
  });
  const { taskID } = await absurd.spawn('job', {});
  const worker = await absurd.startWorker({ pollInterval: 0.02 });
  for (const event of ['go', 'left', 'right']) {
    await until(async () => (await db.query('select from absurd.w_default where event_name = $1', [event])).rows[0]);
    await absurd.emitEvent(event, event);
  }
  await absurd.awaitTaskResult(taskID, { timeout: 60 });
  await worker.close();

  const times = await timesOf(db, taskID);
  expect(times.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['$awaitEvent:go', '$awaitEvent:right', '$call:child', 'nap', 'one', 'three', 'two']),
  );
  expect(times.filter(({ known, ordered }) => !known || !ordered)).toEqual([]);
});

test('a wait of several began when it was registered first', async ({ absurd, db }) => {
  absurd.registerTask({ name: 'job' }, async (_, ctx) => {
    await Promise.all([ctx.awaitEvent('left'), ctx.awaitEvent('right')]);
  });
  const { taskID } = await absurd.spawn('job', {});
  const worker = await absurd.startWorker({ pollInterval: 0.02 });
  const waiting = (event: string) =>
    until(async () => {
      const { rows } = await db.query<{ created_at: Date }>(
        `select w.created_at from absurd.w_default w join absurd.r_default r using (run_id)
          where w.event_name = $1 and r.state = 'sleeping'`,
        [event],
      );
      return rows[0]?.created_at;
    });
  const began = await waiting('right');
  await waiting('left');
  await absurd.emitEvent('left');
  await until(async () => (await db.query(`select from absurd.c_default where checkpoint_name like '%left'`)).rows[0]);
  expect(await waiting('right')).toEqual(began);
  await absurd.emitEvent('right');
  await absurd.awaitTaskResult(taskID, { timeout: 60 });
  await worker.close();

  const { rows } = await db.query<{ started_at: Date }>(
    `select started_at from absurd.c_default where checkpoint_name = '$awaitEvent:right'`,
  );
  expect(rows[0]?.started_at).toEqual(began);
});

test('a program that executes runs by itself makes the contract’s calls, which keep no start', async ({
  absurd,
  db,
}) => {
  absurd.registerTask({ name: 'job' }, async (_, ctx) => ctx.step('one', async () => 1));
  const { taskID } = await absurd.spawn('job', {});
  await absurd.workBatch();
  expect(await timesOf(db, taskID)).toEqual([{ name: 'one', known: false, ordered: null }]);
});

test('without step_times steps are saved as ever', async ({ absurd, db }) => {
  await db.query('drop function absurd.get_schema_features()');
  absurd.registerTask({ name: 'job' }, async (_, ctx) => ctx.step('one', async () => 1));
  const { taskID } = await absurd.spawn('job', {});
  expect(await finish(absurd, taskID)).toEqual({ state: 'completed', result: 1 });
  expect(await timesOf(db, taskID)).toEqual([{ name: 'one', known: false, ordered: null }]);
});
