import { readFile } from 'node:fs/promises';
import { taskCauses } from '../../src/lib/diagnosis/index.js';
import { nameCauses } from '../../src/lib/diagnosis/name.js';
import { queueCauses } from '../../src/lib/diagnosis/queue.js';
import { describe, expect, test } from '../support/database.js';
import { askId, expectCode, start, values } from './support.js';

const fail = (message: string): string => JSON.stringify({ name: 'Error', message, stack: 'at work' });
const failRun = 'select absurd.fail_run($1, $2, $3)';

describe('waiting for a worker', () => {
  test('never_claimed: nothing has ever claimed from the queue', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    await db.advance('10 minutes');

    const result = await expectCode(db, () => askId(db, task.task_id), 'never_claimed');

    expect(result.verdict).toBe('stuck');
    expect(values(result)).toContain('10 minutes ago');
  });

  test('not_claimed_since: names the last claim that the rows show', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    await db.claim(queue, { timeout: 3600 });
    const task = await db.spawn(queue, 'a');
    await db.advance('10 minutes');

    const result = await expectCode(db, () => askId(db, task.run_id), 'not_claimed_since');

    expect(result.sentence).toContain('2026-03-02T10:00:00Z');
    expect(result.task_id).toBe(task.task_id);
  });

  test('behind_others: how many, and how fast they go', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    for (const name of ['a', 'b', 'c', 'd']) await db.spawn(queue, name);
    await db.advance('10 seconds');
    const task = await db.spawn(queue, 'e');
    await db.claim(queue);
    await db.advance('5 seconds');

    const result = await expectCode(db, () => askId(db, task.task_id), 'behind_others');

    expect(result.also).toEqual([]);
    expect(result.sentence).toContain('3 older runs');
    expect(result.sentence).toContain('about 0.2 a minute');
  });

  test('next_in_line: the queue is claimed from, and it comes next', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    await db.spawn(queue, 'a');
    await db.claim(queue);
    const task = await db.spawn(queue, 'b');
    await db.advance('1 second');

    expect((await expectCode(db, () => askId(db, task.task_id), 'next_in_line')).verdict).toBe('fine');
  });

  test('cancellation_due: the next claim cancels it', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a', {}, { cancellation: { max_delay: 60 } });
    await db.advance('2 minutes');

    await expectCode(db, () => askId(db, task.task_id), 'cancellation_due');
  });
});

describe('claimed', () => {
  test('claimed: the worker, its lease and its last sign of life', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    const [run] = await db.claim(queue, { worker: 'host:1', timeout: 120 });
    await db.advance('30 seconds');
    await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
      queue,
      task.task_id,
      'paid',
      '1',
      run?.run_id,
    ]);
    await db.advance('10 seconds');

    const result = await expectCode(db, () => askId(db, task.task_id), 'claimed');

    expect(result.sentence).toContain('"host:1"');
    expect(values(result)).toContain('checkpoint "paid", 10 seconds ago');
    expect(result.verdict).toBe('fine');
  });

  test('lease_expired: a dead worker whose lease nobody swept', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    await db.claim(queue, { worker: 'dead', timeout: 30 });
    await db.advance('10 minutes');

    expect((await expectCode(db, () => askId(db, task.task_id), 'lease_expired')).sentence).toContain('9 minutes ago');
  });

  test('no_lease: claimed without a lease', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    await db.claim(queue, { timeout: 0 });

    await expectCode(db, () => askId(db, task.task_id), 'no_lease');
  });
});

