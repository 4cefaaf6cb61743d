import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';

describe('queue-policy', () => {
  test('shows name: value lines, and sets what flags name', async ({ db }) => {
    await db.queue('q');
    const shown = await run(['queue-policy', 'q'], db);
    expect(shown.stdout).toBe(
      [
        'queue_name: q',
        'storage_mode: unpartitioned',
        'default_partition: enabled',
        'partition_lookahead: 28 days',
        'partition_lookback: 1 day',
        'cleanup_ttl: 30 days',
        'cleanup_limit: 1000',
        'detach_mode: none',
        'detach_min_age: 30 days',
        'wakeup: off',
        '',
      ].join('\n'),
    );
    const flags = [
      '--cleanup-ttl',
      '14 days',
      '--cleanup-limit',
      '7',
      '--detach-mode',
      'empty',
      '--detach-min-age',
      '2 weeks',
    ];
    const set = await run(['queue-policy', 'q', ...flags, '--partition-lookahead', '0', '--json'], db);
    expect(set.json()).toMatchObject({
      cleanup_ttl: '14 days',
      cleanup_limit: 7,
      detach_mode: 'empty',
      detach_min_age: '14 days',
      partition_lookahead: '00:00:00',
      partition_lookback: '1 day',
    });
  });

  test('a span without a unit is told to be seconds', async ({ db }) => {
    await db.queue('q');
    const bare = await run(['queue-policy', 'q', '--cleanup-ttl', '14', '--partition-lookback', '0'], db);
    expect(bare).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('cleanup_ttl: 00:00:14\n') as string,
      stderr: "--cleanup-ttl 14 is seconds: write '14 days' for days\n",
    });
    expect((await run(['queue-policy', 'q', '--cleanup-ttl', '14 days'], db)).stderr).toBe('');
  });

  test('workers are told of new work where it says so, and all that is set is set at once', async ({ db }) => {
    await db.queue('q');
    expect((await run(['queue-policy', 'q', '--wakeup', 'on', '--json'], db)).json()).toMatchObject({ wakeup: 'on' });
    expect((await db.query(`select absurd.get_queue_wakeup('q') as on`)).rows).toEqual([{ on: true }]);
    expect((await run(['queue-policy', 'q', '--wakeup', 'off', '--cleanup-ttl', 'soon'], db)).code).toBe(2);
    expect((await run(['queue-policy', 'q'], db)).stdout).toContain('wakeup: on');
  });

  test('the default partition goes and comes', async ({ db }) => {
    await db.queue('p', 'partitioned');
    expect((await run(['queue-policy', 'p', '--default-partition', 'disabled'], db)).code).toBe(0);
    expect((await db.query(`select to_regclass('absurd.t_p_d') as there`)).rows).toEqual([{ there: null }]);
    expect((await run(['queue-policy', 'p', '--default-partition', 'enabled'], db)).code).toBe(0);
    await db.query(
      `insert into absurd.c_p (task_id, checkpoint_name) values ('00000000-0000-7000-8000-000000000000', 's')`,
    );
    const refused = await run(['queue-policy', 'p', '--default-partition', 'disabled'], db);
    expect(refused.code).toBe(4);
  });

  test.for([
    [['q', '--cleanup-ttl', 'soon'], 2],
    [['q', '--cleanup-ttl=-1 day'], 2],
    [['q', '--cleanup-limit', '0'], 2],
    [['q', '--detach-mode', 'all'], 2],
    [['q', '--default-partition', 'disabled'], 4],
    [['p'], 3],
    [[], 2],
  ] as [string[], number][])('%j ends with %i and changes nothing', async ([argv, code], { db }) => {
    await db.queue('q');
    const before = (await run(['queue-policy', 'q', '--json'], db)).stdout;
    const result = await run(['queue-policy', ...argv], db);
    expect([result.code === code || result.code === 2, result.stdout]).toEqual([true, '']);
    expect((await run(['queue-policy', 'q', '--json'], db)).stdout).toBe(before);
  });
});

/** A partitioned queue whose weeks of January 2026 are old and empty. */
async function old(db: TestDatabase, name = 'q'): Promise<void> {
  await db.freeze('2026-01-07T12:00:00Z');
  await db.queue(name, 'partitioned');
  await db.query('select absurd.set_queue_policy($1, $2)', [
    name,
    '{"detach_mode": "empty", "detach_min_age": "40 days", "partition_lookahead": "0"}',
  ]);
  await db.freeze('2026-03-04T12:00:00Z');
}

