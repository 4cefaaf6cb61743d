import { describe } from 'vitest';
import { run } from '../support/command.js';
import { expect, test } from '../support/database.js';
import { hostileNames } from './names.js';

describe('create-queue', () => {
  test('creates, and leaves what is there as it is', async ({ db }) => {
    const created = await run(['create-queue', 'q', '--json'], db);
    const again = await run(['create-queue', 'q'], db);

    expect(created.json()).toEqual({ queue_name: 'q', storage_mode: 'unpartitioned', created: true });
    expect(again).toMatchObject({ code: 0, stdout: '', stderr: 'Queue "q" already exists\n' });
    expect((await db.query('select * from absurd.list_queues()')).rows).toEqual([{ queue_name: 'q' }]);
  });

  test('partitioned, and refused in the other mode', async ({ db }) => {
    const created = await run(['create-queue', 'q', '--storage-mode', 'partitioned', '--json'], db);
    const other = await run(['create-queue', 'q', '--json'], db);

    expect(created.json()).toMatchObject({ storage_mode: 'partitioned', created: true });
    const again = await run(['create-queue', 'q', '--storage-mode', 'partitioned', '--json'], db);
    expect(again.json()).toMatchObject({ created: false });
    expect(other.code).toBe(4);
    expect(JSON.parse(other.stderr)).toMatchObject({ code: 'wrong_state' });
  });

  test.for([
    ['a blank name', ''],
    ['58 bytes', 'x'.repeat(58)],
  ] as const)('%s is a usage error', async ([, name], { db }) => {
    expect(await run(['create-queue', name], db)).toMatchObject({ code: 2, stdout: '' });
  });
});

