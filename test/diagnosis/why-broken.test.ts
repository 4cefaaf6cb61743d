import { describe, expect, test } from '../support/database.js';
import { aged, askId, expectCode, values } from './support.js';

describe('what should not be', () => {
  test('contradiction: task and run rows disagree', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    await db.query(`update absurd.r_q set state = 'completed'`);

    const result = await expectCode(db, () => askId(db, task.task_id), 'contradiction');

    expect(result.sentence).toContain('the task is pending, its last run is completed');
  });

  test('contradiction: a run without its task', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    await db.query('delete from absurd.t_q');

    await expectCode(db, () => askId(db, task.run_id), 'contradiction');
  });

  test('locked: names the session that holds the row', async ({ db, second }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    const pid = await second.pid();
    await second.query(`set application_name = 'debugger'`);
    await second.query('begin');
    await second.query('select 1 from absurd.r_q for update');
    await aged(db, pid);

    const result = await askId(db, task.task_id);
    await second.query('rollback');

    expect(result.code).toBe('locked');
    expect(result.sentence).toContain(`session ${pid} (debugger)`);
    expect(values(result)).toContain('its last query: select 1 from absurd.r_q for update');
    expect((await askId(db, task.task_id)).code).not.toBe('locked');
  });

  test('locked: finds a shared lock and one taken inside a savepoint', async ({ db, second }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    const third = await db.connect();
    for (const session of [second, third]) {
      await session.query('begin');
      await session.query('savepoint s');
      await session.query('select 1 from absurd.t_q for share');
    }
    await aged(db, await third.pid());

    expect((await askId(db, task.task_id)).code).toBe('locked');
  });

  test('locked: the whole table, which cannot even be read', async ({ db, second }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    await second.query('begin');
    await second.query('lock table absurd.t_q in access exclusive mode');
    await aged(db, await second.pid());

    const byId = await askId(db, task.task_id);
    await second.query('rollback');

    expect(byId.code).toBe('locked');
    expect(byId.sentence).toContain(`session ${await second.pid()}`);
  });
});
