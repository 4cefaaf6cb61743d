import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import { run, type RunResult } from '../support/command.js';
import { expect, test, type SpawnedTask, type TestDatabase } from '../support/database.js';

const noon = '2026-03-04T12:00:00Z';
const unknown = '01a20dfa-5b98-7bbd-b22e-60d6d3824804';

/** A record's lines as an object. */
const fields = ({ stdout }: RunResult): Record<string, string> =>
  Object.fromEntries(
    stdout.split('\n').flatMap((line) => {
      const at = line.indexOf(': ');
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 2)]];
    }),
  );

/** A task whose only attempt has failed, with an error as the SDKs write it. */
async function failed(db: TestDatabase, queue: string, message = 'no luck'): Promise<SpawnedTask> {
  const task = await db.spawn(queue, 'job', { n: 1 }, { max_attempts: 1 });
  const [claimed] = await db.claim(queue);
  const reason = { name: 'Error', message, stack: `Error: ${message}\n    at job (job.ts:3:1)` };
  await db.query('select absurd.fail_run($1, $2, $3)', [queue, claimed?.run_id, JSON.stringify(reason)]);
  return task;
}

describe('spawn-task', () => {
  test('prints the labels that scripts read, and sends {} without parameters', async ({ db }) => {
    await db.queue('default');
    const spawned = await run(['spawn-task', 'job'], db);
    expect(spawned.code).toBe(0);
    expect(Object.keys(fields(spawned))).toEqual(['Task ID', 'Run ID', 'Attempt']);
    const { rows } = await db.query(
      'select task_id, params, max_attempts, retry_strategy, cancellation, headers from absurd.t_default',
    );
    expect(rows).toEqual([
      {
        task_id: fields(spawned)['Task ID'],
        params: {},
        max_attempts: null,
        retry_strategy: null,
        cancellation: null,
        headers: null,
      },
    ]);
  });

  test('every flag reaches the task, and zero is a value', async ({ db }) => {
    await db.queue('q');
    const argv = [
      'spawn-task',
      'job',
      '-q',
      'q',
      '--params',
      '{"base": 1, "a": {"x": 1}}',
      '-P',
      'k=v',
      '-P',
      'n:=0',
      '-P',
      'a.b.c=deep',
    ];
    const flags = [
      '-H',
      'trace=abc',
      '--max-attempts',
      '3',
      '--retry-base',
      '0',
      '--retry-factor',
      '1.5',
      '--retry-max',
      '60',
    ];
    const rest = ['--max-duration', '0', '--max-delay', '90', '--idempotency-key', 'once', '--json'];
    const spawned = await run([...argv, ...flags, ...rest], db);
    const again = await run(['spawn-task', 'other', '-q', 'q', '--idempotency-key', 'once', '--json'], db);

    expect(spawned.json()).toMatchObject({ queue_name: 'q', attempt: 1, created: true });
    expect(again.json()).toEqual({ ...spawned.json<object>(), created: false });
    const { rows } = await db.query(
      'select params, headers, max_attempts, retry_strategy, cancellation, idempotency_key from absurd.t_q',
    );
    expect(rows).toEqual([
      {
        params: { base: 1, a: { x: 1, b: { c: 'deep' } }, k: 'v', n: 0 },
        headers: { trace: 'abc' },
        max_attempts: 3,
        retry_strategy: { kind: 'exponential', base_seconds: 0, factor: 1.5, max_seconds: 60 },
        cancellation: { max_duration: 0, max_delay: 90 },
        idempotency_key: 'once',
      },
    ]);
  });

  test('parameters come from a file or standard input too, and keep every digit', async ({ db }) => {
    await db.queue('default');
    const file = join(mkdtempSync(join(tmpdir(), 'absurd-')), 'params.json');
    const params = '{"id": 12345678901234567890, "price": 1.10}';
    writeFileSync(file, params);
    await run(['spawn-task', 'job', '--params', `@${file}`], db);
    await run(['spawn-task', 'job', '--params', '-'], { ...db, stdin: params });
    await run(['spawn-task', 'job', '--params', params], db);
    const { rows } = await db.query('select distinct params::text from absurd.t_default');
    expect(rows).toEqual([{ params: '{"id": 12345678901234567890, "price": 1.10}' }]);
  });

  test.for([
    ['no name', ['spawn-task'], 2],
    ['a blank name', ['spawn-task', ' '], 2],
    ['broken JSON', ['spawn-task', 'job', '--params', '{"a"'], 2],
    ['a broken typed parameter', ['spawn-task', 'job', '-P', 'a:=x'], 2],
    ['a parameter without a value', ['spawn-task', 'job', '-P', 'a'], 2],
    ['no attempts', ['spawn-task', 'job', '--max-attempts', '0'], 2],
    ['an unknown kind', ['spawn-task', 'job', '--retry-kind', 'sometimes'], 2],
    ['a negative delay', ['spawn-task', 'job', '--max-delay=-1'], 2],
    ['an unknown flag', ['spawn-task', 'job', '--parms', '{}'], 2],
    ['an unknown queue', ['spawn-task', 'job', '-q', 'defualt'], 3],
  ] as const)('%s spawns nothing', async ([, argv, code], { db }) => {
    await db.queue('default');
    const result = await run([...argv], db);
    expect(result).toMatchObject({ code, stdout: '' });
    expect(result.stderr).toMatch(/^Error: /);
    expect((await db.query('select 1 from absurd.t_default')).rows).toEqual([]);
  });

  test.for([
    ['--retry-base', '86401', '--retry-base takes a number of seconds from 0 to 86400, not "86401"'],
    ['--retry-max', '1e9', '--retry-max takes a number of seconds from 0 to 86400, not "1e9"'],
    ['--retry-factor', 'x', '--retry-factor takes a number from 0, not "x"'],
  ] as const)('%s out of its limits is refused by name, without a server', async ([flag, value, words]) => {
    const result = await run(['spawn-task', 'job', flag, value], { url: 'postgresql://127.0.0.1:1/nowhere' });
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toContain(words);
  });

  test('a strategy that only the server refuses is a bad value of its flag', async ({ db }) => {
    await db.queue('default');
    const refusals = [
      ['Unsupported retry strategy kind "fixed"', '--retry-kind'],
      ['retry_strategy.base_seconds must be between 0 and 60', '--retry-base'],
      ['retry_strategy.factor must be a finite non-negative number', '--retry-factor'],
      ['retry_strategy.max_seconds must be between 0 and 60', '--retry-max'],
    ];
    for (const [message = '', flag] of refusals) {
      // As a schema with other limits would answer.
      await db.query(`create or replace function absurd.retry_delay_seconds(p_strategy jsonb, p_attempt integer)
        returns double precision language plpgsql immutable as $f$
        begin raise exception using errcode = 'AB003', message = $m$${message}$m$; end $f$`);
      const result = await run(['spawn-task', 'job', '--retry-base', '90', '--json'], db);
      expect(result).toMatchObject({ code: 2, stdout: '' });
      expect(JSON.parse(result.stderr)).toMatchObject({ code: 'bad_value', message: `${flag}: ${message}` });
    }
  });

  test('an unknown queue gets the nearest name', async ({ db }) => {
    await db.queue('default');
    expect((await run(['spawn-task', 'job', '-q', 'defualt'], db)).stderr).toContain('default');
  });
});

