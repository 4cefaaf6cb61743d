import { expect } from 'vitest';
import { engine, iso, noon, refuses } from './support.js';

engine('a spawn makes a pending task and its first run, available now', async ({ db, queue, run, task }) => {
  await db.freeze(noon);
  const options = {
    headers: { trace: 'abc' },
    retry_strategy: { kind: 'fixed', base_seconds: 7 },
    max_attempts: 3,
    cancellation: { max_delay: 60 },
    idempotency_key: 'key-1',
    no_such_option: true,
  };
  const spawned = await db.spawn(queue, 'job', { n: 1 }, options);

  expect(spawned).toMatchObject({ attempt: 1, created: true });
  expect(await task(spawned.task_id)).toMatchObject({
    task_name: 'job',
    params: { n: 1 },
    headers: { trace: 'abc' },
    retry_strategy: options.retry_strategy,
    max_attempts: 3,
    cancellation: { max_delay: 60 },
    idempotency_key: 'key-1',
    state: 'pending',
    attempts: 1,
    first_started_at: null,
    last_attempt_run: spawned.run_id,
    completed_payload: null,
    cancelled_at: null,
    enqueue_at: new Date(noon),
  });
  const first = await run(spawned.run_id);
  expect(first).toMatchObject({
    task_id: spawned.task_id,
    attempt: 1,
    state: 'pending',
    claimed_by: null,
    started_at: null,
  });
  expect([iso(first['available_at']), iso(first['created_at'])]).toEqual([noon, noon]);
});

engine('absent parameters and options are JSON null and none', async ({ db, queue, value }) => {
  const id = await value('select task_id from absurd.spawn_task($1, $2, null, null)', [queue, 'job']);
  expect(
    await value(
      `select params = 'null'::jsonb and headers is null and retry_strategy is null and max_attempts is null
                        and cancellation is null and idempotency_key is null from absurd."t_${queue}" where task_id = $1`,
      [id],
    ),
  ).toBe(true);
  const nulls = '{"headers": null, "max_attempts": null, "cancellation": null, "idempotency_key": null}';
  await db.query('select absurd.spawn_task($1, $2, $3, $4)', [queue, 'job', '1', nulls]);
  await db.query('select absurd.spawn_task($1, $2, $3)', [queue, 'job', '1']);
});

engine('what a spawn cannot use is refused', async ({ db, queue, value }) => {
  for (const name of [null, '', '  ']) {
    await refuses(db.query('select absurd.spawn_task($1, $2, $3)', [queue, name, '{}']), '22023', /name/i);
  }
  for (const options of [
    '[]',
    '3',
    '{"max_attempts": 0}',
    '{"max_attempts": -1}',
    '{"max_attempts": "many"}',
    '{"cancellation": {"max_delay": "soon"}}',
    '{"cancellation": {"max_delay": -1}}',
    '{"cancellation": {"max_duration": true}}',
  ]) {
    await refuses(db.query('select absurd.spawn_task($1, $2, $3, $4)', [queue, 'job', '{}', options]), '22\\w{3}');
  }
  await refuses(db.query('select absurd.spawn_task($1, $2, $3)', ['nowhere', 'job', '{}']), 'P0002', 'nowhere');
  expect(await value(`select count(*)::int from absurd."t_${queue}"`)).toBe(0);
});

engine('odd but finite cancellation settings are fine and break no claim', async ({ db, queue }) => {
  for (const seconds of [0.5, 1.5, 1e15, 0]) {
    await db.spawn(queue, 'odd', {}, { cancellation: { max_duration: seconds, max_delay: 1e12 } });
  }
  await db.spawn(queue, 'plain');
  expect(await db.claim(queue, { qty: 10 })).toHaveLength(5);
});

for (const mode of ['unpartitioned', 'partitioned'] as const) {
  engine(`a key that is known gives its task back and writes nothing (${mode})`, async (scene) => {
    const { db, value, task } = scene;
    const queue = mode === 'partitioned' ? await scene.partitioned() : scene.queue;
    const first = await db.spawn(queue, 'job', { n: 1 }, { idempotency_key: 'k', max_attempts: 3 });
    const [claimed] = await db.claim(queue);
    await db.query('select absurd.fail_run($1, $2, $3)', [queue, claimed?.run_id, '{}']);
    const before = await task(first.task_id, queue);

    const again = await db.spawn(queue, 'other', { n: 2 }, { idempotency_key: 'k' });

    expect(again).toEqual({ task_id: first.task_id, run_id: before['last_attempt_run'], attempt: 2, created: false });
    expect(again.run_id).not.toBe(first.run_id);
    expect(await task(first.task_id, queue)).toEqual(before);
    expect(await value(`select count(*)::int from absurd."t_${queue}"`)).toBe(1);
    expect((await db.spawn(queue, 'job', {}, { idempotency_key: 'K' })).created).toBe(true);
    expect((await db.spawn(queue, 'job')).created).toBe(true);
  });

  engine(`a key of a rolled back spawn is free (${mode})`, async (scene) => {
    const { db } = scene;
    const queue = mode === 'partitioned' ? await scene.partitioned() : scene.queue;
    await db.query('begin');
    await db.spawn(queue, 'job', {}, { idempotency_key: 'k' });
    await db.query('rollback');
    expect((await db.spawn(queue, 'job', {}, { idempotency_key: 'k' })).created).toBe(true);
  });
}

engine('a reserved key whose task vanished asks for another try', async ({ db, partitioned }) => {
  const queue = await partitioned();
  await db.query(`insert into absurd."i_${queue}" values ('k', absurd.portable_uuidv7())`);
  await refuses(db.spawn(queue, 'job', {}, { idempotency_key: 'k' }), '40001');
});

engine(
  'a spawn outside of all weeks goes to the default partition, or fails without one',
  async ({ db, partitioned, value }) => {
    const queue = await partitioned();
    await db.query('select absurd.set_queue_policy($1, $2)', [queue, '{"default_partition": "disabled"}']);
    await db.query(
      `alter table absurd."t_${queue}" detach partition absurd."t_${queue}_${await value('select absurd.partition_week_tag(now())')}"`,
    );
    await refuses(db.spawn(queue, 'job'), '23514');
    await db
      .query('select absurd.set_queue_policy($1, $2)', [queue, '{"default_partition": "enabled"}'])
      .catch(() => undefined);
  },
);
