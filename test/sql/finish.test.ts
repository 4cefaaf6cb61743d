import { expect } from 'vitest';
import type { ClaimedRun } from '../support/database.js';
import { engine, iso, noon, refuses, unknownId, type Scene } from './support.js';

const complete = ({ db, queue }: Scene, runId: unknown, result: string | null = '{"ok": true}') =>
  db.query('select absurd.complete_run($1, $2, $3)', [queue, runId, result]);
const fail = ({ db, queue }: Scene, runId: unknown, reason = '{"message": "no"}', at: string | null = null) =>
  db.query('select absurd.fail_run($1, $2, $3, $4)', [queue, runId, reason, at]);

/** Spawns and claims. */
async function claimed({ db, queue }: Scene, options = {}): Promise<ClaimedRun> {
  await db.spawn(queue, 'job', {}, options);
  const [run] = await db.claim(queue);
  if (run === undefined) throw new Error('nothing was claimed');
  return run;
}

/** Runs of each state, each with the error that a finisher of a running run must raise for it. */
async function inEveryState(scene: Scene): Promise<[string, string, string][]> {
  const { db, queue } = scene;
  const one = { max_attempts: 1 };
  const cancelled = await claimed(scene);
  await db.query('select absurd.cancel_task($1, $2)', [queue, cancelled.task_id]);
  const failed = await claimed(scene, one);
  await fail(scene, failed.run_id);
  const completed = await claimed(scene);
  await complete(scene, completed.run_id);
  const sleeping = await claimed(scene);
  await db.query(`select absurd.schedule_run($1, $2, now() + interval '1 day')`, [queue, sleeping.run_id]);
  const pending = await db.spawn(queue, 'job');
  return [
    [cancelled.run_id, 'AB001', 'Task has been cancelled'],
    [failed.run_id, 'AB002', 'already failed'],
    [completed.run_id, '55000', 'not currently running'],
    [sleeping.run_id, '55000', 'not currently running'],
    [pending.run_id, '55000', 'not currently running'],
    [unknownId, 'P0002', 'not found'],
  ];
}

engine('complete_run stores the result, ends the task and keeps who ran it', async (scene) => {
  const { db, queue, run, task, value } = scene;
  await db.freeze(noon);
  const { run_id: id, task_id: taskId } = await claimed(scene);
  await db.query(`insert into absurd."w_${queue}" values ($1, $2, 's', 'e')`, [taskId, id]);
  const lease = (await run(id))['claim_expires_at'];

  await complete(scene, id, '{"digits": 12345678901234567890.10}');

  expect(await run(id)).toMatchObject({
    state: 'completed',
    completed_at: new Date(noon),
    claimed_by: 'w1',
    claim_expires_at: lease,
  });
  expect((await task(taskId))['state']).toBe('completed');
  expect(await value(`select completed_payload::text from absurd."t_${queue}" where task_id = $1`, [taskId])).toBe(
    '{"digits": 12345678901234567890.10}',
  );
  expect(await value(`select result::text from absurd."r_${queue}" where run_id = $1`, [id])).toBe(
    '{"digits": 12345678901234567890.10}',
  );
  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(0);
});

engine('a null result is stored as null', async (scene) => {
  const { queue, value } = scene;
  const { run_id: id } = await claimed(scene);
  await complete(scene, id, null);
  expect(await value(`select result is null from absurd."r_${queue}" where run_id = $1`, [id])).toBe(true);
});

engine('complete_run and schedule_run refuse what does not run, cancellation and failure first', async (scene) => {
  const { db, queue } = scene;
  for (const [id, code, words] of await inEveryState(scene)) {
    await refuses(complete(scene, id), code, words);
    await refuses(db.query('select absurd.schedule_run($1, $2, now())', [queue, id]), code, words);
  }
  await refuses(db.query('select absurd.complete_run($1, $2)', ['nowhere', unknownId]), 'P0002', 'nowhere');
});

engine('fail_run takes a running or a sleeping run', async (scene) => {
  for (const [id, code, words] of await inEveryState(scene)) {
    if (words === 'not currently running') continue;
    await refuses(fail(scene, id), code, words);
  }
  const { db, queue, run } = scene;
  const sleeping = await claimed(scene);
  await db.query(`select absurd.schedule_run($1, $2, now() + interval '1 day')`, [queue, sleeping.run_id]);
  await fail(scene, sleeping.run_id);
  expect((await run(sleeping.run_id))['state']).toBe('failed');
  const done = await claimed(scene);
  await complete(scene, done.run_id);
  await refuses(fail(scene, done.run_id), '55000');
});

