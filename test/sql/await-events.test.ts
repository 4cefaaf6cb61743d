import { expect } from 'vitest';
import type { ClaimedRun } from '../support/database.js';
import { engine, noon, refuses, unknownId, type Scene } from './support.js';

type Wait = { step?: string; event?: string; timeout?: unknown; sleep_until?: string };

const sleeping = { should_suspend: true, results: [] };

async function claimed({ db, queue }: Scene): Promise<ClaimedRun> {
  const { run_id: id } = await db.spawn(queue, 'job');
  for (;;) {
    const [run] = await db.claim(queue, { timeout: 600 });
    if (run === undefined) throw new Error('nothing was claimed');
    if (run.run_id === id) return run;
  }
}
const awaits = async ({ db, queue }: Scene, run: ClaimedRun, waits: unknown) =>
  (
    await db.query('select * from absurd.await_events($1, $2, $3, $4)', [
      queue,
      run.task_id,
      run.run_id,
      JSON.stringify(waits),
    ])
  ).rows[0];
const emit = ({ db, queue }: Scene, event: string, payload = '1') =>
  db.query('select absurd.emit_event($1, $2, $3)', [queue, event, payload]);
const waitsOf = async ({ db, queue }: Scene, run: ClaimedRun) =>
  (
    await db.query(`select step_name, event_name, timeout_at from absurd."w_${queue}" where run_id = $1 order by 1`, [
      run.run_id,
    ])
  ).rows;
const checkpointsOf = async ({ db, queue }: Scene, run: ClaimedRun) =>
  Object.fromEntries(
    (
      await db.query(`select checkpoint_name, state from absurd."c_${queue}" where task_id = $1 order by 1`, [
        run.task_id,
      ])
    ).rows.map((row) => [row['checkpoint_name'], row['state']]),
  );
const either: Wait[] = [
  { step: 'a', event: 'approve' },
  { step: 'b', event: 'reject' },
];

engine('await_events: any of several events wakes the run, and the others stay registered', async (scene) => {
  const { run, task, queue, db } = scene;
  const job = await claimed(scene);
  expect(await awaits(scene, job, either)).toEqual(sleeping);
  expect(await run(job.run_id)).toMatchObject({
    state: 'sleeping',
    claimed_by: null,
    claim_expires_at: null,
    available_at: Infinity,
    wake_event: 'approve',
  });
  expect((await task(job.task_id))['state']).toBe('sleeping');
  await emit(scene, 'reject', '{"by": "Ada"}');
  expect(await run(job.run_id)).toMatchObject({ state: 'pending', wake_event: null });
  expect(await checkpointsOf(scene, job)).toEqual({ b: { by: 'Ada' } });
  expect(await waitsOf(scene, job)).toEqual([{ step_name: 'a', event_name: 'approve', timeout_at: null }]);

  expect(await db.claim(queue, { timeout: 600 })).toHaveLength(1);
  expect(await awaits(scene, job, either)).toMatchObject({
    should_suspend: false,
    results: [{ step: 'b', event: 'reject', payload: { by: 'Ada' } }],
  });
  await emit(scene, 'approve', 'null');
  expect((await awaits(scene, job, either))?.['results']).toMatchObject([
    { step: 'a', payload: null },
    { step: 'b', payload: { by: 'Ada' } },
  ]);
  await db.query('select absurd.complete_run($1, $2)', [queue, job.run_id]);
  expect(await waitsOf(scene, job)).toEqual([]);
});