describe('asleep', () => {
  test('put_back: claimed and put back, again and again', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(queue, 'nobody-knows-me');
    for (const pause of [0, 30]) {
      await db.advance(`${pause} seconds`);
      const [run] = await db.claim(queue);
      await db.query(`select absurd.schedule_run($1, $2, absurd.current_time() + interval '20 seconds')`, [
        queue,
        run?.run_id,
      ]);
    }
    await db.advance('2 seconds');

    expect((await expectCode(db, () => askId(db, task.task_id), 'put_back')).sentence).toContain('again and again');
  });

  test('sleeping: by its own step, also for 20 seconds', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    const [run] = await db.claim(queue);
    const wake = '2026-03-02T10:00:20.000Z';
    await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
      queue,
      task.task_id,
      'nap',
      JSON.stringify(wake),
      run?.run_id,
    ]);
    await db.query('select absurd.schedule_run($1, $2, $3)', [queue, run?.run_id, wake]);

    const result = await expectCode(db, () => askId(db, task.task_id), 'sleeping');

    expect(result.sentence).toBe('it sleeps until 2026-03-02T10:00:20Z, in 20 seconds, by its own step "nap"');
  });

  test('retry_backoff: attempt, strategy, next try, last error', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(
      queue,
      'a',
      {},
      { max_attempts: 4, retry_strategy: { kind: 'exponential', base_seconds: 600 } },
    );
    const [run] = await db.claim(queue);
    await db.query(failRun, [queue, run?.run_id, fail('no route')]);

    const result = await expectCode(db, () => askId(db, task.task_id), 'retry_backoff');

    expect(result.sentence).toBe(
      'it waits for its backoff: attempt 2 of 4 starts in 10 minutes: the one before failed with Error: no route',
    );
    expect(values(result)).toContain('retry strategy: exponential, 600 s × 2^(attempt - 1)');
  });

  const awaiting = `select * from absurd.await_event($1, $2, $3, 'wait', $4, $5)`;

  test('event_never_emitted, and once it is, the task is ready', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    const [run] = await db.claim(queue);
    await db.query(awaiting, [queue, task.task_id, run?.run_id, 'paid', null]);
    await db.query(`select absurd.emit_event($1, 'something-else-altogether', '{}')`, [queue]);

    const result = await askId(db, task.task_id);
    await db.query(`select absurd.emit_event($1, 'paid', '{}')`, [queue]);
    const woken = await askId(db, task.task_id);

    expect(result.code).toBe('event_never_emitted');
    expect(values(result)).toContain('none: it waits indefinitely');
    expect(woken.code).toBe('next_in_line');
    expect(values(woken)).toContain('woken by: the event that it waited for');
  });

  test('event_in_other_queue', async ({ db }) => {
    const queue = await db.queue();
    await db.queue('other');
    const task = await db.spawn(queue, 'a');
    const [run] = await db.claim(queue);
    await db.query(awaiting, [queue, task.task_id, run?.run_id, 'paid', 3600]);
    await db.query(`select absurd.emit_event('other', 'paid', '{}')`);

    const result = await expectCode(db, () => askId(db, task.task_id, queue), 'event_in_other_queue');

    expect(result.sentence).toContain('"other"');
    expect(result.next[0]).toBe('absurdctl show-event paid --queue other');
  });

  test('event_name_close: a misspelt event', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    const [run] = await db.claim(queue);
    await db.query(awaiting, [queue, task.task_id, run?.run_id, 'order:42:paid', null]);
    await db.query(`select absurd.emit_event($1, 'order:42:payed', '{}')`, [queue]);

    const result = await askId(db, task.task_id);

    expect(result.code).toBe('event_name_close');
    expect(result.sentence).toContain('"order:42:payed"');
    expect(result.next[0]).toBe(`absurdctl show-event order:42:payed --queue ${queue}`);
  });

  test('event_timeout_passed: ready again, and stuck only where nothing claims', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    const [run] = await db.claim(queue);
    await db.query(awaiting, [queue, task.task_id, run?.run_id, 'paid', 60]);
    await db.advance('70 seconds');
    const fresh = await askId(db, task.task_id);
    await db.advance('9 minutes');

    const result = await expectCode(db, () => askId(db, task.task_id), 'event_timeout_passed');

    expect(fresh).toMatchObject({ code: 'event_timeout_passed', verdict: 'waiting' });
    expect(result.verdict).toBe('stuck');
    expect(result.sentence).toBe(
      'it waited for event "paid", the timeout passed 9 minutes ago, and no claim has taken it up since',
    );
    expect(result.also.map(({ code }) => code)).toEqual(['not_claimed_since']);
    expect(values(result)).toContain('step: "wait"');
    expect(result.next[0]).toContain('start a worker');
  });
});

