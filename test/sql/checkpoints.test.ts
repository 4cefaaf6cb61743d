import { expect } from 'vitest';
import type { ClaimedRun } from '../support/database.js';
import { engine, iso, noon, refuses, unknownId, type Scene } from './support.js';

async function claimed({ db, queue }: Scene, options = {}): Promise<ClaimedRun> {
  await db.spawn(queue, 'job', {}, options);
  const [run] = await db.claim(queue);
  if (run === undefined) throw new Error('nothing was claimed');
  return run;
}
const save = (
  { db, queue }: Scene,
  run: ClaimedRun,
  step: string | null,
  state: string | null,
  extend: number | null = null,
) =>
  db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5, $6)', [
    queue,
    run.task_id,
    step,
    state,
    run.run_id,
    extend,
  ]);
const one = async ({ db, queue }: Scene, taskId: string, step: string, pending = false) =>
  (await db.query('select * from absurd.get_task_checkpoint_state($1, $2, $3, $4)', [queue, taskId, step, pending]))
    .rows;
const all = async ({ db, queue }: Scene, taskId: string, runId: string) =>
  (
    await db.query('select checkpoint_name from absurd.get_task_checkpoint_states($1, $2, $3)', [queue, taskId, runId])
  ).rows.map((row) => row['checkpoint_name']);
/** Fails the run; the next attempt comes back, claimed. */
async function nextAttempt({ db, queue }: Scene, run: ClaimedRun): Promise<ClaimedRun> {
  await db.query('select absurd.fail_run($1, $2, $3)', [queue, run.run_id, '{}']);
  const [next] = await db.claim(queue);
  if (next === undefined) throw new Error('no further attempt');
  return next;
}

engine('a checkpoint is stored, written over by its run, and read back', async (scene) => {
  const { db } = scene;
  await db.freeze(noon);
  const run = await claimed(scene);
  await save(scene, run, 'fetch', '{"n": 12345678901234567890}');
  expect(await one(scene, run.task_id, 'fetch')).toMatchObject([
    { checkpoint_name: 'fetch', status: 'committed', owner_run_id: run.run_id, updated_at: new Date(noon) },
  ]);
  await db.advance('1 second');
  await save(scene, run, 'fetch', '2');
  expect(await one(scene, run.task_id, 'fetch')).toMatchObject([
    { state: 2, updated_at: new Date(Date.parse(noon) + 1000) },
  ]);
  expect(await one(scene, run.task_id, 'other')).toEqual([]);
  expect(await one(scene, unknownId, 'fetch')).toEqual([]);
});

engine('a null state is stored and counts as done', async (scene) => {
  const run = await claimed(scene);
  await save(scene, run, 'empty', null);
  await save(scene, run, 'json null', 'null');
  expect(await one(scene, run.task_id, 'empty')).toMatchObject([{ state: null, status: 'committed' }]);
  expect(await all(scene, run.task_id, run.run_id)).toContain('empty');
});

engine('a later attempt writes over an earlier one, never the other way round', async (scene) => {
  const first = await claimed(scene);
  await save(scene, first, 'a', '1');
  const second = await nextAttempt(scene, first);
  await save(scene, second, 'a', '2');
  await save(scene, second, 'b', '2');
  await refuses(save(scene, first, 'a', '1'), 'AB002');
  // An earlier run that the server still takes for running, as after a restored backup.
  await scene.db.query(
    `update absurd."r_${scene.queue}" set state = 'running', claim_expires_at = now() where run_id = $1`,
    [first.run_id],
  );
  await save(scene, first, 'a', '1', 500);
  expect(await one(scene, first.task_id, 'a')).toMatchObject([{ state: 2, owner_run_id: second.run_id }]);
  const lease = (await scene.run(first.run_id))['claim_expires_at'] as Date;
  expect(lease.getTime()).toBeGreaterThan(Date.now() + 400_000);
  expect(await all(scene, first.task_id, first.run_id)).toEqual([]);
  expect(await all(scene, first.task_id, second.run_id)).toEqual(['a', 'b']);
});

engine('a positive extension renews the lease of a running run that has one', async (scene) => {
  const { db, run: row } = scene;
  await db.freeze(noon);
  const run = await claimed(scene);
  await db.advance('20 seconds');
  for (const none of [null, 0, -5]) await save(scene, run, 'a', '1', none);
  expect(iso((await row(run.run_id))['claim_expires_at'])).toBe('2026-03-04T12:00:30.000Z');
  await save(scene, run, 'a', '1', 60);
  expect(iso((await row(run.run_id))['claim_expires_at'])).toBe('2026-03-04T12:01:20.000Z');
  await db.query(`update absurd."r_${scene.queue}" set claim_expires_at = null where run_id = $1`, [run.run_id]);
  await save(scene, run, 'b', '1', 60);
  expect((await row(run.run_id))['claim_expires_at']).toBe(null);
});

engine('what may not write is refused', async (scene) => {
  const { db, queue } = scene;
  const run = await claimed(scene);
  for (const step of [null, '', '  ']) await refuses(save(scene, run, step, '1'), '22023', /step/i);
  await refuses(save(scene, { ...run, run_id: unknownId }, 'a', '1'), 'P0002', 'not found');
  const other = await claimed(scene);
  await refuses(save(scene, { ...run, task_id: other.task_id }, 'a', '1'), '22023');
  const failed = await claimed(scene, { max_attempts: 1 });
  await db.query('select absurd.fail_run($1, $2, $3)', [queue, failed.run_id, '{}']);
  await refuses(save(scene, failed, 'a', '1', 10), 'AB002', 'already failed');
  await db.query('select absurd.cancel_task($1, $2)', [queue, run.task_id]);
  await refuses(save(scene, run, 'a', '1', 10), 'AB001', 'Task has been cancelled');
  await refuses(
    db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
      'nowhere',
      unknownId,
      's',
      '1',
      unknownId,
    ]),
    'P0002',
  );
});

engine('pending checkpoints show only where they are asked for', async (scene) => {
  const run = await claimed(scene);
  await scene.db.query(
    `insert into absurd."c_${scene.queue}" (task_id, checkpoint_name, status) values ($1, 'half', 'pending')`,
    [run.task_id],
  );
  expect(await one(scene, run.task_id, 'half')).toEqual([]);
  expect(await one(scene, run.task_id, 'half', true)).toMatchObject([{ status: 'pending' }]);
  expect(await all(scene, run.task_id, run.run_id)).toEqual([]);
});

engine('states come oldest first, and only to a run of the task', async (scene) => {
  const { db } = scene;
  await db.freeze(noon);
  const run = await claimed(scene);
  for (const step of ['z', 'm', 'a']) {
    await save(scene, run, step, '1');
    await db.advance('1 second');
  }
  expect(await all(scene, run.task_id, run.run_id)).toEqual(['z', 'm', 'a']);
  await refuses(all(scene, run.task_id, unknownId), 'P0002', 'not found');
  const other = await claimed(scene);
  await refuses(all(scene, run.task_id, other.run_id), '\\w{5}', 'does not belong');
});
