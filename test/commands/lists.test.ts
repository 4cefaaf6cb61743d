import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';
import { parseOpenMetrics, type Metric } from '../support/openmetrics.js';

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
  expect(piped.stdout).toContain('{"message": "no"}\t\n');
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
  expect((await run(['list-waits', '-q', 'a'], db)).stderr).toBe('No task waits for an event\n');
});

test('list-events: the latest emission first, what is only awaited last, every digit kept', async ({ db }) => {
  await busy(db);
  const { stdout } = await run(['list-events'], db);
  expect(stdout).toBe('said\ta\t2026-03-04T12:01:20.000000Z\t0\t27\t{"n": 12345678901234567890}\ngo\tb\t\t1\t\t\n');
  expect((await run(['list-events', '-e', 'go', '-o', 'name'], db)).stdout).toBe('go\n');
});

test('JSON too large for a list is left to the command that shows one', async ({ db }) => {
  const ids = await busy(db);
  const wide = JSON.stringify({ name: 'Error', message: 'm'.repeat(9000), stack: 's'.repeat(9000) });
  await db.query(`select absurd.emit_event('a', 'wide', $1)`, [wide]);
  await db.query(`update absurd.r_a set failure_reason = $1 where state = 'failed'`, [wide]);
  const { rows } = await db.query<{ id: string }>('select task_id as id from absurd.r_b where run_id = $1', [ids.busy]);
  const id = rows[0]?.id ?? '';
  for (const [step, state] of [
    ['small', '1.50'],
    ['wide', wide],
  ])
    await db.query(`select absurd.set_task_checkpoint_state('b', $1, $2, $3, $4)`, [id, step, state, ids.busy]);

  const events = await run(['list-events', '--json'], db);
  const steps = await run(['list-checkpoints', id, '--json'], db);
  const screen = await run(['list-checkpoints', id], { ...db, width: 80, now });
  const runs = await run(['list-runs', '-s', 'failed', '--json'], db);

  expect(events.json<{ event_name: string }[]>().find((event) => event.event_name === 'wide')).toMatchObject({
    bytes: 18_045,
    payload: null,
  });
  expect(events.stderr).toBe(
    '1 of more than 10000 bytes is omitted here; absurdctl show-event NAME prints the whole value\n',
  );
  expect(steps.json()).toMatchObject([
    { checkpoint_name: 'small', bytes: 4, state: 1.5 },
    { checkpoint_name: 'wide', bytes: 18_045, state: null },
  ]);
  expect(screen.stdout).toMatch(/wide .* 18 kB +-\n$/);
  expect(screen.stderr).toContain('absurdctl show-checkpoint ID STEP prints the whole value');
  expect(runs.json()).toMatchObject([{ failure_reason: { name: 'Error', message: 'm'.repeat(2000), cut: true } }]);
  expect((await run(['show-event', 'wide'], db)).stdout).toHaveLength(18_046);
  expect((await run(['show-checkpoint', id, 'wide'], db)).stdout).toHaveLength(18_046);
  expect((await run(['dump-task', id, '--json'], db)).stdout.length).toBeGreaterThan(18_000);
});

test('list-workers: by their claims, the latest first', async ({ db }) => {
  await busy(db);
  const rows = (await run(['list-workers', '--json'], db)).json();
  expect(rows).toMatchObject([
    {
      worker: 'w\u001b[31m',
      queue_name: 'b',
      state: 'inferred',
      running: 1,
      last_claim: '2026-03-04T12:00:50.000000Z',
    },
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
    stderr: 'No task found\n',
  });
});

test('queue-stats as metrics, beside those of doctor in one scrape', async ({ db }) => {
  await busy(db);
  await db.queue('od"d\\queue');
  const since = ['--since', '2000-01-01'];
  const metrics = await run(['queue-stats', '-o', 'openmetrics', ...since], db);
  const named = await run(['queue-stats', '--by', 'task-name', '-o', 'openmetrics', ...since], db);
  const doctor = await run(['doctor', '-o', 'openmetrics', '--fail-on', 'never'], db);
  expect([metrics.code, named.code, doctor.code]).toEqual([0, 0, 0]);
  const all = [metrics, named, doctor].map(({ stdout }) => parseOpenMetrics(stdout));
  const metricsOf = (name: string): Metric[] => all.flatMap((families) => families.get(name)?.metrics ?? []);

  expect(metricsOf('absurd_queue_tasks')).toContainEqual({ labels: { queue: 'a', state: 'pending' }, value: 1 });
  expect(metricsOf('absurd_queue_tasks')).toContainEqual({
    labels: { queue: 'od"d\\queue', state: 'sleeping' },
    value: 0,
  });
  expect(metricsOf('absurd_queue_run_seconds')).toContainEqual({ labels: { queue: 'a', quantile: '0.5' }, value: 10 });
  expect(metricsOf('absurd_queue_failure_ratio')).toEqual([{ labels: { queue: 'a' }, value: 0.5 }]);
  expect(metricsOf('absurd_queue_bytes').map(({ labels }) => labels.queue)).toEqual(['a', 'b', 'od"d\\queue']);
  expect(metricsOf('absurd_task_name_failed')).toContainEqual({
    labels: { queue: 'a', task_name: 'broken' },
    value: 1,
  });
  const names = all.flatMap((families) => [...families.keys()]);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
