/** One queue that is locked, or closed to the role, does not keep the others from an answer. */
import { run } from '../support/command.js';
import { describe, expect, test, type Connection, type TestDatabase } from '../support/database.js';
import { withRole, type Role } from './roles.js';

async function threeQueues(db: TestDatabase): Promise<Record<string, string>> {
  const ids: Record<string, string> = {};
  for (const name of ['a', 'b', 'c']) {
    await db.queue(name);
    const done = await db.spawn(name, `done-${name}`);
    const [run] = await db.claim(name);
    await db.query(`select absurd.complete_run($1, $2, '1')`, [name, run?.run_id]);
    ids[name] = done.task_id;
    await db.spawn(name, `mail-${name}`);
    await db.query('select absurd.emit_event($1, $2)', [name, `said-${name}`]);
  }
  return ids;
}

async function lock(second: Connection, ...tables: string[]): Promise<void> {
  await second.query('begin');
  for (const table of tables) await second.query(`lock table absurd.${table} in access exclusive mode`);
}

/** A role that may read queues a and c, and not b. */
function withTwoOfThree(db: TestDatabase, work: (role: Role) => Promise<void>): Promise<void> {
  return withRole(db, async (role) => {
    await db.query(`grant usage on schema absurd to ${role.name}; grant select on absurd.queues to ${role.name}`);
    for (const queue of ['a', 'c'])
      for (const part of ['t', 'r', 'c', 'e', 'w'])
        await db.query(`grant select on absurd.${part}_${queue} to ${role.name}`);
    await work(role);
  });
}

const lists: [string, string, string[]][] = [
  ['list-tasks', 'queue_name', []],
  ['list-runs', 'queue_name', []],
  ['list-events', 'queue_name', []],
  ['list-waits', 'queue_name', []],
  ['list-workers', 'queue_name', []],
  ['list-queues', 'queue_name', []],
  ['queue-stats', 'queue_name', []],
  ['queue-stats', 'queue_name', ['--by', 'task-name']],
];

describe.for(lists)('%s', ([command, key, more]) => {
  test(`skips a locked queue: ${more.join(' ')}`, async ({ db, second }) => {
    await threeQueues(db);
    await lock(second, 't_b', 'r_b', 'e_b', 'w_b');
    const result = await run([command, '--json', ...more], db);
    expect(result.stderr).toContain('Skipped queue "b": another session has locked its tables');
    expect(result.stderr).toContain('absurdctl why --queue b');
    expect(result.code).toBe(1);
    const queues = result.json<Record<string, unknown>[]>().map((row) => row[key]);
    if (command !== 'list-waits') expect(queues).toContain('c');
    if (command === 'list-queues') {
      expect(result.json()).toMatchObject([{ error: null }, { queue_name: 'b', pending: null }, { error: null }]);
      expect(JSON.stringify(result.json<unknown[]>()[1])).toContain('lock timeout');
    } else expect(queues).not.toContain('b');

    const named = await run([command, '-q', 'b', ...more], db);
    if (command !== 'list-queues') expect({ code: named.code, out: named.stdout }).toEqual({ code: 1, out: '' });
  });

  test(`skips a queue without a grant: ${more.join(' ')}`, async ({ db }) => {
    await threeQueues(db);
    await withTwoOfThree(db, async (role) => {
      const result = await run([command, '--json', ...more], role);
      expect(result.stderr).toMatch(/Skipped queue "b": permission denied for table [rtwe]_b/);
      expect(result.stderr).toContain(`grants ${role.name} --as reader --apply`);
      expect(result.code).toBe(1);
      if (command !== 'list-waits') expect(result.stdout).toContain('"c"');
    });
  });
});

test('list-partitions and list-detach-candidates skip a locked queue', async ({ db, second }) => {
  await db.queue('p', 'partitioned');
  await db.queue('s', 'partitioned');
  await lock(second, 't_p');
  const partitions = await run(['list-partitions', '--json'], db);
  expect(partitions.stderr).toContain('Skipped queue "p"');
  expect([...new Set(partitions.json<{ queue_name: string }[]>().map((row) => row.queue_name))]).toEqual(['s']);
  expect(partitions.code).toBe(1);
});

test('cleanup --all cleans what it can, says which queue it could not, and exits with 1', async ({ db, second }) => {
  await threeQueues(db);
  await db.freeze(new Date(Date.now() + 90 * 86_400_000));
  await lock(second, 't_b');
  const result = await run(['cleanup', '--all', '--json'], db);
  expect(result.code).toBe(1);
  expect(result.json()).toMatchObject([
    { queue_name: 'a', tasks: 1, error: null },
    { queue_name: 'b', tasks: 0, error: 'canceling statement due to lock timeout' },
    { queue_name: 'c', tasks: 1, error: null },
  ]);
  expect(result.stderr).toContain('Skipped queue "b"');
  const chores = await run(['maintain', '--json'], db);
  expect(chores.code).toBe(1);
  expect(
    chores.json<{ queue_name: string; error: string | null }[]>().filter(({ error }) => error !== null),
  ).toMatchObject([{ queue_name: 'b', error: 'canceling statement due to lock timeout' }]);
}, 60_000);

