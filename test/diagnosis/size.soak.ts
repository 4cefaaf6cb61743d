import { expect, test, type TestDatabase, vi } from '../support/database.js';
import { run, type RunResult } from '../support/command.js';
import { makeForeign } from './support.js';

/** Rows that a read may take from a table's start: what list-queues counts to learn whether a queue is small. */
const few = 20_000;
/** Rows and entries of indexes that a read may touch in all, of the four million that are there. */
const bounded = 200_000;

/** A million tasks: most are over, many failed, wait or sleep, the newest run; one of them has ten thousand checkpoints. */
async function million(db: TestDatabase): Promise<string> {
  const queue = await db.queue('big');
  await db.query(`
    set synchronous_commit = off;
    insert into absurd.t_big (task_id, task_name, params, state, attempts, max_attempts, last_attempt_run, enqueue_at)
    select absurd.portable_uuidv7(), 'job' || i % 10, '{}',
           case when i <= 700000 then 'completed' when i <= 800000 then 'failed' when i <= 900000 then 'sleeping'
                when i <= 999900 then 'pending' else 'running' end,
           1, 1, absurd.portable_uuidv7(), now() - interval '1 day'
      from generate_series(1, 1000000) i`);
  await db.query(`
    insert into absurd.r_big (run_id, task_id, attempt, state, available_at, claimed_by, claim_expires_at, started_at,
                              completed_at, failed_at, failure_reason, wake_event)
    select t.last_attempt_run, t.task_id, 1, t.state,
           case when t.state = 'sleeping' then timestamptz 'infinity' else now() - interval '1 hour' * (1 + random() * 24) end,
           case when t.state in ('completed', 'failed', 'running') then 'w' end,
           case when t.state = 'running' then now() + interval '1 hour' end,
           case when t.state in ('completed', 'failed', 'running') then now() - interval '1 hour' end,
           case when t.state = 'completed' then now() - interval '59 minutes' end,
           case when t.state = 'failed' then now() - interval '59 minutes' end,
           case when t.state = 'failed' then '{"name": "Error", "message": "no"}'::jsonb end,
           case when t.state = 'sleeping' then 'go' end
      from absurd.t_big t`);
  await db.query(`
    insert into absurd.w_big (task_id, run_id, step_name, event_name)
    select r.task_id, r.run_id, 's', 'go' from absurd.r_big r where r.state = 'sleeping'`);
  await db.query(`
    insert into absurd.e_big (event_name, payload, emitted_at)
    select 'event' || i, '1', now() - interval '1 second' * i from generate_series(1, 200000) i`);
  await db.query(`insert into absurd.e_big (event_name, payload, emitted_at) values ('go', null, 'epoch')`);
  const last = `select task_id, run_id from absurd.r_big where state = 'pending' order by available_at desc limit 1`;
  const { task_id: id, run_id: runId } = (await db.query<{ task_id: string; run_id: string }>(last)).rows[0] ?? {};
  await db.query(
    `insert into absurd.c_big (task_id, checkpoint_name, state, owner_run_id)
     select $1, 'step#' || i, to_jsonb(i), $2 from generate_series(1, 10000) i`,
    [id, runId],
  );
  await db.query('analyze absurd.t_big, absurd.r_big, absurd.w_big, absurd.e_big, absurd.c_big');
  return id ?? queue;
}

/**
 * Brings the server's counters up to date. PostgreSQL 14 has a process that keeps them: sessions tell it at their end, and
 * then it needs to have written them anew.
 */
async function flushCounters(db: TestDatabase): Promise<void> {
  const found = await db.query(`select to_regproc('pg_catalog.pg_stat_force_next_flush') is not null as there`);
  if (found.rows[0]?.['there'] === true) {
    await db.query('select pg_stat_force_next_flush()');
    await db.query('select pg_stat_clear_snapshot()');
    return;
  }
  const until = (sql: string, values: unknown[]): Promise<unknown> =>
    vi.waitFor(async () => expect((await db.query(sql, values)).rows).toEqual([{ ok: true }]), {
      timeout: 30_000,
      interval: 20,
    });
  await until(`select count(*) = 1 as ok from pg_stat_activity where datname = $1`, [db.name]);
  const { rows } = await db.query('select clock_timestamp()::text as at');
  await until('select pg_stat_get_snapshot_timestamp() > $1::timestamptz as ok', [rows[0]?.['at']]);
}

