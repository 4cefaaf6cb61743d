import { describe } from 'vitest';
import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';

interface Partition {
  partition: string;
  from_at: string | null;
  to_at: string | null;
  rows: number | null;
  rows_exact: boolean;
  bytes: number;
  attached: boolean;
  is_default: boolean;
}

/** A partitioned queue with the weeks around Wednesday, 4 March 2026, and a task outside of all of them. */
async function weeks(db: TestDatabase): Promise<void> {
  await db.freeze('2026-03-04T12:00:00Z');
  await db.queue('p', 'partitioned');
  // Ids of the server's own making bear its own clock.
  await db.query(
    `insert into absurd.t_p (task_id, task_name, params, state)
     values (absurd.uuidv7_floor('2026-03-04 12:00Z'), 'now', '{}', 'pending'),
            (absurd.uuidv7_floor('2026-06-03 12:00Z'), 'later', '{}', 'pending')`,
  );
  await db.query('analyze absurd.t_p');
}

const partitions = async (db: TestDatabase): Promise<Partition[]> =>
  (await run(['list-partitions', '--json'], db)).json<Partition[]>();

describe('list-partitions', () => {
  test('names weeks, rows, sizes; counts the default partition; shows what is detached', async ({ db }) => {
    await weeks(db);
    await db.queue('plain');
    await db.query('alter table absurd.w_p detach partition absurd.w_p_611');

    const rows = await partitions(db);

    // One week back to four ahead, and the default one, of four tables.
    expect(rows.filter(({ attached }) => attached)).toHaveLength(4 * 6 - 1);
    expect(rows.find(({ partition }) => partition === 't_p_610')).toMatchObject({
      from_at: '2026-03-02T00:00:00.000000Z',
      to_at: '2026-03-09T00:00:00.000000Z',
      rows: 1,
      rows_exact: false,
      attached: true,
    });
    expect(rows.find(({ partition }) => partition === 't_p_d')).toMatchObject({
      from_at: null,
      rows: 1,
      rows_exact: true,
      is_default: true,
    });
    const terminal = await run(['list-partitions', '-q', 'p'], { ...db, width: 100 });
    expect(terminal.stdout).toMatch(/^t_p_610 +p +t_p +2026-03-02 +2026-03-09 +~1 +[\d.]+ kB +yes$/m);
    expect(terminal.stderr).toContain('absurdctl ensure-partitions');
  });

  test('another queue’s tables are no former partitions; a plain queue has none', async ({ db }) => {
    await weeks(db);
    await db.queue('p_401');
    expect((await partitions(db)).filter(({ attached }) => !attached)).toEqual([]);
    const none = await run(['list-partitions', '-q', 'p_401'], db);
    expect(none).toMatchObject({ code: 0, stdout: '' });
    expect(none.stderr).toContain('No queue is partitioned');
    expect((await run(['list-partitions', '-q', 'nowhere'], db)).code).toBe(3);
  });
});

describe('maintain', () => {
  test('makes weeks, cleans up and takes old weeks away: what the jobs of pg_cron do, once', async ({ db }) => {
    await weeks(db);
    await db.queue('plain');
    await db.query(`select absurd.set_queue_policy(q, '{"cleanup_ttl": "1 day"}') from unnest(array['p', 'plain']) q`);
    await db.query(`select absurd.set_queue_policy('p', '{"detach_mode": "empty", "detach_min_age": "7 days"}')`);
    for (const queue of ['p', 'plain']) {
      const { task_id: id } = await db.spawn(queue, 'over');
      await db.query('select absurd.cancel_task($1, $2)', [queue, id]);
    }
    await db.advance('21 days');

    const first = await run(['maintain', '--json'], db);

    expect(first.code).toBe(0);
    // Tasks that are spawned now bear the server's own clock, so they lie in the default partition.
    expect(first.json()).toMatchObject([
      { chore: 'partitions', queue_name: 'p', partitions_created: 12, error: null },
      { chore: 'cleanup', queue_name: 'p', tasks_deleted: 1, events_deleted: 0 },
      { chore: 'detach', queue_name: 'p', partition: 'c_p_610' },
      { chore: 'detach', queue_name: 'p', partition: 'r_p_610' },
      { chore: 'detach', queue_name: 'p', partition: 't_p_611' },
      { chore: 'detach', queue_name: 'p', partition: 'w_p_610' },
      { chore: 'partitions', queue_name: 'plain', partitions_created: 0 },
      { chore: 'cleanup', queue_name: 'plain', tasks_deleted: 1 },
    ]);
    const left = `select to_regclass('absurd.t_p_611') as empty, to_regclass('absurd.t_p_610') as used`;
    expect((await db.query(left)).rows).toEqual([{ empty: null, used: 'absurd.t_p_610' }]);
    expect((await db.query(`select count(*)::int as n from absurd.t_p`)).rows).toEqual([{ n: 2 }]);
  });

  test('a queue in trouble is told in its row, the others are served, and the exit code is 1', async ({ db }) => {
    await db.freeze('2026-03-04T12:00:00Z');
    await db.queue('a', 'partitioned');
    await db.queue('b');
    await db.query('alter table absurd.t_a detach partition absurd.t_a_610');
    await db.query('drop table absurd.t_a_610');
    await db.query('create view absurd.t_a_610 as select 1 as one');
    const { task_id: id } = await db.spawn('b', 'over');
    await db.query(`select absurd.cancel_task('b', $1)`, [id]);
    await db.query(`select absurd.set_queue_policy('b', '{"cleanup_ttl": "0"}')`);
    await db.advance('1 second');

    const { code, stdout, stderr } = await run(['maintain'], db);

    expect(code).toBe(1);
    expect(stderr).toMatch(/^partitions of queue "a" failed: .*t_a_610/m);
    expect(stdout).toMatch(/^b\tcleanup\t\t1\t0\t\t$/m);
  });

  test('an unknown queue, a database without schema', async ({ db, emptyDatabase }) => {
    expect((await run(['maintain', '-q', 'nowhere'], db)).code).toBe(3);
    expect((await run(['maintain'], emptyDatabase)).code).toBe(5);
  });
});

