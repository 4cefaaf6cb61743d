import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';
import { catalogOf, installOlder, script, versions, type Catalog } from '../sql/older.js';

/** So many finished tasks with their runs, as an old schema holds them. */
async function fill(db: TestDatabase, count: number): Promise<void> {
  await db.query(
    `insert into absurd.t_q (task_id, task_name, params, state, attempts, last_attempt_run)
     select ('018f0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'job', '{}', 'completed', 1,
            ('018f0000-0000-7000-9000-' || lpad(to_hex(i), 12, '0'))::uuid
       from generate_series(1, ${count}) i;
     insert into absurd.r_q (run_id, task_id, attempt, state, available_at, completed_at)
     select t.last_attempt_run, t.task_id, 1, 'completed', now(), now() from absurd.t_q t;
     insert into absurd.t_q (task_id, task_name, params, state, attempts, last_attempt_run)
     values ('018f0000-0000-7000-8000-ffffffffffff', 'job', '{}', 'pending', 1, '018f0000-0000-7000-9000-ffffffffffff');
     insert into absurd.r_q (run_id, task_id, attempt, state, available_at)
     values ('018f0000-0000-7000-9000-ffffffffffff', '018f0000-0000-7000-8000-ffffffffffff', 1, 'pending', now());
     analyze absurd.t_q, absurd.r_q`,
  );
}

/** A catalog without the names of partitions' indexes: the server chooses them where the parent's is built in one go. */
const named = (catalog: Catalog): Catalog => ({
  ...catalog,
  indexes: catalog.indexes
    .map((line) => line.replace(/INDEX \S+ ON (absurd\.\w_p_(?:d|\d{3})) /, 'INDEX ON $1 '))
    .sort(),
});

for (const version of versions) {
  test(
    `from ${version}: the plan, then the same catalog as the script alone makes, twice`,
    { timeout: 90_000 },
    async ({ emptyDatabase: db }) => {
      await installOlder(db, version);
      await fill(db, 300);
      const plan = await run(['migrate', '--dry-run', '--json'], db);
      expect(plan.json()).toMatchObject({ from_revision: null, to_version: '0.5.0', to_revision: 2 });
      expect(plan.json<{ indexes: { index_name: string }[] }>().indexes.map((index) => index.index_name)).toContain(
        'r_q_rdy',
      );

      const done = await run(['migrate'], db);
      expect(done.code).toBe(0);
      expect(done.stderr).toContain('Building r_q_rdy (about 301 rows)');
      const migrated = await catalogOf(db);
      expect(await run(['migrate'], db)).toMatchObject({
        code: 0,
        stderr: 'Nothing to do: the schema is up to date\n',
      });
      expect(await db.claim('q')).toHaveLength(1);

      await db.query('drop schema absurd cascade');
      await installOlder(db, version);
      await fill(db, 300);
      await db.query(script);
      expect(named(migrated)).toEqual(named(await catalogOf(db)));
    },
  );
}

test('under load: workers claim and complete while indexes are built and the script runs', async ({
  emptyDatabase: db,
}) => {
  await installOlder(db, '0.4.0');
  await fill(db, 20_000);
  let migrating = true;
  let statements = 0;
  const load = async (): Promise<void> => {
    const worker = await db.connect();
    while (migrating) {
      await worker.query(
        `update absurd.r_q set claimed_by = 'w' where run_id = '018f0000-0000-7000-9000-000000000001'`,
      );
      statements++;
    }
  };
  const loads = [load(), load()];
  const { code } = await run(['migrate'], db);
  migrating = false;
  await Promise.all(loads);
  expect(code).toBe(0);
  expect(statements).toBeGreaterThan(10);
});

test('an index whose build broke off is found and built again', async ({ db }) => {
  await db.queue('q');
  await db.query('drop index absurd.r_q_rdy');
  await db.query(`create index r_q_rdy on absurd.r_q (available_at, run_id) where state in ('pending', 'sleeping')`);
  await db.query(`update pg_index set indisvalid = false where indexrelid = 'absurd.r_q_rdy'::regclass`);
  const plan = await run(['migrate', '--dry-run', '--json'], db);
  expect(plan.json()).toMatchObject({ indexes: [{ index_name: 'r_q_rdy', broken: true }] });
  expect((await run(['migrate'], db)).code).toBe(0);
  const { rows } = await db.query(`select indisvalid from pg_index where indexrelid = 'absurd.r_q_rdy'::regclass`);
  expect(rows).toEqual([{ indisvalid: true }]);
});

test('init over an old schema with a large queue refuses and names migrate', async ({ emptyDatabase: db }) => {
  await installOlder(db, '0.5.0');
  await fill(db, 60_000);
  const { code, stderr } = await run(['init'], db);
  expect(code).toBe(4);
  expect(stderr).toContain('absurdctl migrate');
  expect((await db.query(`select to_regprocedure('absurd.get_schema_revision()') as there`)).rows).toEqual([
    { there: null },
  ]);
  expect((await run(['migrate'], db)).code).toBe(0);
  expect((await run(['init'], db)).code).toBe(0);
});

