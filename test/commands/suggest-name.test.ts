import { run } from '../support/command.js';
import { expect, test } from '../support/database.js';

test('a name that a filter finds nothing for: the nearest one', async ({ db }) => {
  await db.queue('default');
  await db.spawn('default', 'charge');
  const waiter = await db.spawn('default', 'waiter');
  const runs = await db.claim('default', { qty: 2 });
  const [waiting] = runs.filter((one) => one.task_id === waiter.task_id);
  await db.query(`select absurd.await_event('default', $1, $2, 's', 'order.paid')`, [
    waiting?.task_id,
    waiting?.run_id,
  ]);
  const said = async (...argv: string[]): Promise<string> => (await run(argv, db)).stderr;

  const task = 'There is no task "chrage" here: did you mean "charge"?\n';
  expect(await said('list-tasks', '-n', 'chrage')).toBe(`${task}No tasks found\n`);
  expect(await said('queue-stats', '-n', 'chrage')).toBe(`${task}No task found\n`);
  expect(await said('retry-task', '-n', 'chrage', '--dry-run')).toContain(task);
  expect(await said('cancel-task', '-n', 'chrage', '--yes')).toContain(task);
  expect(await said('why', '-n', 'chrage')).toContain('did you mean "charge"?');
  // A name that is there, and nothing near: no guess.
  expect(await said('list-tasks', '-n', 'charge', '-s', 'failed')).toBe('No tasks found\n');
  expect(await said('list-tasks', '-n', 'something-else')).toBe('No tasks found\n');

  const event = 'There is no event "order.payd" here: did you mean "order.paid"?\n';
  expect(await said('list-events', '-e', 'order.payd')).toContain(event);
  expect(await said('list-waits', '-e', 'order.payd')).toContain(event);
  expect(await said('show-event', 'order.payd')).toContain('did you mean');
  expect(await said('emit-event', 'order.payd')).toContain('A task waits for "order.paid" there: did you mean that?\n');
  expect(await said('emit-event', 'other')).not.toContain('did you mean');
});

test('a value of a flag, and of an argument', async () => {
  const said = async (...argv: string[]): Promise<string> => (await run(argv)).stderr;
  expect(await said('list-tasks', '-s', 'faild')).toContain('did you mean failed?');
  expect(await said('list-tasks', '-o', 'jsn')).toContain('did you mean json?');
  expect(await said('create-queue', 'q', '--storage-mode', 'partitoned')).toContain('did you mean partitioned?');
  expect(await said('completion', 'bsh')).toContain('did you mean bash?');
  expect(await said('doctor', '--only', 'expired-lease')).toContain('did you mean expired-leases?');
});

test('a partition', async ({ db }) => {
  await db.queue('q', 'partitioned');
  await db.query(`select absurd.set_queue_policy('q', '{"detach_mode": "empty", "detach_min_age": "1 day"}')`);
  await db.freeze('2030-01-01T00:00:00Z');
  const { stdout } = await run(['list-detach-candidates', '-o', 'name'], db);
  const first = stdout.split('\n')[0] ?? '';
  // The header that scripts read in a pipe is no name, and not twice in CSV.
  expect(first).toMatch(/_q_/);
  expect((await run(['list-detach-candidates', '-o', 'csv'], db)).stdout.match(/partition,queue/g)).toHaveLength(1);
  const { stderr } = await run(['detach-candidate', first.replace('_q_', '_Q_')], db);
  expect(stderr).toContain(`did you mean ${first}?`);
});
