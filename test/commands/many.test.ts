import { expect, test, type TestDatabase } from '../support/database.js';
import { startCli } from '../support/cli.js';
import { run } from '../support/command.js';

/** Tasks that failed permanently, each with this error. */
async function failures(db: TestDatabase, queue: string, name: string, error: unknown, n: number): Promise<string[]> {
  for (let i = 0; i < n; i++) await db.spawn(queue, name, {}, { max_attempts: 1 });
  const claimed = await db.claim(queue, { qty: n });
  for (const { run_id: id } of claimed) {
    await db.query('select absurd.fail_run($1, $2, $3)', [queue, id, JSON.stringify(error)]);
  }
  return claimed.map((one) => one.task_id);
}

async function states(db: TestDatabase, queue: string): Promise<Record<string, number>> {
  const { rows } = await db.query<{ state: string; n: number }>(
    `select state, count(*)::int as n from absurd."t_${queue}" group by state order by state`,
  );
  return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
}

interface Many {
  total: number;
  counts: Record<string, number>;
  tasks: { task_id: string; outcome: string; reason: string | null; attempt: number | null }[];
}

test('a filter takes what it says and no more, first as a dry run', async ({ db }) => {
  await db.queue('a');
  await db.queue('b');
  const refused = await failures(db, 'a', 'mail', { name: 'Error', message: 'connect ECONNREFUSED' }, 3);
  await failures(db, 'a', 'mail', { name: 'TypeError', message: 'x is not a function' }, 2);
  await failures(db, 'b', 'charge', 'connect econnrefused', 1);
  const dry = await run(['retry-task', '--error', 'ECONNREFUSED', '--dry-run', '--json'], db);
  expect(dry).toMatchObject({ code: 0 });
  expect(dry.json<{ task_id: string }[]>().map((row) => row.task_id)).toEqual(refused);
  expect(await states(db, 'a')).toEqual({ failed: 5 });
  const chosen = async (...argv: string[]): Promise<number> =>
    (await run(['retry-task', '--dry-run', '--json', ...argv], db)).json<unknown[]>().length;
  expect(await chosen('--error', '/econn/i')).toBe(4);
  expect(await chosen('--error', '/^TypeError: x/')).toBe(2);
  expect(await chosen('-n', 'charge')).toBe(1);
  expect(await chosen('--all')).toBe(6);
  expect(await chosen('--all', '-q', 'b')).toBe(1);
  expect(await chosen('--all', '--limit', '4')).toBe(4);
  expect(await chosen('--since', '1h')).toBe(6);
  expect(await chosen('--until', '1h')).toBe(0);

  const done = await run(['retry-task', '--error', 'ECONNREFUSED', '--yes', '--json'], db);
  expect(done.code).toBe(0);
  expect(done.json<Many>()).toMatchObject({ total: 3, counts: { retried: 3, failed: 0, left: 0 } });
  expect(done.json<Many>().tasks.every((task) => task.attempt === 2)).toBe(true);
  expect(await states(db, 'a')).toEqual({ failed: 2, pending: 3 });
  const again = await run(['retry-task', '--error', 'ECONNREFUSED', '--yes'], db);
  expect(again).toMatchObject({ code: 0, stdout: 'Tasks: 0\n', stderr: 'No task matches\n' });
});

