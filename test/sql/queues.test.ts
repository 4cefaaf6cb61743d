import { expect } from 'vitest';
import { engine, refuses } from './support.js';

const names = [
  ' ',
  'two words',
  '"quoted"',
  "it's",
  'semi;colon',
  'drop table absurd.queues; --',
  'Straße ☃',
  'new\nline',
  'UPPER',
  '-dash',
  '$1',
  '$body$; $create$ $$ $sql$',
  "back\\slash\\'",
  '%I',
  'x'.repeat(57),
  'é'.repeat(28),
];

for (const name of names) {
  engine(`a queue may be called ${JSON.stringify(name)}`, async ({ db, value }) => {
    for (const mode of ['unpartitioned', 'partitioned'] as const) {
      await db.queue(name, mode);
      const task = await db.spawn(name, 'job', { n: 1 }, { idempotency_key: 'k' });
      expect((await db.spawn(name, 'job', {}, { idempotency_key: 'k' })).task_id).toBe(task.task_id);
      const [run] = await db.claim(name);
      await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5, 30)', [
        name,
        task.task_id,
        'step',
        '1',
        run?.run_id,
      ]);
      await db.query('select absurd.complete_run($1, $2, $3)', [name, run?.run_id, '{"done": true}']);
      const { rows } = await db.query('select * from absurd.get_task_result($1, $2)', [name, task.task_id]);
      expect(rows[0]).toMatchObject({ state: 'completed', result: { done: true } });
      expect(await value('select count(*)::int from absurd.list_queues() where queue_name = $1', [name])).toBe(1);
      await db.query('select absurd.drop_queue($1)', [name]);
      expect(
        await value(
          `select count(*)::int from pg_class where relnamespace = 'absurd'::regnamespace and right(relname, $2) = $1`,
          [name, name.length],
        ),
      ).toBe(0);
      expect(
        await value(
          `select count(*)::int from pg_proc where pronamespace = 'absurd'::regnamespace and proname like '%:%' and right(proname, $2) = $1`,
          [name, name.length],
        ),
      ).toBe(0);
    }
  });
}

engine('a queue needs a name of at most 57 bytes', async ({ db, value }) => {
  for (const name of [null, '']) {
    await refuses(db.query('select absurd.create_queue($1)', [name]), '22023', 'Queue name must be provided');
    await refuses(db.query('select absurd.validate_queue_name($1)', [name]), '22023', 'Queue name must be provided');
  }
  for (const name of ['x'.repeat(58), 'é'.repeat(29)]) {
    await refuses(db.query('select absurd.create_queue($1)', [name]), '22023', 'too long');
  }
  expect(await value('select absurd.validate_queue_name($1)', [' a '])).toBe(' a ');
});

engine('create_queue may be called again in the same mode only', async ({ db, queue }) => {
  await db.query('select absurd.create_queue($1)', [queue]);
  await db.query(`select absurd.create_queue($1, 'unpartitioned')`, [queue]);
  await refuses(
    db.query(`select absurd.create_queue($1, 'partitioned')`, [queue]),
    '\\w+',
    'already exists with storage mode',
  );
  await refuses(db.query(`select absurd.create_queue('other', 'sideways')`), '22023');
  await db.query('select absurd.ensure_queue_tables($1)', [queue]);
});

engine(
  'who makes sure of a queue makes no function of it anew, but one that is missing',
  async ({ db, queue, value }) => {
    const made = (): Promise<string> =>
      value(
        `select string_agg(proname || ' ' || xmin, ', ' order by proname) from pg_proc
        where pronamespace = 'absurd'::regnamespace and proname like '%:' || $1`,
        [queue],
      );
    const before = await made();
    await db.query('select absurd.create_queue($1)', [queue]);
    await db.query('select absurd.ensure_queue_tables($1)', [queue]);
    expect(await made()).toBe(before);
    await db.query(`drop function absurd."emit:${queue}"(text, jsonb)`);
    await db.query('select absurd.create_queue($1)', [queue]);
    const names = (all: string): string[] => all.split(', ').map((one) => one.split(' ')[0] ?? '');
    expect(names(await made())).toEqual(names(before));
  },
);

engine('an unpartitioned queue has five tables, a partitioned one six', async ({ partitioned, queue, value }) => {
  const tables = (name: string): Promise<string> =>
    value(
      `select string_agg(left(relname, 2), '' order by relname) from pg_class
        where relnamespace = 'absurd'::regnamespace and relkind in ('r', 'p') and relname in (
          select l || '_' || $1 from unnest(array['t','r','c','e','w','i']) l)`,
      [name],
    );
  expect(await tables(queue)).toBe('c_e_r_t_w_');
  expect(await tables(await partitioned())).toBe('c_e_i_r_t_w_');
});

