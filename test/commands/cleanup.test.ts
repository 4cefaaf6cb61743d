import { startCli } from '../support/cli.js';
import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';

async function ended(db: TestDatabase): Promise<void> {
  await db.queue('q');
  await db.freeze('2026-03-04T12:00:00Z');
  await db.query(`select absurd.spawn_task('q', 'job', '{}', '{"max_attempts": 1}') from generate_series(1, 7)`);
  const runs = await db.claim('q', { qty: 5 });
  for (const { run_id: id } of runs.slice(0, 3)) await db.query(`select absurd.complete_run('q', $1)`, [id]);
  await db.query(`select absurd.fail_run('q', $1, '{}')`, [runs[3]?.run_id]);
  await db.query(`select absurd.cancel_task('q', $1)`, [runs[4]?.task_id]);
  await db.query(`select absurd.emit_event('q', 'e')`);
  await db.advance('2 days');
}

test('a dry run counts what the deletion then takes, and deletes nothing', async ({ db }) => {
  await ended(db);
  const dry = await run(['cleanup', 'q', '1', '--dry-run'], db);
  expect(dry).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /^Queue: q\nTasks: 5\nCompleted: 3\nFailed: 1\nCancelled: 1\nEvents: 1\nSize: about [\d.]+ (bytes|kB)\n$/,
    ) as string,
    stderr: 'Nothing was deleted\n',
  });
  expect((await run(['cleanup', 'q', '2', '-n', '--json'], db)).json()).toMatchObject({
    would_delete: { completed: 0, events: 0 },
  });
  const done = await run(['cleanup', 'q', '1', '-l', '2'], db);
  expect(done).toMatchObject({ code: 0, stdout: 'Queue: q\nTasks deleted: 5\nEvents deleted: 1\n' });
  expect((await run(['cleanup', 'q', '0', '--json'], db)).json()).toMatchObject({ tasks: 0, events: 0 });
  expect((await db.query('select state from absurd.t_q')).rows).toEqual([{ state: 'pending' }, { state: 'pending' }]);
});

test('tasks or events alone', async ({ db }) => {
  await ended(db);
  expect((await run(['cleanup', 'q', '0.5', '--events-only', '--json'], db)).json()).toMatchObject({
    tasks: 0,
    events: 1,
  });
  expect((await run(['cleanup', 'q', '0.5', '--tasks-only', '--json'], db)).json()).toMatchObject({
    tasks: 5,
    events: 0,
  });
});

test('--older-than takes what PostgreSQL takes for a span', async ({ db }) => {
  await ended(db);
  expect((await run(['cleanup', 'q', '--older-than', '1 month', '-n', '--json'], db)).json()).toMatchObject({
    would_delete: { completed: 0, bytes: 0 },
  });
  expect((await run(['cleanup', 'q', '--older-than', '36h', '--json'], db)).json()).toMatchObject({
    tasks: 5,
    events: 1,
  });
});

test('--all takes of every queue what its own policy gives away, and a dry run says the same before', async ({
  db,
}) => {
  await ended(db);
  await db.queue('long');
  const id = (await db.spawn('long', 'job')).task_id;
  await db.query(`select absurd.cancel_task('long', $1)`, [id]);
  await db.query(`select absurd.set_queue_policy('q', '{"cleanup_ttl": "1 day", "cleanup_limit": 2}')`);
  await db.advance('3 days');

  const dry = await run(['cleanup', '--all', '--dry-run', '-o', 'json'], db);
  expect(dry.json()).toMatchObject([
    { queue_name: 'long', would_delete: { cancelled: 0, bytes: 0 } },
    { queue_name: 'q', would_delete: { completed: 3, failed: 1, cancelled: 1, events: 1 } },
  ]);
  expect(await run(['cleanup', '--all'], db)).toMatchObject({ code: 0, stdout: 'long\t0\t0\nq\t5\t1\n' });
  expect(await run(['cleanup', '--all', '--older-than', '1 day'], db)).toMatchObject({
    stdout: 'long\t1\t0\nq\t0\t0\n',
  });
});

