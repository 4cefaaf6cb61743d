// Over 400 lines in one file, for the last test asks whether every check was found by those before it.
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { checkIds, checks, examine, judge } from '../../src/lib/doctor/index.js';
import { openMetrics } from '../../src/lib/doctor/openmetrics.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';
import { parseOpenMetrics } from '../support/openmetrics.js';
import { aged, findings, makeBusy, makeForeign, queryable, start } from './support.js';

const made = new Set<string>();

/** Expects one finding of a check, on our schema and on another installer's. */
async function expectFound(
  db: TestDatabase,
  check: string,
  severity: string,
  seen: string | RegExp,
  limits = {},
): Promise<void> {
  const [first, ...rest] = await findings(db, check, limits);
  expect(rest).toEqual([]);
  expect(first).toMatchObject({ check, severity });
  expect(first?.seen).toMatch(seen);
  expect(first?.mend.length).toBeGreaterThan(0);
  made.add(check);
  await makeForeign(db);
  const there = await findings(db, check, limits);
  expect(there).toEqual([first]);
}

/** The same for what only our schema or a catalog shows. */
async function expectHere(
  db: TestDatabase,
  check: string,
  severity: string,
  seen: string | RegExp,
  limits = {},
): Promise<void> {
  const found = await findings(db, check, limits);
  expect(found.map((finding) => finding.severity)).toContain(severity);
  expect(found.map((finding) => finding.seen).join('\n')).toMatch(seen);
  made.add(check);
}

describe('a healthy busy database', () => {
  test('has no finding, ours or another installer’s', async ({ db }) => {
    const queue = await db.queue();
    await db.queue('weekly', 'partitioned');
    await makeBusy(db, queue);
    await makeBusy(db, 'weekly');

    const ours = await examine(queryable(db), { timeoutMs: 5000 });
    await makeForeign(db);
    const skip = ['schema-drifted', 'schema-behind'];
    const theirs = await examine(queryable(db), { skip, timeoutMs: 5000 });

    expect(ours.result.findings).toEqual([]);
    expect(ours.result.checks).toEqual(checkIds);
    expect(theirs.result.findings).toEqual([]);
  });

  test('has no finding on an older server', async ({ older }) => {
    await makeBusy(older, await older.queue());

    expect((await examine(queryable(older), { timeoutMs: 5000 })).result.findings).toEqual([]);
  });

  test('has no finding while workers claim and finish all the time', async ({ db }) => {
    const queue = await db.queue();
    let working = true;
    let completed = 0;
    const work = async (worker: string): Promise<void> => {
      while (working) {
        await db.pool.query(`select absurd.spawn_task($1, 'a', '{}')`, [queue]);
        const claim = 'select run_id from absurd.claim_task($1, $2, 30, 2)';
        for (const { run_id } of (await db.pool.query<{ run_id: string }>(claim, [queue, worker])).rows) {
          await db.pool.query('select absurd.complete_run($1, $2)', [queue, run_id]);
          completed += 1;
        }
      }
    };
    const workers = ['w1', 'w2', 'w3'].map(work);
    const found: unknown[] = [];

    for (let look = 0; look < 10; look += 1) {
      found.push(...(await examine(queryable(db), { timeoutMs: 5000 })).result.findings);
    }
    working = false;
    await Promise.all(workers);

    expect(found).toEqual([]);
    expect(completed).toBeGreaterThan(10);
  });

  test('gives metrics in the OpenMetrics text format', async ({ db }) => {
    await makeBusy(db, await db.queue('a"b\\c'));

    await db.queue('never claimed from');

    const families = parseOpenMetrics(openMetrics(await examine(queryable(db), { timeoutMs: 5000 })));

    const value = (name: string, labels: Record<string, string>): number | undefined =>
      families.get(name)?.metrics.find((metric) => isDeepStrictEqual(metric.labels, labels))?.value;
    expect(families.get('absurd_doctor_findings')?.metrics).toHaveLength(checkIds.length * 3);
    expect(value('absurd_doctor_findings', { check: 'expired-leases', severity: 'critical' })).toBe(0);
    expect(value('absurd_queue_running', { queue: 'a"b\\c' })).toBe(4);
    expect(value('absurd_queue_window_completed', { queue: 'a"b\\c' })).toBe(14);
    expect(value('absurd_queue_oldest_ready_seconds', { queue: 'never claimed from' })).toBe(0);
    expect(value('absurd_queue_last_claim_timestamp_seconds', { queue: 'never claimed from' })).toBeUndefined();
    for (const family of families.values())
      expect(family).toMatchObject({ type: 'gauge', help: expect.stringMatching(/\.$/) as string });
  });
});

