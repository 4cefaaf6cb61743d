import { catching, fitted } from '../../src/lib/cli/watch.js';
import { hanging } from '../../src/lib/cli/format/text.js';
import { run } from '../support/command.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';

const now = new Date('2026-03-04T12:10:00Z');

/** Failures of two kinds by two workers, a sleeper, a waiter; one task has a key. */
async function scene(db: TestDatabase, mode: 'unpartitioned' | 'partitioned' = 'unpartitioned'): Promise<void> {
  await db.freeze('2026-03-04T12:00:00Z');
  await db.queue('q', mode);
  await db.queue('other');
  for (const [name, worker, message] of [
    ['a', 'w1', 'card declined'],
    ['b', 'w2', 'HTTP 410'],
    ['c', 'w2', 'card lost'],
  ] as const) {
    await db.spawn('q', name, {}, { max_attempts: 1, ...(name === 'c' ? { idempotency_key: 'order 7' } : {}) });
    const [claimed] = await db.claim('q', { worker });
    await db.query(`select absurd.fail_run('q', $1, jsonb_build_object('name', 'E', 'message', $2::text))`, [
      claimed?.run_id,
      message,
    ]);
  }
  await db.spawn('q', 'sleeper');
  const [sleeper] = await db.claim('q', { worker: 'w3' });
  await db.query(`select absurd.schedule_run('q', $1, '2026-03-04T13:10:00Z')`, [sleeper?.run_id]);
  const waiter = await db.spawn('q', 'waiter');
  const [claimed] = await db.claim('q', { worker: 'w3' });
  await db.query(`select absurd.await_event('q', $1, $2, 's', 'paid:42')`, [waiter.task_id, claimed?.run_id]);
}

describe.for(['unpartitioned', 'partitioned'] as const)('in a queue that is %s', (mode) => {
  test.for(['list-tasks', 'list-runs'])('%s takes the filters of the bulk commands', async (command, { db }) => {
    await scene(db, mode);
    const names = async (...argv: string[]): Promise<string[]> =>
      (await run([command, '--json', ...argv], db))
        .json<{ task_name: string }[]>()
        .map((row) => row.task_name)
        .sort();
    expect(await names('--error', 'card')).toEqual(['a', 'c']);
    expect(await names('--error', '/^E: HTTP \\d+$/')).toEqual(['b']);
    expect(await names('--worker', 'w2')).toEqual(['b', 'c']);
    expect(await names('--worker', 'w2', '--error', 'card')).toEqual(['c']);
    expect(await names('--key', 'order 7')).toEqual(['c']);
    expect(await names('--key', 'order 7', '--worker', 'w1')).toEqual([]);
    expect(await names('--key', 'order 7', '-s', 'pending')).toEqual([]);
    expect(await names('--key', 'order 7', '--until', '2026-01-01')).toEqual([]);
    expect(await names('-n', 'b')).toEqual(['b']);
    expect(await names('--since', '2030-01-01')).toEqual([]);
    expect((await run([command, '--error', '/(/'], db)).code).toBe(2);
  });
});

test.for(['unpartitioned', 'partitioned'] as const)(
  'the bulk commands filter by worker and key, in a queue that is %s',
  async (mode, { db }) => {
    await scene(db, mode);
    const names = async (command: string, ...argv: string[]): Promise<string[]> =>
      (await run([command, '--dry-run', '--json', ...argv], db))
        .json<{ task_name: string }[]>()
        .map((row) => row.task_name)
        .sort();
    expect(await names('retry-task', '--worker', 'w2')).toEqual(['b', 'c']);
    expect(await names('retry-task', '--worker', 'w2', '--error', 'card')).toEqual(['c']);
    expect(await names('retry-task', '--key', 'order 7')).toEqual(['c']);
    expect(await names('retry-task', '--key', 'order 7', '--worker', 'w1')).toEqual([]);
    expect(await names('retry-task', '--key', 'order 8')).toEqual([]);
    await db.spawn('q', 'runner', {}, { idempotency_key: 'order 9' });
    await db.claim('q', { worker: 'w4' });
    expect(await names('cancel-task', '--worker', 'w4')).toEqual(['runner']);
    expect(await names('cancel-task', '--key', 'order 9')).toEqual(['runner']);
    // A run that sleeps has no worker.
    expect(await names('wake-task', '--worker', 'w3')).toEqual([]);
  },
);

test('list-tasks says when a task wakes, and for what', async ({ db }) => {
  await scene(db);
  const { stdout } = await run(['list-tasks'], { ...db, width: 250, now });
  expect(stdout).toMatch(/sleeper .* in 1h$/m);
  expect(stdout).toMatch(/waiter .* paid:42$/m);
});

test('columns that a narrow terminal has no room for are named', async ({ db }) => {
  await scene(db);
  const narrow = await run(['list-tasks'], { ...db, width: 80, now });
  expect(narrow.stderr).toMatch(/^Columns that do not fit: .*QUEUE.*; a wider window, a pipe or --json shows them$/m);
  expect((await run(['list-tasks'], { ...db, width: 300, now })).stderr).toBe('');
  expect((await run(['list-tasks'], db)).stderr).toBe('');
});

test('a watch never scrolls: the beginning stays, and the rest is counted', () => {
  const lines = Array.from({ length: 50 }, (_, i) => `row ${i}`);
  const screen = fitted({ out: `${lines.join('\n')}\n`, err: 'Showing 50\n' }, { now, width: 80, height: 10 });
  const shown = screen.replace('\u001b[H\u001b[2J', '').split('\n');
  expect(shown[0]).toBe('2026-03-04T12:10:00Z  every 2 s, until Ctrl-C');
  expect(shown[1]).toBe('row 0');
  expect(shown).toContain('… 44 more lines; a taller window shows more');
  expect(shown.at(-2)).toBe('Showing 50');
  expect(shown.length).toBeLessThanOrEqual(10);
  // A line that the terminal breaks takes several rows.
  const wide = fitted({ out: `${'x'.repeat(160)}\n`.repeat(9), err: '' }, { now, width: 80, height: 10 });
  expect(wide.match(/x{160}/g)).toHaveLength(3);
  const whole = fitted({ out: 'one\ntwo\n', err: '' }, { now, width: 80, height: 10 });
  expect(whole).toContain('one\ntwo\n');
  expect(catching).toBeTypeOf('function');
});

test('what goes on after a break is set in under its beginning', () => {
  expect(hanging('  known  error  ', 'the first of many words of a long message', 40)).toEqual([
    '  known  error  the first of many words',
    '                of a long message',
  ]);
  expect(hanging('  ', 'short', 40)).toEqual(['  short']);
});
