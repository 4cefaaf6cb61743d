import { expect } from 'vitest';
import { engine, noon, refuses, type Scene } from './support.js';

/** The partitions of one of a queue's tables, by name. */
const partitions = async ({ db }: Scene, table: string): Promise<string[]> =>
  (
    await db.query<{ name: string }>(
      `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = to_regclass(format('absurd.%I', $1::text)) order by 1`,
      [table],
    )
  ).rows.map((row) => row.name);
const policy = ({ db }: Scene, queue: string, value: object) =>
  db.query('select absurd.set_queue_policy($1, $2)', [queue, JSON.stringify(value)]);
const ensure = ({ db }: Scene, queue: string | null) => db.query('select absurd.ensure_partitions($1)', [queue]);

engine('weeks are made from lookback to lookahead, with a default, for all four tables', async (scene) => {
  await scene.db.freeze(noon); // a Wednesday, week 10 of 2026
  const queue = await scene.partitioned();
  for (const letter of ['t', 'r', 'c', 'w']) {
    const table = `${letter}_${queue}`;
    expect(await partitions(scene, table)).toEqual(
      ['610', '611', '612', '613', '614', 'd'].map((tag) => `${table}_${tag}`),
    );
  }
  const bounds = await scene.value(
    `select pg_get_expr(relpartbound, oid) from pg_class where oid = to_regclass(format('absurd.%I', $1::text))`,
    [`t_${queue}_610`],
  );
  const floor = (at: string): Promise<string> => scene.value('select absurd.uuidv7_floor($1)', [at]);
  expect(bounds).toBe(
    `FOR VALUES FROM ('${await floor('2026-03-02T00:00:00Z')}') TO ('${await floor('2026-03-09T00:00:00Z')}')`,
  );
  await policy(scene, queue, { partition_lookback: '15 days', partition_lookahead: '0' });
  await ensure(scene, queue);
  await ensure(scene, queue);
  expect(await partitions(scene, `t_${queue}`)).toHaveLength(8);
  expect(await partitions(scene, `t_${queue}`)).toContain(`t_${queue}_608`);
});

engine('ensure_partitions without a name takes every partitioned queue, and refuses an unknown one', async (scene) => {
  await scene.db.freeze(noon);
  const queue = await scene.partitioned();
  await scene.db.advance('30 days');
  await ensure(scene, null);
  expect(await partitions(scene, `t_${queue}`)).toContain(`t_${queue}_618`);
  await ensure(scene, scene.queue);
  await refuses(ensure(scene, 'nowhere'), 'P0002', 'nowhere');
});

engine('a queue whose week cannot be made keeps no other from its own', async (scene) => {
  await scene.db.freeze(noon);
  const [bad, good] = [`a${scene.queue}`, `b${scene.queue}`];
  for (const queue of [bad, good]) await scene.db.queue(queue, 'partitioned');
  await scene.db.advance('30 days');
  await scene.db.query(`create table absurd."t_${bad}_618" (mine int)`);
  await ensure(scene, null);
  expect(await partitions(scene, `t_${good}`)).toContain(`t_${good}_618`);
  await refuses(ensure(scene, null), '(42P07|55000)', new RegExp(`queue "${bad}".*t_${bad}_618`));
  await refuses(ensure(scene, bad), '(42P07|55000)', `t_${bad}_618`);
  await scene.db.query(`drop table absurd."t_${bad}_618"`);
  await ensure(scene, null);
  expect(await partitions(scene, `t_${bad}`)).toContain(`t_${bad}_618`);
});

engine('rows of a week that was missing move from the default partition into the new one', async (scene) => {
  const { db, value } = scene;
  await db.freeze(noon);
  const queue = await scene.partitioned();
  await db.freeze('2026-06-03T12:00:00Z');
  // PostgreSQL 18 takes ids from the wall clock, whatever absurd.fake_now says: ids of that week are made by hand.
  const id = await value<string>(`select absurd.uuidv7_floor('2026-06-03T12:00:00Z')`);
  await db.query(
    `insert into absurd."t_${queue}" (task_id, task_name, params, state, last_attempt_run) values ($1, 'job', '{}', 'pending', $1)`,
    [id],
  );
  await db.query(
    `insert into absurd."r_${queue}" (run_id, task_id, attempt, state, available_at) values ($1, $1, 1, 'pending', absurd.current_time())`,
    [id],
  );
  await db.query(`insert into absurd."c_${queue}" (task_id, checkpoint_name) values ($1, 's')`, [id]);
  await db.query(`insert into absurd."w_${queue}" values ($1, $1, 's', 'e')`, [id]);
  await ensure(scene, queue);
  for (const letter of ['t', 'r', 'c', 'w']) {
    expect(await value(`select count(*)::int from absurd."${letter}_${queue}_623"`)).toBe(1);
    expect(await value(`select count(*)::int from absurd."${letter}_${queue}_d"`)).toBe(0);
  }
  expect(await db.claim(queue)).toMatchObject([{ run_id: id }]);
});