describe('the schema', () => {
  test('schema-missing', async ({ emptyDatabase }) => {
    await expectHere(emptyDatabase, 'schema-missing', 'critical', /no Absurd schema/);
    const { result } = await examine(queryable(emptyDatabase), { timeoutMs: 5000 });
    expect(result.findings.map((finding) => finding.check)).toEqual(['schema-missing']);
  });

  test('schema-behind', async ({ db }) => {
    await db.query(
      `create or replace function absurd.get_schema_version() returns text language sql as 'select ''0.3.0'''`,
    );
    await expectHere(db, 'schema-behind', 'warning', /0\.3\.0/);
    await db.query(
      `create or replace function absurd.get_schema_version() returns text language sql as 'select ''0.5.0'''`,
    );
    expect(await findings(db, 'schema-behind')).toEqual([]);
    await db.query(`create or replace function absurd.get_schema_revision() returns int language sql as 'select 0'`);
    await expectHere(db, 'schema-behind', 'warning', /has revision 0, this program contains \d+/);
  });

  test('schema-drifted: a column dropped, another type, a function gone', async ({ db }) => {
    await db.queue();
    await db.query(
      'alter table absurd.c_q drop column status; alter table absurd.e_q alter event_name type varchar(9)',
    );
    await db.query('drop function absurd.extend_claim');
    await expectHere(
      db,
      'schema-drifted',
      'critical',
      /extend_claim is missing; column status .* is missing; .*character varying/,
    );
  });

  test('schema-drifted: what only our schema has is gone', async ({ db }) => {
    await db.queue();
    await db.query('alter table absurd.t_q drop column parent_queue; drop function absurd.wake_task');
    await expectHere(
      db,
      'schema-drifted',
      'critical',
      /function wake_task is missing; column parent_queue .* is missing/,
    );

    // A schema of an older revision never had them: it is behind, and not drifted.
    await db.query(
      `create or replace function absurd.get_schema_revision() returns integer language sql as 'select 1'`,
    );
    await db.query('drop index absurd.t_q_par');
    const { result } = await examine(queryable(db), { timeoutMs: 5000 });
    expect(result.findings.map(({ check }) => check)).toEqual(['schema-behind']);
  });

  test('tables-missing', async ({ db }) => {
    await db.queue();
    await db.query('drop table absurd.w_q cascade');
    await expectFound(db, 'tables-missing', 'critical', /"w_q"/);
  });

  test('queue-unregistered', async ({ db }) => {
    await db.queue();
    await db.query('delete from absurd.queues');
    await expectFound(db, 'queue-unregistered', 'warning', /"q"/);
  });

  test('clock-stopped', async ({ db }) => {
    await db.freeze(start);
    await expectFound(db, 'clock-stopped', 'critical', /2026-03-02/);
  });
});

describe('flow', () => {
  test('unclaimed-work', async ({ db }) => {
    await db.freeze(start);
    await db.spawn(await db.queue(), 'a');
    await db.advance('10 minutes');
    await expectFound(db, 'unclaimed-work', 'critical', /1 run ready, the oldest for 10 minutes/);
  });

  test('expired-leases: a warning first, critical later', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    await db.claim(queue, { timeout: 30 });
    await db.advance('60 seconds');
    expect(await findings(db, 'expired-leases')).toEqual([]);
    await db.advance('90 seconds');
    expect((await findings(db, 'expired-leases'))[0]?.severity).toBe('warning');
    await db.advance('1 hour');
    await expectFound(db, 'expired-leases', 'critical', /1 lease ran out/);
  });

  test('runs-without-lease', async ({ db }) => {
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    await db.claim(queue, { timeout: 0 });
    await expectFound(db, 'runs-without-lease', 'warning', /1 run/);
  });

  test('backlog and backlog-growing', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    await db.query(`select absurd.spawn_task($1, 'a', '{}') from generate_series(1, 300)`, [queue]);
    await db.claim(queue);
    await expectHere(
      db,
      'backlog-growing',
      'warning',
      /300 runs were created and about 1 were claimed; 299 runs ready/,
    );
    await expectFound(db, 'backlog', 'warning', /299 runs ready/, { 'max-ready': 200 });
    await expectHere(db, 'backlog-growing', 'warning', /300 runs were created/);
  });

  test('retry-storm and top-errors', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    for (let index = 0; index < 25; index += 1) await db.spawn(queue, 'a', {}, { max_attempts: 1 });
    for (const run of await db.claim(queue, { qty: 25 }))
      await db.query('select absurd.fail_run($1, $2, $3)', [
        queue,
        run.run_id,
        '{"name":"Bad","message":"\\u001b]0;x"}',
      ]);
    await expectHere(db, 'retry-storm', 'warning', /25 failed runs .* 100 %/);
    await expectFound(db, 'top-errors', 'info', /25 runs .* "Bad: \\x1b\]0;x", such as task "a"/);
    await expectHere(db, 'retry-storm', 'warning', /25 failed runs .* 100 %/);
  });

  test('lost-waits', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    const [run] = await db.claim(queue);
    await db.query(`select * from absurd.await_event($1, $2, $3, 's', 'paid', null)`, [
      queue,
      task.task_id,
      run?.run_id,
    ]);
    await db.advance('3 days');
    await expectFound(db, 'lost-waits', 'warning', /"paid" since 3 days ago/);
  });
});