test('what is locked stays, and does not end the deletion of the rest', async ({ db, second }) => {
  await ended(db);
  await second.query('begin');
  await second.query(`select 1 from absurd.t_q t where t.state in ('failed', 'cancelled') for update`);
  expect((await run(['cleanup', 'q', '1', '-l', '3', '--json'], db)).json()).toMatchObject({ tasks: 3 });
  await second.query('rollback');
  expect((await run(['cleanup', 'q', '1', '--json'], db)).json()).toMatchObject({ tasks: 2 });
});

test('interrupted, it says what is gone, and the same command continues', async ({ db }) => {
  await db.queue('q');
  await db.query(`select absurd.spawn_task('q', 'job', '{}') from generate_series(1, 3000)`);
  await db.query(`select absurd.cancel_task('q', t.task_id) from absurd.t_q t`);
  const left = async (): Promise<number> =>
    Number((await db.query('select count(*)::int as n from absurd.t_q')).rows[0]?.n);

  const deleting = await startCli(['cleanup', 'q', '0', '-l', '1', '-d', db.url]);
  while ((await left()) === 3000) continue;
  deleting.kill('SIGINT');
  const stopped = await deleting.done;

  const remaining = await left();
  expect(stopped.code).toBe(130);
  expect(stopped.stderr).toContain('Interrupted: ');
  expect(stopped.stderr).toContain('the same command continues');
  expect(remaining).toBeGreaterThan(0);
  expect((await run(['cleanup', 'q', '0', '--json'], db)).json()).toMatchObject({ tasks: remaining });
});

test('what makes no sense is refused before anything goes', async ({ db }) => {
  await ended(db);
  for (const days of ['soon', '', 'NaN', '99999']) expect((await run(['cleanup', 'q', days], db)).code).toBe(2);
  expect((await run(['cleanup', 'q', '--', '-1'], db)).code).toBe(2);
  for (const argv of [
    [],
    ['q'],
    ['q', '1', '--older-than', '1 day'],
    ['q', '--older-than', 'a while'],
    ['q', '--older-than', '-1 day'],
    // Days are meant, seconds would be read.
    ['q', '--older-than', '14'],
    ['--all', '--older-than', ' 1.5'],
    ['--all', 'q'],
    ['--all', 'q', '3'],
  ]) {
    expect((await run(['cleanup', ...argv], db)).code, argv.join(' ')).toBe(2);
  }
  expect((await run(['cleanup', 'nowhere', '1'], db)).code).toBe(3);
  expect((await run(['cleanup', 'q', '1', '--tasks-only', '--events-only'], db)).code).toBe(2);
  expect((await db.query('select count(*)::int as n from absurd.t_q')).rows).toEqual([{ n: 7 }]);
});

test('cron makes and removes jobs where pg_cron is, and says how to go on where it is not', async ({ db }) => {
  await db.queue('q');
  const missing = await run(['cron', '--enable'], db);
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain('pg_cron is not available');
  expect(missing.stderr).toContain('shared_preload_libraries');
  await db.query(`
    create schema cron;
    create table cron.job (jobid bigint generated always as identity primary key, schedule text, command text, jobname text);
    create function cron.schedule(a text, b text, c text) returns bigint language sql as
      'insert into cron.job (jobname, schedule, command) values (a, b, c) returning jobid';
    create function cron.unschedule(a bigint) returns boolean language sql as
      'with d as (delete from cron.job where jobid = a returning 1) select exists (select 1 from d)'`);
  const enabled = await run(['cron', '--enable', '--cleanup-schedule', '0 3 * * *'], db);
  expect(enabled).toMatchObject({
    code: 0,
    stdout: 'absurd_partitions_all\t1\nabsurd_cleanup_all\t2\nabsurd_detach_plan_all\t3\n',
  });
  expect((await db.query(`select schedule from cron.job where jobname = 'absurd_cleanup_all'`)).rows).toEqual([
    { schedule: '0 3 * * *' },
  ]);
  expect((await run(['cron', '--enable', '-q', 'q', '--json'], db)).json()).toHaveLength(3);
  expect((await run(['cron', '--disable', '--json'], db)).json()).toHaveLength(3);
  expect((await run(['cron', '--enable', '-q', 'nowhere'], db)).code).toBe(3);
  for (const argv of [
    ['cron'],
    ['cron', '--enable', '--disable'],
    ['cron', '--disable', '--cleanup-schedule', '* * * * *'],
  ]) {
    expect((await run(argv, db)).code).toBe(2);
  }
});
