import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';

const noon = '2026-03-04T12:00:00Z';
const now = new Date('2026-03-04T12:10:00Z');

/** Two queues: one run that completed, one that failed, one that runs, one that waits for an event, one that is pending. */
async function busy(db: TestDatabase): Promise<Record<string, string>> {
  for (const name of ['a', 'b']) await db.queue(name);
  await db.freeze(noon);
  const ids: Record<string, string> = {};
  const next = async (queue: string, name: string, worker: string) => {
    const task = await db.spawn(queue, name, {}, { max_attempts: 1 });
    await db.advance('10 seconds');
    await db.claim(queue, { worker });
    await db.advance('10 seconds');
    ids[name] = task.run_id;
    return task;
  };
  await db.query(`select absurd.complete_run('a', $1)`, [(await next('a', 'done', 'w1')).run_id]);
  await db.query(`select absurd.fail_run('a', $1, '{"message": "no"}')`, [(await next('a', 'broken', 'w2')).run_id]);
  await next('b', 'busy', 'w\u001b[31m');
  const waiter = await next('b', 'waiter', 'w1');
  await db.query(`select absurd.await_event('b', $1, $2, 's', 'go')`, [waiter.task_id, waiter.run_id]);
  await db.query(`select absurd.emit_event('a', 'said', '{"n": 12345678901234567890}')`);
  ids['pending'] = (await db.spawn('a', 'pending')).run_id;
  return ids;
}

test('list-runs: the latest first, by state, in one queue or all', async ({ db }) => {
  const ids = await busy(db);
  const names = async (...argv: string[]): Promise<string[]> =>
    (await run(['list-runs', '--json', ...argv], db)).json<{ task_name: string }[]>().map((row) => row.task_name);
  expect(await names('-s', 'completed,failed,running,pending')).toEqual(['pending', 'busy', 'broken', 'done']);
  expect(await names('-q', 'a', '-s', 'failed')).toEqual(['broken']);
  const piped = await run(['list-runs', '-q', 'a', '-s', 'failed'], db);
  expect(piped.stdout.split('\t').slice(0, 5)).toEqual([ids['broken'], 'a', 'broken', '1', 'failed']);
  expect(piped.stdout).toContain('{"message": "no"}\n');
  const cut = await run(['list-runs', '-l', '1'], db);
  expect(cut.stderr).toContain('--limit 2 shows more');
  const screen = await run(['list-runs'], { ...db, width: 100, now });
  expect(screen.stdout).toMatch(/^RUN ID +QUEUE +NAME +ATTEMPT +STATE/);
  expect(screen.stdout + screen.stderr).not.toContain('\u001b[31m');
});

test('list-waits: who waits for what, since when', async ({ db }) => {
  const ids = await busy(db);
  const rows = (await run(['list-waits', '--json'], db)).json();
  expect(rows).toMatchObject([
    { event_name: 'go', queue_name: 'b', task_name: 'waiter', run_id: ids['waiter'], step_name: 's', timeout_at: null },
  ]);
  expect((await run(['list-waits', '--event', 'other', '--json'], db)).stdout).toBe('[]\n');
  expect((await run(['list-waits', '-q', 'a'], db)).stderr).toBe('Nobody waits for an event here\n');
});

test('list-events: the latest emission first, what is only awaited last, every digit kept', async ({ db }) => {
  await busy(db);
  const { stdout } = await run(['list-events'], db);
  expect(stdout).toBe('said\ta\t2026-03-04T12:01:20.000000Z\t0\t{"n": 12345678901234567890}\ngo\tb\t\t1\t\n');
  expect((await run(['list-events', '-e', 'go', '-o', 'name'], db)).stdout).toBe('go\n');
});

test('list-workers: by their claims, the latest first', async ({ db }) => {
  await busy(db);
  const rows = (await run(['list-workers', '--json'], db)).json();
  expect(rows).toMatchObject([
    { worker: 'w\u001b[31m', queue_name: 'b', running: 1, last_claim: '2026-03-04T12:00:50.000000Z' },
    { worker: 'w2', queue_name: 'a', running: 0, oldest_lease: null },
    { worker: 'w1', queue_name: 'a', running: 0 },
  ]);
  const screen = await run(['list-workers'], { ...db, width: 100, now });
  expect(screen.stdout).toContain('w\\x1b[31m');
});

