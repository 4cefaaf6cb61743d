/** Every check of doctor in a situation that is staged for it: what it advises is typed, and none of it fails. */
import { checkIds, examine, type DoctorFinding } from '../../src/lib/doctor/index.js';
import { adviceText } from '../../src/lib/cli/hint.js';
import { flat } from '../../src/lib/doctor/causes.js';
import type { Thresholds } from '../../src/lib/doctor/thresholds.js';
import { expect, test, type Connection, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';
import { withRole } from '../commands/roles.js';
import { aged, queryable, start } from './support.js';

interface Stage {
  checks: string[];
  /** Makes the situation; thresholds that let it count. */
  make(db: TestDatabase, second: Connection): Promise<Partial<Thresholds> | undefined>;
  mode?: 'unpartitioned' | 'partitioned';
}

const query =
  (...statements: string[]) =>
  async (db: TestDatabase): Promise<undefined> => {
    for (const statement of statements) await db.query(statement);
  };

/** A week that the queue has to have, as the tag in its partitions' names. */
const tagNow = async (db: TestDatabase): Promise<string> =>
  (await db.query<{ tag: string }>('select absurd.partition_week_tag(clock_timestamp()) as tag')).rows[0]?.tag ?? '';

const detachWeek = async (db: TestDatabase): Promise<undefined> => {
  await db.query('truncate absurd.t_q_d, absurd.r_q_d, absurd.c_q_d, absurd.w_q_d');
  await db.spawn('q', 'kept');
  const tag = await tagNow(db);
  for (const letter of 'trcw')
    await db.query(`alter table absurd.${letter}_q detach partition absurd.${letter}_q_${tag}`);
};

async function failRuns(db: TestDatabase, count: number, options = {}): Promise<void> {
  for (let index = 0; index < count; index += 1) await db.spawn('q', 'a', {}, options);
  for (const { run_id: id } of await db.claim('q', { qty: count }))
    await db.query(`select absurd.fail_run('q', $1, $2)`, [
      id,
      `{"message": "to 10.0.0.${Math.floor(Math.random() * 99)}"}`,
    ]);
}

const stages: Stage[] = [
  { checks: ['schema-missing'], make: query('drop schema absurd cascade') },
  {
    checks: ['schema-behind'],
    make: query(`create or replace function absurd.get_schema_revision() returns int language sql as 'select 0'`),
  },
  { checks: ['schema-drifted'], make: query('drop function absurd.extend_claim') },
  { checks: ['tables-missing'], make: query('drop table absurd.e_q') },
  { checks: ['queue-unregistered'], make: query('delete from absurd.queues') },
  { checks: ['clock-stopped'], make: async (db) => void (await db.freeze(start)) },
  {
    checks: ['blocked', 'idle-in-transaction', 'old-transactions', 'unread'],
    make: async (db, second) => {
      const pid = await second.pid();
      await second.query('begin isolation level repeatable read; select 1 from absurd.t_q; lock table absurd.r_q');
      await aged(db, pid);
      return { 'idle-age': 1, 'transaction-age': 1 };
    },
  },
  {
    checks: ['prepared-transactions'],
    make: async (db, second) => {
      await second.query('begin; lock table absurd.t_q in share mode');
      await second.query(`prepare transaction 'left-${db.name}'`);
      return { 'idle-age': 0 };
    },
  },
  {
    checks: ['paused-queues'],
    make: async (db) => {
      await db.spawn('q', 'a');
      await db.query(`select absurd.pause_queue('q')`);
      return { 'pause-age': 0 };
    },
  },
  {
    checks: ['unclaimed-work'],
    make: async (db) => {
      await db.spawn('q', 'a');
      await db.query(`update absurd.r_q set available_at = now() - interval '1 hour'`);
      return undefined;
    },
  },
  {
    checks: ['expired-leases'],
    make: async (db) => {
      await db.spawn('q', 'a');
      await db.claim('q');
      await db.query(`update absurd.r_q set claim_expires_at = now() - interval '1 hour'`);
      return undefined;
    },
  },
  {
    checks: ['runs-without-lease'],
    make: async (db) => {
      await db.spawn('q', 'a');
      await db.claim('q', { timeout: 0 });
      return undefined;
    },
  },
  {
    checks: ['backlog', 'backlog-growing'],
    make: async (db) => {
      await db.query(`select absurd.spawn_task('q', 'a', '{}') from generate_series(1, 300)`);
      return { 'max-ready': 100 };
    },
  },
  {
    checks: ['retry-storm', 'top-errors'],
    make: async (db) => {
      await failRuns(db, 25, { max_attempts: 1 });
      return undefined;
    },
  },
  {
    checks: ['unusable-strategies'],
    make: async (db) => {
      await db.spawn('q', 'a', {}, { max_attempts: 3 });
      await db.query(`update absurd.t_q set retry_strategy = '{"kind": "fixed", "base_seconds": "soon"}'`);
      const [claimed] = await db.claim('q');
      await db.query(`select absurd.fail_run('q', $1, '{}')`, [claimed?.run_id]);
      return undefined;
    },
  },
  {
    checks: ['lost-waits'],
    make: async (db) => {
      await db.spawn('q', 'a');
      const [claimed] = await db.claim('q');
      await db.query(`select * from absurd.await_event('q', $1, $2, 's', 'paid', null)`, [
        claimed?.task_id,
        claimed?.run_id,
      ]);
      await db.query(`update absurd.w_q set created_at = now() - interval '3 days'`);
      return undefined;
    },
  },
  {
    checks: ['orphaned-runs'],
    make: async (db) => {
      await db.spawn('q', 'a');
      await db.query('delete from absurd.t_q');
      return undefined;
    },
  },
  {
    checks: ['contradictions'],
    make: async (db) => {
      await db.spawn('q', 'a');
      await db.query(`update absurd.r_q set state = 'failed'`);
      return undefined;
    },
  },
  {
    checks: ['hanging-runs'],
    make: async (db) => {
      await db.spawn('q', 'a');
      await db.claim('q', { timeout: 36_000 });
      await db.query(`update absurd.r_q set started_at = now() - interval '2 hours'`);
      return undefined;
    },
  },
  {
    checks: ['unknown-names'],
    make: async (db) => {
      await db.spawn('q', 'nobody');
      const [claimed] = await db.claim('q');
      await db.query(`select absurd.schedule_run('q', $1, now() + interval '20 seconds')`, [claimed?.run_id]);
      return undefined;
    },
  },
  {
    checks: ['unregistered-names', 'mixed-versions', 'hanging-workers', 'vanished-workers'],
    make: async (db) => {
      await db.spawn('q', 'a');
      await db.claim('q', { worker: 'hangs' });
      await db.spawn('q', 'nobody');
      await db.query(`
        update absurd.r_q set claim_expires_at = now() - interval '2 minutes', available_at = now() - interval '1 hour';
        select absurd.heartbeat_worker('q', w, jsonb_build_object('task_names', '{a}'::text[], 'program_version', w))
          from unnest('{hangs,other,silent}'::text[]) w;
        update absurd.workers set started_at = now() - interval '2 hours',
               heartbeat_at = now() - case worker_id when 'silent' then interval '5 minutes' else '0' end`);
      return undefined;
    },
  },
  {
    checks: ['unlimited-retries'],
    make: async (db) => {
      await failRuns(db, 1);
      return { 'max-attempts': 2 };
    },
  },
  {
    checks: ['polling-sleepers'],
    make: async (db) => {
      const { task_id: id } = await db.spawn('q', 'poll');
      const [claimed] = await db.claim('q');
      await db.query(
        `select absurd.set_task_checkpoint_state('q', $1, 'nap#' || i, '"2026-01-01T00:00:00Z"', $2) from generate_series(1, 200) i`,
        [id, claimed?.run_id],
      );
      await db.query(`select absurd.schedule_run('q', $1, now() + interval '1 second')`, [claimed?.run_id]);
      return undefined;
    },
  },
  {
    checks: ['large-checkpoints'],
    make: async (db) => {
      const { task_id: id } = await db.spawn('q', 'large');
      const [claimed] = await db.claim('q');
      await db.query(
        `select absurd.set_task_checkpoint_state('q', $1, 'blob#' || i, to_jsonb(
           (select string_agg(md5(i::text || j), '') from generate_series(1, 20000) j)), $2) from generate_series(1, 3) i`,
        [id, claimed?.run_id],
      );
      return { 'checkpoint-megabytes': 1 };
    },
  },
  {
    checks: ['far-future'],
    make: async (db) => {
      await db.spawn('q', 'ms');
      await db.query(`update absurd.r_q set available_at = now() + interval '973 years'`);
      return undefined;
    },
  },
  {
    checks: ['unreadable-settings'],
    make: async (db) => {
      await db.spawn('q', 'a');
      await db.query(`update absurd.t_q set cancellation = '{"max_delay": "soon"}'`);
      return undefined;
    },
  },
  { checks: ['partitions-missing', 'partitions-detached'], mode: 'partitioned', make: detachWeek },
  {
    checks: ['default-partition-rows'],
    mode: 'partitioned',
    make: query(
      `insert into absurd.c_q (task_id, checkpoint_name) values ('00000000-0000-7000-8000-000000000000', 's')`,
    ),
  },
  {
    checks: ['cleanup-behind'],
    make: async (db) => {
      await db.spawn('q', 'a');
      await db.query(`select absurd.emit_event('q', 'e', '1')`);
      await db.query(`update absurd.e_q set emitted_at = now() - interval '90 days'`);
      return undefined;
    },
  },
  { checks: ['indexes-missing'], make: query('drop index absurd.r_q_rdy, absurd.r_q_cei') },
  {
    checks: ['indexes-invalid'],
    make: async (db) => {
      await db.query(`insert into absurd.e_q values ('a', '{}'), ('b', '{}')`);
      await db.query('create unique index concurrently half_built on absurd.e_q (payload)').catch(() => undefined);
      await db.query(`update absurd.e_q set payload = '2' where event_name = 'a'`);
      return undefined;
    },
  },
  {
    checks: ['dead-rows', 'autovacuum-behind'],
    make: async (db) => {
      await db.query('alter table absurd.e_q set (autovacuum_enabled = false)');
      await db.query(`insert into absurd.e_q select i::text, '{}' from generate_series(1, 2000) i`);
      await db.query('delete from absurd.e_q');
      await db.query('select pg_stat_force_next_flush()');
      return { 'min-dead': 1000 };
    },
  },
];

/** Types one line of advice. Words are not typed, nor what changes the server for every other test. */
async function type(line: string, db: TestDatabase): Promise<void> {
  const sql = /psql(?:, [^:]*)?: (.*)$/.exec(line)?.[1];
  if (sql !== undefined && !/^alter system/.test(sql)) await db.query(sql);
  if (!line.startsWith('absurdctl ')) return;
  const result = await run(line.split(' ').slice(1), db);
  expect(result, line).toMatchObject({
    code: line.startsWith('absurdctl doctor') ? (expect.any(Number) as number) : 0,
  });
}

const typed = new Set<string>();

test.for(stages)('$checks', { timeout: 60_000 }, async ({ checks, make, mode }, { db, second }) => {
  await db.queue('q', mode);
  const thresholds = (await make(db, second)) ?? {};

  const { result } = await examine(queryable(db), { only: checks, thresholds, timeoutMs: 5000 });

  const found = flat(result.findings);
  expect(found.map(({ check }) => check)).toEqual(expect.arrayContaining(checks));
  const done = new Set<string>();
  for (const finding of found)
    for (const line of finding.mend.map((advice) => adviceText(advice))) {
      if (done.has(line)) continue;
      done.add(line);
      await type(line, db);
    }
  const still = await examine(queryable(db), { only: checks, thresholds, timeoutMs: 5000 });
  if (!untilSomebodyWorks.has(checks[0] ?? ''))
    expect(still.result.findings.map((one: DoctorFinding) => one.seen)).toEqual([]);
  checks.forEach((check) => typed.add(check));
});

/** What only a worker, a program or the passing of time brings to an end: its advice shows where to look. */
const untilSomebodyWorks = new Set([
  'unclaimed-work',
  'expired-leases',
  'runs-without-lease',
  'backlog',
  'retry-storm',
  'lost-waits',
  'contradictions',
  'unusable-strategies',
  'hanging-runs',
  'unknown-names',
  'unregistered-names',
  'polling-sleepers',
  'large-checkpoints',
  'default-partition-rows',
  'dead-rows',
]);

test('row-security: filtered rows are no rows that are not there, in doctor and in lists', async ({ db }) => {
  await db.spawn(await db.queue(), 'a');
  await withRole(db, async ({ name, url }) => {
    await run(['grants', name, '--as', 'operator', '--apply'], db);
    for (const table of ['queues', 't_q', 'r_q'])
      await db.query(`alter table absurd.${table} enable row level security`);

    const doctor = await run(['doctor', '--json'], { url });
    const { findings } = doctor.json<{
      findings: { check: string; severity: string; seen: string; mend: string[] }[];
    }>();
    expect(doctor.code).toBe(1);
    expect(findings.map(({ check }) => check)).toEqual(['row-security']);
    expect(findings[0]?.seen).toContain(`hides rows of 3 tables from role "${name}"`);
    expect(findings[0]?.mend[0]).toBe('absurdctl doctor -U postgres');

    for (const argv of [
      ['list-queues'],
      ['queue-stats'],
      ['list-tasks'],
      ['list-runs'],
      ['cleanup', '--all', '--dry-run'],
      ['cleanup', 'q', '0', '--dry-run'],
      ['cleanup', 'q', '0'],
      ['cancel-task', '--all', '--yes'],
      ['cancel-task', '--all', '--dry-run'],
      ['uninstall', '--dry-run'],
    ]) {
      const list = await run(argv, { url });
      expect(list.stderr, argv.join(' ')).toContain('Row-level security hides rows');
      expect(list.stderr, argv.join(' ')).not.toMatch(/create-queue|drop-queue/);
    }
    const missing = await run(['list-tasks', '-q', 'q'], { url });
    expect(missing.code).toBe(3);
    expect(missing.stderr).toContain('Row-level security hides rows');
    expect(missing.stderr).not.toContain('create-queue');

    await db.query(findings[0]?.mend[1]?.split('psql: ')[1] ?? '');
    expect((await run(['list-queues'], { url })).stdout).toBe('q\n');
  });
});

test('tables detached from a queue are not a queue: nothing advises to delete them', async ({ db }) => {
  await db.queue('audit', 'partitioned');
  await db.spawn('audit', 'kept');
  const tag = await tagNow(db);
  for (const letter of 'trcw')
    await db.query(`alter table absurd.${letter}_audit detach partition absurd.${letter}_audit_${tag}`);

  const { stdout } = await run(['doctor', '--json', '--fail-on', 'never'], db);

  expect(stdout).not.toContain('drop-queue');
  expect(stdout).not.toContain('queue-unregistered","severity');
  expect(stdout).toContain(`absurdctl attach-partition t_audit_${tag}`);
});

test('every check was staged but those that need a role, a slot or limits; they have tests of their own', () => {
  const left = checkIds.filter((id) => !typed.has(id));
  expect(left).toEqual(['row-security', 'replication-slots', 'connections', 'detaching-broken-off']);
});