test('detach-candidate --drop goes on where it was cut off, and drops nothing that holds rows', async ({ db }) => {
  await weeks(db);
  await db.query('alter table absurd.c_p detach partition absurd.c_p_610');
  await db.query('alter table absurd.t_p detach partition absurd.t_p_610');

  expect((await run(['detach-candidate', 'c_p_610'], db)).stderr).toContain('--drop drops it');
  expect((await run(['detach-candidate', 'absurd.c_p_610', '--drop'], db)).code).toBe(0);
  expect((await run(['detach-candidate', 'c_p_610', '--drop'], db)).code).toBe(4);
  const full = await run(['detach-candidate', 't_p_610', '--drop'], db);
  expect(full.code).toBe(4);
  expect(full.stderr).toContain('holds rows');
  expect((await db.query('select count(*)::int as n from absurd.t_p_610')).rows).toEqual([{ n: 1 }]);
});

describe('a concurrent detaching that broke off', () => {
  /** Leaves `partition` half detached; `during` is called while somebody is still at it. */
  async function breakOff(db: TestDatabase, partition: string, during: () => Promise<void>): Promise<void> {
    const parent = partition.slice(0, -4);
    const reader = await db.connect();
    const detacher = await db.connect();
    await reader.query(`begin; select from absurd.${parent}`);
    const { pid } = (await detacher.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0] ?? { pid: 0 };
    const detaching = detacher
      .query(`alter table absurd.${parent} detach partition absurd.${partition} concurrently`)
      .then(() => 'done')
      .catch(() => 'broken off');
    const pending = `select from pg_inherits where inhrelid = 'absurd.${partition}'::regclass and inhdetachpending`;
    while ((await db.query(pending)).rowCount === 0);
    try {
      await during();
    } finally {
      await db.query('select pg_cancel_backend($1)', [pid]);
      expect(await detaching).toBe('broken off');
      await reader.query('commit');
    }
  }

  async function emptyWeeks(db: TestDatabase): Promise<void> {
    await weeks(db);
    await db.query(`delete from absurd.t_p`);
    const policy = { default_partition: 'disabled', detach_mode: 'empty', detach_min_age: '7 days' };
    await db.query(`select absurd.set_queue_policy('p', $1)`, [JSON.stringify(policy)]);
    await db.advance('28 days');
  }

  test('detach-candidate ends it; who is still at it is left alone', async ({ db }) => {
    await emptyWeeks(db);
    await breakOff(db, 't_p_610', async () => {
      const busy = await run(['detach-candidate', 't_p_610'], db);
      expect(busy.code).toBe(4);
      expect(busy.stderr).toMatch(/^Error: Process \d+ is detaching "t_p_610" just now\n/);
      const left = (await run(['maintain', '--json'], db)).json<{ partition: string; error: unknown }[]>();
      expect(left.filter(({ error }) => error !== null)).toEqual([]);
      expect(left.flatMap(({ partition }) => partition ?? []).filter((name) => name.startsWith('t_'))).toEqual([]);
    });
    expect((await partitions(db)).find(({ partition }) => partition === 't_p_610')?.attached).toBe(false);
    expect((await run(['detach-candidate', 't_p_610'], db)).stderr).toContain('Detached t_p_610 from t_p concurrently');
    expect((await run(['detach-candidate', 't_p_610', '--drop'], db)).code).toBe(0);
    expect((await partitions(db)).map(({ partition }) => partition)).not.toContain('t_p_610');
  });

  test('maintain ends it and goes on; one that holds rows is a person’s', async ({ db }) => {
    await emptyWeeks(db);
    await breakOff(db, 't_p_610', () => Promise.resolve());
    const first = await run(['maintain', '--json'], db);
    expect(first.code).toBe(0);
    const gone = first.json<{ partition: string | null }[]>().flatMap(({ partition }) => partition ?? []);
    expect(gone).toEqual(expect.arrayContaining(['t_p_610', 't_p_611']));

    await breakOff(db, 't_p_612', () => Promise.resolve());
    await db.query(
      `insert into absurd.t_p_612 (task_id, task_name, params, state)
       values (absurd.uuidv7_floor('2026-03-18 12:00Z'), 'kept', '{}', 'pending')`,
    );
    const second = await run(['maintain'], db);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain('"t_p_612" holds rows');
    expect((await db.query('select from absurd.t_p_612')).rowCount).toBe(1);
  });
});