describe('list-tasks', () => {
  test('the latest activity first, across queues, drawn for a terminal and for a pipe', async ({ db }) => {
    await db.queue('a');
    await db.queue('b');
    await db.freeze(noon);
    const old = await db.spawn('a', 'old');
    await db.advance('1 minute');
    const fresh = await db.spawn('b', 'fresh', {}, { max_attempts: 3 });
    await db.advance('1 minute');
    await db.claim('a', { worker: 'w9' });

    const piped = await run(['list-tasks'], db);
    expect(piped.stdout.split('\n').map((line) => line.split('\t'))).toEqual([
      [
        old.task_id,
        'a',
        'old',
        'running',
        '1',
        '',
        '2026-03-04T12:02:00.000000Z',
        'w9',
        '',
        old.run_id,
        '2026-03-04T12:02:00.000000Z',
      ],
      [
        fresh.task_id,
        'b',
        'fresh',
        'pending',
        '1',
        '3',
        '2026-03-04T12:01:00.000000Z',
        '',
        '',
        fresh.run_id,
        '2026-03-04T12:01:00.000000Z',
      ],
      [''],
    ]);
    const screen = await run(['list-tasks'], { ...db, width: 120, now: new Date('2026-03-04T12:05:00Z') });
    expect(screen.stdout).toBe(
      [
        'TASK ID                               QUEUE  NAME   STATE    ATTEMPTS  OF  ACTIVE  WORKER  WAKES',
        `${old.task_id}  a      old    running         1   -  3m ago  w9      -`,
        `${fresh.task_id}  b      fresh  pending         1   3  4m ago  -       -`,
        '',
      ].join('\n'),
    );
    expect((await run(['list-tasks', '-o', 'name'], db)).stdout).toBe(`${old.task_id}\n${fresh.task_id}\n`);
    const narrow = await run(['list-tasks'], { ...db, width: 60 });
    expect(narrow.stdout).toContain(old.task_id);
    expect(Math.max(...narrow.stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(60);
  });

  test('filters by name, states, time and number; what is cut is said', async ({ db }) => {
    await db.queue('q');
    await db.freeze(noon);
    const bad = await failed(db, 'q');
    await db.advance('1 hour');
    const pending = await db.spawn('q', 'mail');
    await db.advance('1 hour');
    const running = await db.spawn('q', 'claimed');
    await db.query(`update absurd.r_q set state = 'running' where run_id = $1`, [running.run_id]);
    await db.query(`update absurd.t_q set state = 'running' where task_id = $1`, [running.task_id]);
    const ids = async (...argv: string[]): Promise<string[]> =>
      (await run(['list-tasks', '--json', ...argv], { ...db, now: new Date('2026-03-04T14:00:00Z') }))
        .json<{ task_id: string }[]>()
        .map((row) => row.task_id);

    expect(await ids()).toEqual([running.task_id, pending.task_id, bad.task_id]);
    expect(await ids('-n', 'mail')).toEqual([pending.task_id]);
    expect(await ids('-s', 'failed', '-s', 'pending')).toEqual([pending.task_id, bad.task_id]);
    expect(await ids('-s', 'failed,running')).toEqual([running.task_id, bad.task_id]);
    expect(await ids('--since', '2026-03-04T13:00:00Z')).toEqual([running.task_id, pending.task_id]);
    expect(await ids('--until', '2026-03-04T13:00:00Z')).toEqual([pending.task_id, bad.task_id]);
    expect(await ids('--since', '90m')).toEqual([running.task_id, pending.task_id]);
    const cut = await run(['list-tasks', '-l', '1'], db);
    expect(cut.stdout.split('\n')).toHaveLength(2);
    expect(cut.stderr).toContain('--limit 2 shows more');
  });

  test('nothing there is [] and a note; what cannot be is an error', async ({ db }) => {
    expect(await run(['list-tasks', '--json'], db)).toMatchObject({ code: 0, stdout: '[]\n' });
    expect(await run(['list-tasks'], db)).toMatchObject({ code: 0, stdout: '', stderr: 'No tasks found\n' });
    expect((await run(['list-tasks', '-s', 'stuck'], db)).code).toBe(2);
    expect((await run(['list-tasks', '--since', 'lately'], db)).code).toBe(2);
    expect((await run(['list-tasks', '-l', '0'], db)).code).toBe(2);
    expect((await run(['list-tasks', '-q', 'nowhere'], db)).code).toBe(3);
  });
});

describe('dump-task', () => {
  test('shows identity, inputs, attempts, failures, waits and checkpoints by run', async ({ db }) => {
    await db.queue('q');
    await db.freeze(noon);
    const options = {
      max_attempts: 5,
      headers: { trace: 'x' },
      retry_strategy: { kind: 'fixed', base_seconds: 1 },
      cancellation: { max_duration: 9e5 },
      idempotency_key: 'key',
    };
    const task = await db.spawn('q', 'order', { big: 1 }, options);
    await db.query(`update absurd.t_q set params = '{"big": 12345678901234567890}'`);
    const [first] = await db.claim('q', { worker: 'w1' });
    await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
      'q',
      task.task_id,
      'fetch',
      '{"rows": 3}',
      first?.run_id,
    ]);
    await db.query('select absurd.fail_run($1, $2, $3)', [
      'q',
      first?.run_id,
      '{"name": "TypeError", "message": "x is\\u001b[2J not", "stack": "TypeError: x is\\u001b[2J not\\n    at a.ts:1:2"}',
    ]);
    await db.advance('1 second');
    const [second] = await db.claim('q', { worker: 'w2' });
    await db.query('select absurd.await_event($1, $2, $3, $4, $5, 60)', [
      'q',
      task.task_id,
      second?.run_id,
      'paid?',
      'paid:7',
    ]);

    const { code, stdout } = await run(['dump-task', '--task-id', task.task_id], {
      ...db,
      width: 100,
      now: new Date('2026-03-04T12:00:11Z'),
    });

    expect(code).toBe(0);
    expect(stdout).toBe(`Task ID: ${task.task_id}
Name: order
Queue: q
State: sleeping
Attempts: 2 of 5
Last run: ${second?.run_id}
Enqueued: 2026-03-04T12:00:00.000000Z  (11s ago)
First started: 2026-03-04T12:00:00.000000Z  (11s ago)
Retry strategy: {"kind": "fixed", "base_seconds": 1}
Cancellation: {"max_duration": 900000}
Idempotency key: key
Headers: {"trace": "x"}

Parameters
{
  "big": 12345678901234567890
}

Attempt 2
Run ID: ${second?.run_id}
State: sleeping
Available at: 2026-03-04T12:01:01.000000Z  (in 50s)
Waits for: paid:7 in step paid?, since 2026-03-04T12:00:01.000000Z  (10s ago), until 2026-03-04T12:01:01.000000Z  (in 50s)
Created: 2026-03-04T12:00:00.000000Z  (11s ago)
Last started: 2026-03-04T12:00:01.000000Z  (10s ago)

Attempt 1
Run ID: ${first?.run_id}
State: failed
Worker: w1
Created: 2026-03-04T12:00:00.000000Z  (11s ago)
Last started: 2026-03-04T12:00:00.000000Z  (11s ago)
Failed: 2026-03-04T12:00:00.000000Z  (11s ago)

Failure
  TypeError: x is\\x1b[2J not
      at a.ts:1:2

Checkpoints of attempt 1
STEP   RESULT       DONE     STATUS
fetch  {"rows": 3}  11s ago  committed
`);
  });

  test('by a task’s id or a run’s, plain or by flag, in any queue', async ({ db }) => {
    for (const name of ['a', 'b']) await db.queue(name);
    const task = await db.spawn('b', 'job');
    for (const argv of [
      [task.task_id],
      [task.run_id],
      ['--task-id', task.task_id],
      ['--run-id', task.run_id],
      [task.task_id, '-q', 'b'],
    ]) {
      expect((await run(['dump-task', '--json', ...argv], db)).json()).toMatchObject({
        queue_name: 'b',
        task_id: task.task_id,
        runs: [{ attempt: 1 }],
      });
    }
    expect((await run(['dump-task', task.task_id, '-q', 'a'], db)).stderr).toContain('queue "b" has it');
    expect((await run(['dump-task', unknown], db)).code).toBe(3);
    expect((await run(['dump-task', 'nonsense'], db)).code).toBe(2);
    expect((await run(['dump-task'], db)).code).toBe(2);
    expect((await run(['dump-task', task.task_id, '--run-id', task.run_id], db)).code).toBe(2);
  });

  test('JSON keeps every digit of what is stored', async ({ db }) => {
    await db.queue('q');
    const task = await db.spawn('q', 'job');
    await db.query(`update absurd.t_q set params = '[12345678901234567890, 0.10, 1e400]'`);
    const { stdout } = await run(['dump-task', task.task_id, '--json'], db);
    expect(stdout).toMatch(/12345678901234567890,\s+0\.10,\s+10{400}/);
  });
});