test('--check names what differs, and changes nothing', async ({ db }) => {
  await db.queue('q');
  const fine = await run(['migrate', '--check'], db);
  expect(fine).toMatchObject({ code: 0, stdout: '', stderr: 'The schema is what this absurdctl ships\n' });
  await db.query(
    `create or replace function absurd.list_queues() returns table (queue_name text) language sql volatile as 'select 1::text'`,
  );
  await db.query('alter table absurd.t_q drop column cancel_due cascade');
  await db.query('drop index absurd.r_q_rdy');
  await db.query('create index r_q_sai2 on absurd.r_q (state)');
  for (const kind of ['claim', 'emit', 'load']) {
    await db.query(`create function absurd."${kind}:gone"() returns int language sql as $$ select 1 $$`);
  }
  const missing = await run(['migrate', '--check'], db);
  expect(missing).toMatchObject({
    code: 1,
    stdout: [
      'function absurd."claim:gone"() does not belong',
      'function absurd."emit:gone"() does not belong',
      'function absurd."load:gone"() does not belong',
      'function absurd.list_queues() differs',
      'column t_q.cancel_due is missing',
      'trigger repair_cancel_due on t_q is missing',
      'index r_q_rdy is missing',
      'index t_q_due is missing',
      '',
    ].join('\n'),
    stderr: 'absurdctl migrate fixes it\n',
  });
  expect((await db.query('select * from absurd.list_queues()')).rows).toEqual([{ queue_name: '1' }]);
  expect((await db.query(`select count(*)::int as n from pg_class where relname like '%~%'`)).rows).toEqual([{ n: 0 }]);

  // What --check names, migrate fixes, although the revision is as it should be.
  expect((await run(['migrate', '--dry-run'], db)).stdout).toContain('index r_q_rdy is missing\n');
  expect((await run(['migrate'], db)).stderr).toContain('Done');
  expect((await db.query('select * from absurd.list_queues()')).rows).toEqual([{ queue_name: 'q' }]);
  expect((await run(['migrate', '--check'], db)).code).toBe(0);
});

test('--check names what only a person can mend, and migrate leaves it', async ({ db }) => {
  await db.queue('q');
  await db.queue('p', 'partitioned');
  await db.query(`alter table absurd.r_q alter column attempt type bigint;
                  alter table absurd.t_p alter column task_name drop not null;
                  alter table absurd.t_q disable trigger set_cancel_due;
                  alter table absurd.c_q drop constraint c_q_pkey;
                  alter table absurd.queues alter column cleanup_limit set default 7;
                  alter table absurd.queues drop constraint queues_storage_mode_check;
                  alter table absurd.queues add check (storage_mode in ('unpartitioned', 'partitioned', 'daily'));
                  drop index absurd.e_q_eai; create index e_q_eai on absurd.e_q (emitted_at desc)`);
  const differences = [
    'column queues.cleanup_limit differs; migrate leaves it as it is',
    "constraint CHECK ((storage_mode = ANY (ARRAY['unpartitioned'::text, 'partitioned'::text]))) on queues is missing; migrate leaves it as it is",
    'column t_p.task_name differs; migrate leaves it as it is',
    'trigger set_cancel_due on t_q differs; migrate leaves it as it is',
    'column r_q.attempt differs; migrate leaves it as it is',
    'constraint PRIMARY KEY (task_id, checkpoint_name) on c_q is missing; migrate leaves it as it is',
    'index e_q_eai differs; drop it, and migrate builds it',
  ];
  const check = await run(['migrate', '--check'], db);
  expect(check.code).toBe(1);
  expect(check.stderr).toBe('migrate cannot fix it\n');
  expect(check.stdout.trim().split('\n').sort()).toEqual([...differences].sort());
  const again = await run(['migrate', '--check', '--json'], db);
  expect(again.json()).toContainEqual({
    difference: 'column r_q.attempt differs; migrate leaves it as it is',
    kind: 'column',
    queue_name: 'q',
    name: 'r_q.attempt',
    change: 'differs',
    mended: false,
  });
  expect(await run(['migrate'], db)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('Nothing to do') as string,
  });
  await db.query('drop index absurd.e_q_eai');
  expect(await run(['migrate'], db)).toMatchObject({ code: 0 });
});

test('a week that is missing is no reason to migrate, and no step of a plan where nothing else is', async ({ db }) => {
  await db.queue('p', 'partitioned');
  await db.query(`select absurd.set_queue_policy('p', '{"partition_lookahead": "60 days"}')`);
  expect((await run(['migrate', '--dry-run', '--json'], db)).json()).toMatchObject({ changes: [], steps: [] });
  await db.query('drop function absurd._has_cron()');
  const plan = await run(['migrate', '--dry-run'], db);
  expect(plan.stdout).toMatch(/^make \d+ partitions\t/m);
  await run(['migrate'], db);
  expect((await run(['ensure-partitions'], db)).stdout).toContain('Created: 0\n');
});

