import { toCliError } from '../../src/lib/cli/errors.js';
import { adviceText } from '../../src/lib/cli/hint.js';
import { losslessTypes } from '../../src/lib/connection/types.js';
import { followTasks, waitingInterrupted } from '../../src/lib/task/follow.js';
import type { Queryable } from '../../src/sql/queryable.js';
import { expect, test, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';

const finish = async (db: TestDatabase, queue: string, result: unknown): Promise<void> => {
  const [claimed] = await db.claim(queue);
  await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
    queue,
    claimed?.task_id,
    'fetch',
    '{"rows": 12345678901234567890}',
    claimed?.run_id,
  ]);
  await db.query('select absurd.complete_run($1, $2, $3)', [queue, claimed?.run_id, JSON.stringify(result)]);
};

test('a task that is over is told at once, with its steps and its result', async ({ db }) => {
  const queue = await db.queue();
  const task = await db.spawn(queue, 'job');
  await finish(db, queue, { ok: true });

  const { code, stdout, stderr } = await run(['await-task', task.task_id], { url: db.url });

  expect(code).toBe(0);
  expect(stdout).toBe(`Task ID: ${task.task_id}\nName: job\nState: completed\nAttempts: 1\n\nResult\n{"ok": true}\n`);
  expect(stderr).toBe('step fetch done: {"rows": 12345678901234567890}\ncompleted\n');
});

test('it waits for the end of a task that is under way', async ({ db, second }) => {
  const queue = await db.queue();
  const task = await db.spawn(queue, 'job');
  const [claimed] = await db.claim(queue);

  const waiting = run(['await-task', task.task_id, '--json'], { url: db.url });
  await expect
    .poll(async () => {
      const { rows } = await second.query(
        `select 1 from pg_stat_activity where application_name = 'absurdctl await-task' and datname = current_database()`,
      );
      return rows.length;
    })
    .toBe(1);
  await db.query('select absurd.complete_run($1, $2, $3)', [queue, claimed?.run_id, '12345678901234567890']);

  const { code, stdout, stderr } = await waiting;
  expect(code).toBe(0);
  expect(stderr).toBe('');
  expect(stdout).toContain('"result": 12345678901234567890,');
  expect(JSON.parse(stdout)).toMatchObject([{ task_id: task.task_id, state: 'completed', timed_out: false }]);
});

test('the exit code tells a failure (6), a cancellation (6) and a wait that was too short (7)', async ({ db }) => {
  const queue = await db.queue();
  const failing = await db.spawn(queue, 'failing', {}, { max_attempts: 1 });
  const [claimed] = await db.claim(queue);
  await db.query('select absurd.fail_run($1, $2, $3)', [
    queue,
    claimed?.run_id,
    '{"name": "Error", "message": "no \\u001b[31mluck"}',
  ]);
  const cancelled = await db.spawn(queue, 'cancelled');
  await db.query('select absurd.cancel_task($1, $2)', [queue, cancelled.task_id]);
  const open = await db.spawn(queue, 'open');

  const failure = await run(['await-task', failing.task_id], { url: db.url, width: 100 });
  expect(failure.code).toBe(6);
  expect(failure.stdout).toContain('Failure\n  Error: no \\x1b[31mluck');
  expect(failure.stderr).toContain('attempt 1 failed: Error: no \\x1b[31mluck\nfailed\n');

  expect((await run(['await-task', cancelled.task_id], { url: db.url })).code).toBe(6);

  const late = await run(['await-task', open.task_id, '--timeout', '0.2'], { url: db.url });
  expect(late.code).toBe(7);
  expect(late.stderr).toContain(`absurdctl await-task ${open.task_id} continues waiting`);
});

test('several at once: a line each, and the worst of them decides', async ({ db }) => {
  const queue = await db.queue();
  const done = await db.spawn(queue, 'done');
  await finish(db, queue, 7);
  const open = await db.spawn(queue, 'open');

  const both = await run(['await-task', done.task_id, open.task_id, '--timeout', '0.1'], { url: db.url });
  expect(both.code).toBe(7);
  expect(both.stdout.split('\n')).toEqual([
    `${done.task_id}\tdone\tq\tcompleted\t1\t7\t`,
    `${open.task_id}\topen\tq\tpending\t1\t\t`,
    '',
  ]);
  expect(both.stderr).toContain(`${open.task_id} waits for a worker`);
});

test('unknown and malformed ids are told apart', async ({ db }) => {
  await db.queue();
  expect((await run(['await-task', 'nonsense'], { url: db.url })).code).toBe(2);
  expect((await run(['await-task', '01a20dfa-5b98-7bbd-b22e-60d6d3824804'], { url: db.url })).code).toBe(3);
  expect((await run(['await-task'], { url: db.url })).code).toBe(2);
});

