import { processIo } from '../../src/lib/cli/io.js';
import { Database } from '../../src/lib/connection/database.js';
import { resolveSettings } from '../../src/lib/connection/resolve.js';
import { planMigration } from '../../src/lib/schema/migrate/plan.js';
import { Upgrade } from '../../src/lib/schema/migrate/run.js';
import { run } from '../support/command.js';
import { expect, test, type Connection, type TestDatabase } from '../support/database.js';
import { startPty } from '../support/pty.js';
import { installOlder, script } from '../sql/older.js';

/** A command's connection, and what an upgrade says through it. */
async function upgrade<T>(
  db: TestDatabase,
  attempts: number,
  use: (up: Upgrade, on: Database, notes: string[]) => Promise<T>,
) {
  const io = { ...processIo(), env: { ABSURD_DATABASE_URL: db.url } };
  const on = await Database.open(await resolveSettings({ database: db.url }, io), io);
  const notes: string[] = [];
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.min(ms, 20)));
  const around = {
    pause,
    note: (text: string) => void notes.push(text),
    watch: (_: string, build: () => Promise<void>) => build(),
  };
  try {
    return await use(new Upgrade(on, around, attempts), on, notes);
  } finally {
    await on.close();
  }
}

const oid = async (db: Connection, name: string): Promise<unknown> =>
  (await db.query('select to_regclass($1)::oid as oid', [name])).rows[0]?.['oid'];

test('an index that another session builds is waited for, and not dropped', async ({ db, second }) => {
  await db.queue('q');
  await db.query('drop index absurd.r_q_rdy');
  const writer = await db.connect();
  await writer.query('begin; lock table absurd.r_q in row exclusive mode');
  const building = second.query(
    `create index concurrently r_q_rdy on absurd.r_q (available_at, run_id) where state in ('pending', 'sleeping')`,
  );
  await expect.poll(() => oid(db, 'absurd.r_q_rdy'), { timeout: 60_000, interval: 10 }).not.toBeNull();
  const theirs = await oid(db, 'absurd.r_q_rdy');
  await upgrade(db, 3, async (up, on, notes) => {
    const { plan, work } = await planMigration(on);
    expect(plan.indexes).toMatchObject([{ index_name: 'r_q_rdy', broken: true }]);
    const preparing = up.prepare(plan, work);
    await expect
      .poll(() => notes.join('\n'), { timeout: 60_000, interval: 10 })
      .toMatch(/r_q_rdy is being built by process \d+/);
    await writer.query('commit');
    await preparing;
    expect(notes.join('\n')).not.toContain('Dropping');
  });
  await building;
  expect(await oid(db, 'absurd.r_q_rdy')).toBe(theirs);
  expect(await run(['migrate', '--check'], db)).toMatchObject({ code: 0 });
});

test('a partitioned queue with the longest name: partition by partition, what broke is built anew', async ({ db }) => {
  const name = 'n'.repeat(57);
  await db.queue(name, 'partitioned');
  await db.spawn(name, 'job');
  await db.query(`drop index absurd."r_${name}_rdy"; drop index absurd."t_${name}_due"`);
  // One part was built, one broke off, as the last try left them.
  const first = await run(['migrate', '--dry-run', '--json'], db);
  expect(
    first.json<{ steps: { what: string; lock: string; rows: number }[] }>().steps.map(({ what, lock }) => [what, lock]),
  ).toEqual([
    ['fill cancel_due', 'row exclusive'],
    [`begin index t_${name}_due`, 'share'],
    [`build t_${name}_due by partition`, 'share update exclusive'],
    [`attach the parts of t_${name}_due`, 'access exclusive, part'],
    [`begin index r_${name}_rdy`, 'share'],
    [`build r_${name}_rdy by partition`, 'share update exclusive'],
    [`attach the parts of r_${name}_rdy`, 'access exclusive, part'],
    ['run the script', 'none'],
  ]);
  expect((await run(['migrate'], db)).code).toBe(0);
  const parts = async (): Promise<{ part: string; table: string }[]> =>
    (
      await db.query<{ part: string; table: string }>(
        `select h.inhrelid::regclass::text as part, i.indrelid::regclass::text as table
           from pg_inherits h join pg_index i on i.indexrelid = h.inhrelid and i.indisvalid
          where h.inhparent = $1::regclass order by 2`,
        [`absurd."r_${name}_rdy"`],
      )
    ).rows;
  const built = await parts();
  expect(built.length).toBeGreaterThan(1);

  const [broken] = built;
  await db.query(`update pg_index set indisvalid = false where indexrelid in ($1::regclass, $2::regclass)`, [
    broken?.part,
    `absurd."r_${name}_rdy"`,
  ]);
  const again = await run(['migrate'], db);
  expect(again.code).toBe(0);
  expect(await parts()).toHaveLength(built.length);
  expect(await run(['migrate', '--check'], db)).toMatchObject({ code: 0, stdout: '' });
});

