import { expect } from 'vitest';
import type { ClaimedRun, SpawnedTask } from '../support/database.js';
import { engine, noon, refuses, unknownId, type Scene } from './support.js';

interface Child {
  task_id: string;
  queue?: string;
}

/** A claimed parent, with children in the queue. */
async function family(scene: Scene, count: number, queue = scene.queue): Promise<[ClaimedRun, SpawnedTask[]]> {
  const { db } = scene;
  const spawned = await db.spawn(scene.queue, 'parent');
  const [parent] = await db.claim(scene.queue, { timeout: 600 });
  if (parent?.task_id !== spawned.task_id) throw new Error('the parent was not claimed');
  const children: SpawnedTask[] = [];
  for (let i = 0; i < count; i++) {
    children.push(
      await db.spawn(
        queue,
        `child-${i}`,
        {},
        { parent: { queue: scene.queue, task_id: parent.task_id }, max_attempts: 1 },
      ),
    );
  }
  return [parent, children];
}

const awaits = async (
  { db, queue }: Scene,
  run: ClaimedRun,
  children: readonly Child[],
  mode = 'all',
  timeout: number | null = null,
  step = 'join',
) =>
  (
    await db.query<{ should_suspend: boolean; results: { state: string; result: unknown }[] | null }>(
      'select * from absurd.await_tasks($1, $2, $3, $4, $5, $6, $7)',
      [
        queue,
        run.task_id,
        run.run_id,
        step,
        JSON.stringify(children.map(({ task_id, queue: of }) => ({ task_id, queue: of }))),
        mode,
        timeout,
      ],
    )
  ).rows[0];

const suspended = { should_suspend: true, results: null };

engine('a parent sleeps until all children have ended, however they end, and is woken once', async (scene) => {
  const { db, queue, run, task, value } = scene;
  const [parent, children] = await family(scene, 3);
  expect(await awaits(scene, parent, children)).toEqual(suspended);
  const [a, b] = await db.claim(queue, { qty: 2, timeout: 600 });
  await db.query('select absurd.complete_run($1, $2, $3)', [queue, a?.run_id, '{"n": 1}']);
  await db.query('select absurd.fail_run($1, $2, $3)', [queue, b?.run_id, '{"message": "no"}']);
  expect(await run(parent.run_id)).toMatchObject({ state: 'sleeping' });

  await db.query('select absurd.cancel_task($1, $2)', [queue, children[2]?.task_id]);

  expect(await run(parent.run_id)).toMatchObject({ state: 'pending', wake_event: null });
  expect(await task(parent.task_id)).toMatchObject({ state: 'pending' });
  const again = await db.claim(queue, { qty: 5, timeout: 600 });
  expect(again.map(({ run_id }) => run_id)).toEqual([parent.run_id]);
  expect((await awaits(scene, parent, children))?.results).toMatchObject([
    { task_id: children[0]?.task_id, queue, state: 'completed', result: { n: 1 }, failure_reason: null },
    { state: 'failed', result: null, failure_reason: { message: 'no' } },
    { state: 'cancelled', result: null, failure_reason: null },
  ]);
  expect(await value('select count(*)::int from absurd.task_waits where queue_name = $1', [queue])).toBe(0);
  expect(await value('select count(*)::int from absurd.awaited_tasks where queue_name = $1', [queue])).toBe(0);
});

engine('any: the first to end wakes the parent; the others are reported as they stand', async (scene) => {
  const { db, queue, run } = scene;
  const [parent, children] = await family(scene, 2);
  expect(await awaits(scene, parent, children, 'any')).toEqual(suspended);
  const [first] = await db.claim(queue, { timeout: 600 });

  await db.query('select * from absurd.complete_runs($1, $2)', [
    queue,
    JSON.stringify([{ run_id: first?.run_id, state: 1 }]),
  ]);

  expect(await run(parent.run_id)).toMatchObject({ state: 'pending' });
  await db.claim(queue, { timeout: 600 });
  expect((await awaits(scene, parent, children, 'any'))?.results).toMatchObject([
    { state: 'completed', result: 1 },
    { state: 'pending', result: null },
  ]);
});

engine('children in another queue wake the parent too, a partitioned one included', async (scene) => {
  const { db, run, partitioned } = scene;
  const other = await partitioned();
  const [parent, [child]] = await family(scene, 1, other);
  const of = [{ task_id: child?.task_id ?? '', queue: other }];
  expect(await awaits(scene, parent, of)).toEqual(suspended);
  const [claimed] = await db.claim(other, { timeout: 600 });

  await db.query('select absurd.complete_run($1, $2, $3)', [other, claimed?.run_id, '"done"']);

  expect(await run(parent.run_id)).toMatchObject({ state: 'pending' });
});