test('queue-stats: states, in and out, rates and times', async ({ db }) => {
  await busy(db);
  const rows = (await run(['queue-stats', '--since', '2000-01-01', '--json'], db)).json();
  expect(rows).toMatchObject([
    {
      queue_name: 'a',
      pending: 1,
      spawned: 3,
      completed_runs: 1,
      failed_runs: 1,
      failure_rate: 0.5,
      run_p50: 10,
      wait_p50: 10,
    },
    { queue_name: 'b', running: 1, sleeping: 1, completed_runs: 0, failure_rate: null, run_p95: null },
  ]);
  await db.queue('p', 'partitioned');
  for (const { queue_name: queue, bytes } of (await run(['queue-stats', '--json'], db)).json<
    { queue_name: string; bytes: number }[]
  >()) {
    expect(bytes, queue).toBeGreaterThan(0);
  }
  const none = (await run(['queue-stats', '-q', 'a', '--since', '2100-01-01', '--json'], db)).json();
  expect(none).toMatchObject([{ spawned: 0, completed_runs: 0, failed_runs: 0 }]);
  const screen = await run(['queue-stats'], { ...db, width: 140, now });
  expect(screen.stdout).toMatch(/^QUEUE +PENDING +RUNNING +SLEEPING +OLDEST WAITING +IN +OUT +FAILED +RATE/);
  expect((await run(['queue-stats', '--since', 'lately'], db)).code).toBe(2);
});

test('an unknown queue gets the nearest name, an empty database an empty list', async ({ db }) => {
  for (const command of ['list-runs', 'list-waits', 'list-events', 'list-workers', 'queue-stats']) {
    expect(await run([command, '--json'], db)).toMatchObject({ code: 0, stdout: '[]\n' });
  }
  await db.queue('mail');
  for (const command of ['list-runs', 'list-waits', 'list-events', 'list-workers', 'queue-stats']) {
    const result = await run([command, '-q', 'mial'], db);
    expect(result.code).toBe(3);
    expect(result.stderr).toContain('mail');
  }
});

test('queue-stats by task name, and as metrics', async ({ db }) => {
  await busy(db);
  const since = ['--since', '2000-01-01'];
  const rows = (await run(['queue-stats', '--by', 'task-name', ...since, '--json'], db)).json<
    { task_name: string }[]
  >();
  expect(rows.map((row) => row.task_name)).toEqual(['broken', 'done', 'pending', 'busy', 'waiter']);
  expect(rows).toMatchObject([
    { queue_name: 'a', failed_runs: 1, failure_rate: 1, spawned: 1, run_p50: null, sampled: false },
    { completed_runs: 1, failure_rate: 0, run_p50: 10, wait_p95: 10 },
    { pending: 1, failure_rate: null },
    { queue_name: 'b', running: 1 },
    { sleeping: 1, oldest_waiting_at: null },
  ]);
  const one = await run(['queue-stats', '-n', 'done', '-q', 'a', ...since], { ...db, width: 120, now });
  expect(one.stdout).toMatch(/^QUEUE +NAME +PENDING .*\na +done +0 /);
  expect(one.stdout).not.toContain('SIZE');
  expect(await run(['queue-stats', '-n', 'nobody'], db)).toMatchObject({
    code: 0,
    stdout: '',
    stderr: 'No task here\n',
  });

  const metrics = await run(['queue-stats', '-o', 'openmetrics', ...since], db);
  expect(metrics.code).toBe(0);
  expect(metrics.stdout).toContain('# TYPE absurd_queue_tasks gauge\n');
  expect(metrics.stdout).toContain('absurd_queue_tasks{queue="a",state="pending"} 1\n');
  expect(metrics.stdout).toContain('absurd_queue_run_seconds{queue="a",quantile="0.5"} 10\n');
  expect(metrics.stdout).toMatch(/absurd_queue_bytes\{queue="b"\} \d+\n/);
  expect(metrics.stdout.endsWith('# EOF\n')).toBe(true);
  const named = await run(['queue-stats', '--by', 'task-name', '-o', 'openmetrics', ...since], db);
  expect(named.stdout).toContain('absurd_queue_window_failed{queue="a",task_name="broken"} 1\n');
});
