import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '../support/command.js';
import { findCronServer, startCronServer } from '../support/cron-server.js';
import type { TestServer } from '../support/server.js';

/**
 * A real pg_cron, whose jobs really run: at the next full minute, so that this takes a minute or three. Skipped where the
 * system has no server with it (Debian: postgresql-15-cron); test/sql/cron.test.ts has a stand-in for everywhere.
 */
const there = findCronServer() !== undefined;
const home = 'workflows';

describe.skipIf(!there)('pg_cron (skipped where this system has no PostgreSQL with it)', () => {
  let server: TestServer | undefined;
  const clients: pg.Client[] = [];
  const address = (database: string, role?: string): string => {
    const url = new URL(server?.url ?? '');
    url.pathname = `/${database}`;
    if (role !== undefined) url.username = role;
    if (role !== undefined) url.password = 'pw';
    return url.href;
  };
  const connect = async (database: string): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: address(database) });
    clients.push(client);
    await client.connect();
    return client;
  };
  const one = async (client: pg.Client, sql: string, values: unknown[] = []): Promise<unknown> => {
    const { rows } = await client.query<{ value: unknown }>(sql, values);
    return rows[0]?.value;
  };

  /** Ended work that a cleanup deletes at once, and a partitioned queue of January with nothing in it. */
  async function prepare(database: string): Promise<pg.Client> {
    const db = await connect(database);
    expect((await run(['init'], { url: address(database) })).code).toBe(0);
    await db.query(`
      select absurd.create_queue('mail');
      select absurd.spawn_task('mail', 'job', '{}');
      select absurd.complete_run('mail', c.run_id, '1') from absurd.claim_task('mail', 'w', 30, 1) c;
      select absurd.set_queue_policy('mail', '{"cleanup_ttl": "0 seconds"}');
      set absurd.fake_now = '2026-01-07T12:00:00Z';
      select absurd.create_queue('weekly', 'partitioned'), absurd.create_queue('bare', 'partitioned');
      reset absurd.fake_now;
      select absurd.set_queue_policy('weekly', '{"detach_mode": "empty"}'),
             absurd.set_queue_policy('bare', '{"detach_mode": "empty", "default_partition": "disabled"}')`);
    return db;
  }

  beforeAll(async () => {
    server = await startCronServer(home);
    const admin = await connect('postgres');
    await admin.query(`create database ${home}`);
    await admin.query('create database elsewhere');
    await admin.query(`create role stranger login password 'pw'`);
  }, 60_000);

  afterAll(async () => {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
    await server?.stop();
  });

  test('its jobs make partitions, clean up, detach and drop, and remove themselves', { timeout: 480_000 }, async () => {
    const url = address(home);
    const db = await prepare(home);
    expect(await run(['cron', '--enable'], { url })).toMatchObject({
      code: 1,
      stderr:
        `Error: pg_cron is not in database "${home}" yet\n` +
        `Hint: create extension pg_cron, as a superuser; or have a system's cron run absurdctl maintain, which does once what the jobs do\n`,
    });
    const blind = await run(['cron', '--enable'], { url: address(home, 'stranger') });
    expect(blind.stderr).toContain('does not show role "stranger" where it is installed');
    expect(blind.stderr).toContain('show cron.database_name');
    await db.query('create extension pg_cron');
    const stranger = await run(['cron', '--enable'], { url: address(home, 'stranger') });
    expect(stranger.stderr).toContain('absurdctl grants stranger --as operator --apply');

    const schedules = ['partition', 'cleanup', 'detach'].flatMap((name) => [`--${name}-schedule`, '* * * * *']);
    const enabled = await run(['cron', '--enable', ...schedules, '--json'], { url });
    expect(enabled.json<{ job_name: string }[]>().map((job) => job.job_name)).toEqual([
      'absurd_partitions_all',
      'absurd_cleanup_all',
      'absurd_detach_plan_all',
    ]);
    const week = `select absurd.partition_week_tag(now()) as value`;
    const tag = String(await one(db, week));
    const old = (queue: string): Promise<unknown> =>
      one(
        db,
        `select count(*)::int as value from pg_class where relname ~ $1 and relnamespace = 'absurd'::regnamespace`,
        [`^[trcw]_${queue}_602$`],
      );
    expect(await old('weekly')).toBe(4);
    const soon = { timeout: 280_000, interval: 500 };
    await expect
      .poll(() => one(db, `select to_regclass($1) is not null as value`, [`absurd.t_weekly_${tag}`]), soon)
      .toBe(true);
    await expect.poll(() => one(db, 'select count(*)::int as value from absurd.t_mail'), soon).toBe(0);
    // Detached by one job and dropped by the other, concurrently where there is no default partition.
    await expect.poll(() => old('weekly'), soon).toBe(0);
    await expect.poll(() => old('bare'), soon).toBe(0);
    const pipelines = `select count(*)::int as value from cron.job where command like '%\\_602%'`;
    await expect.poll(() => one(db, pipelines), soon).toBe(0);
    const failed = await db.query(
      `select command, return_message from cron.job_run_details
        where status = 'failed' and command not like '%drop_detached_partition%' and command not like 'alter table%'`,
    );
    expect(failed.rows).toEqual([]);

    const disabled = await run(['cron', '--disable', '--json'], { url });
    expect(disabled.json<unknown[]>().length).toBeGreaterThanOrEqual(3);
    expect(await one(db, 'select count(*)::int as value from cron.job')).toBe(0);
  });

  test(
    'in another database the command says what to type in its own, and that works',
    { timeout: 200_000 },
    async () => {
      const url = address('elsewhere');
      const db = await prepare('elsewhere');
      const scheduler = await connect(home);
      await scheduler.query('create extension if not exists pg_cron');
      const refused = await run(
        ['cron', '--enable', '--cleanup-schedule', '* * * * *', '--partition-schedule', '* * * * *', '--json'],
        {
          url,
        },
      );
      expect(refused.code).toBe(1);
      const { message, hint } = JSON.parse(refused.stderr) as { message: string; hint: string };
      expect(message).toBe(`pg_cron is installed in database "${home}", not in "elsewhere"`);
      expect(hint).toContain('absurdctl maintain');
      expect(hint).not.toContain(';;');
      const typed = [...hint.matchAll(/select cron\.schedule_in_database\(.*?\);/g)].map(([sql]) => sql);
      expect(typed).toHaveLength(2);
      for (const sql of typed) await scheduler.query(sql);
      const soon = { timeout: 150_000, interval: 500 };
      await expect.poll(() => one(db, 'select count(*)::int as value from absurd.t_mail'), soon).toBe(0);
      const partition = `select to_regclass('absurd.t_weekly_' || absurd.partition_week_tag(now())) is not null as value`;
      await expect.poll(() => one(db, partition), soon).toBe(true);
      expect((await run(['cron', '--disable'], { url })).stderr).toContain('cron.unschedule');
    },
  );
});