engine('schedule_run puts run and task to sleep and gives the lease back', async (scene) => {
  const { db, queue, run, task } = scene;
  const { run_id: id, task_id: taskId } = await claimed(scene);
  const wake = '2030-01-01T00:00:00.000Z';
  await db.query(`update absurd."r_${queue}" set wake_event = 'x' where run_id = $1`, [id]);

  await db.query('select absurd.schedule_run($1, $2, $3)', [queue, id, wake]);

  expect(await run(id)).toMatchObject({
    state: 'sleeping',
    available_at: new Date(wake),
    claimed_by: null,
    claim_expires_at: null,
    wake_event: null,
  });
  expect((await task(taskId))['state']).toBe('sleeping');
});

const delays: [string, unknown, number, number][] = [
  ['none at all', undefined, 1, 0],
  ['none', { kind: 'none' }, 1, 0],
  ['fixed', { kind: 'fixed', base_seconds: 7 }, 2, 7],
  ['fixed without a base', { kind: 'fixed' }, 1, 60],
  ['fixed of zero', { kind: 'fixed', base_seconds: 0 }, 1, 0],
  ['exponential', { kind: 'exponential', base_seconds: 3, factor: 4 }, 3, 48],
  ['exponential by default', { kind: 'exponential' }, 3, 120],
  ['exponential with a limit', { kind: 'exponential', base_seconds: 10, factor: 10, max_seconds: 50 }, 3, 50],
];
for (const [label, retry_strategy, attempt, seconds] of delays) {
  engine(`retry strategy ${label}: attempt ${attempt} is followed after ${seconds} s`, async (scene) => {
    const { db, queue, run, task, value } = scene;
    await db.freeze(noon);
    const { task_id: id } = await db.spawn(queue, 'job', {}, { retry_strategy });
    let next: string | undefined;
    for (let n = 1; n <= attempt; n++) {
      await db.query(
        `update absurd."r_${queue}" set available_at = absurd.current_time() where task_id = $1 and state in ('pending', 'sleeping')`,
        [id],
      );
      const [current] = await db.claim(queue);
      expect(current?.attempt).toBe(n);
      await fail(scene, current?.run_id);
      next = await value(`select last_attempt_run from absurd."t_${queue}" where task_id = $1`, [id]);
    }
    const state = seconds > 0 ? 'sleeping' : 'pending';
    const at = new Date(Date.parse(noon) + seconds * 1000);
    expect(await run(String(next))).toMatchObject({ attempt: attempt + 1, state, available_at: at });
    expect(await task(id)).toMatchObject({ state, attempts: attempt + 1 });
  });
}

engine('a retry comes at the moment that is asked for, and never before now', async (scene) => {
  const { db, queue, run, task } = scene;
  await db.freeze(noon);
  const first = await claimed(scene, { retry_strategy: { kind: 'fixed', base_seconds: 5 } });
  await fail(scene, first.run_id, '{"message": "x"}', '2026-03-04T13:00:00Z');
  const asked = await run(String((await task(first.task_id))['last_attempt_run']));
  expect([asked['state'], iso(asked['available_at'])]).toEqual(['sleeping', '2026-03-04T13:00:00.000Z']);
  expect(await run(first.run_id)).toMatchObject({
    state: 'failed',
    failed_at: new Date(noon),
    failure_reason: { message: 'x' },
    wake_event: null,
  });

  const second = await claimed(scene);
  await fail(scene, second.run_id, '{}', '2001-01-01T00:00:00Z');
  const past = await run(String((await task(second.task_id))['last_attempt_run']));
  expect([past['state'], iso(past['available_at'])]).toEqual(['pending', noon]);
  expect(await db.claim(queue)).toMatchObject([{ run_id: past['run_id'], attempt: 2 }]);
});