test('spawn-task --wait follows what it spawned and exits by it', async ({ db, second }) => {
  const queue = await db.queue('default');
  const waiting = run(['spawn-task', 'job', '--max-attempts', '1', '--wait'], { url: db.url });
  let claimed = await db.claim(queue);
  await expect
    .poll(async () => {
      if (claimed.length === 0) claimed = await db.claim(queue);
      return claimed.length;
    })
    .toBe(1);
  await second.query('select absurd.fail_run($1, $2, $3)', [queue, claimed[0]?.run_id, '{"message": "nothing left"}']);

  const { code, stdout, stderr } = await waiting;
  const [task] = claimed;
  expect(code).toBe(6);
  expect(stdout).toBe(
    `Task ID: ${task?.task_id}\nRun ID: ${task?.run_id}\nAttempt: 1\nState: failed\nAttempts: 1\n\nFailure\n  nothing left\n`,
  );
  expect(stderr).toContain('attempt 1 failed: nothing left');

  const late = await run(['spawn-task', 'job', '--wait', '--timeout', '0.1', '--json'], { url: db.url });
  expect(late.code).toBe(7);
  expect(late.json()).toMatchObject({ state: 'pending', timed_out: true, created: true });
  expect((await run(['spawn-task', 'job', '--timeout', '1'], { url: db.url })).code).toBe(2);
});

test('a failure that ends the task between two statements of a look is reported', async ({ db, second }) => {
  const queue = await db.queue();
  const task = await db.spawn(queue, 'job', {}, { max_attempts: 1 });
  const [claimed] = await db.claim(queue);
  let statements = 0;
  const looking: Queryable = {
    async query<T extends object>(text: string, values?: unknown[]) {
      // A look reads steps, then failures, then the state.
      if (++statements === 3) {
        await second.query('select absurd.fail_run($1, $2, $3)', [queue, claimed?.run_id, '{"message": "late"}']);
      }
      return db.client.query<T>({ text, values, types: losslessTypes });
    },
  };
  const said: string[] = [];

  const [followed] = await followTasks([{ queue_name: queue, task_id: task.task_id }], {
    read: (work) => work(looking),
    pause: async () => undefined,
    now: () => new Date(),
    say: (line) => said.push(line),
  });

  expect(followed?.state).toBe('failed');
  expect(said).toEqual(['attempt 1 failed: late', 'failed']);
});

test('a connection that is lost ends the waiting, and says how to go on', () => {
  const ended = Object.assign(new Error('terminating connection'), { code: '57P01', severity: 'FATAL' });

  const error = toCliError(waitingInterrupted(ended, ['a', 'b']));
  expect(error).toMatchObject({ exitCode: 5, code: 'unreachable' });
  expect(adviceText(error.hint ?? '')).toBe('absurdctl await-task a b continues waiting');
});

test('what happened is told in its order: a failure before the step that came after it', async ({ db }) => {
  const queue = await db.queue();
  await db.freeze('2026-03-04T12:00:00Z');
  const task = await db.spawn(queue, 'job');
  const [first] = await db.claim(queue);
  await db.query(`select absurd.fail_run('q', $1, '{"message": "no"}')`, [first?.run_id]);
  await db.advance('1 second');
  await finish(db, queue, 1);
  const { stderr } = await run(['await-task', task.task_id], db);
  expect(stderr).toBe('attempt 1 failed: no\nstep fetch done: {"rows": 12345678901234567890}\ncompleted\n');
});

test('a step that sleeps is not done when its sleep begins', async ({ db }) => {
  const queue = await db.queue();
  await db.freeze('2026-03-04T12:00:00Z');
  const task = await db.spawn(queue, 'job');
  const [claimed] = await db.claim(queue);
  const save = `select absurd.set_task_checkpoint_state('q', $1, 'cool-down', '"2026-03-04T12:30:00.000Z"', $2)`;
  await db.query(save, [task.task_id, claimed?.run_id]);
  await db.query(`select absurd.schedule_run('q', $1, '2026-03-04T12:30:00Z')`, [claimed?.run_id]);
  const asleep = await run(['await-task', task.task_id, '--timeout', '0'], db);
  expect(asleep.stderr.split('\n')[0]).toBe('step cool-down sleeps until 2026-03-04T12:30:00.000000Z');
  await db.advance('1 hour');
  const [woken] = await db.claim(queue);
  await db.query(`select absurd.complete_run('q', $1)`, [woken?.run_id]);
  expect((await run(['await-task', task.task_id], db)).stderr).toContain('step cool-down done');
});