test('a look at an old schema waits for no worker, and no worker for it', async ({ emptyDatabase: db }) => {
  await installOlder(db, '0.3.0');
  // A worker's transaction on every table; and, behind it, nobody.
  const worker = await db.connect();
  await worker.query(
    'begin; lock table absurd.t_q, absurd.r_q, absurd.c_q, absurd.e_q, absurd.w_q in row exclusive mode',
  );
  const checked = await run(['migrate', '--check'], db);
  expect(checked.code).toBe(1);
  expect(checked.stdout).toContain('column t_q.cancel_due is missing\n');
  expect(checked.stdout).toContain('function absurd.claim_task(text,text,integer,integer) differs\n');
  expect(checked.stdout).toContain('column queues.storage_mode is missing\n');
  // Such a column comes with its checks.
  expect(checked.stdout).not.toMatch(/constraint|leaves it/);
  expect((await run(['migrate', '--dry-run'], db)).code).toBe(0);
  await worker.query('commit');

  // What the comparison itself holds while it lasts: nothing on a queue's tables.
  const looker = await db.connect();
  const before = await looker.query(
    `select count(*)::int as n from pg_proc where pronamespace = 'absurd'::regnamespace`,
  );
  expect((await run(['migrate', '--dry-run', '--json'], db)).json()).toMatchObject({
    from_version: '0.3.0',
    changes: expect.arrayContaining([
      { queue_name: 'q', kind: 'function', made: 8, replaced: 0 },
      { queue_name: 'q', kind: 'trigger', made: 3, replaced: 0 },
    ]) as unknown,
  });
  expect(
    (await looker.query(`select count(*)::int as n from pg_proc where pronamespace = 'absurd'::regnamespace`)).rows,
  ).toEqual(before.rows);
});

test('--dump-sql gives the script without a connection; wrong versions are told', async ({ db, emptyDatabase }) => {
  const dumped = await run(['migrate', '--dump-sql', '--from', '0.4.0', '--to', '0.5.0'], {
    url: 'postgresql://127.0.0.1:1/none',
  });
  expect(dumped).toMatchObject({ code: 0, stdout: script });
  expect((await run(['migrate', '--dump-sql'], db)).code).toBe(2);
  const other = await run(['migrate', '--to', '0.9.0'], db);
  expect(other.code).toBe(2);
  expect(other.stderr).toContain('Hint: omit --to');
  expect((await run(['migrate', '--from', 'yesterday'], db)).code).toBe(2);
  expect((await run(['migrate', '--from', '0.2.0'], db)).code).toBe(0);
  await installOlder(emptyDatabase, '0.4.0');
  expect((await run(['migrate', '--from', '0.2.0'], emptyDatabase)).code).toBe(4);
  await emptyDatabase.query('drop schema absurd cascade');
  expect((await run(['migrate'], emptyDatabase)).code).toBe(5);
  const none = await run(['migrate', '--dry-run'], emptyDatabase);
  expect(none.stdout).toContain('From: nothing\n');
  expect(none.stdout).not.toContain('Steps');
  expect(none.stderr).toBe('There is no Absurd schema here: absurdctl init installs it\n');
});

test('a role without rights and a server that is only read are told what to do', async ({ db }) => {
  await db.queue('q');
  const role = `${db.name}_reader`;
  await db.query(`create role "${role}" login password 'pw'; grant usage on schema absurd to "${role}";
                  grant select on all tables in schema absurd to "${role}"`);
  const url = new URL(db.url);
  url.username = role;
  url.password = 'pw';
  try {
    const denied = await run(['migrate', '--check', '--json'], { url: url.href });
    expect(denied.code).toBe(1);
    // What the catalogs tell is a plan for a reader too.
    const current = await run(['migrate', '--dry-run'], { url: url.href });
    expect(current).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('by the catalogs') as string,
    });
    await db.query('drop index absurd.r_q_rdy');
    const lacking = await run(['migrate', '--dry-run'], { url: url.href });
    expect(lacking.stdout).toContain('build index r_q_rdy\t');
    expect(lacking.stderr).toContain('run it as the owner on the primary');
    expect(JSON.parse(denied.stderr)).toMatchObject({
      code: 'not_permitted',
      hint: expect.stringContaining('only the owner of the schema may: -U') as string,
    });
  } finally {
    await db.query(`drop owned by "${role}"; drop role "${role}"`);
  }
  await db.query(`alter database "${db.name}" set default_transaction_read_only = on`);
  const plan = await run(['migrate', '--dry-run', '--json'], db);
  expect(plan.code).toBe(0);
  expect(plan.json()).toMatchObject({ installed: true, compared: false, differences: [] });
  const standby = await run(['migrate', '--check', '--json'], db);
  expect(standby.code).toBe(4);
  expect(JSON.parse(standby.stderr)).toMatchObject({
    code: 'read_only',
    hint: expect.stringContaining('default_transaction_read_only') as string,
  });
});
