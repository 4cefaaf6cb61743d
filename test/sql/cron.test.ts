import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import type { TestDatabase } from '../support/database.js';
import { engine, refuses } from './support.js';

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

/** What of pg_cron the contract relies on. */
async function installCron(db: TestDatabase): Promise<void> {
  await db.query(`
    create schema if not exists cron;
    create table if not exists cron.job (
      jobid bigint generated always as identity primary key, schedule text, command text, jobname text, other text
    );
    create or replace function cron.schedule(a text, b text, c text) returns bigint language sql as
      'insert into cron.job (jobname, schedule, command) values (a, b, c) returning jobid';
    create or replace function cron.unschedule(a bigint) returns boolean language sql as
      'with d as (delete from cron.job where jobid = a returning 1) select exists (select 1 from d)';
    truncate cron.job`);
}

const jobs = async (db: TestDatabase): Promise<unknown[]> =>
  (await db.query('select jobname, schedule, command from cron.job order by jobid')).rows;

engine('without pg_cron the functions say so, and dropping works', async ({ db, queue }) => {
  await db.query('drop schema if exists cron cascade');
  for (const call of ['enable_cron()', 'disable_cron()', 'schedule_detach_jobs()']) {
    await refuses(db.query(`select absurd.${call}`), '0A000', 'pg_cron is not available');
  }
  await db.query('select absurd.drop_queue($1)', [queue]);
});

engine('enable_cron makes the three jobs of a scope, again and again', async ({ db, queue }) => {
  await installCron(db);
  const all = await db.query('select job_name from absurd.enable_cron()');
  expect(all.rows.map((row) => row['job_name'])).toEqual([
    'absurd_partitions_all',
    'absurd_cleanup_all',
    'absurd_detach_plan_all',
  ]);
  const suffix = md5(queue).slice(0, 12);
  for (let i = 0; i < 2; i++) {
    await db.query(`select * from absurd.enable_cron($1, '1 * * * *', '2 * * * *', '3 * * * *')`, [queue]);
  }
  expect(await jobs(db)).toEqual([
    {
      jobname: 'absurd_partitions_all',
      schedule: '5 * * * *',
      command: 'select absurd.ensure_partitions(null::text);',
    },
    {
      jobname: 'absurd_cleanup_all',
      schedule: '17 * * * *',
      command: 'select * from absurd.cleanup_all_queues(null::text);',
    },
    {
      jobname: 'absurd_detach_plan_all',
      schedule: '29 * * * *',
      command: 'select * from absurd.schedule_detach_jobs(null::text);',
    },
    {
      jobname: `absurd_partitions_${suffix}`,
      schedule: '1 * * * *',
      command: `select absurd.ensure_partitions('${queue}');`,
    },
    {
      jobname: `absurd_cleanup_${suffix}`,
      schedule: '2 * * * *',
      command: `select * from absurd.cleanup_all_queues('${queue}');`,
    },
    {
      jobname: `absurd_detach_plan_${suffix}`,
      schedule: '3 * * * *',
      command: `select * from absurd.schedule_detach_jobs('${queue}');`,
    },
  ]);
  await refuses(db.query(`select absurd.enable_cron('nowhere')`), 'P0002');
});

engine('a queue’s name reaches the commands as a literal', async ({ db }) => {
  await installCron(db);
  const name = "it's; drop table x; --";
  await db.queue(name);
  await db.query('select absurd.enable_cron($1)', [name]);
  const { rows } = await db.query<{ command: string }>('select command from cron.job order by jobid');
  for (const { command } of rows) await db.query(command);
  await db.query('select absurd.drop_queue($1)', [name]);
  expect(await jobs(db)).toEqual([]);
});