describe('rows', () => {
  test('orphaned-runs', async ({ db }) => {
    await db.spawn(await db.queue(), 'a');
    await db.query('delete from absurd.t_q');
    await expectFound(db, 'orphaned-runs', 'critical', /1 unfinished run without a task/);
  });

  test('contradictions: states that differ, an end without a beginning, a wake-up that was missed', async ({ db }) => {
    const queue = await db.queue();
    const differs = await db.spawn(queue, 'differs');
    const dead = await db.spawn(queue, 'dead');
    const missed = await db.spawn(queue, 'missed');
    await db.query(`update absurd.t_q set state = 'running' where task_id = $1`, [differs.task_id]);
    await db.query(`update absurd.r_q set state = 'failed' where task_id = $1`, [dead.task_id]);
    await db.query(`update absurd.r_q set state = 'sleeping', available_at = 'infinity' where task_id = $1`, [
      missed.task_id,
    ]);
    await db.query(`update absurd.t_q set state = 'sleeping' where task_id = $1`, [missed.task_id]);
    await db.query(`insert into absurd.w_q (task_id, run_id, step_name, event_name) values ($1, $2, 's', 'paid')`, [
      missed.task_id,
      missed.run_id,
    ]);
    await db.query(`insert into absurd.e_q (event_name, payload) values ('paid', '{}')`);
    await expectFound(
      db,
      'contradictions',
      'critical',
      new RegExp(`${differs.task_id}.*${dead.task_id}.*"paid" was emitted`),
    );
  });

  test('hanging-runs', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    await db.claim(queue, { timeout: 36_000 });
    await db.advance('2 hours');
    await expectFound(db, 'hanging-runs', 'warning', /claimed 2 hours ago by "w1"/);
  });

  test('unknown-names', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    await db.spawn(queue, 'nobody');
    const [run] = await db.claim(queue);
    await db.query(`select absurd.schedule_run($1, $2, absurd.current_time() + interval '20 seconds')`, [
      queue,
      run?.run_id,
    ]);
    await expectFound(db, 'unknown-names', 'warning', /"nobody"/);
  });

  test('unlimited-retries', async ({ db }) => {
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      const [run] = await db.claim(queue);
      await db.query('select absurd.fail_run($1, $2, $3)', [queue, run?.run_id, '{}']);
    }
    await expectFound(db, 'unlimited-retries', 'warning', /attempt 5: "a"/, { 'max-attempts': 5 });
  });

  test('unreadable-settings: stored by hand or by an older schema', async ({ db }) => {
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    await db.query(`update absurd.t_q set cancellation = '{"max_delay": "soon"}'`);
    await expectFound(db, 'unreadable-settings', 'warning', /max_delay in cancellation is not a number/);
    await db.query(`update absurd.t_q set cancellation = null, retry_strategy = '{"kind": "often"}'`);
    await expectFound(db, 'unreadable-settings', 'warning', /Unsupported retry strategy kind "often"/);
  });

  test('unusable-strategies: tasks that failed permanently with attempts left', async ({ db }) => {
    const queue = await db.queue();
    await db.spawn(queue, 'used up', {}, { max_attempts: 1, retry_strategy: { kind: 'fixed' } });
    await db.spawn(queue, 'odd', {}, { max_attempts: 5 });
    await db.query(
      `update absurd.t_q set retry_strategy = '{"kind": "fixed", "base_seconds": 1e9}' where task_name = 'odd'`,
    );
    for (const run of await db.claim(queue, { qty: 2 })) {
      await db.query('select absurd.fail_run($1, $2, $3)', [queue, run.run_id, '{}']);
    }
    await expectFound(
      db,
      'unusable-strategies',
      'warning',
      /^1 task failed permanently .* must be between 0 and 86400$/,
    );
  });
});