describe('detaching', () => {
  test('candidates come with the header that scripts read', async ({ db }) => {
    await old(db);
    const { stdout } = await run(['list-detach-candidates', '-q', 'q'], db);
    expect(stdout.split('\n').slice(0, 3)).toEqual(['partition\tqueue\tparent', 'c_q_602\tq\tc_q', 'c_q_603\tq\tc_q']);
    const sql = await run(['list-detach-candidates', '--show-sql', '--json'], db);
    expect(sql.json<object[]>()[0]).toEqual({
      partition: 'c_q_602',
      queue: 'q',
      parent: 'c_q',
      sql: 'alter table absurd."c_q" detach partition absurd."c_q_602";',
    });
    // To be copied from any terminal.
    const narrow = await run(['list-detach-candidates', '--show-sql'], { ...db, width: 60 });
    expect(narrow.stdout).toMatch(/^c_q_602 +alter table absurd."c_q" detach partition absurd."c_q_602";$/m);
    expect((await run(['list-detach-candidates', '-q', 'nowhere'], db)).code).toBe(3);
    await db.queue('plain');
    expect(await run(['list-detach-candidates', '-q', 'plain', '--json'], db)).toMatchObject({
      code: 0,
      stdout: '[]\n',
    });
  });

  test('a task outside of all weeks: refused, and what makes the week is named', async ({ db }) => {
    await db.queue('q', 'partitioned');
    await db.query(`select absurd.set_queue_policy('q', '{"default_partition": "disabled"}')`);
    await db.query(`do $$ declare part regclass; begin
      for part in select inhrelid::regclass from pg_inherits where inhparent = 'absurd.t_q'::regclass loop
        execute 'drop table ' || part;
      end loop; end $$`);
    const refused = await run(['spawn-task', 'a', '-q', 'q', '--json'], db);
    expect(refused.code).toBe(4);
    const { code, hint } = JSON.parse(refused.stderr) as { code: string; hint: string };
    expect(code).toBe('partition_missing');
    const typed = /^absurdctl (ensure-partitions --queue q) /.exec(hint)?.[1]?.split(' ') ?? [];
    expect(await run(typed, db)).toMatchObject({ code: 0 });
    expect((await run(['spawn-task', 'a', '-q', 'q'], db)).code).toBe(0);
  });

  for (const [form, name] of [
    ['bare', 't_q_602'],
    ['with the schema', 'absurd.t_q_602'],
    ['quoted', 'absurd."t_q_602"'],
    ['all quoted', '"absurd"."t_q_602"'],
  ] as const) {
    test(`takes the name ${form}`, async ({ db }) => {
      await old(db);
      const result = await run(['detach-candidate', name, '--json'], db);
      expect(result.json()).toMatchObject({ partition: 't_q_602', parent: 't_q', concurrently: false, dropped: false });
      const { rows } = await db.query(`select relispartition from pg_class where oid = 'absurd.t_q_602'::regclass`);
      expect(rows).toEqual([{ relispartition: false }]);
    });
  }

  test('concurrently where there is no default partition, and drops when asked', async ({ db }) => {
    await old(db, 'a "b"');
    await db.query('select absurd.set_queue_policy($1, $2)', ['a "b"', '{"default_partition": "disabled"}']);
    const result = await run(['detach-candidate', 'r_a "b"_602', '--drop', '--json'], db);
    expect(result.json()).toMatchObject({ concurrently: true, dropped: true });
    expect((await db.query(`select to_regclass('absurd."r_a ""b""_602"') as there`)).rows).toEqual([{ there: null }]);
  });

  test('takes nothing but a listed candidate', async ({ db }) => {
    await old(db);
    for (const name of ['t_q', 't_q_d', 'queues', 'absurd.queues', 'pg_class', "x'; drop schema absurd cascade; --"]) {
      expect((await run(['detach-candidate', '--', name], db)).code).toBe(4);
    }
    expect((await run(['detach-candidate'], db)).code).toBe(2);
  });
});

