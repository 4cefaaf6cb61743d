import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';

const folder = mkdtempSync(join(tmpdir(), 'absurd-schedules-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const create = (db: TestDatabase, name: string, ...more: string[]) =>
  run(['create-schedule', name, '--task', 'report', '-q', 'q', ...more], db);

test('a schedule shows its next five times, and is saved once', async ({ db }) => {
  await db.queue('q');
  const weekly = ['--cron', '0 9 * * mon', '--time-zone', 'Europe/Vienna', '-P', 'n:=12345678901234567890'];

  const dry = await create(db, 'weekly', ...weekly, '--dry-run', '--json');
  expect(dry.json()).toMatchObject({ saved: false });
  expect((await run(['list-schedules', '--json'], db)).json()).toEqual([]);
  const created = await create(db, 'weekly', ...weekly, '--json');

  expect(created.stdout).toContain('12345678901234567890');
  const { next_times: times } = created.json() as { next_times: string[] };
  expect(times).toHaveLength(5);
  for (const time of times) expect(new Date(time).getUTCDay()).toBe(1);
  expect((await create(db, 'weekly', ...weekly)).code).toBe(4);
  const replaced = await create(db, 'weekly', '--every', '15m', '--replace');
  expect(replaced).toMatchObject({ code: 0 });
  expect(replaced.stdout).toContain('Times: every 00:15:00');
});

test('its tasks are shown with how they ended, after a trigger and a backfill that is safe to repeat', async ({
  db,
}) => {
  await db.queue('q');
  await create(db, 'hourly', '--cron', '@hourly');
  const triggered = (await run(['trigger-schedule', 'hourly', '--json'], db)).json() as { task_id: string };
  expect(triggered).toMatchObject({ queue_name: 'q' });
  const span = ['backfill-schedule', 'hourly', '--from', '3h', '--to', 'now'];
  expect((await run(span, db)).code).toBe(4);
  const preview = (await run([...span, '--dry-run', '--json'], db)).json() as unknown[];
  expect(preview).toHaveLength(3);

  const first = (await run([...span, '--yes', '--json'], db)).json();

  expect((await run([...span, '--yes', '--json'], db)).json()).toEqual(first);
  const shown = (await run(['show-schedule', 'hourly', '--json'], db)).json() as { last_tasks: { task_id: string }[] };
  expect(shown.last_tasks).toHaveLength(4);
  expect(shown.last_tasks[0]).toMatchObject({ task_id: triggered.task_id, state: 'pending' });
});

test('a pause holds it until it is resumed; dropping it leaves its tasks', async ({ db }) => {
  await db.queue('q');
  await create(db, 'often', '--every', '1s');
  expect((await run(['pause-schedule', 'often', '--for', '1h', '--reason', 'quiet'], db)).stdout).toContain(
    'Reason: quiet',
  );
  expect((await run(['list-schedules'], db)).stdout).toContain('paused until');
  expect((await run(['resume-schedule', 'often', '--json'], db)).json()).toMatchObject({ resumed: true });
  await run(['trigger-schedule', 'often'], db);
  expect((await run(['drop-schedule', 'often'], db)).code).toBe(4);

  expect((await run(['drop-schedule', 'often', '--yes'], db)).code).toBe(0);

  expect((await db.query('select count(*)::int as n from absurd.t_q')).rows).toEqual([{ n: 1 }]);
  const gone = await run(['show-schedule', 'often'], db);
  expect(gone).toMatchObject({ code: 3 });
});

test('settings that cannot be used are refused by their flag or their value', async ({ db }) => {
  await db.queue('q');
  await create(db, 'weekly', '--cron', '@weekly');
  for (const [argv, code, words] of [
    [['create-schedule', 'x', '--task', 't', '-q', 'q'], 2, 'No time is given'],
    [['create-schedule', 'x', '--task', 't', '-q', 'q', '--cron', '@hourly', '--every', '1h'], 2, 'not both'],
    [['create-schedule', 'x', '--task', 't', '-q', 'q', '--cron', '0 0 30 2 *'], 2, 'never matches'],
    [['create-schedule', 'x', '--task', 't', '-q', 'q', '--cron', '61 * * * *'], 2, 'minute'],
    [['create-schedule', 'x', '--task', 't', '-q', 'q', '--cron', '@hourly', '--time-zone', 'Mars'], 2, 'not known'],
    [['create-schedule', 'x', '--task', 't', '-q', 'qq', '--cron', '@hourly'], 3, 'did you mean "q"'],
    [['show-schedule', 'weekli'], 3, 'did you mean "weekly"'],
    [['backfill-schedule', 'weekly', '--from', '1h', '--to', '2h', '--yes'], 2, 'later than --to'],
  ] as const) {
    const refused = await run([...argv], db);
    expect(refused.code, argv.join(' ')).toBe(code);
    expect(refused.stderr).toContain(words);
  }
});

test('a file of schedules is planned, applied and found in line', async ({ db }) => {
  await db.queue('q');
  await create(db, 'old', '--every', '1h');
  await create(db, 'changed', '--every', '1h');
  const file = 'schedules.json';
  const write = (schedules: unknown): void => writeFileSync(join(folder, file), JSON.stringify({ schedules }));
  write([
    { name: 'changed', task: 'report', queue: 'q', every: '2h', params: { n: 1 } },
    { name: 'new', task: 'report', queue: 'q', cron: '@daily', time_zone: 'Europe/Vienna', max_attempts: 3 },
  ]);
  const sync = (...more: string[]) => run(['sync-schedules', file, ...more, '--json'], { url: db.url, cwd: folder });

  const planned = await sync('--prune', '--dry-run');

  expect(planned.code).toBe(1);
  expect(planned.json() as { changes: object[] }[] | object[]).toMatchObject([
    {
      schedule_name: 'changed',
      change: 'update',
      differences: ['params: {} -> {"n": 1}', 'every: 01:00:00 -> 02:00:00'],
    },
    { schedule_name: 'new', change: 'create' },
    { schedule_name: 'old', change: 'drop' },
  ]);
  expect((await sync('--prune')).code).toBe(4);
  expect((await sync('--prune', '--yes')).code).toBe(0);
  expect(await sync('--prune', '--dry-run')).toMatchObject({ code: 0 });
  for (const [schedules, words] of [
    [[{ name: 'a' }], 'has no \\"task\\"'],
    [[{ name: 'a', task: 't', crom: '@daily' }], 'unknown member'],
    [[{ name: 'a', task: 't', every: 'soon' }], 'not a duration'],
    [
      [
        { name: 'a', task: 't', cron: '@daily' },
        { name: 'a', task: 't', cron: '@daily' },
      ],
      'two schedules',
    ],
    ['none', 'no array'],
  ] as const) {
    write(schedules);
    const refused = await sync();
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain(words);
  }
});
