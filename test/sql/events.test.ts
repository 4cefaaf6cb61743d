import { expect } from 'vitest';
import type { ClaimedRun } from '../support/database.js';
import { engine, iso, noon, refuses, unknownId, type Scene } from './support.js';

async function claimed({ db, queue }: Scene): Promise<ClaimedRun> {
  const { run_id: id } = await db.spawn(queue, 'job');
  for (;;) {
    const [run] = await db.claim(queue, { timeout: 600 });
    if (run === undefined) throw new Error('nothing was claimed');
    if (run.run_id === id) return run;
  }
}
const awaits = async (
  { db, queue }: Scene,
  run: ClaimedRun,
  event: string | null,
  timeout: number | null = null,
  step = `$awaitEvent:${event}`,
) =>
  (
    await db.query('select * from absurd.await_event($1, $2, $3, $4, $5, $6)', [
      queue,
      run.task_id,
      run.run_id,
      step,
      event,
      timeout,
    ])
  ).rows[0];
const emit = ({ db, queue }: Scene, event: string | null, payload: string | null = '{"ok": true}') =>
  db.query('select absurd.emit_event($1, $2, $3)', [queue, event, payload]);
const suspended = { should_suspend: true, payload: null };

engine('awaiting an event that is not there suspends the run', async (scene) => {
  const { db, run, task, value, queue } = scene;
  await db.freeze(noon);
  const first = await claimed(scene);
  expect(await awaits(scene, first, 'paid')).toEqual(suspended);
  expect(await run(first.run_id)).toMatchObject({
    state: 'sleeping',
    claimed_by: null,
    claim_expires_at: null,
    wake_event: 'paid',
    available_at: Infinity,
  });
  expect((await task(first.task_id))['state']).toBe('sleeping');
  const second = await claimed(scene);
  expect(await awaits(scene, second, 'paid', 90, 'wait')).toEqual(suspended);
  expect(iso((await run(second.run_id))['available_at'])).toBe('2026-03-04T12:01:30.000Z');
  const { rows } = await db.query(
    `select run_id, step_name, event_name, timeout_at from absurd."w_${queue}" order by timeout_at`,
  );
  expect(rows).toEqual([
    { run_id: second.run_id, step_name: 'wait', event_name: 'paid', timeout_at: new Date(Date.parse(noon) + 90_000) },
    { run_id: first.run_id, step_name: '$awaitEvent:paid', event_name: 'paid', timeout_at: null },
  ]);
  expect(
    await value(`select payload is null and emitted_at = 'epoch' from absurd."e_${queue}" where event_name = 'paid'`),
  ).toBe(true);
});

engine('an emission wakes every waiter, with the payload as its checkpoint', async (scene) => {
  const { db, queue, run, task, value } = scene;
  await db.freeze(noon);
  const waiters = [await claimed(scene), await claimed(scene)];
  for (const waiter of waiters) await awaits(scene, waiter, 'paid', 1000);
  const bystander = await claimed(scene);
  await awaits(scene, bystander, 'other');
  await db.advance('1 minute');
  await emit(scene, 'paid', '{"n": 12345678901234567890}');
  for (const { run_id: id, task_id: taskId } of waiters) {
    expect(await run(id)).toMatchObject({
      state: 'pending',
      wake_event: null,
      claim_expires_at: null,
      available_at: new Date(Date.parse(noon) + 60_000),
    });
    expect(await value(`select event_payload::text from absurd."r_${queue}" where run_id = $1`, [id])).toBe(
      '{"n": 12345678901234567890}',
    );
    expect((await task(taskId))['state']).toBe('pending');
    expect(
      await value(
        `select state::text from absurd."c_${queue}" where task_id = $1 and checkpoint_name = '$awaitEvent:paid'`,
        [taskId],
      ),
    ).toBe('{"n": 12345678901234567890}');
  }
  expect((await run(bystander.run_id))['state']).toBe('sleeping');
  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(1);
});

