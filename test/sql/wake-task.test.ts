import { expect } from 'vitest';
import { engine, iso, noon, refuses, unknownId, type Scene } from './support.js';

const wake = ({ value, queue }: Scene, id: string, asTimeout?: boolean): Promise<boolean> =>
  asTimeout === undefined
    ? value<boolean>('select absurd.wake_task($1, $2)', [queue, id])
    : value<boolean>('select absurd.wake_task($1, $2, $3)', [queue, id, asTimeout]);

async function claimed({ db, queue }: Scene, name = 'job', options = {}) {
  await db.spawn(queue, name, {}, options);
  const [run] = await db.claim(queue, { timeout: 600 });
  if (run === undefined) throw new Error('nothing was claimed');
  return run;
}

const checkpoint = (scene: Scene, run: { task_id: string; run_id: string }, name: string, state: string) =>
  scene.db.query('select absurd.set_task_checkpoint_state($1, $2, $3, to_jsonb($4::text), $5)', [
    scene.queue,
    run.task_id,
    name,
    state,
    run.run_id,
  ]);

const states = async ({ db, queue }: Scene, id: string) =>
  Object.fromEntries(
    (await db.query(`select checkpoint_name, state from absurd."c_${queue}" where task_id = $1`, [id])).rows.map(
      (row) => [row['checkpoint_name'], row['state']],
    ),
  );

engine('wake_task: a sleep ends now, in its checkpoint too, and no other value is touched', async (scene) => {
  const { db, queue, run, task } = scene;
  await db.freeze(noon);
  const job = await claimed(scene);
  const end = '2026-03-05T12:00:00.250Z';
  await checkpoint(scene, job, 'deadline', end);
  await db.freeze('2026-03-04T12:00:01Z');
  await checkpoint(scene, job, 'nap', end);
  await checkpoint(scene, job, 'other', '2026-03-05T11:00:00.250Z');
  await db.query('select absurd.schedule_run($1, $2, $3)', [queue, job.run_id, '2026-03-05T12:00:00.251Z']);
  expect(await db.claim(queue)).toEqual([]);

  expect(await wake(scene, job.task_id)).toBe(true);
  expect(iso((await run(job.run_id))['available_at'])).toBe('2026-03-04T12:00:01.000Z');
  expect((await task(job.task_id))['state']).toBe('sleeping');
  expect(await states(scene, job.task_id)).toEqual({
    deadline: end,
    nap: '2026-03-04T12:00:01.000000Z',
    other: '2026-03-05T11:00:00.250Z',
  });
  expect(await wake(scene, job.task_id)).toBe(false);
  expect(await db.claim(queue)).toMatchObject([{ run_id: job.run_id, attempt: 1 }]);
  expect(await wake(scene, job.task_id)).toBe(false);
});

engine('wake_task: a backoff ends now', async (scene) => {
  const { db, queue } = scene;
  const retry = { max_attempts: 2, retry_strategy: { kind: 'fixed', base_seconds: 3600 } };
  const job = await claimed(scene, 'job', retry);
  await db.query(`select absurd.fail_run($1, $2, '{"message": "no"}')`, [queue, job.run_id]);
  expect(await db.claim(queue)).toEqual([]);
  expect(await wake(scene, job.task_id)).toBe(true);
  expect(await db.claim(queue)).toMatchObject([{ task_id: job.task_id, attempt: 2 }]);
});

engine('wake_task: a wait for an event ends only as its timeout would', async (scene) => {
  const { db, queue, value } = scene;
  const job = await claimed(scene);
  const wait = `select should_suspend || ':' || coalesce(payload::text, '-') from absurd.await_event($1, $2, $3, 'w', 'paid')`;
  const values = [queue, job.task_id, job.run_id];
  expect(await value(wait, values)).toBe('true:-');
  expect(await wake(scene, job.task_id)).toBe(false);
  expect(await wake(scene, job.task_id, false)).toBe(false);
  expect(await db.claim(queue)).toEqual([]);

  expect(await wake(scene, job.task_id, true)).toBe(true);
  expect(await db.claim(queue)).toMatchObject([{ run_id: job.run_id, wake_event: 'paid', event_payload: null }]);
  expect((await db.query(`select 1 from absurd."w_${queue}"`)).rows).toEqual([]);
  expect(await value(wait, values)).toBe('false:-');
});

engine('wake_task: an emission before the claim no longer wakes what was woken as timed out', async (scene) => {
  const { db, queue, run } = scene;
  const job = await claimed(scene);
  await db.query(`select absurd.await_event($1, $2, $3, 'w', 'paid')`, [queue, job.task_id, job.run_id]);
  expect(await wake(scene, job.task_id, true)).toBe(true);
  await db.query(`select absurd.emit_event($1, 'paid', '1')`, [queue]);
  expect(await run(job.run_id)).toMatchObject({ state: 'sleeping', wake_event: 'paid', event_payload: null });
});

engine('wake_task: partitioned queues; what does not sleep; what does not exist', async (scene) => {
  const { db } = scene;
  const queue = await scene.partitioned();
  const { task_id: id } = await db.spawn(queue, 'job');
  const asked = { ...scene, queue };
  expect(await wake(asked, id)).toBe(false);
  const [run] = await db.claim(queue);
  await db.query(`select absurd.schedule_run($1, $2, absurd.current_time() + interval '1 day')`, [queue, run?.run_id]);
  expect(await wake(asked, id)).toBe(true);
  await db.query('select absurd.cancel_task($1, $2)', [queue, id]);
  expect(await wake(asked, id, true)).toBe(false);
  await refuses(wake(scene, unknownId), 'P0002', /not found/);
  await refuses(wake({ ...scene, queue: 'nowhere' }, unknownId), 'P0002');
  expect(await scene.value(`select 'wake_task' = any (absurd.get_schema_features())`)).toBe(true);
});
