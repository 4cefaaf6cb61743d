import { expect, test, type TestDatabase } from '../support/database.js';
import { run, type RunResult } from '../support/command.js';
import { makeForeign } from './support.js';

/** Rows that a read may take from a table's start: what list-queues counts to learn whether a queue is small. */
const few = 20_000;

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

test(
  'a queue of a million tasks is read in ranges of its indexes, by every read',
  { timeout: 240_000 },
  async ({ db }) => {
    const id = await million(db);
    const scanned = async (): Promise<number> => {
      await db.query('select pg_stat_force_next_flush()');
      await db.query('select pg_stat_clear_snapshot()');
      const sql = `select coalesce(sum(seq_tup_read), 0)::float8 as n from pg_stat_user_tables where relname like '%\\_big'`;
      return (await db.query<{ n: number }>(sql)).rows[0]?.n ?? Number.NaN;
    };
    const failed = `(select task_id from absurd.r_big where state = 'failed' order by available_at desc limit 1)`;
    const failedId = (await db.query<{ task_id: string }>(failed)).rows[0]?.task_id ?? '';
    // A read that would need more is cancelled by the server, and shows here as a failure.
    await db.query(`alter database "${db.name}" set statement_timeout = '10s'`);
    const reads = [
      ['why', id],
      ['why', failedId],
      ['why', '--queue', 'big'],
      ['why', '--task-name', 'job3'],
      ['why', '--task-name', 'nobody'],
      ['doctor', '--fail-on', 'never'],
      ['list-queues', '--json'],
      ['list-tasks'],
      ['list-tasks', '-n', 'job3', '-s', 'failed'],
      ['list-runs'],
      ['list-checkpoints', id],
      ['list-events'],
      ['list-events', '-e', 'go'],
      ['list-waits'],
      ['list-waits', '-e', 'go'],
      ['list-workers'],
      ['show-event', 'event7'],
      ['show-checkpoint', id, 'step#9000'],
      ['queue-stats', '--since', '2d'],
      ['queue-stats', '--since', '2d', '--by', 'task-name'],
      ['dump-task', id],
      ['retry-task', '-n', 'job3', '--since', '2h', '--limit', '100', '--dry-run'],
      ['cancel-task', '-s', 'sleeping', '--limit', '100', '--dry-run', '--task-name', 'job3'],
    ];
    const ask = async (argv: string[]): Promise<RunResult> => {
      const result = await run(argv, db);
      expect(result.code, `${argv.join(' ')}: ${result.stderr}`).toBe(0);
      return result;
    };
    await scanned();
    for (const argv of reads) {
      const before = await scanned();
      await ask(argv);
      expect((await scanned()) - before, argv.join(' ')).toBeLessThan(few);
    }
    expect((await ask(['why', id, '--json'])).json()).toMatchObject({ unread: [] });
    expect((await ask(['why', id, '--json'])).stdout).toContain('"10000+"');
    const doctor = (await ask(['doctor', '--fail-on', 'never', '--json'])).json<{
      unread: unknown[];
      findings: { check: string }[];
    }>();
    expect(doctor.unread).toEqual([]);
    expect(doctor.findings.map((finding) => finding.check)).toEqual(
      expect.arrayContaining(['unclaimed-work', 'backlog']),
    );
    const named = (await ask(['queue-stats', '--by', 'task-name', '--json', '--since', '2d'])).json<unknown[]>();
    expect(named).toHaveLength(10);

    await makeForeign(db);
    await db.query('drop index if exists absurd.r_big_rdy, absurd.r_big_end, absurd.t_big_due, absurd.t_big_can');
    for (const argv of reads.filter(([command]) => command !== 'doctor')) {
      const before = await scanned();
      await ask(argv);
      expect((await scanned()) - before, `${argv.join(' ')} on another's schema`).toBeLessThan(few);
    }
  },
);
