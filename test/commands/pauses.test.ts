import { expect, test } from '../support/database.js';
import { run } from '../support/command.js';
import { installOlder } from '../sql/older.js';

test('a queue is paused for a time and with a reason, and resumed', async ({ db }) => {
  await db.queue('mail');
  await db.spawn('mail', 'send');

  const paused = await run(['pause-queue', 'mail', '--for', '2h', '--reason', 'SMTP is down', '--json'], db);

  expect(paused.code).toBe(0);
  expect(paused.json()).toMatchObject([{ queue_name: 'mail', paused_by: 'postgres', reason: 'SMTP is down' }]);
  expect(await db.claim('mail')).toEqual([]);
  const again = await run(['pause-queue', 'mail'], db);
  expect(again.stderr).toContain('absurdctl resume-queue mail ends the pause');
  expect((await db.query('select paused_until, reason from absurd.queue_pauses')).rows).toEqual([
    { paused_until: null, reason: null },
  ]);

  const resumed = await run(['resume-queue', 'mail', '--json'], db);

  expect(resumed.json()).toEqual([{ queue_name: 'mail', resumed: true }]);
  expect(await db.claim('mail')).toHaveLength(1);
  const nothing = await run(['resume-queue', 'mail'], db);
  expect(nothing).toMatchObject({ code: 0, stdout: 'mail\tfalse\n' });
  expect(nothing.stderr).toContain('Not paused: "mail"');
});

test('--all takes every queue, and resumes those that are paused', async ({ db }) => {
  await db.queue('a');
  await db.queue('b');
  expect((await run(['pause-queue', '--all', '-o', 'name'], db)).stdout).toBe('a\nb\n');
  await run(['resume-queue', 'a'], db);

  expect((await run(['resume-queue', '--all', '-o', 'name'], db)).stdout).toBe('b\n');
  expect((await run(['resume-queue', '--all', '--json'], db)).json()).toEqual([]);
});

test('what cannot be meant is refused, and nothing is paused', async ({ db }) => {
  await db.queue('mail');
  for (const [argv, code, words] of [
    [['pause-queue'], 2, 'No queue is named'],
    [['pause-queue', 'mail', '--all'], 2, 'not both'],
    [['pause-queue', 'mail', '--for', 'soon'], 2, '--for "soon" is not a duration'],
    [['pause-queue', 'mail', '--for', '0s'], 2, 'longer than zero'],
    [['pause-queue', 'mail', '--for', '1h', '--until', '2030-01-01'], 2, 'not both'],
    [['pause-queue', 'mail', '--until', '2001-01-01'], 2, 'must be in the future'],
    [['pause-queue', 'mail', '--until', '2h'], 2, '--for 2h'],
    [['pause-queue', 'mail', 'mial'], 3, 'did you mean "mail"'],
  ] as const) {
    const refused = await run([...argv], db);
    expect(refused.code, argv.join(' ')).toBe(code);
    expect(refused.stderr).toContain(words);
  }
  expect((await db.query('select 1 from absurd.queue_pauses')).rows).toEqual([]);
});

test('a schema without pauses is named, with the command that brings them', async ({ emptyDatabase: db }) => {
  await installOlder(db, '0.5.0');
  const refused = await run(['pause-queue', 'q'], db);
  expect(refused.code).toBe(5);
  expect(refused.stderr).toContain('cannot pause a queue');
  expect(refused.stderr).toContain('absurdctl init');
});

test('pauses show in list-queues and queue-stats, on a terminal only where there are some', async ({ db }) => {
  await db.queue('mail');
  await db.queue('other');
  const tty = { url: db.url, width: 200 };
  expect((await run(['list-queues'], tty)).stdout).not.toContain('PAUSED');
  await run(['pause-queue', 'mail', '--for', '2h', '--reason', 'SMTP is down'], db);

  for (const command of ['list-queues', 'queue-stats']) {
    const { stdout } = await run([command], tty);
    expect(stdout).toContain('PAUSED');
    expect(stdout).toContain('SMTP is down');
    expect((await run([command, '--json'], db)).json()).toMatchObject([
      {
        queue_name: 'mail',
        paused_by: 'postgres',
        pause_reason: 'SMTP is down',
        paused_at: expect.any(String) as string,
      },
      { queue_name: 'other', paused_at: null, paused_until: null, paused_by: null, pause_reason: null },
    ]);
    expect((await run([command, '-o', 'csv'], db)).stdout.split('\n')[0]).toMatch(
      /,paused_at,paused_until,pause_reason$/,
    );
  }
  expect((await run(['queue-stats', '-o', 'openmetrics'], db)).stdout).toContain('absurd_queue_paused{queue="mail"} 1');
});