engine('await_events: the first end by time wakes the run', async (scene) => {
  const { db, queue, run } = scene;
  await db.freeze(noon);
  const at = (seconds: number): Date => new Date(Date.parse(noon) + seconds * 1000);
  const job = await claimed(scene);
  const waits: Wait[] = [
    { step: 'a', event: 'approve', timeout: 60 },
    { step: 'nap', sleep_until: at(90).toISOString() },
    { step: 'b', event: 'reject', timeout: null },
  ];
  expect(await awaits(scene, job, waits)).toEqual(sleeping);
  expect(await run(job.run_id)).toMatchObject({ available_at: at(60), wake_event: 'approve' });
  expect(await checkpointsOf(scene, job)).toEqual({ nap: '2026-03-04T12:01:30.000000Z' });
  expect(await waitsOf(scene, job)).toMatchObject([{ timeout_at: at(60) }, { timeout_at: null }]);

  await db.advance('61 seconds');
  expect(await db.claim(queue, { timeout: 600 })).toMatchObject([{ wake_event: 'approve', event_payload: null }]);
  expect(await awaits(scene, job, waits)).toMatchObject({
    should_suspend: false,
    results: [{ step: 'a', event: 'approve', timed_out: true }],
  });
  // Answered once; from then on it is awaited as if it were new.
  expect(await awaits(scene, job, waits.slice(1))).toEqual(sleeping);
  expect(await run(job.run_id)).toMatchObject({ available_at: at(90), wake_event: null });

  await db.advance('30 seconds');
  expect(await db.claim(queue, { timeout: 600 })).toMatchObject([{ wake_event: null }]);
  expect((await awaits(scene, job, waits.slice(1)))?.['results']).toMatchObject([
    { step: 'nap', sleep_until: expect.stringContaining('12:01:30') },
  ]);
  expect(await checkpointsOf(scene, job)).toEqual({ nap: '2026-03-04T12:01:30.000000Z' });
});

engine('await_events: two steps may wait for one event', async (scene) => {
  const job = await claimed(scene);
  await awaits(scene, job, [
    { step: 'a', event: 'twice' },
    { step: 'b', event: 'twice' },
  ]);
  await emit(scene, 'twice');
  expect(await checkpointsOf(scene, job)).toEqual({ a: 1, b: 1 });
  expect(await waitsOf(scene, job)).toEqual([]);
});

engine('await_events: a checkpoint answers, whatever the run’s state', async (scene) => {
  const { db, queue } = scene;
  const job = await claimed(scene);
  await emit(scene, 'approve', '"yes"');
  await awaits(scene, job, either);
  await db.query('select absurd.complete_run($1, $2)', [queue, job.run_id]);
  expect(await awaits(scene, job, either)).toMatchObject({ results: [{ step: 'a', payload: 'yes' }] });
  await refuses(awaits(scene, job, [{ step: 'c', event: 'approve' }]), '55000', /completed/);
  expect(await checkpointsOf(scene, job)).toEqual({ a: 'yes' });
});

engine('await_events refuses what it cannot wait for, and writes nothing', async (scene) => {
  const { db, queue, run } = scene;
  const job = await claimed(scene);
  const a: Wait = { step: 'a', event: 'approve' };
  for (const waits of [
    null,
    {},
    [],
    [a, 5],
    [a, { event: 'e' }],
    [a, { step: ' ', event: 'e' }],
    [a, { step: 'b', event: '' }],
    [a, { step: 'b' }],
    [a, { step: 'b', event: 'e', sleep_until: noon }],
    [a, { step: 'a', event: 'e' }],
    [a, { step: 'b', event: 'e', timeout: -1 }],
    [a, { step: 'b', event: 'e', timeout: 'soon' }],
    [a, { step: 'b', sleep_until: 'infinity' }],
  ]) {
    await refuses(awaits(scene, job, waits), '22023');
  }
  await refuses(awaits(scene, { ...job, run_id: unknownId }, either), 'P0002');
  await refuses(awaits(scene, { ...job, task_id: unknownId }, either), '22023', /belong/);
  await refuses(
    db.query('select absurd.await_events($1, $2, $2, $3)', ['nowhere', unknownId, '[{"step":"a","event":"b"}]']),
    'P0002',
  );
  expect(await run(job.run_id)).toMatchObject({ state: 'running' });
  expect(await checkpointsOf(scene, job)).toEqual({});
  await db.query('select absurd.cancel_task($1, $2)', [queue, job.task_id]);
  await refuses(awaits(scene, job, either), 'AB001');
});

engine('await_events is a feature that clients can ask for', async ({ value }) => {
  expect(await value('select absurd.get_schema_features()')).toContain('await_events');
});