test(
  'a queue of a million tasks is read in ranges of its indexes, by every read',
  { timeout: 480_000 },
  async ({ db }) => {
    const maker = await db.connect();
    const id = await million({ ...db, query: maker.query });
    const touched = async (): Promise<{ scanned: number; read: number }> => {
      await flushCounters(db);
      const { rows } = await db.query<{ scanned: number; read: number }>(
        `select coalesce(sum(t.seq_tup_read), 0)::float8 as scanned,
                (coalesce(sum(t.seq_tup_read + t.idx_tup_fetch), 0) + (
                   select coalesce(sum(i.idx_tup_read), 0) from pg_stat_user_indexes i where i.relname like '%\\_big'
                 ))::float8 as read
           from pg_stat_user_tables t where t.relname like '%\\_big'`,
      );
      return rows[0] ?? { scanned: Number.NaN, read: Number.NaN };
    };
    const one = async (state: string): Promise<{ task_id: string; run_id: string }> => {
      const sql = `select task_id, run_id from absurd.r_big where state = $1 order by available_at desc limit 1`;
      return (
        (await maker.query<{ task_id: string; run_id: string }>(sql, [state])).rows[0] ?? { task_id: '', run_id: '' }
      );
    };
    const [failed, asleep, busy, done] = [
      await one('failed'),
      await one('sleeping'),
      await one('running'),
      await one('completed'),
    ];
    const ids = (await maker.query<{ id: string }>(`select task_id as id from absurd.t_big limit 10000`)).rows;
    await maker.client.end();
    // Each read ends by the statement timeout of its command, and shows here as a failure, where it would need more.
    const reads = [
      ['why', id],
      ['why', failed.task_id],
      ['why', asleep.task_id],
      ['why', asleep.run_id],
      ['why', busy.task_id],
      ['why', done.run_id],
      ['why', '--queue', 'big'],
      ['why', '--task-name', 'job3'],
      ['why', '--task-name', 'nobody'],
      ['doctor', '--fail-on', 'never'],
      ['list-queues', '--json'],
      ['list-tasks'],
      ['list-tasks', '-s', 'pending,sleeping', '--until', '2h'],
      ['list-tasks', '-n', 'job3', '-s', 'failed'],
      ['list-tasks', '-n', 'nobody'],
      ['list-runs'],
      ['list-runs', '-s', 'failed', '-l', '1000'],
      ['list-checkpoints', id],
      ['list-checkpoints', id, '-l', '10000'],
      ['list-events'],
      ['list-events', '-e', 'go'],
      ['list-waits'],
      ['list-waits', '-e', 'go'],
      ['list-workers'],
      ['show-event', 'event7'],
      ['show-checkpoint', id, 'step#9000'],
      ['queue-stats', '--since', '2d'],
      ['queue-stats', '--since', '2d', '--by', 'task-name'],
      ['queue-stats', '--since', '2d', '-n', 'job3'],
      ['queue-stats', '--since', '2d', '-o', 'openmetrics'],
      ['dump-task', id],
      ['dump-task', failed.run_id],
      ['export-task', id],
      ['fork-task', id, '--from-step', 'step#5000', '--dry-run'],
      ['retry-task', '-n', 'job3', '--since', '1h', '--limit', '100', '--dry-run'],
      ['retry-task', '--error', 'Error: no', '--limit', '100', '--dry-run'],
      ['retry-task', '--all', '--dry-run', '-o', 'name'],
      ['cancel-task', '-', '--dry-run', '-o', 'name'],
      ['cancel-task', '-s', 'sleeping', '--limit', '100', '--dry-run', '--task-name', 'job3'],
    ];
    // What is to list all that failed reads all that failed; a name that nobody has is looked for among 200,000 of each state.
    const wide = new Set(['list-tasks -n nobody', 'retry-task --all --dry-run -o name']);
    const ask = async (argv: string[]): Promise<RunResult> => {
      const result = await run(argv, { ...db, stdin: ids.map(({ id: text }) => text).join('\n') });
      expect(result.code, `${argv.join(' ')}: ${result.stderr}`).toBe(0);
      return result;
    };
    const askBounded = async (argv: string[], where: string): Promise<void> => {
      const before = await touched();
      await ask(argv);
      const after = await touched();
      expect(after.scanned - before.scanned, `${argv.join(' ')} ${where}`).toBeLessThan(few);
      if (!wide.has(argv.join(' '))) {
        expect(after.read - before.read, `${argv.join(' ')} ${where}`).toBeLessThan(bounded);
      }
    };
    await touched();
    for (const argv of reads) await askBounded(argv, 'on our schema');
    expect((await ask(['why', id, '--json'])).json()).toMatchObject({ unread: [] });
    expect((await ask(['why', id, '--json'])).stdout).toContain('"10000+"');
    const doctor = (await ask(['doctor', '--fail-on', 'never', '--json'])).json<{
      unread: unknown[];
      findings: { check: string; leads_to?: { check: string }[] }[];
    }>();
    expect(doctor.unread).toEqual([]);
    const all = doctor.findings.flatMap((finding) => [finding, ...(finding.leads_to ?? [])]);
    expect(all.map((finding) => finding.check)).toEqual(expect.arrayContaining(['unclaimed-work', 'backlog']));
    const named = (await ask(['queue-stats', '--by', 'task-name', '--json', '--since', '2d'])).json<unknown[]>();
    expect(named).toHaveLength(10);

    await makeForeign(db);
    await db.query('drop index if exists absurd.r_big_rdy, absurd.r_big_end, absurd.t_big_due, absurd.t_big_can');
    for (const argv of reads.filter(([command]) => command !== 'doctor')) await askBounded(argv, "on another's schema");
    const theirs = await ask(['doctor', '--skip', 'schema-drifted', '--fail-on', 'never', '--json']);
    expect(theirs.json<{ unread: unknown[] }>().unread).toEqual([]);
  },
);
