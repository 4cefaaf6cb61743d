import { expect, test } from '../support/database.js';
import { run } from '../support/command.js';
import { failedTask } from './failed-task.js';

test.for(['unpartitioned', 'partitioned'] as const)(
  'a fork goes on from a step with the results before it (%s)',
  async (mode, { db }) => {
    await db.queue('mail', mode);
    const id = await failedTask(db, 'mail');
    const dry = await run(['fork-task', id, '--from-step', 'charge', '--dry-run'], db);
    expect(dry).toMatchObject({
      code: 0,
      stdout: 'reserve\n',
      stderr: '1 step would be taken over; nothing was started\n',
    });
    expect((await db.query('select from absurd.t_mail')).rowCount).toBe(1);

    const forked = await run(['fork-task', id, '--from-step', 'charge', '-P', 'cents:=6.50', '--json'], db);
    expect(forked).toMatchObject({ code: 0, stderr: '' });
    const made = forked.json<{ task_id: string; run_id: string; steps: string[] }>();
    expect(made.steps).toEqual(['reserve']);
    const { rows } = await db.query(
      `select task_name, params::text, headers, retry_strategy, cancellation, max_attempts, state
         from absurd.t_mail where task_id = $1`,
      [made.task_id],
    );
    expect(rows).toEqual([
      {
        task_name: 'order',
        params: '{"card": {"number": "4111"}, "cents": 6.50}',
        headers: {
          tenant: 'x',
          nothing: null,
          forked_from: { task_id: id, queue_name: 'mail', from_step: 'charge' },
        },
        retry_strategy: { kind: 'fixed', base_seconds: 7 },
        cancellation: { max_duration: 60 },
        max_attempts: 1,
        state: 'pending',
      },
    ]);
    const [claimed] = await db.claim('mail');
    expect(claimed?.task_id).toBe(made.task_id);
    const seen = await db.query(
      `select checkpoint_name, state::text from absurd.get_task_checkpoint_states('mail', $1, $2)`,
      [made.task_id, made.run_id],
    );
    expect(seen.rows).toEqual([{ checkpoint_name: 'reserve', state: '{"shelf": 12345678901234567890.5}' }]);
  },
);

test('without a step all are taken over; other parameters; what is wrong is said', async ({ db }) => {
  await db.queue('mail');
  const id = await failedTask(db, 'mail');
  const all = await run(['fork-task', id, '--params', '[1]'], db);
  expect(all.stdout).toMatch(/^Task ID: .+\nRun ID: .+\nAttempt: 1\nSteps: 3\n$/);
  expect(all.stderr).toBe('3 steps taken over; it it resumes after the last of them\n');
  const params = await db.query(`select params from absurd.t_mail where state = 'pending'`);
  expect(params.rows).toEqual([{ params: [1] }]);
  const first = await run(['fork-task', id, '--from-step', 'reserve'], db);
  expect(first.stderr).toBe('No step was copied: it starts from the beginning\n');
  const near = await run(['fork-task', id, '--from-step', 'chrage'], db);
  expect(near.code).toBe(3);
  expect(near.stderr).toContain('did you mean "charge"?');
  expect((await run(['fork-task', id, '--params', '{'], db)).code).toBe(2);
  expect((await run(['fork-task', id, '--params', '[1]', '-P', 'a=b'], db)).code).toBe(2);
  expect((await run(['fork-task', 'x'], db)).code).toBe(2);
  expect((await db.query('select from absurd.t_mail')).rowCount).toBe(3);
});

test('what a spawn would refuse of the old settings is left out, and named', async ({ db }) => {
  await db.queue('mail');
  const id = await failedTask(db, 'mail');
  await db.query(
    `update absurd.t_mail set retry_strategy = '{"kind": "often"}', cancellation = '{"max_delay": "soon"}'`,
  );
  const forked = await run(['fork-task', id, '--json'], db);
  expect(forked.json()).toMatchObject({ not_copied: ['retry_strategy', 'cancellation'] });
  const dry = await run(['fork-task', id, '--dry-run'], db);
  expect(dry.stderr).toContain('retry_strategy and cancellation cannot be used and are not copied');
  const { rows } = await db.query(
    `select max_attempts, retry_strategy, cancellation from absurd.t_mail where state = 'pending'`,
  );
  expect(rows).toEqual([{ max_attempts: 1, retry_strategy: null, cancellation: null }]);
});
