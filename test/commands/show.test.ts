import { expect, test, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';

const now = new Date('2026-03-04T12:01:40Z');

async function twoSteps(db: TestDatabase): Promise<string> {
  await db.freeze('2026-03-04T12:00:00Z');
  await db.queue('mail');
  const { task_id: id } = await db.spawn('mail', 'send');
  const [claimed] = await db.claim('mail');
  const save = async (name: string, state: string): Promise<void> => {
    await db.advance('10 seconds');
    await db.query(`select absurd.set_task_checkpoint_state('mail', $1, $2, $3, $4)`, [
      id,
      name,
      state,
      claimed?.run_id,
    ]);
  };
  await save('fetch', '{"total": 12345678901234567890.10, "rows": ["\\u001b[31mred"]}');
  await save('charge', 'null');
  return id;
}

test("list-checkpoints: a task's steps in their order, with their sizes", async ({ db }) => {
  const id = await twoSteps(db);
  const piped = await run(['list-checkpoints', id], db);
  const [first = '', second = ''] = piped.stdout.trimEnd().split('\n');
  expect(first.split('\t').slice(0, 5)).toEqual(['fetch', 'mail', id, 'committed', '1']);
  expect(first).toContain('12345678901234567890.10');
  expect(second.split('\t').slice(-2)).toEqual(['4', 'null']);
  const screen = await run(['list-checkpoints', id], { ...db, width: 80, now });
  expect(screen.stdout).toMatch(
    /^STEP +ATTEMPT +DONE +SIZE +RESULT\nfetch +1 +1m ago +\d+ bytes +.*…\ncharge +1 +1m ago +4 bytes +null\n$/,
  );
  expect(screen.stdout).not.toContain('\u001b');
  expect((await run(['list-checkpoints', id, '-l', '1'], db)).stderr).toBe('Showing 1; --limit 2 shows more\n');
  const none = await db.spawn('mail', 'other');
  expect(await run(['list-checkpoints', none.task_id, '--json'], db)).toMatchObject({ code: 0, stdout: '[]\n' });
  expect((await run(['list-checkpoints', 'nonsense'], db)).code).toBe(2);
  expect((await run(['list-checkpoints', '01a20dfa-5b98-7bbd-b22e-60d6d3824804'], db)).code).toBe(3);
});

test('show-checkpoint prints the JSON alone, every digit of it', async ({ db }) => {
  const id = await twoSteps(db);
  const shown = await run(['show-checkpoint', id, 'fetch'], db);
  expect(shown).toMatchObject({ code: 0, stderr: '' });
  expect(shown.stdout).toBe('{"rows": ["\\u001b[31mred"], "total": 12345678901234567890.10}\n');
  expect((await run(['show-checkpoint', id, 'charge'], db)).stdout).toBe('null\n');
  const whole = (await run(['show-checkpoint', id, 'charge', '--json'], db)).json();
  expect(whole).toMatchObject({ queue_name: 'mail', checkpoint_name: 'charge', state: null, status: 'committed' });
  const near = await run(['show-checkpoint', id, 'fetsh'], db);
  expect(near).toMatchObject({ code: 3, stdout: '' });
  expect(near.stderr).toContain('did you mean "fetch"?');
  expect((await run(['show-checkpoint', id], db)).code).toBe(2);
});

test('show-event prints the payload, wherever the event is, and says why there is none', async ({ db }) => {
  const id = await twoSteps(db);
  await db.queue('other');
  await db.query(`select absurd.emit_event('mail', 'paid:42', '{"cents": 1.50}')`);
  expect((await run(['show-event', 'paid:42'], db)).stdout).toBe('{"cents": 1.50}\n');
  const screen = await run(['show-event', 'paid:42'], { ...db, width: 60 });
  expect(screen.stdout).toBe('{\n  "cents": 1.50\n}\n');
  expect((await run(['show-event', 'paid:42', '--json'], db)).json()).toMatchObject({
    queue_name: 'mail',
    waiting: 0,
    emitted_at: '2026-03-04T12:00:20.000000Z',
  });
  const near = await run(['show-event', 'payd:42'], db);
  expect(near.code).toBe(3);
  expect(near.stderr).toContain('did you mean "paid:42"?');
  const { rows } = await db.query<{ id: string }>(
    `select last_attempt_run as id from absurd.t_mail where task_id = $1`,
    [id],
  );
  await db.query(`select absurd.await_event('mail', $1, $2, 's', 'go')`, [id, rows[0]?.id]);
  const awaited = await run(['show-event', 'go', '--json'], db);
  expect(awaited.code).toBe(3);
  expect(JSON.parse(awaited.stderr)).toMatchObject({ code: 'event_not_emitted' });
  await db.query(`select absurd.emit_event('other', 'paid:42')`);
  expect((await run(['show-event', 'paid:42'], db)).code).toBe(2);
  expect((await run(['show-event', 'paid:42', '-q', 'other'], db)).stdout).toBe('null\n');
});