test('an id is found past a locked queue; one that is not found names what was not read', async ({ db, second }) => {
  const ids = await threeQueues(db);
  await lock(second, 't_b');
  const found = await run(['dump-task', ids['c'] ?? '', '--json'], db);
  expect(found.json()).toMatchObject({ queue_name: 'c' });
  expect((await run(['why', ids['c'] ?? '', '--json'], db)).json()).toMatchObject({ queue: 'c', code: 'completed' });
  const none = await run(['dump-task', ids['b'] ?? ''], db);
  expect(none.code).toBe(3);
  expect(none.stderr).toContain('not read: "b" (canceling statement due to lock timeout)');
  expect(none.stderr).toContain('absurdctl why --queue b');
});

test('a bulk command takes what it can read, and exits with 1', async ({ db, second }) => {
  await threeQueues(db);
  await lock(second, 't_b');
  const result = await run(['cancel-task', '--all', '--yes', '--json'], db);
  expect(result.code).toBe(1);
  expect(result.json()).toMatchObject({ total: 2, counts: { cancelled: 2 } });
  expect(result.stderr).toContain('Skipped queue "b"');
});

describe('the beginning of an id', () => {
  async function twoTasks(db: TestDatabase): Promise<[string, string]> {
    const { task_id: one } = await db.spawn(await db.queue('a'), 'one');
    const two = '019a32d3-8425-7ae2-a5af-2f17a6707666';
    const run2 = '019a32d3-8431-7cc2-9f0a-d2dd4f6be9e0';
    await db.queue('b');
    await db.query(`insert into absurd.t_b (task_id, task_name, params, state, attempts, last_attempt_run)
                    values ('${two}', 'two', '{}', 'pending', 1, '${run2}')`);
    await db.query(`insert into absurd.r_b (run_id, task_id, attempt, state, available_at)
                    values ('${run2}', '${two}', 1, 'pending', now())`);
    return [one, two];
  }

  test('names the task wherever an id does', async ({ db }) => {
    const [, two] = await twoTasks(db);
    for (const start of [
      '019a32d3',
      '019a32d384',
      '019A32D3-8425',
      '019a32d3-8431',
      two.replaceAll('-', '').slice(0, 31),
    ]) {
      expect((await run(['dump-task', start, '-o', 'name'], db)).stdout).toBe(`${two}\n`);
      expect((await run(['why', start, '--json'], db)).json()).toMatchObject({ task_id: two });
    }
    expect((await run(['list-checkpoints', '019a32d3', '--json'], db)).code).toBe(0);
    expect((await run(['cancel-task', '019a32d3', '019a32d3-8431', '--yes', '--json'], db)).json()).toMatchObject({
      tasks: [{ task_id: two, outcome: 'cancelled' }],
    });
  });

  test('lists its tasks where it is ambiguous, and changes nothing', async ({ db }) => {
    const [one, two] = await twoTasks(db);
    const near = `${two.slice(0, -1)}7`;
    await db.query(`insert into absurd.t_a (task_id, task_name, params, state, attempts)
                    values ('${near}', 'near', '{}', 'completed', 1)`);
    for (const argv of [['why'], ['dump-task'], ['cancel-task', '--yes'], ['cancel-task', '--yes', one]]) {
      const result = await run([...argv, '019a32d3'], db);
      expect(result.code).toBe(2);
      expect(result.stderr).toContain('019a32d3 matches the ids of several tasks');
      expect(result.stderr).toContain(`${near}  "near" completed, queue "a"`);
      expect(result.stderr).toContain(`${two}  "two" pending, queue "b"`);
    }
    const { rows } = await db.query(
      `select state from absurd.t_b union all select state from absurd.t_a where state = 'pending'`,
    );
    expect(rows).toEqual([{ state: 'pending' }, { state: 'pending' }]);
  });

  test('that nothing has, or that is too short, is an error', async ({ db }) => {
    await twoTasks(db);
    expect((await run(['dump-task', '11111111'], db)).code).toBe(3);
    expect((await run(['why', '11111111'], db)).code).toBe(3);
    const short = await run(['dump-task', '019a32d'], db);
    expect(short.code).toBe(2);
    expect(short.stderr).toContain('type at least its first 8 characters');
  });
});