engine('the last attempt fails the task; no limit goes on', async (scene) => {
  const { db, queue, task, value } = scene;
  const limited = await claimed(scene, { max_attempts: 2 });
  await fail(scene, limited.run_id);
  const [again] = await db.claim(queue);
  expect(again).toMatchObject({ task_id: limited.task_id, attempt: 2 });
  await db.query(`insert into absurd."w_${queue}" values ($1, $2, 's', 'e')`, [limited.task_id, again?.run_id]);
  await fail(scene, again?.run_id, '{"message": "last"}');
  expect(await task(limited.task_id)).toMatchObject({ state: 'failed', attempts: 2, last_attempt_run: again?.run_id });
  expect(await value(`select count(*)::int from absurd."r_${queue}"`)).toBe(2);
  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(0);
});

engine('a retry that max_duration would not allow cancels the task instead', async (scene) => {
  const { db, queue, run, task } = scene;
  await db.freeze(noon);
  for (const [base_seconds, state] of [
    [59, 'sleeping'],
    [60, 'cancelled'],
    [61, 'cancelled'],
  ] as const) {
    const { task_id: id, run_id: runId } = await claimed(scene, {
      retry_strategy: { kind: 'fixed', base_seconds },
      cancellation: { max_duration: 60 },
    });
    await fail(scene, runId);
    expect((await task(id))['state']).toBe(state);
    expect((await run(runId))['state']).toBe('failed');
    await db.query('select absurd.cancel_task($1, $2)', [queue, id]);
  }
});

engine('retry_task gives a failed task one more attempt', async (scene) => {
  const { db, queue, run, task } = scene;
  const first = await claimed(scene, { max_attempts: 1 });
  await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
    queue,
    first.task_id,
    'kept',
    '1',
    first.run_id,
  ]);
  await fail(scene, first.run_id);

  const { rows } = await db.query('select * from absurd.retry_task($1, $2)', [queue, first.task_id]);

  expect(rows).toEqual([{ task_id: first.task_id, run_id: expect.any(String) as string, attempt: 2, created: false }]);
  expect(await task(first.task_id)).toMatchObject({
    state: 'pending',
    max_attempts: 2,
    attempts: 2,
    last_attempt_run: rows[0]?.['run_id'],
  });
  expect(await run(String(rows[0]?.['run_id']))).toMatchObject({ state: 'pending', attempt: 2 });
  const [again] = await db.claim(queue);
  const kept = await db.query('select checkpoint_name from absurd.get_task_checkpoint_states($1, $2, $3)', [
    queue,
    first.task_id,
    again?.run_id,
  ]);
  expect(kept.rows).toEqual([{ checkpoint_name: 'kept' }]);
});

engine('retry_task with a limit, and what it refuses', async (scene) => {
  const { db, queue, task } = scene;
  const first = await claimed(scene, { max_attempts: 1 });
  const retry = (options: string, id = first.task_id) =>
    db.query('select * from absurd.retry_task($1, $2, $3)', [queue, id, options]);
  await refuses(retry('{}'), '55000', 'not currently failed');
  await fail(scene, first.run_id);
  await refuses(retry('{"max_attempts": 1}'), '\\w{5}', 'must be greater than current attempts');
  await refuses(retry('{"max_attempts": 0}'), '22023');
  await refuses(retry('[]'), '22023');
  await refuses(retry('{}', unknownId), 'P0002', 'not found');
  await retry('{"max_attempts": 5}');
  expect((await task(first.task_id))['max_attempts']).toBe(5);
  await refuses(retry('{}'), '55000', 'not currently failed');
});

engine('retry_task with spawn_new makes a new task of the same inputs, without the key', async (scene) => {
  const { db, queue, task } = scene;
  const options = {
    max_attempts: 1,
    headers: { h: 1 },
    retry_strategy: { kind: 'fixed' },
    cancellation: { max_duration: 1e6 },
    idempotency_key: 'k',
  };
  const first = await claimed(scene, options);
  await fail(scene, first.run_id);
  const { rows } = await db.query(`select * from absurd.retry_task($1, $2, '{"spawn_new": true}')`, [
    queue,
    first.task_id,
  ]);
  expect(rows).toMatchObject([{ attempt: 1, created: true }]);
  const { idempotency_key: _, ...copied } = options;
  expect(await task(String(rows[0]?.['task_id']))).toMatchObject({
    ...copied,
    task_name: 'job',
    state: 'pending',
    idempotency_key: null,
  });
  expect((await task(first.task_id))['state']).toBe('failed');
  const limited = await db.query(`select * from absurd.retry_task($1, $2, '{"spawn_new": true, "max_attempts": 9}')`, [
    queue,
    first.task_id,
  ]);
  expect((await task(String(limited.rows[0]?.['task_id'])))['max_attempts']).toBe(9);
});