describe('retry-task', () => {
  test('gives a failed task another attempt, wherever it is', async ({ db }) => {
    await db.queue('q');
    const task = await failed(db, 'q');
    const retried = await run(['retry-task', task.task_id], db);
    expect(retried.code).toBe(0);
    expect(fields(retried)).toMatchObject({ 'Task ID': task.task_id, Attempt: '2' });
    expect((await db.query('select state, max_attempts from absurd.t_q')).rows).toEqual([
      { state: 'pending', max_attempts: 2 },
    ]);
  });

  test('with a limit, or as a new task', async ({ db }) => {
    await db.queue('q');
    const task = await failed(db, 'q');
    const fresh = await run(['retry-task', task.task_id, '-q', 'q', '--spawn-new', '--json'], db);
    expect(fresh.json()).toMatchObject({ created: true, attempt: 1, queue_name: 'q' });
    const limited = await run(['retry-task', task.run_id, '--max-attempts', '4', '--json'], db);
    expect(limited.json()).toMatchObject({ task_id: task.task_id, created: false, attempt: 2 });
    expect((await db.query('select max_attempts from absurd.t_q where task_id = $1', [task.task_id])).rows).toEqual([
      { max_attempts: 4 },
    ]);
  });

  test('refuses a task that is not failed (4), a limit that is no more (2), an unknown one (3)', async ({ db }) => {
    await db.queue('q');
    const open = await db.spawn('q', 'job');
    expect(await run(['retry-task', open.task_id], db)).toMatchObject({ code: 4, stdout: '' });
    await db.query('select absurd.cancel_task($1, $2)', ['q', open.task_id]);
    const task = await failed(db, 'q');
    expect((await run(['retry-task', task.task_id, '--max-attempts', '1'], db)).code).toBe(2);
    expect((await run(['retry-task', unknown], db)).code).toBe(3);
    expect((await run(['retry-task', unknown, '-q', 'nowhere'], db)).code).toBe(3);
  });
});

describe('cancel-task', () => {
  test('cancels, twice without harm, and leaves what is finished', async ({ db }) => {
    await db.queue('q');
    const task = await db.spawn('q', 'job');
    expect((await run(['cancel-task', task.task_id], db)).code).toBe(0);
    expect((await run(['cancel-task', task.task_id, '-q', 'q'], db)).code).toBe(0);
    expect((await db.query('select state from absurd.t_q')).rows).toEqual([{ state: 'cancelled' }]);
    const bad = await failed(db, 'q');
    const late = await run(['cancel-task', bad.task_id], db);
    expect(late.stderr).toContain('failed');
    expect((await db.query('select state from absurd.t_q where task_id = $1', [bad.task_id])).rows).toEqual([
      { state: 'failed' },
    ]);
    expect((await run(['cancel-task', unknown], db)).code).toBe(3);
    expect((await run(['cancel-task'], db)).code).toBe(2);
  });
});