engine('queues are listed by name', async ({ db, queue, value }) => {
  await db.query('select absurd.create_queue($1)', [`${queue}-b`]);
  await db.query('select absurd.create_queue($1)', [`${queue}-a`]);
  const found = await value('select array_agg(queue_name) from absurd.list_queues() where queue_name like $1', [
    `${queue}%`,
  ]);
  expect(found).toEqual([queue, `${queue}-a`, `${queue}-b`]);
});

engine('drop_queue takes an unknown queue, and one of any shape', async ({ db, queue, value }) => {
  await db.query(`select absurd.drop_queue('never there')`);
  await db.query(`drop table absurd."w_${queue}"`);
  await db.query(`alter table absurd."t_${queue}" drop column headers cascade`);
  await db.query('select absurd.drop_queue($1)', [queue]);
  expect(await value('select count(*)::int from absurd.queues where queue_name = $1', [queue])).toBe(0);
});

engine('the name of an old queue that is illegal today can be dropped', async ({ db, value }) => {
  await db.query(`insert into absurd.queues (queue_name) values ('')`);
  await db.query(`create table absurd."t_" (task_id uuid)`);
  await db.query(`select absurd.drop_queue('')`);
  expect(
    await value(
      `select to_regclass('absurd."t_"') is null and not exists (select from absurd.queues where queue_name = '')`,
    ),
  ).toBe(true);
});

engine('a new queue has the default policy', async ({ db, queue, partitioned }) => {
  const { rows } = await db.query(
    `select storage_mode, default_partition, partition_lookahead::text, partition_lookback::text, cleanup_ttl::text,
            cleanup_limit, detach_mode, detach_min_age::text from absurd.get_queue_policy($1)`,
    [queue],
  );
  expect(rows).toEqual([
    {
      storage_mode: 'unpartitioned',
      default_partition: 'enabled',
      partition_lookahead: '28 days',
      partition_lookback: '1 day',
      cleanup_ttl: '30 days',
      cleanup_limit: 1000,
      detach_mode: 'none',
      detach_min_age: '30 days',
    },
  ]);
  const mode = await db.query('select storage_mode from absurd.get_queue_policy($1)', [await partitioned()]);
  expect(mode.rows).toEqual([{ storage_mode: 'partitioned' }]);
  expect((await db.query(`select * from absurd.get_queue_policy('nowhere')`)).rows).toEqual([]);
});

engine('a policy is set by its keys, and others stay', async ({ db, queue }) => {
  const policy = { cleanup_ttl: '2 days', cleanup_limit: 7, detach_mode: 'empty', detach_min_age: '3 weeks' };
  await db.query('select absurd.set_queue_policy($1, $2)', [queue, JSON.stringify(policy)]);
  await db.query('select absurd.set_queue_policy($1, null)', [queue]);
  const { rows } = await db.query(
    `select cleanup_ttl::text, cleanup_limit, detach_mode, detach_min_age::text, partition_lookahead::text
       from absurd.get_queue_policy($1)`,
    [queue],
  );
  expect(rows[0]).toEqual({
    cleanup_ttl: '2 days',
    cleanup_limit: 7,
    detach_mode: 'empty',
    detach_min_age: '21 days',
    partition_lookahead: '28 days',
  });
});

engine('a policy that cannot be is refused, and changes nothing', async ({ db, queue }) => {
  const before = (await db.query('select * from absurd.get_queue_policy($1)', [queue])).rows;
  for (const policy of [
    '[]',
    '"x"',
    '3',
    '{"queue_name": "x"}',
    '{"storage_mode": "partitioned"}',
    '{"cleanup_limits": 3}',
    '{"cleanup_limit": 0}',
    '{"cleanup_limit": "many"}',
    '{"cleanup_ttl": "soon"}',
    '{"cleanup_ttl": "-1 day"}',
    '{"detach_min_age": 30}',
    '{"detach_mode": "all"}',
    '{"partition_lookahead": "-1 day"}',
    '{"default_partition": "disabled"}',
    '{"cleanup_limit": 5, "detach_mode": "all"}',
  ]) {
    await refuses(db.query('select absurd.set_queue_policy($1, $2)', [queue, policy]), '\\w{5}');
  }
  expect((await db.query('select * from absurd.get_queue_policy($1)', [queue])).rows).toEqual(before);
  await refuses(db.query(`select absurd.set_queue_policy('nowhere', '{}')`), 'P0002', 'nowhere');
});