engine('children that ended before the wait do not suspend the run', async (scene) => {
  const { db, queue } = scene;
  const [parent, children] = await family(scene, 1);
  await db.query('select absurd.cancel_task($1, $2)', [queue, children[0]?.task_id]);

  expect(await awaits(scene, parent, children)).toMatchObject({
    should_suspend: false,
    results: [{ state: 'cancelled' }],
  });
  expect(await awaits(scene, parent, [], 'all', null, 'none')).toEqual({ should_suspend: false, results: [] });
});

engine(
  'a wait times out at the moment that its first call set, and looks again every minute until then',
  async (scene) => {
    const { db, queue, run } = scene;
    await db.freeze(noon);
    const [parent, children] = await family(scene, 1);
    await db.query('select absurd.pause_queue($1)', [queue]);
    expect(await awaits(scene, parent, children, 'all', 90)).toEqual(suspended);
    expect(await run(parent.run_id)).toMatchObject({ available_at: new Date('2026-03-04T12:01:00Z') });
    await db.query('select absurd.resume_queue($1)', [queue]);
    await db.advance('60 seconds');
    await db.claim(queue, { qty: 5, timeout: 600 });

    expect(await awaits(scene, parent, children, 'all', 90)).toEqual(suspended);
    expect(await run(parent.run_id)).toMatchObject({ available_at: new Date('2026-03-04T12:01:30Z') });
    await db.advance('30 seconds');
    await db.claim(queue, { qty: 5, timeout: 600 });

    expect(await awaits(scene, parent, children, 'all', 90)).toEqual({ should_suspend: false, results: null });
  },
);

engine('a child that was cleaned up, or whose queue was dropped, counts as ended with state unknown', async (scene) => {
  const { db, queue, partitioned } = scene;
  const other = await partitioned();
  await db.freeze(noon);
  const [parent, [child]] = await family(scene, 1, other);
  const of = [{ task_id: child?.task_id ?? '', queue: other }, { task_id: unknownId }];
  expect(await awaits(scene, parent, of)).toEqual(suspended);
  await db.query('select absurd.drop_queue($1)', [other]);
  await db.advance('61 seconds');
  await db.claim(queue, { timeout: 600 });

  expect(await awaits(scene, parent, of)).toMatchObject({
    should_suspend: false,
    results: [{ state: 'unknown' }, { state: 'unknown' }],
  });
});

engine('a wait that would close a cycle is refused', async (scene) => {
  const { db, queue } = scene;
  const [parent, [child]] = await family(scene, 1);
  const [claimed] = await db.claim(queue, { timeout: 600 });
  if (claimed === undefined) throw new Error('the child was not claimed');
  expect(claimed.task_id).toBe(child?.task_id);
  await refuses(awaits(scene, claimed, [{ task_id: parent.task_id }]), '55000', 'ancestor');
  await refuses(awaits(scene, claimed, [{ task_id: claimed.task_id }]), '55000', 'same task');

  const stranger = await db.spawn(queue, 'stranger');
  const [other] = await db.claim(queue, { timeout: 600 });
  if (other === undefined) throw new Error('the stranger was not claimed');
  expect(await awaits(scene, other, [{ task_id: claimed.task_id }])).toEqual(suspended);
  await refuses(awaits(scene, claimed, [{ task_id: stranger.task_id }]), '55000', 'wait for it');
});

engine('the arguments of a wait are checked', async (scene) => {
  const [parent, children] = await family(scene, 1);
  await refuses(awaits(scene, parent, children, 'some'), '22023', 'all or any');
  await refuses(awaits(scene, parent, children, 'all', -1), '22023', 'negative');
  await refuses(awaits(scene, parent, children, 'all', null, ' '), '22023', 'Step name');
  await refuses(awaits(scene, parent, [{ task_id: 'x' }]), '22023', 'task_id');
  await refuses(awaits(scene, { ...parent, run_id: unknownId }, children), 'P0002', 'not found');
});

engine('a family is cancelled whole, across queues, and what has ended stays', async (scene) => {
  const { db, queue, task, value, partitioned } = scene;
  const other = await partitioned();
  const [parent, [child, ended]] = await family(scene, 2, other);
  const grandchild = await db.spawn(queue, 'grandchild', {}, { parent: { queue: other, task_id: child?.task_id } });
  await db.query('select absurd.cancel_task($1, $2)', [other, ended?.task_id]);
  const stranger = await db.spawn(queue, 'stranger');

  expect(await value('select absurd.cancel_task_tree($1, $2)', [queue, parent.task_id])).toBe(3);

  expect(await task(parent.task_id)).toMatchObject({ state: 'cancelled' });
  expect(await task(grandchild.task_id)).toMatchObject({ state: 'cancelled' });
  expect(await task(child?.task_id ?? '', other)).toMatchObject({ state: 'cancelled' });
  expect(await task(stranger.task_id)).toMatchObject({ state: 'pending' });
  expect(await value('select absurd.cancel_task_tree($1, $2)', [queue, parent.task_id])).toBe(0);
  await refuses(db.query('select absurd.cancel_task_tree($1, $2)', [queue, unknownId]), 'P0002', 'not found');
});

