import { expect } from 'vitest';
import { engine, refuses, unknownId, type Scene } from './support.js';

const spawnTasks = async ({ db, queue }: Scene, tasks: unknown) =>
  (await db.query('select * from absurd.spawn_tasks($1, $2)', [queue, JSON.stringify(tasks)])).rows;

/** What stands for each feature that the schema can offer: a function, or a table or column. */
const evidence: Record<string, string> = {
  await_events: `to_regproc('absurd.await_events') is not null`,
  await_tasks: `to_regproc('absurd.await_tasks') is not null`,
  delayed_spawn: `(select s.start_at is not null from absurd._spawn_options('{"delay_seconds": 9}') as s)`,
  operations: `to_regclass('absurd.operations') is not null`,
  pause: `to_regproc('absurd.pause_queue') is not null`,
  schedules: `to_regproc('absurd.fire_schedules') is not null`,
  step_times: `exists (select 1 from pg_attribute a where a.attrelid::regclass::text like '%c_%' and a.attname = 'started_at')`,
  task_tree: `to_regproc('absurd.cancel_task_tree') is not null`,
  wake_task: `to_regproc('absurd.wake_task') is not null`,
  worker_registry: `to_regclass('absurd.workers') is not null`,
};

engine('the features that the schema lists are those that it has', async ({ value }) => {
  const listed = await value<string[]>('select absurd.get_schema_features()');
  expect(listed).toEqual(Object.keys(evidence).sort());
  for (const [feature, test] of Object.entries(evidence)) expect(await value(`select ${test}`), feature).toBe(true);
});

engine('the revision stands beside the version of the contract', async ({ value }) => {
  expect(await value('select absurd.get_schema_version()')).toBe('0.5.0');
  expect(await value('select absurd.get_schema_revision()')).toBeGreaterThanOrEqual(1);
});

engine('spawn_tasks spawns many in their order, each as spawn_task would', async (scene) => {
  const { task } = scene;
  const rows = await spawnTasks(scene, [
    { task_name: 'a', params: { n: 1 }, options: { max_attempts: 2, headers: { h: 1 }, idempotency_key: 'k' } },
    { task_name: 'b' },
    { task_name: 'again', options: { idempotency_key: 'k' } },
  ]);
  expect(rows.map((row) => row['created'])).toEqual([true, true, false]);
  expect(rows[2]?.['task_id']).toBe(rows[0]?.['task_id']);
  expect(await task(String(rows[0]?.['task_id']))).toMatchObject({
    task_name: 'a',
    params: { n: 1 },
    max_attempts: 2,
    headers: { h: 1 },
  });
  expect(await task(String(rows[1]?.['task_id']))).toMatchObject({ task_name: 'b', params: null });
  expect(await spawnTasks(scene, [{ task_name: 'x', options: { idempotency_key: 'k' } }])).toMatchObject([
    { created: false },
  ]);
  expect(await spawnTasks(scene, [])).toEqual([]);
});

engine('spawn_tasks takes all or none', async (scene) => {
  const { db, queue, value } = scene;
  for (const tasks of [
    [{ task_name: 'a' }, { task_name: ' ' }],
    [{ task_name: 'a' }, { task_name: 'b', options: { max_attempts: 0 } }],
  ]) {
    await refuses(spawnTasks(scene, tasks), '22\\w{3}');
  }
  await refuses(spawnTasks(scene, { task_name: 'a' }), '22023', /array/);
  await refuses(db.query(`select absurd.spawn_tasks('nowhere', '[]')`), 'P0002');
  expect(await value(`select count(*)::int from absurd."t_${queue}"`)).toBe(0);
});

engine('complete_runs completes each as complete_run would, and says what it could not', async (scene) => {
  const { db, queue, run, task } = scene;
  await db.query(`select absurd.spawn_task($1, 'job', '{}', '{"max_attempts": 1}') from generate_series(1, 5)`, [
    queue,
  ]);
  const claimed = await db.claim(queue, { qty: 4 });
  const [good, cancelled, failed, slept] = claimed;
  await db.query('select absurd.cancel_task($1, $2)', [queue, cancelled?.task_id]);
  await db.query('select absurd.fail_run($1, $2, $3)', [queue, failed?.run_id, '{}']);
  await db.query(`select absurd.schedule_run($1, $2, now() + interval '1 day')`, [queue, slept?.run_id]);
  const runs = [
    { run_id: good?.run_id, state: { n: 1 } },
    { run_id: cancelled?.run_id },
    { run_id: failed?.run_id },
    { run_id: slept?.run_id },
    { run_id: unknownId },
    { run_id: good?.run_id, state: { n: 2 } },
  ];
  const { rows } = await db.query('select * from absurd.complete_runs($1, $2)', [queue, JSON.stringify(runs)]);
  expect(rows.map((row) => row['run_id'])).toEqual(runs.map((one) => one.run_id));
  expect(rows.map((row) => row['error_code'])).toEqual([null, 'AB001', 'AB002', '55000', 'P0002', '55000']);
  expect(await run(String(good?.run_id))).toMatchObject({ state: 'completed', result: { n: 1 }, claimed_by: 'w1' });
  expect(await task(String(good?.task_id))).toMatchObject({ state: 'completed', completed_payload: { n: 1 } });
  expect((await db.query(`select * from absurd.complete_runs($1, '[]')`, [queue])).rows).toEqual([]);
  await refuses(db.query(`select absurd.complete_runs($1, '{}')`, [queue]), '22023', /array/);
  await refuses(db.query(`select absurd.complete_runs('nowhere', '[]')`), 'P0002');
});