test('hostile names go through create, list and drop unharmed', async ({ db }) => {
  await run(['create-queue', 'bystander'], db);
  for (const name of hostileNames) {
    expect(await run(['create-queue', '--', name], db)).toMatchObject({ code: 0 });
    const listed = (await run(['list-queues', '--json'], db)).json<{ queue_name: string; pending: number }[]>();
    expect(listed.find((queue) => queue.queue_name === name)).toMatchObject({ pending: 0 });
    const screen = await run(['list-queues'], { ...db, width: 120 });
    expect(screen.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(await run(['drop-queue', '--yes', '--', name], db)).toMatchObject({ code: 0 });
  }
  expect((await run(['list-queues'], db)).stdout).toBe('bystander\n');
});

describe('list-queues', () => {
  test('a pipe gets one bare name a line, escaped', async ({ db }) => {
    for (const name of ['b', 'a', 'new\nline']) await db.queue(name);

    expect((await run(['list-queues'], db)).stdout).toBe('a\nb\nnew\\nline\n');
    expect((await run(['list-queues', '-o', 'name'], db)).stdout).toBe('a\nb\nnew\\nline\n');
  });

  test('none: an empty list, a note, exit 0', async ({ db }) => {
    expect(await run(['list-queues', '--json'], db)).toMatchObject({ code: 0, stdout: '[]\n' });
    const piped = await run(['list-queues'], db);
    expect(piped).toMatchObject({ code: 0, stdout: '' });
    expect(piped.stderr).toContain('create-queue');
  });

  test('JSON counts by state and says since when the oldest runnable task waits', async ({ db }) => {
    await db.freeze('2026-01-01T00:00:00Z');
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    await db.advance('1 hour');
    await db.spawn(queue, 'b');
    const cancelled = await db.spawn(queue, 'c');
    await db.query('select absurd.cancel_task($1, $2)', [queue, cancelled.task_id]);
    const [claimed] = await db.claim(queue);
    await db.query('select absurd.complete_run($1, $2)', [queue, claimed?.run_id]);

    const [row] = (await run(['list-queues', '--json'], db)).json<object[]>();

    expect(row).toEqual({
      queue_name: 'q',
      storage_mode: 'unpartitioned',
      pending: 1,
      running: 0,
      sleeping: 0,
      completed: 1,
      failed: 0,
      cancelled: 1,
      oldest_waiting_at: '2026-01-01T01:00:00.000000Z',
      paused_at: null,
      paused_until: null,
      paused_by: null,
      pause_reason: null,
      error: null,
      at_least: [],
      estimated: [],
    });
  });

  test('a task that sleeps into the future does not wait', async ({ db }) => {
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    const [claimed] = await db.claim(queue);
    await db.query(`select absurd.schedule_run($1, $2, absurd.current_time() + interval '1 day')`, [
      queue,
      claimed?.run_id,
    ]);

    const [row] = (await run(['list-queues', '--json'], db)).json<object[]>();

    expect(row).toMatchObject({ sleeping: 1, oldest_waiting_at: null });
  });

  test('counts end at 10,000 for unfinished tasks and are estimates for finished ones', async ({ db }) => {
    const queue = await db.queue();
    await db.query(`select absurd.spawn_task($1, 't', '{}') from generate_series(1, 10050)`, [queue]);
    await db.query(
      `insert into absurd.t_q (task_id, task_name, params, state)
       select absurd.portable_uuidv7(), 't', '{}', 'completed' from generate_series(1, 2000)`,
    );
    await db.query('analyze absurd.t_q');

    const [row] = (await run(['list-queues', '--json'], db)).json<{ completed: number }[]>();
    const screen = await run(['list-queues'], { ...db, width: 140 });

    expect(row).toMatchObject({
      pending: 10_000,
      at_least: ['pending'],
      estimated: ['completed', 'failed', 'cancelled'],
    });
    expect(row?.completed).toBeGreaterThan(1500);
    expect(row?.completed).toBeLessThan(2500);
    expect(screen.stdout).toMatch(/10000\+/);
    expect(screen.stdout).toMatch(/~\d+/);
  });

  test('a narrow terminal drops columns, never the name', async ({ db }) => {
    await db.queue('a-rather-long-name-of-a-queue');

    const { stdout } = await run(['list-queues'], { ...db, width: 70 });

    expect(stdout).toContain('a-rather-long-name-of-a-queue');
    expect(stdout).toContain('PENDING');
    expect(stdout).not.toContain('STORAGE');
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(70);
  });

  test('a queue whose tables are gone does not hide the others', async ({ db }) => {
    await db.queue('a');
    await db.query(`insert into absurd.queues (queue_name) values ('ghost')`);

    const rows = (await run(['list-queues', '--json'], db)).json<object[]>();

    expect(rows).toMatchObject([
      { queue_name: 'a', pending: 0 },
      { queue_name: 'ghost', pending: null },
    ]);
  });
});

describe('drop-queue', () => {
  test('takes a typed yes from a pipe', async ({ db }) => {
    await db.queue('q');

    expect(await run(['drop-queue', 'q'], { ...db, stdin: 'yes\n' })).toMatchObject({ code: 0 });
    expect((await db.query('select * from absurd.list_queues()')).rows).toEqual([]);
  });

  test.for(['no\n', 'y\n', '\n'])('%j declines: exit 0, nothing dropped', async (answer, { db }) => {
    await db.queue('q');

    const declined = await run(['drop-queue', 'q', '--json'], { ...db, stdin: answer });

    expect(declined.code).toBe(0);
    expect(declined.json()).toEqual({ queue_name: 'q', dropped: false });
    expect((await db.query('select * from absurd.list_queues()')).rows).toHaveLength(1);
  });

  test('no answer at all is exit 4', async ({ db }) => {
    await db.queue('q');

    expect(await run(['drop-queue', 'q'], db)).toMatchObject({ code: 4 });
    expect((await db.query('select * from absurd.list_queues()')).rows).toHaveLength(1);
  });

  test('an unknown queue is exit 3, with the nearest name', async ({ db }) => {
    await db.queue('default');

    const missed = await run(['drop-queue', 'defualt', '-y', '--json'], db);

    expect(missed.code).toBe(3);
    expect(JSON.parse(missed.stderr)).toEqual({
      code: 'queue_not_found',
      message: 'There is no queue "defualt"',
      hint: 'did you mean "default"?',
    });
  });
});