engine('a parent that does not exist is refused, and nothing is spawned', async ({ db, queue, value }) => {
  await refuses(db.spawn(queue, 'child', {}, { parent: { queue, task_id: unknownId } }), 'P0002', 'Parent task');
  await refuses(db.spawn(queue, 'child', {}, { parent: { queue } }), '22023', 'parent');
  await refuses(db.spawn(queue, 'child', {}, { parent: { queue, task_id: 'x' } }), '22023', 'parent');
  expect(await value(`select count(*)::int from absurd."t_${queue}"`)).toBe(0);
});

engine('two children that end at once wake their parent, whichever commits last', async (scene) => {
  const { db, queue, run, connect } = scene;
  const [parent, children] = await family(scene, 2);
  expect(await awaits(scene, parent, children)).toEqual(suspended);
  const claimed = await db.claim(queue, { qty: 2, timeout: 600 });
  const second = await connect();
  await db.query('begin');
  await second.query('begin');
  await db.query('select absurd.complete_run($1, $2)', [queue, claimed[0]?.run_id]);
  await second.query('select absurd.complete_run($1, $2)', [queue, claimed[1]?.run_id]);

  await db.query('commit');
  expect(await run(parent.run_id)).toMatchObject({ state: 'sleeping' });
  await second.query('commit');

  expect(await run(parent.run_id)).toMatchObject({ state: 'pending' });
});

engine('a thousand children wake their parent once', async (scene) => {
  const { db, queue, run, value } = scene;
  const spawned = await db.spawn(queue, 'parent');
  const [parent] = await db.claim(queue, { timeout: 600 });
  const { rows: children } = await db.query<{ task_id: string }>(
    `select s.task_id from absurd.spawn_tasks($1, (
       select jsonb_agg(jsonb_build_object('task_name', 'child', 'options', jsonb_build_object('parent', $2::jsonb)))
         from generate_series(1, 1000))) s`,
    [queue, JSON.stringify({ queue, task_id: spawned.task_id })],
  );
  if (parent === undefined) throw new Error('the parent was not claimed');
  expect(await awaits(scene, parent, children)).toEqual(suspended);
  for (let left = 1000; left > 0; left -= 250) {
    const claimed = await db.claim(queue, { qty: 250, timeout: 600 });
    await db.query('select * from absurd.complete_runs($1, $2)', [
      queue,
      JSON.stringify(claimed.map(({ run_id }) => ({ run_id, state: null }))),
    ]);
    expect((await run(parent.run_id)).state).toBe(left === 250 ? 'pending' : 'sleeping');
  }
  expect(await value(`select count(*)::int from absurd."c_${queue}"`)).toBe(1);
});

engine('a child that ended before the wait is not waited for again when the last one ends', async (scene) => {
  const { db, queue, run, value } = scene;
  const [parent, children] = await family(scene, 2);
  const [first] = await db.claim(queue, { timeout: 600 });
  await db.query('select absurd.complete_run($1, $2)', [queue, first?.run_id]);
  expect(await awaits(scene, parent, children)).toEqual(suspended);
  expect(await value('select count(*)::int from absurd.awaited_tasks where run_id = $1', [parent.run_id])).toBe(1);
  const [last] = await db.claim(queue, { timeout: 600 });

  await db.query('select absurd.complete_run($1, $2)', [queue, last?.run_id]);

  expect(await run(parent.run_id)).toMatchObject({ state: 'pending' });
});

engine('any: two children that end at once do not wait for each other', async (scene) => {
  const { db, queue, run, value, connect } = scene;
  const [parent, children] = await family(scene, 2);
  expect(await awaits(scene, parent, children, 'any')).toEqual(suspended);
  const claimed = await db.claim(queue, { qty: 2, timeout: 600 });
  const second = await connect();
  await db.query('begin');
  await second.query('begin');
  await db.query('select absurd.complete_run($1, $2)', [queue, claimed[0]?.run_id]);
  await second.query('select absurd.complete_run($1, $2)', [queue, claimed[1]?.run_id]);

  await Promise.all([db.query('commit'), second.query('commit')]);

  expect(await run(parent.run_id)).toMatchObject({ state: 'pending' });
  expect(await value('select count(*)::int from absurd.awaited_tasks where queue_name = $1', [queue])).toBe(0);
  expect(await value('select count(*)::int from absurd.task_waits where queue_name = $1', [queue])).toBe(0);
});