describe('attaching', () => {
  /** Detaches all tables of the present week of a queue that has a task in it; its tag is returned. */
  async function detachWeek(db: TestDatabase, queue = 'q'): Promise<string> {
    await db.queue(queue, 'partitioned');
    await db.spawn(queue, 'kept');
    // Ids have the real time, whatever stops the clock.
    const { rows } = await db.query<{ tag: string }>('select absurd.partition_week_tag(clock_timestamp()) as tag');
    const tag = rows[0]?.tag ?? '';
    for (const letter of 'trcw')
      await db.query(`alter table absurd."${letter}_${queue}" detach partition absurd."${letter}_${queue}_${tag}"`);
    return tag;
  }
  const tasks = async (db: TestDatabase): Promise<unknown> =>
    (await db.query('select t.task_name, r.state from absurd.t_q t join absurd.r_q r using (task_id)')).rows;

  test('the whole week comes back, with rows that came meanwhile, and again does no harm', async ({ db }) => {
    const tag = await detachWeek(db);
    expect(await tasks(db)).toEqual([]);
    expect((await run(['ensure-partitions', '-q', 'q'], db)).code).not.toBe(0);
    await db.spawn('q', 'meanwhile');

    const first = await run(['attach-partition', `absurd."t_q_${tag}"`, '--json'], db);
    const again = await run(['attach-partition', `r_q_${tag}`], db);

    expect(first.json()).toMatchObject({
      queue: 'q',
      attached: [`t_q_${tag}`, `r_q_${tag}`, `c_q_${tag}`, `w_q_${tag}`],
      already: [],
      missing: [],
      moved: 2,
      from_at: expect.stringMatching(/T00:00:00/) as string,
    });
    expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining('Nothing to do') as string });
    expect(await tasks(db)).toEqual([
      { task_name: 'kept', state: 'pending' },
      { task_name: 'meanwhile', state: 'pending' },
    ]);
    expect((await run(['ensure-partitions', '-q', 'q'], db)).stdout).toMatch(/^Created: 0\n/);
    expect(await db.claim('q', { qty: 5 })).toHaveLength(2);
  });

  test('a week that has lost a table is attached as far as it exists, and ensure-partitions is named', async ({
    db,
  }) => {
    const tag = await detachWeek(db);
    await db.query(`drop table absurd.c_q_${tag}`);
    const { stderr } = await run(['attach-partition', `t_q_${tag}`], db);
    expect(stderr).toContain(`c_q_${tag} does not exist: absurdctl ensure-partitions --queue q creates them`);
    expect((await run(['ensure-partitions', '-q', 'q'], db)).stdout).toMatch(/^Created: 1\n/);
  });

  test('rows of another week, other columns and other tables are refused, and nothing is changed', async ({ db }) => {
    const tag = await detachWeek(db);
    const attached = async (): Promise<unknown> =>
      (
        await db.query(
          `select count(*)::int as n from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relname like '%_${tag}'`,
        )
      ).rows[0]?.['n'];
    await db.query(`alter table absurd.w_q_${tag} add column mine int`);
    expect(await run(['attach-partition', `t_q_${tag}`], db)).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('differ in "mine"') as string,
    });
    await db.query(`alter table absurd.w_q_${tag} drop column mine`);
    await db.query(
      `insert into absurd.c_q_${tag} (task_id, checkpoint_name) values ('00000000-0000-7000-8000-000000000000', 's')`,
    );
    expect(await run(['attach-partition', `t_q_${tag}`], db)).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('not the week of its name') as string,
    });
    for (const other of ['t_q', 't_q_d', 'queues', 'pg_class', 't_q_611x', 't_q_999']) {
      const result = await run(['attach-partition', other], db);
      expect([other, result.code]).toEqual([other, other === 't_q_d' ? 0 : 4]);
    }
    expect(await attached()).toBe(0);
  });

  test('a queue whose name ends in a week keeps its tables', async ({ db }) => {
    await db.queue('q', 'partitioned');
    await db.queue('q_610');
    expect((await run(['attach-partition', 't_q_610'], db)).code).toBe(4);
    expect((await run(['list-queues'], db)).stdout).toBe('q\nq_610\n');
  });
});

test('ensure-partitions makes those of other queues where one is in trouble, and fails for that one', async ({
  db,
}) => {
  await db.freeze('2026-03-04T12:00:00Z');
  for (const queue of ['a', 'b']) await db.queue(queue, 'partitioned');
  await db.advance('30 days');
  await db.query('create table absurd.t_a_618 (mine int)');
  const failed = await run(['ensure-partitions', '--json'], db);
  expect(failed.code).not.toBe(0);
  expect(failed.stderr).toContain('t_a_618');
  expect((await db.query(`select to_regclass('absurd.t_b_618')::text as made`)).rows).toEqual([
    { made: 'absurd.t_b_618' },
  ]);
});

test('ensure-partitions makes what is missing, and says how many', async ({ db }) => {
  await old(db);
  const first = await run(['ensure-partitions', '--json'], db);
  const again = await run(['ensure-partitions', '-q', 'q'], db);
  expect(first.json()).toMatchObject({ created: 4 });
  expect(again.stdout).toMatch(/^Created: 0\nPartitions: \d+\n$/);
  expect((await run(['ensure-partitions', '-q', 'nowhere'], db)).code).toBe(3);
});

test('install-skill writes the playbook, keeps another text, and names only commands that are there', async () => {
  const cwd = mkdtempSync(join(tmpdir(), 'absurd-'));
  const file = join(cwd, '.agents', 'skills', 'absurd', 'SKILL.md');
  expect(await run(['install-skill'], { cwd })).toMatchObject({ code: 0, stdout: '', stderr: `Wrote ${file}\n` });
  expect((await run(['install-skill'], { cwd })).stderr).toBe(`${file} is up to date\n`);
  const text = readFileSync(file, 'utf8');
  const named = [...text.matchAll(/`absurdctl ([a-z-]+)/g)].map(([, name]) => name ?? '');
  expect(named.length).toBeGreaterThan(10);
  for (const name of named) expect((await run([name, '--help'], { cwd })).code, name).toBe(0);
  writeFileSync(file, 'mine');
  const kept = await run(['install-skill', '.agents/skills'], { cwd });
  expect(kept.code).toBe(4);
  expect(readFileSync(file, 'utf8')).toBe('mine');
  expect((await run(['install-skill', '--force'], { cwd })).code).toBe(0);
  expect(readFileSync(file, 'utf8')).toBe(text);
  // Where no folder can be made it says so, and does not try for ever.
  const nowhere = await run(['install-skill', existsSync('/proc/self') ? '/proc/skills' : file], { cwd });
  expect(nowhere.code).not.toBe(0);
});