engine('the first emission wins; a later one changes nothing and wakes nobody', async (scene) => {
  const { db, queue, run, value } = scene;
  await db.freeze(noon);
  await emit(scene, 'paid', '1');
  await db.advance('1 second');
  const waiter = await claimed(scene);
  await db.query(
    `insert into absurd."w_${queue}" (task_id, run_id, step_name, event_name) values ($1, $2, 's', 'paid')`,
    [waiter.task_id, waiter.run_id],
  );
  await db.query(`update absurd."r_${queue}" set state = 'sleeping' where run_id = $1`, [waiter.run_id]);
  await emit(scene, 'paid', '2');
  expect((await run(waiter.run_id))['state']).toBe('sleeping');
  expect(await value(`select payload::text || emitted_at from absurd."e_${queue}"`)).toMatch(/^12026-03-04 12:00:00/);
});

engine('an event that is there is answered at once, and is the step’s checkpoint', async (scene) => {
  const { queue, run, value } = scene;
  await emit(scene, 'paid', '{"by": "card"}');
  const waiter = await claimed(scene);
  expect(await awaits(scene, waiter, 'paid')).toEqual({ should_suspend: false, payload: { by: 'card' } });
  expect((await run(waiter.run_id))['state']).toBe('running');
  expect(await value(`select state->>'by' from absurd."c_${queue}" where task_id = $1`, [waiter.task_id])).toBe('card');
  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(0);
});

engine('a checkpoint answers whatever the state of the run, even of a cancelled task', async (scene) => {
  const { db, queue } = scene;
  await emit(scene, 'paid', '1');
  const waiter = await claimed(scene);
  await awaits(scene, waiter, 'paid');
  await db.query('select absurd.cancel_task($1, $2)', [queue, waiter.task_id]);
  expect(await awaits(scene, waiter, 'paid')).toEqual({ should_suspend: false, payload: 1 });
  await refuses(awaits(scene, waiter, 'else'), 'AB001');
});

engine('an emitted null is JSON null, told apart from a timeout', async (scene) => {
  const { db, queue, value } = scene;
  await emit(scene, 'nothing', null);
  const waiter = await claimed(scene);
  const { rows } = await db.query(
    `select should_suspend, payload::text from absurd.await_event($1, $2, $3, 's', 'nothing')`,
    [queue, waiter.task_id, waiter.run_id],
  );
  expect(rows).toEqual([{ should_suspend: false, payload: 'null' }]);
  expect(await value(`select payload::text from absurd."e_${queue}"`)).toBe('null');
});

engine('a wait that timed out resolves to nothing, once, and leaves no checkpoint', async (scene) => {
  const { db, queue, run, value } = scene;
  await db.freeze(noon);
  const waiter = await claimed(scene);
  await awaits(scene, waiter, 'paid', 10);
  await db.advance('10 seconds');
  expect(await db.claim(queue)).toMatchObject([{ run_id: waiter.run_id, wake_event: 'paid', event_payload: null }]);
  // Matched by event, not by step.
  expect(await awaits(scene, waiter, 'paid', 10, 'another step')).toEqual({ should_suspend: false, payload: null });
  expect((await run(waiter.run_id))['wake_event']).toBe(null);
  expect(await value(`select count(*)::int from absurd."c_${queue}"`)).toBe(0);
  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(0);
  expect(await awaits(scene, waiter, 'paid', 10)).toEqual(suspended);
});

engine('an emission after the timeout wakes nobody, and forgets the wait', async (scene) => {
  const { db, queue, run, value } = scene;
  await db.freeze(noon);
  const waiter = await claimed(scene);
  await awaits(scene, waiter, 'paid', 10);
  await db.advance('10 seconds');
  await emit(scene, 'paid', '1');
  expect(await run(waiter.run_id)).toMatchObject({ state: 'sleeping', wake_event: 'paid', event_payload: null });
  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(0);
});

