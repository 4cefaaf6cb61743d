import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';

const noon = '2026-03-04T12:00:00Z';
const now = new Date('2026-03-04T12:10:00Z');

/** A task whose attempts failed with these reasons, JSON texts. */
async function failing(db: TestDatabase, ...reasons: string[]): Promise<string> {
  await db.queue('q');
  await db.freeze(noon);
  const task = await db.spawn('q', 'charge', {}, { retry_strategy: { kind: 'none' } });
  for (const reason of reasons) {
    const [claimed] = await db.claim('q');
    await db.query(`select absurd.set_task_checkpoint_state('q', $1, $2, '1', $3)`, [
      task.task_id,
      `step ${claimed?.attempt}`,
      claimed?.run_id,
    ]);
    await db.query(`select absurd.fail_run('q', $1, $2)`, [claimed?.run_id, reason]);
  }
  return task.task_id;
}

const gone = (id: number): string =>
  JSON.stringify({
    name: 'HttpError',
    message: `410 for request ${id}`,
    stack: `HttpError: 410 for request ${id}\n    at charge (/app/src/charge.ts:7:9)\n    at run (/app/node_modules/absurdctl/dist/sdk/executor.js:1:2)\n    at node:internal/process/task_queues:95:5`,
  });

test('the latest attempt comes first, and attempts in a row that failed alike are one part', async ({ db }) => {
  const id = await failing(db, gone(1), '{"message": "boom"}', gone(2), gone(3), gone(4));
  const { stdout } = await run(['dump-task', id], { ...db, width: 100, now });
  const titles = stdout.split('\n').filter((line) => /^(Attempts? |Checkpoints of)/.test(line));
  expect(titles).toEqual(
    [
      'Attempt 6',
      'Attempts 3 to 5: the same except for numbers and ids; the last of them',
      'Checkpoints of attempts 3 to 5',
      'Attempt 2',
      'Checkpoints of attempt 2',
      'Attempt 1',
      'Checkpoints of attempt 1',
    ].filter((title) => title !== 'Attempts: 6 (no limit)'),
  );
  expect(stdout).toContain('410 for request 4');
  expect(stdout).not.toContain('410 for request 3');
  expect(stdout).toMatch(/step 3 .*\nstep 4 .*\nstep 5 /);
});

test('the same to the letter is said to be the same; --attempt shows one alone', async ({ db }) => {
  const id = await failing(db, gone(1), gone(1), gone(1));
  const text = (await run(['dump-task', id], db)).stdout;
  expect(text).toContain('Attempts 1 to 3: the same; the last of them');
  const one = await run(['dump-task', id, '--attempt', '2', '--json'], db);
  expect(one.json()).toMatchObject({ runs: [{ attempt: 2 }], checkpoints: [{ checkpoint_name: 'step 2' }] });
  expect((await run(['dump-task', id, '--attempt', '2'], db)).stdout).toContain('\nAttempt 2\n');
  const none = await run(['dump-task', id, '--attempt', '9'], db);
  expect(none.code).toBe(3);
  expect(none.stderr).toContain('has no attempt 9\nHint: its attempts are 1 to 4');
});

test('frames of this package are hidden unless -v', async ({ db }) => {
  const id = await failing(db, gone(1));
  const { stdout } = await run(['dump-task', id], db);
  expect(stdout).toContain('at charge (/app/src/charge.ts:7:9)\n      (2 frames of absurdctl and Node hidden');
  expect(stdout).not.toContain('executor.js');
  expect((await run(['dump-task', id, '-v'], db)).stdout).toContain('executor.js:1:2');
});

test('a span of thousands is one part, and costs no more than its rows', async ({ db }) => {
  const id = await failing(db, '{"message": "other"}', gone(1));
  await db.query(
    `insert into absurd.r_q (run_id, task_id, attempt, state, available_at, failed_at, failure_reason)
     select absurd.portable_uuidv7(), $1, n, 'failed', absurd.current_time(), absurd.current_time(), $2
       from generate_series(4, 3000) n`,
    [id, gone(1)],
  );
  const { stdout } = await run(['dump-task', id], { ...db, width: 100, now });
  expect(stdout).toContain('Attempts 4 to 3,000: the same');
});

test('results that are large stay on the server for a screen, and are whole in a pipe and JSON', async ({ db }) => {
  await db.queue('q');
  const task = await db.spawn('q', 'import');
  const [claimed] = await db.claim('q');
  for (let i = 0; i < 12; i++)
    await db.query(`select absurd.set_task_checkpoint_state('q', $1, $2, to_jsonb(repeat(md5($2), 200000)), $3)`, [
      task.task_id,
      `chunk-${i}`,
      claimed?.run_id,
    ]);
  await db.query(`select absurd.set_task_checkpoint_state('q', $1, 'small', '"here"', $2)`, [
    task.task_id,
    claimed?.run_id,
  ]);
  const screen = await run(['dump-task', task.task_id], { ...db, width: 100 });
  expect(screen.stdout.length).toBeLessThan(10_000);
  expect(screen.stdout).toMatch(/chunk-3 +\S+ kB stored, not shown/);
  expect(screen.stdout).toContain('"here"');
  expect(screen.stderr).toContain(`absurdctl show-checkpoint ${task.task_id} chunk-0 prints the whole value`);
  const pipe = await run(['dump-task', task.task_id], db);
  expect(pipe.stdout.length).toBeGreaterThan(12 * 6_400_000);
  expect(pipe.stderr).toBe('');
}, 60_000);

test('list-runs and list-tasks: a lease only while it is held, and no infinity on a screen', async ({ db }) => {
  await db.queue('q');
  await db.freeze(noon);
  await db.spawn('q', 'done');
  const [done] = await db.claim('q');
  await db.query(`select absurd.complete_run('q', $1)`, [done?.run_id]);
  const waiter = await db.spawn('q', 'waiter');
  const [claimed] = await db.claim('q');
  await db.query(`select absurd.await_event('q', $1, $2, 's', 'go')`, [waiter.task_id, claimed?.run_id]);
  await db.spawn('q', 'busy');
  await db.claim('q');
  for (const command of ['list-runs', 'list-tasks']) {
    const rows = (await run([command, '--json'], db)).json<{ task_name: string; claim_expires_at: string | null }[]>();
    expect(Object.fromEntries(rows.map((row) => [row.task_name, row.claim_expires_at !== null]))).toEqual({
      ...{ busy: true, done: false, waiter: false },
    });
  }
  for (const argv of [['list-runs'], ['list-tasks'], ['dump-task', waiter.task_id], ['list-waits']]) {
    expect((await run(argv, { ...db, width: 250, now })).stdout).not.toContain('infinity');
  }
});
