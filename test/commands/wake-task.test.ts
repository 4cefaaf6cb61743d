import { expect, test, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';
import { errorOf } from './roles.js';

/** Tasks whose first attempt failed, and that try again in an hour. */
async function backingOff(db: TestDatabase, queue: string, n: number): Promise<string[]> {
  const retry = { max_attempts: 2, retry_strategy: { kind: 'fixed', base_seconds: 3600 } };
  for (let i = 0; i < n; i++) await db.spawn(queue, 'mail', {}, retry);
  const claimed = await db.claim(queue, { qty: n });
  for (const { run_id: id } of claimed) await db.query(`select absurd.fail_run($1, $2, '"refused"')`, [queue, id]);
  return claimed.map((one) => one.task_id);
}

async function waiting(db: TestDatabase, queue: string, event: string): Promise<string> {
  const { task_id: id, run_id } = await db.spawn(queue, 'order');
  await db.claim(queue);
  await db.query(`select absurd.await_event($1, $2, $3, 'w', $4)`, [queue, id, run_id, event]);
  return id;
}

interface Many {
  counts: Record<string, number>;
  tasks: { task_id: string; outcome: string; reason: string | null; attempt: number | null }[];
}

test('one task that backs off can be claimed now; a second time there is nothing to do', async ({ db }) => {
  const queue = await db.queue();
  const [id = ''] = await backingOff(db, queue, 1);
  const woken = await run(['wake-task', id], db);
  expect(woken).toMatchObject({ code: 0, stderr: `Woken: it waits for a worker of queue "${queue}"\n` });
  expect(woken.stdout).toMatch(new RegExp(`^Task ID: ${id}\nRun ID: [0-9a-f-]+\nAttempt: 2\n$`));
  const again = await run(['wake-task', id, '--json'], db);
  expect(again.json()).toMatchObject({ task_id: id, attempt: 2, woken: false });
  expect(await db.claim(queue)).toMatchObject([{ task_id: id, attempt: 2 }]);
  const running = await run(['wake-task', id, '--json'], db);
  expect(running.code).toBe(4);
  expect(errorOf(running)).toMatchObject({ code: 'wrong_state', message: `Task ${id} does not sleep: it is running` });
});

test('a wait for an event ends only when it is asked for, and the hint is the command', async ({ db }) => {
  const queue = await db.queue();
  const id = await waiting(db, queue, 'paid');
  const refused = await run(['wake-task', id, '--json'], db);
  expect(refused.code).toBe(4);
  const { message, hint } = errorOf(refused);
  expect(message).toBe(`Task ${id} waits for event "paid"`);
  const typed = /^absurdctl (wake-task \S+ --as-timeout) /.exec(hint ?? '')?.[1]?.split(' ') ?? [];
  expect(await run(typed, db)).toMatchObject({ code: 0 });
  expect(await db.claim(queue)).toMatchObject([{ task_id: id, wake_event: 'paid', event_payload: null }]);
});

test('many by filter or id: what waits for events, or does not sleep, is skipped', async ({ db }) => {
  const queue = await db.queue();
  const mails = await backingOff(db, queue, 3);
  const order = await waiting(db, queue, 'paid');
  const { task_id: pending } = await db.spawn(queue, 'mail');
  const dry = await run(['wake-task', '-n', 'mail', '--dry-run', '--json'], db);
  expect(
    dry
      .json<{ task_id: string }[]>()
      .map((task) => task.task_id)
      .sort(),
  ).toEqual([...mails].sort());
  expect((await run(['wake-task', '-n', 'mail'], db)).code).toBe(4);

  const some = (await run(['wake-task', mails[0] ?? '', order, pending, '--yes', '--json'], db)).json<Many>();
  expect(some.counts).toMatchObject({ woken: 1, skipped: 2, failed: 0 });
  expect(Object.fromEntries(some.tasks.map(({ task_id: id, reason }) => [id, reason]))).toEqual({
    [mails[0] ?? '']: null,
    [order]: 'it waits for an event',
    [pending]: 'it is pending',
  });
  const all = (await run(['wake-task', '--all', '--as-timeout', '--yes', '--json'], db)).json<Many>();
  expect(all.counts).toMatchObject({ woken: 3, skipped: 1 });
  expect(await db.claim(queue, { qty: 10 })).toHaveLength(5);
});

test('a schema that lacks it is left alone, and the command that brings it is named', async ({ db }) => {
  const queue = await db.queue();
  const [id = ''] = await backingOff(db, queue, 1);
  await db.query('drop function absurd.get_schema_features()');
  for (const argv of [[id], ['--all', '--yes'], ['--all', '--dry-run']]) {
    const refused = await run(['wake-task', ...argv, '--json'], db);
    expect(refused.code).toBe(5);
    expect(errorOf(refused)).toMatchObject({
      code: 'schema_too_old',
      hint: expect.stringContaining('absurdctl init') as string,
    });
  }
  expect(await run(['init'], db)).toMatchObject({ code: 0 });
  expect(await run(['wake-task', id], db)).toMatchObject({ code: 0 });
});