engine('an emission that is not committed yet holds up no claim and no sweep', async (scene) => {
  const { db, queue, connect, value } = scene;
  await db.freeze(noon);
  const late = await claimed(scene);
  await awaits(scene, late, 'paid', 60);
  const { task_id: overdue } = await db.spawn(queue, 'job', {}, { cancellation: { max_duration: 60 } });
  const [run] = await db.claim(queue, { timeout: 600 });
  if (run) await awaits(scene, run, 'paid', 60);
  await db.query(
    `insert into absurd."w_${queue}" (task_id, run_id, step_name, event_name, timeout_at) values ($1, $1, 's', 'paid', 'epoch')`,
    [unknownId],
  );
  await db.spawn(queue, 'other');
  await db.advance('60 seconds');

  const emitter = await connect();
  await emitter.query('begin');
  await emitter.query(`select absurd.emit_event($1, 'paid', '1')`, [queue]);
  await db.query(`set lock_timeout = '10s'`);
  expect(await db.claim(queue, { qty: 5 })).toMatchObject([{ task_name: 'other' }]);
  await db.query('reset lock_timeout');
  await emitter.query('commit');

  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(0);
  expect(await db.claim(queue, { qty: 5 })).toMatchObject([{ run_id: late.run_id, wake_event: 'paid' }]);
  expect(await value(`select state from absurd."t_${queue}" where task_id = $1`, [overdue])).toBe('cancelled');
});

engine('a wait that timed out stays while somebody else has its run, and goes with the claim', async (scene) => {
  const { db, queue, connect, value } = scene;
  await db.freeze(noon);
  const late = await claimed(scene);
  await awaits(scene, late, 'paid', 60);
  await db.advance('60 seconds');
  const holder = await connect();
  await holder.query('begin');
  await holder.query(`select from absurd."r_${queue}" for update`);
  await db.query(`set lock_timeout = '10s'`);
  await emit(scene, 'paid');
  await db.query('reset lock_timeout');
  await holder.query('commit');
  expect(await db.claim(queue)).toMatchObject([{ run_id: late.run_id, event_payload: null }]);
  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(0);
});

engine('a timeout of zero is a timeout at once', async (scene) => {
  const { db, queue } = scene;
  await db.freeze(noon);
  const waiter = await claimed(scene);
  expect(await awaits(scene, waiter, 'paid', 0)).toEqual(suspended);
  expect(await db.claim(queue)).toMatchObject([{ run_id: waiter.run_id, wake_event: 'paid' }]);
});

engine('what cannot be awaited or emitted is refused', async (scene) => {
  const { db, queue } = scene;
  const waiter = await claimed(scene);
  for (const event of [null, '', '  ']) {
    await refuses(awaits(scene, waiter, event, null, 's'), '22023', /event/i);
    await refuses(emit(scene, event), '22023', /event/i);
  }
  await refuses(awaits(scene, waiter, 'e', -1), '22023', /timeout/i);
  await refuses(awaits(scene, { ...waiter, run_id: unknownId }, 'e'), 'P0002', 'not found');
  await db.query('select absurd.complete_run($1, $2)', [queue, waiter.run_id]);
  await refuses(awaits(scene, waiter, 'e'), '55000');
  await refuses(db.query('select absurd.emit_event($1, $2)', ['nowhere', 'e']), 'P0002', 'nowhere');
});

engine('a run that has failed already learns so when it awaits an event', async (scene) => {
  const { db, queue } = scene;
  const waiter = await claimed(scene);
  await db.query(`select absurd.fail_run($1, $2, '{}')`, [queue, waiter.run_id]);

  await refuses(awaits(scene, waiter, 'e'), 'AB002', 'already failed');
});

engine('awaiting again overwrites the wait of the same step', async (scene) => {
  const { db, queue } = scene;
  await db.freeze(noon);
  const waiter = await claimed(scene);
  await awaits(scene, waiter, 'first', 5, 's');
  await db.advance('5 seconds');
  await db.query(`update absurd."r_${queue}" set state = 'running', wake_event = null where run_id = $1`, [
    waiter.run_id,
  ]);
  await awaits(scene, waiter, 'second', null, 's');
  const { rows } = await db.query(`select event_name, timeout_at from absurd."w_${queue}"`);
  expect(rows).toEqual([{ event_name: 'second', timeout_at: null }]);
});

engine('a thousand waiters on one event wake together', async (scene) => {
  const { db, queue, value } = scene;
  await db.query(`select absurd.spawn_task($1, 'job', '{}') from generate_series(1, 1000)`, [queue]);
  await db.query(
    `select absurd.await_event($1, c.task_id, c.run_id, 's', 'go') from absurd.claim_task($1, 'w', 60, 1000) c`,
    [queue],
  );
  await emit(scene, 'go');
  expect(await value(`select count(*)::int from absurd."r_${queue}" where state = 'pending'`)).toBe(1000);
  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(0);
});