engine('complete_runs says nothing of runs that all went well but that they did', async (scene) => {
  const { db, queue, value } = scene;
  await db.query(`select absurd.spawn_task($1, 'job', '{}') from generate_series(1, 50)`, [queue]);
  const claimed = await db.claim(queue, { qty: 50 });
  await db.query(`insert into absurd."w_${queue}" select task_id, run_id, 's', 'e' from absurd."r_${queue}"`);
  const runs = claimed.map((one, n) => ({ run_id: one.run_id, ...(n === 0 ? {} : { state: n }) }));
  const { rows } = await db.query('select * from absurd.complete_runs($1, $2)', [queue, JSON.stringify(runs)]);
  expect(rows).toEqual(claimed.map((one) => ({ run_id: one.run_id, error_code: null, error_message: null })));
  expect(await value(`select sum(result::text::int)::int from absurd."r_${queue}" where state = 'completed'`)).toBe(
    1225,
  );
  expect(await value(`select count(*)::int from absurd."r_${queue}" where result is null`)).toBe(1);
  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(0);
});

engine(
  'set_task_checkpoint_states and get_run_checkpoints do for many what the contract’s do for one',
  async (scene) => {
    const { db, queue, run } = scene;
    await db.query(`select absurd.spawn_task($1, 'job', '{}', '{"max_attempts": 1}') from generate_series(1, 3)`, [
      queue,
    ]);
    const [a, b, failed] = await db.claim(queue, { qty: 3, timeout: 10 });
    await db.query('select absurd.fail_run($1, $2, $3)', [queue, failed?.run_id, '{}']);
    const write = (one: typeof a, step: string, state: unknown, extra = {}) => ({
      task_id: one?.task_id,
      owner_run: one?.run_id,
      step_name: step,
      state,
      ...extra,
    });
    const writes = [
      write(a, 's', 1, { extend_claim_by: 1000 }),
      write(b, 's', 2),
      write(a, 's', 3),
      write(failed, 's', 4),
      write(a, ' ', 5),
      { ...write(b, 'x', 6), owner_run: unknownId },
      { ...write(b, 'x', 7), task_id: a?.task_id },
    ];
    const { rows } = await db.query('select * from absurd.set_task_checkpoint_states($1, $2)', [
      queue,
      JSON.stringify(writes),
    ]);
    expect(rows.map((row) => row['error_code'])).toEqual([null, null, null, 'AB002', '22023', 'P0002', '22023']);
    const read = await db.query(
      'select run_id, checkpoint_name, state from absurd.get_run_checkpoints($1, $2) order by state::text',
      [queue, [a?.run_id, b?.run_id, unknownId]],
    );
    expect(read.rows).toEqual([
      { run_id: b?.run_id, checkpoint_name: 's', state: 2 },
      { run_id: a?.run_id, checkpoint_name: 's', state: 3 },
    ]);
    const lease = (await run(String(a?.run_id)))['claim_expires_at'] as Date;
    expect(lease.getTime()).toBeGreaterThan(Date.now() + 900_000);
  },
);

engine('a queue announces new work only while its policy says so', async ({ db, queue, connect, value }) => {
  const listener = await connect();
  const heard: string[] = [];
  listener.client.on('notification', ({ payload }) => heard.push(payload ?? ''));
  await listener.query('listen absurd_wakeup');
  expect(await value('select absurd.get_queue_wakeup($1)', [queue])).toBe(false);
  await db.spawn(queue, 'job');
  await db.query('select absurd.set_queue_wakeup($1, true)', [queue]);
  await db.query('select absurd.set_queue_wakeup($1, true)', [queue]);
  expect(await value('select absurd.get_queue_wakeup($1)', [queue])).toBe(true);
  await db.spawn(queue, 'job');
  await listener.query('select 1');
  expect(heard).toEqual([queue]);
  await db.query('select absurd.set_queue_wakeup($1, false)', [queue]);
  await db.spawn(queue, 'job');
  await listener.query('select 1');
  expect(heard).toEqual([queue]);
  await refuses(db.query(`select absurd.set_queue_wakeup('nowhere', true)`), 'P0002');
});