engine('the default partition goes only when it is empty, and comes back', async (scene) => {
  const { db, value } = scene;
  const queue = await scene.partitioned();
  const id = await value<string>(`select absurd.uuidv7_floor('2001-01-01Z')`);
  await db.query(`insert into absurd."c_${queue}" (task_id, checkpoint_name) values ($1, 's')`, [id]);
  await refuses(policy(scene, queue, { default_partition: 'disabled' }), '\\w{5}');
  expect(await value('select default_partition from absurd.get_queue_policy($1)', [queue])).toBe('enabled');
  await db.query(`delete from absurd."c_${queue}"`);
  await policy(scene, queue, { default_partition: 'disabled' });
  expect(await value(`select to_regclass(format('absurd.%I', $1::text)) is null`, [`t_${queue}_d`])).toBe(true);
  await refuses(db.query(`insert into absurd."c_${queue}" (task_id, checkpoint_name) values ($1, 's')`, [id]), '23514');
  await ensure(scene, queue);
  expect(await partitions(scene, `t_${queue}`)).not.toContain(`t_${queue}_d`);
  await policy(scene, queue, { default_partition: 'enabled' });
  expect(await partitions(scene, `w_${queue}`)).toContain(`w_${queue}_d`);
});

/** A partitioned queue with two old, empty weeks and one old week that holds a task. */
async function withOldWeeks(scene: Scene): Promise<string> {
  const { db, value } = scene;
  await db.freeze('2026-01-07T12:00:00Z');
  const queue = await scene.partitioned();
  await db.query(
    `insert into absurd."t_${queue}" (task_id, task_name, params, state) values ($1, 'job', '{}', 'pending')`,
    [await value(`select absurd.uuidv7_floor('2026-01-14Z')`)],
  );
  await db.freeze(noon);
  await policy(scene, queue, { detach_mode: 'empty', detach_min_age: '40 days' });
  return queue;
}
const candidates = async ({ db }: Scene, queue: string | null): Promise<string[]> =>
  (
    await db.query<{ line: string }>(
      `select concat_ws(' ', queue_name, parent_table, partition_table) as line from absurd.list_detach_candidates($1)`,
      [queue],
    )
  ).rows.map((row) => row.line);

engine('detach candidates are old, empty and no default, where the policy asks for it', async (scene) => {
  const queue = await withOldWeeks(scene);
  const expected = ['c', 'r', 't', 'w'].flatMap((letter) =>
    ['602', '603']
      .filter((tag) => letter !== 't' || tag !== '603')
      .map((tag) => `${queue} ${letter}_${queue} ${letter}_${queue}_${tag}`),
  );
  expect((await candidates(scene, queue)).sort()).toEqual(expected);
  expect((await candidates(scene, null)).filter((line) => line.startsWith(`${queue} `)).sort()).toEqual(expected);
  await policy(scene, queue, { detach_mode: 'none' });
  expect(await candidates(scene, queue)).toEqual([]);
  expect(await candidates(scene, 'nowhere')).toEqual([]);
});

engine('weeks that span so many years that their names would come round are refused', async (scene) => {
  const queue = await scene.partitioned();
  const before = (await scene.db.query('select * from absurd.get_queue_policy($1)', [queue])).rows;
  for (const key of ['partition_lookahead', 'partition_lookback']) {
    await refuses(policy(scene, queue, { [key]: '20 years' }), '22023', 'nine years');
  }
  expect((await scene.db.query('select * from absurd.get_queue_policy($1)', [queue])).rows).toEqual(before);
  await scene.db.query('select absurd.ensure_partitions()');
  // Stored by an older schema: what else the policy says can be changed.
  await scene.db.query(`update absurd.queues set partition_lookback = '20 years' where queue_name = $1`, [queue]);
  await policy(scene, queue, { cleanup_limit: 5 });
  await policy(scene, queue, { partition_lookback: '1 day' });
});

engine('drop_detached_partition drops only what is detached', async (scene) => {
  const { db, value } = scene;
  const queue = await withOldWeeks(scene);
  const drop = (name: string): Promise<boolean> => value('select absurd.drop_detached_partition($1)', [name]);
  const week = `t_${queue}_602`;
  expect(await drop(week)).toBe(false);
  expect(await drop('no_such_table')).toBe(false);
  await db.query(`alter table absurd."t_${queue}" detach partition absurd."${week}"`);
  expect(await drop(week)).toBe(true);
  expect(await value(`select to_regclass('absurd."${week}"') is null`)).toBe(true);
});

engine('a partitioned queue works like any other', async (scene) => {
  const { db, value } = scene;
  const queue = await scene.partitioned();
  const { task_id: id } = await db.spawn(queue, 'job', { n: 1 }, { max_attempts: 2 });
  const [first] = await db.claim(queue);
  await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5, 60)', [
    queue,
    id,
    's',
    '1',
    first?.run_id,
  ]);
  await db.query('select absurd.fail_run($1, $2, $3)', [queue, first?.run_id, '{}']);
  const [second] = await db.claim(queue);
  await db.query('select absurd.await_event($1, $2, $3, $4, $5)', [queue, id, second?.run_id, 'w', 'go']);
  await db.query('select absurd.emit_event($1, $2)', [queue, 'go']);
  const [third] = await db.claim(queue);
  expect(third?.run_id).toBe(second?.run_id);
  await db.query('select absurd.complete_run($1, $2, $3)', [queue, third?.run_id, '7']);
  expect(await value('select result::int from absurd.get_task_result($1, $2)', [queue, id])).toBe(7);
});