test('a part that is not attached and not valid is dropped; one that is valid is only attached', async ({ db }) => {
  await db.queue('p', 'partitioned');
  const { rows } = await db.query<{ t: string }>(
    `select relname as t from pg_class where relname ~ '^r_p_\\d{3}$' and relnamespace = 'absurd'::regnamespace order by 1 limit 2`,
  );
  const [bad, good] = rows.map((row) => row.t);
  await db.query('drop index absurd.r_p_ti; create index r_p_ti on only absurd.r_p (task_id)');
  for (const t of [bad, good]) await db.query(`create index ${t}_ti on absurd.${t} (task_id)`);
  await db.query(`update pg_index set indisvalid = false where indexrelid = $1::regclass`, [`absurd.${bad}_ti`]);
  const kept = await oid(db, `absurd.${good}_ti`);
  const { code, stderr } = await run(['migrate'], db);
  expect(code).toBe(0);
  expect(stderr).toContain(`Dropping the rest of ${bad}_ti`);
  expect(stderr).not.toContain(`in ${good} (`);
  expect(await oid(db, `absurd.${good}_ti`)).toBe(kept);
  expect(await run(['migrate', '--check'], db)).toMatchObject({ code: 0, stdout: '' });
});

test('after the preparation the script takes no lock on a table that is there', async ({ emptyDatabase: db }) => {
  await installOlder(db, '0.3.0');
  await upgrade(db, 3, async (up, on) => {
    const { plan, work } = await planMigration(on);
    await up.prepare(plan, work);
  });
  const { rows: known } = await db.query<{ oid: number }>(
    `select c.oid from pg_class c where c.relnamespace = 'absurd'::regnamespace`,
  );
  await db.query('begin');
  await db.query(script);
  const { rows } = await db.query(
    `select l.relation::regclass::text as relation, l.mode from pg_locks l
      where l.pid = pg_backend_pid() and l.mode <> 'AccessShareLock' and l.relation = any ($1)`,
    [known.map(({ oid }) => oid)],
  );
  expect(rows).toEqual([]);
  await db.query('commit');
  expect(await run(['migrate', '--check'], db)).toMatchObject({ code: 0 });
});

test('a table that stays busy ends it, with who holds it', async ({ emptyDatabase: db }) => {
  await installOlder(db, '0.4.0');
  const reader = await db.connect();
  await reader.query(`set application_name = 'report'; begin; select 1 from absurd.t_q`);
  await upgrade(db, 2, async (up, on) => {
    const { plan, work } = await planMigration(on);
    await expect(up.prepare(plan, work)).rejects.toMatchObject({
      code: 'lock_timeout',
      message: expect.stringMatching(
        /^Table t_q stayed busy through 2 tries: held by process \d+ \(report\), idle in transaction/,
      ) as string,
    });
  });
  await reader.query('rollback');
  expect((await run(['migrate'], db)).code).toBe(0);
});

test('time limits of the role do not end a build, and are left as they were', async ({ db }) => {
  await db.queue('q');
  await db.query('drop index absurd.r_q_rdy');
  const writer = await db.connect();
  await writer.query(`begin; lock table absurd.r_q in row exclusive mode`);
  await upgrade(db, 3, async (up, on, notes) => {
    const { plan, work } = await planMigration(on);
    await on.query(`set statement_timeout = '100ms'`);
    const preparing = up.prepare(plan, work);
    await expect.poll(() => notes.join('\n')).toContain('Building r_q_rdy');
    await writer.query('select pg_sleep(0.5)');
    await writer.query('commit');
    await preparing;
    expect((await on.query(`select current_setting('statement_timeout') as t`)).rows).toEqual([{ t: '100ms' }]);
  });
  expect(await oid(db, 'absurd.r_q_rdy')).not.toBeNull();
});

test('on a terminal: the plan, the question, and how far a build is', { timeout: 90_000 }, async ({ db }) => {
  await db.queue('q');
  await db.query('drop index absurd.r_q_rdy');
  const writer = await db.connect();
  await writer.query('begin; lock table absurd.r_q in row exclusive mode');
  const session = await startPty(['migrate'], {
    env: { ABSURD_DATABASE_URL: db.url },
    columns: 130,
    timeoutMs: 60_000,
  });
  await session.waitFor(/Steps, in this order[\s\S]*build index r_q_rdy[\s\S]*Continue\?/);
  session.type('y\r');
  await session.waitFor(/r_q_rdy: waiting for writers before build 0%, for process \d+/);
  await writer.query('commit');
  expect(await session.done).toMatchObject({ code: 0 });
  expect(session.text()).toContain('Done: the schema is 0.5.0');
});

test('on an older server too, partitions included', { timeout: 90_000 }, async ({ olderEmpty: db }) => {
  await installOlder(db, '0.5.0');
  expect((await run(['migrate'], db)).stderr).toContain('Done');
  expect(await run(['migrate', '--check'], db)).toMatchObject({ code: 0, stdout: '' });
});
