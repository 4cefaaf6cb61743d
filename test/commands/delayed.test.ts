/** spawn-task --at and --in, and the same in spawn-tasks. */
import { installOlder } from '../sql/older.js';
import { run } from '../support/command.js';
import { expect, test } from '../support/database.js';

test('--in and --at delay the start', async ({ db }) => {
  await db.queue('mail');

  expect((await run(['spawn-task', 'soon', '-q', 'mail', '--in', '2h'], db)).code).toBe(0);
  expect((await run(['spawn-task', 'later', '-q', 'mail', '--at', '2999-01-02 03:04'], db)).code).toBe(0);
  expect((await run(['spawn-task', 'past', '-q', 'mail', '--at', '2001-01-01'], db)).code).toBe(0);

  expect((await db.claim('mail', { qty: 10 })).map(({ task_name: name }) => name)).toEqual(['past']);
  const { rows } = await db.query<{ name: string; seconds: number; at: string }>(
    `select t.task_name as name, round(extract(epoch from r.available_at - r.created_at))::float8 as seconds,
            to_char(r.available_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') as at
       from absurd.t_mail t join absurd.r_mail r using (task_id) where r.state = 'sleeping' order by 1`,
  );
  expect(rows).toMatchObject([
    { name: 'later', at: '2999-01-02 03:04' },
    { name: 'soon', seconds: 7200 },
  ]);
});

test('lines of spawn-tasks take start_at and delay_seconds', async ({ db }) => {
  await db.queue('mail');
  const stdin = [
    '{"name": "now"}',
    '{"name": "soon", "options": {"delay_seconds": 60}}',
    '{"name": "later", "options": {"start_at": "2999-01-01T00:00:00+01:00"}}',
    '{"name": "null", "options": {"start_at": null, "delay_seconds": null}}',
  ].join('\n');

  expect((await run(['spawn-tasks', '-', '-q', 'mail'], { url: db.url, stdin })).code).toBe(0);

  expect((await db.claim('mail', { qty: 10 })).map(({ task_name: name }) => name).sort()).toEqual(['now', 'null']);
});

test('what cannot be meant is refused, and nothing is spawned', async ({ db }) => {
  await db.queue('mail');
  for (const [argv, words] of [
    [['--in', 'soon'], '--in "soon" is not a duration'],
    [['--at', '2h'], '--in 2h'],
    [['--at', 'tomorrow'], '--at "tomorrow" is not a time'],
    [['--at', '2030-01-01', '--in', '2h'], 'not both'],
  ] as const) {
    const refused = await run(['spawn-task', 'send', '-q', 'mail', ...argv], db);
    expect(refused.code, argv.join(' ')).toBe(2);
    expect(refused.stderr).toContain(words);
  }
  for (const options of [
    '{"start_at": "tomorrow"}',
    '{"start_at": "2030-01-01T00:00:00"}',
    '{"start_at": "2030-02-30T00:00:00Z"}',
    '{"start_at": 5}',
    '{"delay_seconds": -1}',
    '{"delay_seconds": "5"}',
    '{"delay_seconds": 5, "start_at": "2030-01-01T00:00:00Z"}',
  ]) {
    const stdin = `{"name": "first"}\n{"name": "send", "options": ${options}}`;
    const refused = await run(['spawn-tasks', '-', '-q', 'mail'], { url: db.url, stdin });
    expect(refused.code, options).toBe(2);
    expect(refused.stderr).toContain('Line 2');
  }
  expect((await db.query('select 1 from absurd.t_mail')).rows).toEqual([]);
});

test('schema 0.4.0 cannot delay: exit 5 before anything is written, with the command that brings it', async ({
  emptyDatabase: db,
}) => {
  await installOlder(db, '0.4.0');
  const line = '{"name": "now"}\n{"name": "soon", "options": {"delay_seconds": 60}}';
  for (const [argv, stdin] of [
    [['spawn-task', 'send', '-q', 'q', '--in', '2h'], ''],
    [['spawn-task', 'send', '-q', 'q', '--at', '2999-01-01'], ''],
    [['spawn-tasks', '-', '-q', 'q'], line],
  ] as const) {
    const refused = await run([...argv, '--json'], { url: db.url, stdin });
    expect(refused.code, argv.join(' ')).toBe(5);
    expect(JSON.parse(refused.stderr)).toMatchObject({
      code: 'schema_too_old',
      message: expect.stringContaining('cannot delay the start of a task') as string,
      hint: expect.stringContaining('absurdctl init') as string,
    });
  }
  expect((await db.query('select 1 from absurd.t_q')).rows).toEqual([]);
});

test('create-schedule checks the numbers of a backoff as spawn-task does', async ({ db }) => {
  await db.queue('mail');
  for (const argv of [
    ['spawn-task', 'send'],
    ['create-schedule', 's', '--task', 'send', '--every', '1h'],
  ]) {
    const refused = await run([...argv, '-q', 'mail', '--retry-base', '90000'], db);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('--retry-base takes a number of seconds from 0 to 86400');
  }
});