test('what names nothing, or contradicts itself, is refused before anything is touched', async ({ db }) => {
  await db.queue('a');
  const [id = ''] = await failures(db, 'a', 'mail', 'no', 2);
  for (const argv of [
    ['retry-task'],
    ['retry-task', '-q', 'a'],
    ['retry-task', '--limit', '5'],
    ['retry-task', '--yes'],
    ['cancel-task', '-q', 'a'],
    ['retry-task', id, '--all'],
    ['retry-task', id, '--task-name', 'mail'],
    ['retry-task', id, '--limit', '1'],
    ['retry-task', '--all', '--task-name', 'mail'],
    ['retry-task', id, 'not-an-id', '--yes'],
    ['retry-task', '-', id],
    ['retry-task', '-'],
    ['retry-task', '--error', '', '--yes'],
    ['retry-task', '--error', '/(/', '--yes'],
    ['retry-task', '--since', 'lately', '--yes'],
    ['retry-task', '--status', 'completed', '--yes'],
    ['cancel-task', '--status', 'failed', '--yes'],
    ['retry-task', '--all', '--rate', '0'],
  ]) {
    expect(await run(argv, db), argv.join(' ')).toMatchObject({ code: 2, stdout: '' });
  }
  expect(await run(['retry-task', '--all'], db)).toMatchObject({ code: 4, stdout: '' });
  expect((await run(['retry-task', '--all', '-q', 'nowhere', '--yes'], db)).code).toBe(3);
  expect(await states(db, 'a')).toEqual({ failed: 2 });
});

test('ids: several, from a pipe, of runs, twice, unknown, in another state', async ({ db }) => {
  await db.queue('a');
  const [one = '', two = '', three = ''] = await failures(db, 'a', 'mail', 'no', 3);
  const waiting = await db.spawn('a', 'waits');
  const unknown = '01a20dfa-5b98-7bbd-b22e-60d6d3824804';
  expect((await run(['retry-task', one, two], db)).code).toBe(4);
  const some = await run(['retry-task', one, two, one, unknown, waiting.task_id, '--yes', '--json'], db);
  expect(some.code).toBe(1);
  expect(some.json<Many>()).toMatchObject({ total: 4, counts: { retried: 2, failed: 1, skipped: 1 } });
  expect(some.json<Many>().tasks.find((task) => task.task_id === unknown)).toMatchObject({
    outcome: 'failed',
    reason: 'no queue has this id',
  });
  const run3 = await db.query<{ id: string }>(`select last_attempt_run as id from absurd.t_a where task_id = $1`, [
    three,
  ]);
  const piped = await run(['retry-task', '-', '--yes', '-o', 'ndjson'], {
    ...db,
    stdin: `${(run3.rows[0]?.id ?? '').toUpperCase()}\r\n\r\n${one.replaceAll('-', '')}\n`,
  });
  expect(piped.code).toBe(0);
  expect(
    piped.stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as Many['tasks'][0]).outcome)
      .sort(),
  ).toEqual(['retried', 'skipped']);
  // Another attempt of the same task makes no new one.
  expect(piped.stdout).not.toMatch(/"new_task_id":"/);
  const cancelled = await run(['cancel-task', one, two, three, waiting.task_id, '-y', '--rate', '1000'], db);
  expect(cancelled).toMatchObject({ code: 0, stdout: 'Tasks: 4\nCancelled: 4\n' });
  expect(await states(db, 'a')).toEqual({ cancelled: 4 });
});

test('ids of several queues in a mixed order: each task once, also with --spawn-new', async ({ db }) => {
  await db.queue('a');
  await db.queue('b');
  const [a1 = '', a2 = ''] = await failures(db, 'a', 'mail', 'no', 2);
  const [b1 = '', b2 = ''] = await failures(db, 'b', 'mail', 'no', 2);
  const again = await run(['retry-task', a1, b1, a2, b2, '--spawn-new', '--yes', '--json'], db);
  expect(again.json<Many>()).toMatchObject({ total: 4, counts: { retried: 4, skipped: 0, failed: 0 } });
  expect([await states(db, 'a'), await states(db, 'b')]).toEqual([
    { failed: 2, pending: 2 },
    { failed: 2, pending: 2 },
  ]);
  const done = await run(['retry-task', b2, a2, b1, a1, '--yes', '--rate', '3', '--json'], db);
  expect(done.json<Many>()).toMatchObject({ total: 4, counts: { retried: 4, skipped: 0, failed: 0 } });
  expect([await states(db, 'a'), await states(db, 'b')]).toEqual([{ pending: 4 }, { pending: 4 }]);
});