engine('cancel_task ends a task in any unfinished state', async (scene) => {
  const { db, queue, run, task, value } = scene;
  await db.freeze(noon);
  const running = await claimed(scene);
  const waiting = await claimed(scene);
  await db.query('select * from absurd.await_event($1, $2, $3, $4, $5)', [
    queue,
    waiting.task_id,
    waiting.run_id,
    's',
    'e',
  ]);
  const pending = await db.spawn(queue, 'job');
  for (const { task_id: id, run_id: runId } of [running, waiting, pending]) {
    await db.query('select absurd.cancel_task($1, $2)', [queue, id]);
    expect(await task(id)).toMatchObject({ state: 'cancelled', cancelled_at: new Date(noon) });
    expect(await run(runId)).toMatchObject({ state: 'cancelled', claimed_by: null, claim_expires_at: null });
  }
  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(0);
});

engine('cancel_task leaves a finished task alone and knows no unknown one', async (scene) => {
  const { db, queue, task } = scene;
  const done = await claimed(scene);
  await complete(scene, done.run_id);
  const before = await task(done.task_id);
  await db.query('select absurd.cancel_task($1, $2)', [queue, done.task_id]);
  expect(await task(done.task_id)).toEqual(before);
  await refuses(db.query('select absurd.cancel_task($1, $2)', [queue, unknownId]), 'P0002', 'not found');
});

engine('get_task_result gives the result only when completed, the reason only when failed', async (scene) => {
  const { db, queue } = scene;
  const result = async (id: string) =>
    (await db.query('select * from absurd.get_task_result($1, $2)', [queue, id])).rows;
  const done = await claimed(scene);
  expect(await result(done.task_id)).toEqual([
    { task_id: done.task_id, state: 'running', result: null, failure_reason: null },
  ]);
  await complete(scene, done.run_id);
  expect(await result(done.task_id)).toMatchObject([
    { state: 'completed', result: { ok: true }, failure_reason: null },
  ]);
  const failing = await claimed(scene, { max_attempts: 2 });
  await fail(scene, failing.run_id, '{"message": "first"}');
  expect(await result(failing.task_id)).toMatchObject([{ state: 'pending', failure_reason: null }]);
  const [again] = await db.claim(queue);
  await fail(scene, again?.run_id, '{"message": "second"}');
  expect(await result(failing.task_id)).toMatchObject([
    { state: 'failed', result: null, failure_reason: { message: 'second' } },
  ]);
  expect(await result(unknownId)).toEqual([]);
});

engine('extend_claim sets the lease to now and so many seconds', async (scene) => {
  const { db, queue, run } = scene;
  await db.freeze(noon);
  const { run_id: id } = await claimed(scene);
  const extend = (seconds: number | null, runId: string = id) =>
    db.query('select absurd.extend_claim($1, $2, $3)', [queue, runId, seconds]);
  await db.advance('10 seconds');
  await extend(100);
  expect(iso((await run(id))['claim_expires_at'])).toBe('2026-03-04T12:01:50.000Z');
  for (const seconds of [0, -1, null]) await refuses(extend(seconds, unknownId), '22023', 'extend_by must be > 0');
  for (const [other, code, words] of await inEveryState(scene)) await refuses(extend(5, other), code, words);
});

engine('AB001 is told by the state of the task, whatever became of the run', async (scene) => {
  const { db, queue } = scene;
  const { run_id: id, task_id: taskId } = await claimed(scene);
  await db.query(`update absurd."t_${queue}" set state = 'cancelled' where task_id = $1`, [taskId]);
  await refuses(db.query('select absurd.extend_claim($1, $2, 5)', [queue, id]), 'AB001', 'Task has been cancelled');
  await refuses(
    db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [queue, taskId, 's', '1', id]),
    'AB001',
  );
  await refuses(db.query('select absurd.await_event($1, $2, $3, $4, $5)', [queue, taskId, id, 's', 'e']), 'AB001');
});