describe('storage', () => {
  test('partitions-missing and default-partition-rows', async ({ db }) => {
    const queue = await db.queue('p', 'partitioned');
    expect(await findings(db, 'partitions-missing')).toEqual([]);
    await db.query(`do $$ declare part regclass; begin
      for part in select inhrelid::regclass from pg_inherits i join pg_class c on c.oid = i.inhrelid
                   where i.inhparent = 'absurd.t_p'::regclass and c.relname <> 't_p_d' loop
        execute 'drop table ' || part;
      end loop; end $$`);
    await db.spawn(queue, 'a');
    await expectHere(db, 'partitions-missing', 'warning', /rows go to the default partition/);
    await expectHere(db, 'default-partition-rows', 'warning', /"t_p_d" holds 1 row$/);
  });

  test('partitions-missing is critical where there is no default partition to take the rows', async ({ db }) => {
    await db.queue('p', 'partitioned');
    await db.query(`select absurd.set_queue_policy('p', '{"default_partition": "disabled"}')`);
    expect(await findings(db, 'partitions-missing')).toEqual([]);
    await db.query(`do $$ declare part regclass; begin
      for part in select inhrelid::regclass from pg_inherits where inhparent = 'absurd.r_p'::regclass loop
        execute 'drop table ' || part;
      end loop; end $$`);
    await expectHere(db, 'partitions-missing', 'critical', /a spawn then fails/);
  });

  test('detaching-broken-off, but not while somebody is at it', async ({ db, second }) => {
    await db.queue('p', 'partitioned');
    await db.query(`select absurd.set_queue_policy('p', '{"default_partition": "disabled"}')`);
    const { rows } = await db.query<{ name: string }>(
      `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'absurd.t_p'::regclass order by 1 limit 1`,
    );
    const name = rows[0]?.name ?? '';
    const detacher = await db.connect();
    const pid = await detacher.pid();
    await second.query('begin; select from absurd.t_p');
    const detaching = detacher
      .query(`alter table absurd.t_p detach partition ${name} concurrently`)
      .catch(() => 'cancelled');
    while ((await db.query('select from pg_inherits where inhdetachpending')).rowCount === 0);
    expect(await findings(db, 'detaching-broken-off')).toEqual([]);
    await db.query('select pg_cancel_backend($1)', [pid]);
    expect(await detaching).toBe('cancelled');
    await second.query('commit');
    await expectHere(db, 'detaching-broken-off', 'warning', /^partition "t_p_\d{3}" is half detached/);
  });

  test('cleanup-behind', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    const [run] = await db.claim(queue);
    await db.query('select absurd.complete_run($1, $2)', [queue, run?.run_id]);
    await db.query(`select absurd.emit_event($1, 'e', '{}')`, [queue]);
    await db.advance('31 days');
    expect(await findings(db, 'cleanup-behind')).toEqual([]);
    await db.advance('10 days');
    await expectHere(db, 'cleanup-behind', 'warning', /1 of the oldest tasks and 1 event/);
  });

  test('dead-rows, autovacuum-behind', async ({ db }) => {
    await db.queue();
    await db.query('alter table absurd.e_q set (autovacuum_enabled = false)');
    await db.query(`insert into absurd.e_q select i::text, '{}' from generate_series(1, 2000) i`);
    await db.query('delete from absurd.e_q');
    const limits = { 'min-dead': 1000 };
    await expect.poll(() => findings(db, 'dead-rows', limits), { timeout: 15_000 }).toHaveLength(1);
    await expectHere(db, 'autovacuum-behind', 'warning', /"e_q": autovacuum is switched off/, limits);
    await expectHere(db, 'dead-rows', 'warning', /2000 dead rows, 100 %/, limits);
    await makeForeign(db);
    await expectHere(db, 'autovacuum-behind', 'warning', /"e_q": autovacuum is switched off/, limits);
    await expectHere(db, 'dead-rows', 'warning', /2000 dead rows, 100 %/, limits);
  });

  test('indexes-missing', async ({ db }) => {
    await db.queue();
    await db.query('drop index absurd.r_q_cei');
    await expectHere(db, 'indexes-missing', 'warning', /"r_q_cei"/);
    await makeForeign(db);
    await expectHere(db, 'indexes-missing', 'warning', /"r_q_cei"/);
  });

  test('indexes-invalid: a build that failed', async ({ db }) => {
    await db.queue();
    await db.query(`insert into absurd.e_q values ('a', '{}'), ('b', '{}')`);
    await expect(db.query('create unique index concurrently half_built on absurd.e_q (payload)')).rejects.toThrow(
      /unique/,
    );
    await expectFound(db, 'indexes-invalid', 'warning', /"half_built" of "e_q"/);
  });

  test('unread: what could not be read is said', async ({ db, second }) => {
    await db.queue();
    await second.query('begin');
    await second.query('lock table absurd.r_q in access exclusive mode');
    const { result } = await examine(queryable(db), { only: ['backlog', 'unread'], timeoutMs: 1500 });
    expect(result.findings[0]).toMatchObject({ check: 'unread', severity: 'warning' });
    expect(result.findings[0]?.seen).toContain('not read: table r_q (session ');
    made.add('unread');
  });
});