test('one task that cannot be retried does not keep the others of its batch from it', async ({ db }) => {
  await db.queue('a');
  await failures(db, 'a', 'mail', 'no', 3);
  const [odd = ''] = await failures(db, 'a', 'odd', 'no', 1);
  await db.query(`update absurd.t_a set attempts = 7 where task_id = $1`, [odd]);
  const result = await run(['retry-task', '--all', '--yes', '--max-attempts', '5'], db);
  expect(result.code).toBe(1);
  expect(result.stdout).toContain('Tasks: 4\nRetried: 3\nFailed: 1\n');
  expect(result.stdout).toContain(`${odd}\todd\t`);
  expect(await states(db, 'a')).toEqual({ failed: 1, pending: 3 });
});

test('many cancelled by state and name; the preview is on standard error', async ({ db }) => {
  await db.queue('a');
  for (let i = 0; i < 5; i++) await db.spawn('a', 'keep');
  for (let i = 0; i < 250; i++) await db.spawn('a', 'drop');
  await db.claim('a', { qty: 2 });
  const result = await run(['cancel-task', '-n', 'drop', '--yes'], { ...db });
  expect(result).toMatchObject({
    code: 0,
    stdout: 'Tasks: 250\nCancelled: 250\n',
    stderr: 'Cancel: 250 tasks in queue "a" (250 drop)\n',
  });
  expect(await states(db, 'a')).toEqual({ cancelled: 250, pending: 3, running: 2 });
  const screen = await run(['cancel-task', '-s', 'running', '--dry-run'], { ...db, width: 100 });
  expect(screen.stdout).toMatch(/^TASK ID +QUEUE +NAME +STATE +ATTEMPTS\n/);
  expect(screen.stderr).toContain('2 tasks would be changed; nothing was changed');
});

/** Tasks that failed, made by rows. */
async function failedRows(db: TestDatabase, n = 10_000): Promise<void> {
  await db.queue('a');
  await db.query(
    `with task as (
       insert into absurd.t_a (task_id, task_name, params, state, attempts, max_attempts, last_attempt_run)
       select absurd.portable_uuidv7(), 'bulk', '{}', 'failed', 1, 1, absurd.portable_uuidv7() from generate_series(1, ${n})
       returning task_id, last_attempt_run)
     insert into absurd.r_a (run_id, task_id, attempt, state, available_at, started_at, failed_at, failure_reason)
     select last_attempt_run, task_id, 1, 'failed', now(), now(), now(), '{"message": "no"}' from task`,
  );
}

const lines = (text: string): Many['tasks'] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Many['tasks'][0]);

const attempts = async (db: TestDatabase): Promise<unknown[]> =>
  (await db.query(`select attempt, count(*)::int as n from absurd.r_a group by attempt order by attempt`)).rows;

