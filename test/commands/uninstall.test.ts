import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';

const there = async (db: TestDatabase): Promise<boolean> =>
  (await db.query(`select to_regnamespace('absurd') is not null as there`)).rows[0]?.there === true;

test('a dry run says what would be lost; without --yes nothing goes off a terminal; with it all goes, twice', async ({
  db,
}) => {
  await db.queue('mail');
  await db.queue('audit', 'partitioned');
  for (let i = 0; i < 3; i++) await db.spawn('mail', 'job');
  await db.claim('mail');

  const dry = await run(['uninstall', '--dry-run', '--json'], db);
  expect(dry).toMatchObject({ code: 0 });
  expect(dry.json()).toMatchObject({
    dropped: false,
    loss: { queues: ['audit', 'mail'], unfinished: 3, at_least: false, running: 1, strangers: [], dependents: [] },
  });
  const unasked = await run(['uninstall'], db);
  expect(unasked).toMatchObject({ code: 4, stdout: '' });
  expect(unasked.stderr).toContain('2 queues with 3 unfinished tasks, 1 of them running now');
  expect(unasked.stderr).toContain('--yes');
  expect(await there(db)).toBe(true);

  expect((await run(['uninstall', '--yes'], db)).code).toBe(0);
  expect(await there(db)).toBe(false);
  const again = await run(['uninstall', '--yes'], db);
  expect(again.code).toBe(0);
  expect(again.stderr).toContain('nothing to do');
  expect((await run(['init'], db)).code).toBe(0);
});

test('what is not ours, and what hangs on the schema, goes only with --cascade', async ({ db }) => {
  await db.queue('q');
  await db.query('create table absurd.notes (n int)');
  await db.query('create view public.report as select t.task_name from absurd.t_q t');
  await db.query(
    'create table public.marks (task uuid references absurd.t_q, at timestamptz default absurd.current_time())',
  );

  const refused = await run(['uninstall', '--yes'], db);
  expect(refused.code).toBe(4);
  expect(refused.stderr).toContain('absurd.notes');
  expect(refused.stderr).toContain('view public.report');
  expect((await run(['uninstall', '--dry-run', '--json'], db)).json()).toMatchObject({
    loss: {
      strangers: ['absurd.notes'],
      dependents: [
        'constraint marks_task_fkey on table public.marks',
        'default value for column at of table public.marks',
        'view public.report',
      ],
    },
  });
  expect(await there(db)).toBe(true);

  expect((await run(['uninstall', '--yes', '--cascade'], db)).code).toBe(0);
  expect(await there(db)).toBe(false);
  expect(
    (await db.query(`select to_regclass('public.marks') as marks, to_regclass('public.report') as report`)).rows,
  ).toEqual([{ marks: 'marks', report: null }]);
});

test('jobs of pg_cron go with it', async ({ db }) => {
  await db.queue('q');
  await db.query(`
    create schema cron;
    create table cron.job (jobid bigint generated always as identity primary key, schedule text, command text, jobname text);
    create function cron.schedule(a text, b text, c text) returns bigint language sql as
      'insert into cron.job (jobname, schedule, command) values (a, b, c) returning jobid';
    create function cron.unschedule(a bigint) returns boolean language sql as
      'with d as (delete from cron.job where jobid = a returning 1) select exists (select 1 from d)'`);
  await db.query(`select absurd.enable_cron(), absurd.enable_cron('q')`);
  await db.query(`select cron.schedule('backup', '@daily', 'select 1')`);

  expect((await run(['uninstall', '--yes'], db)).code).toBe(0);

  expect((await db.query('select jobname from cron.job')).rows).toEqual([{ jobname: 'backup' }]);
});