describe('sessions', () => {
  test('blocked: a lock on the head of the line, and one on a table', async ({ db, second }) => {
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    const pid = await second.pid();
    await second.query('begin');
    await second.query('select 1 from absurd.r_q for update');
    await aged(db, pid);
    await expectHere(db, 'blocked', 'critical', new RegExp(`session ${pid} .*lock on rows`));
    await second.query('lock table absurd.w_q in share mode');
    await expectHere(db, 'blocked', 'critical', new RegExp(`session ${pid} .*ShareLock`));
  });

  test('idle-in-transaction and old-transactions', async ({ db, second }) => {
    await db.queue();
    const pid = await second.pid();
    await second.query('begin isolation level repeatable read');
    await second.query('select 1 from absurd.r_q');
    await aged(db, pid);
    const limits = { 'idle-age': 1, 'transaction-age': 1 };
    await expectHere(db, 'idle-in-transaction', 'warning', new RegExp(`pid ${pid} `), limits);
    await expectHere(db, 'old-transactions', 'warning', new RegExp(`pid ${pid} .*absurd.r_q`), limits);
    await second.query('rollback');
    expect(await findings(db, 'old-transactions', limits)).toEqual([]);
  });

  test('connections', async ({ db }) => {
    const { rows } = await db.query(
      `select sum(case name when 'max_connections' then setting::int else -setting::int end)::int as ordinary from pg_settings
        where name in ('max_connections', 'superuser_reserved_connections', 'reserved_connections')`,
    );
    const seen = new RegExp(`^\\d+ of ${String(rows[0]?.['ordinary'])} connections are in use`);
    await expectHere(db, 'connections', 'warning', seen, { 'connection-percent': 0 });
  });
});

test('every check is explained in docs/doctor.md', async () => {
  const page = await readFile(new URL('../../docs/doctor.md', import.meta.url), 'utf8');

  expect(checkIds.filter((id) => !page.includes(`### ${id}\n`))).toEqual([]);
});

test('a prepared transaction that was forgotten', async ({ db, second }) => {
  await db.queue();
  const name = `absurd-${db.name}`;
  await second.query('begin; lock table absurd.t_q in share mode');
  await second.query(`prepare transaction '${name}'`);

  const found = await findings(db, 'prepared-transactions', { 'idle-age': 0 });
  await db.query(`rollback prepared '${name}'`);

  expect(found.map(({ mend }) => mend)).toEqual([[`psql: rollback prepared '${name}'`]]);
  expect(await findings(db, 'prepared-transactions', { 'idle-age': 0 })).toEqual([]);
});

test('prepared-transactions and replication-slots, as rules over facts: no slot here is a million behind', async ({
  db,
}) => {
  const { facts } = await examine(queryable(db), { timeoutMs: 5000 });
  const forgotten = {
    pid: null,
    application: null,
    user_name: 'app',
    state: 'prepared',
    query: null,
    transaction_seconds: 7200,
    state_seconds: null,
    holds_snapshot: true,
    prepared: "it's",
  };
  facts.transactions = [forgotten];
  facts.server = { limits: [], slots: [{ slot_name: 'old', active: false, xmin_age: 2e6 }] };

  const { findings: found } = judge(checks, facts);

  expect(found.map(({ check, seen }) => `${check}: ${seen}`)).toEqual([
    `prepared-transactions: prepared transaction "it's" has been open for 2 hours; a rollback loses what it changed, commit prepared keeps it`,
    'replication-slots: replication slot "old" is not in use and 2000000 transactions behind; once it is dropped, a replica that used it must be set up again',
  ]);
  expect(found[0]?.mend).toEqual([`psql: rollback prepared 'it''s'`]);
  found.forEach(({ check }) => made.add(check));
});

test('every check was found in a test, here or where its advice is typed', () => {
  const workers = ['unregistered-names', 'mixed-versions', 'hanging-workers', 'vanished-workers'];
  const rows = ['polling-sleepers', 'large-checkpoints', 'far-future'];
  const elsewhere = ['row-security', 'paused-queues', ...rows, ...workers, 'partitions-detached'];
  expect(checkIds.filter((id) => !made.has(id))).toEqual(elsewhere);
});