test('ten thousand retried, interrupted, and gone on with: each exactly once', { timeout: 180_000 }, async ({ db }) => {
  await failedRows(db);
  const argv = ['retry-task', '--task-name', 'bulk', '--yes', '-o', 'ndjson'];
  const env = { ABSURD_DATABASE_URL: db.url };
  const first = await startCli([...argv, '--since', '2h', '--rate', '2000'], { env, timeoutMs: 120_000 });
  await first.waitFor(/"outcome":"retried"/);
  first.kill('SIGINT');
  const broken = await first.done;
  expect(broken.code).toBe(130);
  const error = JSON.parse(broken.stderr) as { message: string; hint: string };
  const told = lines(broken.stdout);
  const retried = told.filter((task) => task.outcome === 'retried');
  expect(told).toHaveLength(10_000);
  expect(new Set(told.map((task) => task.task_id)).size).toBe(10_000);
  expect(retried.length).toBeGreaterThan(0);
  expect(retried.length).toBeLessThan(10_000);
  expect(error.message).toContain(`${retried.length} of 10000 tasks are retried, ${10_000 - retried.length} are left`);
  expect(await states(db, 'a')).toEqual({ failed: 10_000 - retried.length, pending: retried.length });

  // One that was retried fails again before the command goes on: it has had its turn.
  const [again] = await db.claim('a');
  await db.query(`select absurd.fail_run('a', $1, '{"message": "still no"}')`, [again?.run_id]);
  const typed = /^absurdctl (retry-task .*) continues: tasks that are no longer failed are skipped$/.exec(error.hint);
  expect(typed?.[1]).toMatch(/^retry-task --task-name bulk --rate 2000 --yes --since \S+ --until \S+$/);
  const resumed = [...(typed?.[1] ?? '').split(' '), '-o', 'ndjson'];
  const second = await (await startCli(resumed, { env, timeoutMs: 120_000 })).done;
  expect(second).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(`^${10_000 - retried.length} tasks: ${10_000 - retried.length} retried\n$`) as string,
  });
  const rest = lines(second.stdout);
  expect(new Set([...retried, ...rest].map((task) => task.task_id)).size).toBe(10_000);
  expect(rest).toHaveLength(10_000 - retried.length);
  expect(await states(db, 'a')).toEqual({ failed: 1, pending: 9999 });
  expect(await attempts(db)).toEqual([
    { attempt: 1, n: 10_000 },
    { attempt: 2, n: 10_000 },
  ]);
});

test('ten thousand ids on standard input, unknown ones among them', { timeout: 180_000 }, async ({ db }) => {
  await failedRows(db);
  const listed = await run(['list-tasks', '-s', 'failed', '-l', '10000', '-o', 'name'], db);
  const ids = listed.stdout.trim().split('\n');
  expect(ids).toHaveLength(10_000);
  const unknown = '01a20dfa-5b98-7bbd-b22e-60d6d382480';
  const stdin = [...ids.slice(0, 5000), `${unknown}1`, `${unknown}2`, ...ids.slice(5000)].join('\n');

  const done = await startCli(['retry-task', '-', '--yes', '-o', 'ndjson'], {
    env: { ABSURD_DATABASE_URL: db.url },
    stdin,
    timeoutMs: 120_000,
  });
  const result = await done.done;

  expect(result.code).toBe(1);
  expect(result.stderr).toMatch(/\n10002 tasks: 10000 retried, 2 failed\n$|^10002 tasks: 10000 retried, 2 failed\n$/);
  const told = lines(result.stdout);
  expect(told).toHaveLength(10_002);
  expect(told.filter((task) => task.outcome === 'failed').map((task) => task.task_id)).toEqual([
    `${unknown}1`,
    `${unknown}2`,
  ]);
  expect(await states(db, 'a')).toEqual({ pending: 10_000 });
});

test('--spawn-new interrupted: the ids that are left go on', { timeout: 180_000 }, async ({ db }) => {
  await failedRows(db, 2000);
  const env = { ABSURD_DATABASE_URL: db.url };
  const argv = ['retry-task', '--spawn-new', '--yes'];
  const first = await startCli([...argv, '-n', 'bulk', '--rate', '300'], { env, timeoutMs: 120_000 });
  await expect
    .poll(async () => (await states(db, 'a')).pending ?? 0, { timeout: 60_000, interval: 20 })
    .toBeGreaterThan(0);
  first.kill('SIGINT');
  const broken = await first.done;
  expect(broken.code).toBe(130);
  expect(broken.stderr).toContain('retry-task - --spawn-new');
  const left = broken.stdout
    .slice(broken.stdout.indexOf('\nLeft\n') + 6)
    .trim()
    .split('\n');

  const second = await startCli([...argv, '-'], { env, timeoutMs: 120_000, stdin: left.join('\n') });

  expect(await second.done).toMatchObject({ code: 0, stdout: `Tasks: ${left.length}\nRetried: ${left.length}\n` });
  expect(await states(db, 'a')).toEqual({ failed: 2000, pending: 2000 });
});