describe('over', () => {
  test('completed', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    const [run] = await db.claim(queue);
    await db.query('select absurd.complete_run($1, $2)', [queue, run?.run_id]);

    await expectCode(db, () => askId(db, task.task_id), 'completed');
  });

  test('failed: all attempts of the same error, after the same step', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a', {}, { max_attempts: 2 });
    for (const attempt of [1, 2]) {
      const [run] = await db.claim(queue);
      expect(run?.attempt).toBe(attempt);
      await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
        queue,
        task.task_id,
        'charge',
        '1',
        run?.run_id,
      ]);
      await db.query(failRun, [queue, run?.run_id, fail('\u001b[31mcard refused')]);
    }

    const result = await expectCode(db, () => askId(db, task.task_id), 'failed');

    expect(result.sentence).toBe(
      'it failed permanently: 2 of 2 attempts are used, and the last failed with Error: \\x1b[31mcard refused',
    );
    expect(values(result)).toContain('same error: 2 of 2 failed attempts');
    expect(values(result)).toContain('it fails after step: "charge"');
  });

  test('failed_leases_expired: the worker fell silent each time', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a', {}, { max_attempts: 1 });
    await db.claim(queue, { timeout: 10 });
    await db.advance('20 seconds');
    await db.claim(queue);

    await expectCode(db, () => askId(db, task.task_id), 'failed_leases_expired');
  });

  test('cancelled_max_delay', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a', {}, { cancellation: { max_delay: 10 } });
    await db.advance('20 seconds');
    await db.claim(queue);

    await expectCode(db, () => askId(db, task.task_id), 'cancelled_max_delay');
  });

  test('cancelled_max_duration: also when the retry would come too late', async ({ db }) => {
    const queue = await db.queue();
    const options = { cancellation: { max_duration: 100 }, retry_strategy: { kind: 'fixed', base_seconds: 600 } };
    const task = await db.spawn(queue, 'a', {}, options);
    const [run] = await db.claim(queue);
    await db.query(failRun, [queue, run?.run_id, fail('late')]);

    await expectCode(db, () => askId(db, task.task_id), 'cancelled_max_duration');
  });

  test('cancelled_by_hand is only inferred', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a', {}, { cancellation: { max_delay: 3600 } });
    await db.query('select absurd.cancel_task($1, $2)', [queue, task.task_id]);

    const result = await expectCode(db, () => askId(db, task.task_id), 'cancelled_by_hand');

    expect(result.evidence.find(({ what }) => what === 'cause')?.certainty).toBe('inferred');
  });

  test('superseded: an earlier run, asked about by its id, beside the task as it is', async ({ db }) => {
    await db.freeze(start);
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a', {}, { max_attempts: 3 });
    const [first] = await db.claim(queue);
    await db.query(failRun, [queue, first?.run_id, fail('x')]);
    await db.claim(queue);

    const result = await expectCode(db, () => askId(db, first?.run_id ?? ''), 'superseded');

    expect(result.task_id).toBe(task.task_id);
  });

  test('superseded: the first of sixty attempts, which is not among those that are looked at', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a');
    for (let attempt = 1; attempt < 60; attempt += 1) {
      const [run] = await db.claim(queue);
      await db.query(failRun, [queue, run?.run_id, fail('x')]);
    }
    await db.claim(queue);

    const result = await expectCode(db, () => askId(db, task.run_id), 'superseded');

    expect(result.run_id).toBe(task.run_id);
    expect(values(result)).toBe('attempt: 1 of 60');
  });
});

test('every cause is explained in docs/why.md', async () => {
  const page = await readFile(new URL('../../docs/why.md', import.meta.url), 'utf8');
  const codes = [...taskCauses, ...queueCauses, ...nameCauses].map((cause) => cause.code);

  expect(codes.filter((code) => code !== 'name_unfinished' && !page.includes(`| \`${code}\` |`))).toEqual([]);
});
