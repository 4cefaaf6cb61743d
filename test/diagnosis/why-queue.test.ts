import { describe, expect, test } from '../support/database.js';
import { aged, askId, askName, askQueue, expectCode, start, values } from './support.js';

describe('a queue', () => {
  test('tells apart never claimed, moving, all claimed, expired, all asleep and nothing to do', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const codes: string[] = [];
    const ask = async (): Promise<void> => void codes.push((await askQueue(db, queue)).code);
    await ask();
    await db.spawn(queue, 'a');
    await db.spawn(queue, 'a');
    await db.advance('5 minutes');
    await ask();
    const [first] = await db.claim(queue);
    await ask();
    const [second] = await db.claim(queue);
    await ask();
    await db.advance('1 minute');
    await ask();
    for (const run of [first, second])
      await db.query(`select absurd.schedule_run($1, $2, absurd.current_time() + interval '1 day')`, [
        queue,
        run?.run_id,
      ]);
    await ask();
    await db.advance('2 days');
    await ask();

    expect(codes).toEqual([
      'nothing_to_do',
      'never_claimed',
      'moving',
      'all_claimed',
      'leases_expired',
      'all_asleep',
      'not_claimed_since',
    ]);
  });

  test('no_lease: all that runs was claimed without one', async ({ db }) => {
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    await db.claim(queue, { timeout: 0 });

    await expectCode(db, () => askQueue(db, queue), 'no_lease');
  });

  test('locked: the head of the line', async ({ db, second }) => {
    const queue = await db.queue('other queue', 'partitioned');
    await db.spawn(queue, 'a');
    await second.query('begin');
    await second.query('select 1 from absurd."t_other queue" for update');
    await aged(db, await second.pid());

    expect((await askQueue(db, queue)).code).toBe('locked');
    expect((await askName(db, 'a')).code).toBe('locked');
  });

  test('an unknown queue and an unknown id are errors that say what is there', async ({ db }) => {
    await db.queue('mails');

    await expect(askQueue(db, 'mail')).rejects.toMatchObject({ exitCode: 3, hint: 'did you mean "mails"?' });
    await expect(askId(db, '019a32d3-8425-7ae2-a5af-2f17a6707666')).rejects.toMatchObject({ exitCode: 3 });
  });
});

describe('a task name', () => {
  test('answers for the oldest unfinished task of that name', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    await db.queue('early');
    await db.spawn(queue, 'other');
    await db.advance('1 minute');
    const oldest = await db.spawn(queue, 'mine');
    await db.advance('1 second');
    await db.spawn('early', 'mine');
    await db.advance('10 minutes');

    const result = await expectCode(db, () => askName(db, 'mine'), 'never_claimed');

    expect(result.task_id).toBe(oldest.task_id);
    expect(values(result)).toContain('1 pending');
  });

  test('none_unfinished, and a near name for one that is unknown', async ({ db }) => {
    const queue = await db.queue();
    await db.spawn(queue, 'send-mail');
    const [run] = await db.claim(queue);
    await db.query('select absurd.complete_run($1, $2)', [queue, run?.run_id]);

    expect((await askName(db, 'send-mail')).code).toBe('none_unfinished');
    await expect(askName(db, 'send-mails')).rejects.toMatchObject({ hint: 'did you mean "send-mail"?' });
  });
});