test('an expression without an end is ended by the time limit, before anything is touched', async ({ db }) => {
  await db.queue('a');
  await failures(db, 'a', 'mail', { message: 'a'.repeat(2001) }, 1);
  const started = await run(
    ['retry-task', '--error', '/^(a+)(a+)(a+)(a+)\\1\\2\\3\\4$/', '--timeout', '1', '--yes', '--json'],
    db,
  );
  expect(started).toMatchObject({ code: 1, stdout: '' });
  expect(JSON.parse(started.stderr)).toMatchObject({
    code: 'statement_timeout',
    message: 'The search for tasks took longer than 1 seconds; nothing was changed',
  });
  expect(await states(db, 'a')).toEqual({ failed: 1 });
});

test('a task that another session has locked is reported, and the others go on', async ({ db, second }) => {
  await db.queue('a');
  const [locked = ''] = await failures(db, 'a', 'mail', 'no', 3);
  await second.query('begin');
  await second.query('select from absurd.t_a where task_id = $1 for update', [locked]);

  const result = await run(['retry-task', '--all', '--yes', '--json'], db);

  expect(result.code).toBe(1);
  expect(result.json<Many>()).toMatchObject({ total: 3, counts: { retried: 2, failed: 1, left: 0 } });
  expect(result.json<Many>().tasks.find((task) => task.task_id === locked)?.reason).toBe(
    'another session holds it; why names the session',
  );
});

test('one task that another session has locked: no wait without an end, and who it is can be asked', async ({
  db,
  second,
}) => {
  await db.queue('a');
  const { task_id: id } = await db.spawn('a', 'mail');
  await second.query('begin');
  await second.query('select from absurd.t_a for update');

  const result = await run(['cancel-task', id], db);

  expect(result).toMatchObject({ code: 1, stdout: '' });
  expect(result.stderr).toBe(
    `Error: Another session has locked task ${id} for 10 seconds; nothing was changed\nHint: absurdctl why ${id} names the session\n`,
  );
  expect(await states(db, 'a')).toEqual({ pending: 1 });
});

test('--since and --until mean what list-tasks shows: also for what sleeps, slept, or was retried long ago', async ({
  db,
}) => {
  await db.freeze('2026-03-02T10:00:00Z');
  await db.queue('a');
  for (const name of ['early', 'late']) {
    await db.spawn('a', name, {}, { max_attempts: 1 });
    const [claimed] = await db.claim('a', { timeout: 3600 });
    // Asleep for two days when it is failed: its time to wake is no activity.
    await db.query(`select absurd.schedule_run('a', $1, absurd.current_time() + interval '2 days')`, [claimed?.run_id]);
    if (name === 'early') await db.query(`select absurd.fail_run('a', $1, '{}')`, [claimed?.run_id]);
    await db.advance('1 hour');
  }
  const names = async (...argv: string[]): Promise<string[]> =>
    (await run([...argv, '--json'], db)).json<{ task_name: string }[]>().map((row) => row.task_name);
  const both = async (command: string, ...window: string[]): Promise<string[][]> => [
    await names(command, '--dry-run', ...window),
    await names('list-tasks', '-s', command === 'retry-task' ? 'failed' : 'sleeping', ...window),
  ];

  expect(await both('retry-task', '--since', '3h')).toEqual([['early'], ['early']]);
  expect(await both('retry-task', '--since', '90m')).toEqual([[], []]);
  expect(await both('retry-task', '--until', '90m')).toEqual([['early'], ['early']]);
  expect(await both('cancel-task', '--until', '30m')).toEqual([['late'], ['late']]);
  await db.advance('3 days');
  expect(await both('cancel-task', '--since', '2d')).toEqual([['late'], ['late']]);
});