engine('disable_cron removes the jobs of its scope only, in the order of their names', async ({ db, queue }) => {
  await installCron(db);
  const suffix = md5(queue).slice(0, 12);
  await db.query('select absurd.enable_cron(), absurd.enable_cron($1)', [queue]);
  await db.query(`select cron.schedule('absurd_drop_run_${suffix}_x', '* * * * *', ''), cron.schedule('absurd_detach_run_${suffix}_x', '* * * * *', ''),
                         cron.schedule('absurd_drop_run_all_x', '* * * * *', ''), cron.schedule('mine', '* * * * *', '')`);
  const { rows } = await db.query('select job_name from absurd.disable_cron($1)', [queue]);
  expect(rows.map((row) => row['job_name'])).toEqual([
    `absurd_cleanup_${suffix}`,
    `absurd_detach_plan_${suffix}`,
    `absurd_detach_run_${suffix}_x`,
    `absurd_drop_run_${suffix}_x`,
    `absurd_partitions_${suffix}`,
  ]);
  expect((await db.query('select * from absurd.disable_cron()')).rows).toHaveLength(4);
  expect(await jobs(db)).toMatchObject([{ jobname: 'mine' }]);
});

engine('schedule_detach_jobs gives each parent’s oldest candidate a detach and a drop job, once', async (scene) => {
  const { db, value } = scene;
  await installCron(db);
  await db.freeze('2026-01-07T12:00:00Z');
  const queue = await scene.partitioned();
  await db.freeze('2026-06-03T12:00:00Z');
  await db.query('select absurd.set_queue_policy($1, $2)', [queue, '{"detach_mode": "empty"}']);
  const plan = async () =>
    (
      await db.query('select job_name, queue_name, partition_table, job_kind from absurd.schedule_detach_jobs($1)', [
        queue,
      ])
    ).rows;
  const rows = await plan();
  expect(rows.map((row) => `${row['partition_table']} ${row['job_kind']}`).sort()).toEqual(
    ['c', 'r', 't', 'w'].flatMap((letter) => [`${letter}_${queue}_602 detach`, `${letter}_${queue}_602 drop`]),
  );
  const parent = `t_${queue}`;
  const name = `${md5(queue).slice(0, 12)}_${md5(parent).slice(0, 8)}_${md5(`${parent}:${parent}_602`).slice(0, 12)}`;
  const found = async (): Promise<unknown[]> =>
    (
      await db.query('select jobname, schedule, command from cron.job where jobname like $1 order by jobname', [
        `%${name}`,
      ])
    ).rows;
  expect(await found()).toEqual([
    {
      jobname: `absurd_detach_run_${name}`,
      schedule: '* * * * *',
      command: `alter table absurd.${parent} detach partition absurd.${parent}_602`,
    },
    {
      jobname: `absurd_drop_run_${name}`,
      schedule: '* * * * *',
      command: `select absurd.drop_detached_partition('${parent}_602', 'absurd_drop_run_${name}');`,
    },
  ]);
  expect(await plan()).toEqual([]);

  // As pg_cron would: the detach, then the drop, which takes both jobs away.
  const drop = `select absurd.drop_detached_partition('${parent}_602', 'absurd_drop_run_${name}')`;
  expect(await value(drop)).toBe(false);
  await db.query(`alter table absurd.${parent} detach partition absurd.${parent}_602`);
  expect(await value(drop)).toBe(true);
  expect(await found()).toEqual([]);
  expect((await plan()).map((row) => row['partition_table'])).toEqual([`${parent}_603`, `${parent}_603`]);
});

engine('without a default partition the detach is concurrent', async (scene) => {
  const { db } = scene;
  await installCron(db);
  await db.freeze('2026-01-07T12:00:00Z');
  const queue = await scene.partitioned();
  await db.query('select absurd.set_queue_policy($1, $2)', [
    queue,
    '{"detach_mode": "empty", "default_partition": "disabled"}',
  ]);
  await db.freeze('2026-06-03T12:00:00Z');
  await db.query('select absurd.schedule_detach_jobs($1)', [queue]);
  const { rows } = await db.query<{ command: string }>(
    `select command from cron.job where command like 'alter%' order by command`,
  );
  expect(rows).toHaveLength(4);
  for (const { command } of rows) expect(command).toMatch(/ concurrently$/);
});
