import { describe, expect, test, type Connection, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';
import { aged, askId, askName, askQueue, values } from './support.js';

/** A session that keeps everybody out of one table. */
async function lockTable(db: TestDatabase, second: Connection, table: string): Promise<void> {
  await second.query('begin');
  await second.query(`lock table absurd.${table} in access exclusive mode`);
  await aged(db, await second.pid());
}

describe('what could not be read says nothing: the lock is the cause, and not a contradiction', () => {
  test.for(['t_q', 'r_q'])('of %s', async (table, { db, second }) => {
    await db.queue('a');
    const queue = await db.queue();
    const task = await db.spawn(queue, 'mail');
    await lockTable(db, second, table);

    for (const result of [await askId(db, task.task_id), await askId(db, task.run_id), await askName(db, 'mail')]) {
      expect(result.code).toBe('locked');
      expect(result.sentence).toContain(`session ${await second.pid()}`);
      expect(result.sentence).not.toContain('"a"');
      expect(result.also.map(({ code }) => code)).not.toContain('contradiction');
      expect(result.unread).not.toEqual([]);
    }
  });

  test('of its waits, and of its event', async ({ db, second }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'mail');
    const [claimed] = await db.claim(queue);
    await db.query(`select absurd.await_event('q', $1, $2, 'wait', 'paid')`, [task.task_id, claimed?.run_id]);
    await lockTable(db, second, 'w_q');
    expect((await askId(db, task.task_id)).code).toBe('locked');
    await second.query('rollback');

    await lockTable(db, second, 'e_q');
    const result = await askId(db, task.task_id);
    expect(result.code).toBe('locked');
    expect(result.also.map(({ sentence }) => sentence)).toEqual([
      'it waits for event "paid", and whether it was emitted could not be read',
    ]);
  });

  test('of its checkpoints: no claim about its steps', async ({ db, second }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'mail');
    const [claimed] = await db.claim(queue);
    await db.query(`select absurd.set_task_checkpoint_state('q', $1, 'nap', '"2999-01-01T00:00:00Z"', $2)`, [
      task.task_id,
      claimed?.run_id,
    ]);
    await db.query(`select absurd.schedule_run('q', $1, '2999-01-01T00:00:00Z')`, [claimed?.run_id]);
    await lockTable(db, second, 'c_q');

    const result = await askId(db, task.task_id);

    expect(result.code).toBe('locked');
    expect(result.also.map(({ sentence }) => sentence).join()).not.toContain('somebody scheduled');
    expect(values(result)).not.toContain('steps saved');
  });

  test('nobody to name: it says that too little could be read', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'mail');
    await db.query(`create role blind; grant usage on schema absurd to blind; grant select on all tables in schema absurd to blind;
      revoke select on absurd.r_q from blind; set role blind`);

    const result = await askId(db, task.task_id);
    await db.query('reset role; drop owned by blind; drop role blind');

    expect(result.code).toBe('unknown');
    expect(result.sentence).toBe('too little could be read to say why: the task is pending, its run unknown');
  });

  test('doctor: --timeout does not help against a lock', async ({ db, second }) => {
    await db.queue();
    await lockTable(db, second, 'r_q');

    const { stdout } = await run(['doctor', '--only', 'blocked,unread', '-o', 'ndjson'], db);

    expect(stdout).toContain(String.raw`has held AccessExclusiveLock on table \"r_q\" for`);
    expect(stdout).toContain('not read: table r_q (session ');
    expect(stdout).toContain('"absurdctl doctor --only blocked"');
    expect(stdout).not.toContain('doctor --timeout');
  });
});

test('a lease that ran out is no good lease, and no sleep', async ({ db }) => {
  await db.freeze('2026-03-02T10:00:00Z');
  const queue = await db.queue();
  for (const name of ['dead', 'well', 'asleep']) await db.spawn(queue, name);
  const [dead] = await db.claim(queue, { timeout: 10 });
  const [asleep] = await db.claim(queue, { timeout: 3600 });
  await db.query(`select absurd.schedule_run('q', $1, absurd.current_time() + interval '1 day')`, [asleep?.run_id]);
  const [well] = await db.claim(queue, { timeout: 3600 });
  await db.advance('20 seconds');
  const both = await askQueue(db, queue);
  await db.query(`select absurd.complete_run('q', $1)`, [well?.run_id]);
  const one = await askQueue(db, queue);

  expect(dead).toBeDefined();
  expect(both).toMatchObject({ code: 'leases_expired', also: [{ code: 'all_claimed' }] });
  expect(both.also[0]?.sentence).toContain('1 run with a valid lease');
  expect(one).toMatchObject({ code: 'leases_expired', also: [] });
});
