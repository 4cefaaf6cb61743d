import { expect } from 'vitest';
import { engine, noon, refuses, type Scene } from './support.js';

const pause = ({ db, queue }: Scene, until: string | null = null, reason: string | null = null) =>
  db.query('select absurd.pause_queue($1, $2, $3)', [queue, until, reason]);
const pauses = async ({ db, queue }: Scene) =>
  (await db.query('select * from absurd.get_queue_pauses($1)', [queue])).rows;

engine('a paused queue hands out nothing, and accepts everything', async (scene) => {
  const { db, queue, value, task } = scene;
  const running = await db.spawn(queue, 'running');
  const [run] = await db.claim(queue);
  await pause(scene);

  const spawned = await db.spawn(queue, 'spawned');

  expect(await db.claim(queue, { qty: 10 })).toEqual([]);
  await db.query('select absurd.complete_run($1, $2)', [queue, run?.run_id]);
  expect(await task(running.task_id)).toMatchObject({ state: 'completed' });
  expect(await value('select absurd.resume_queue($1)', [queue])).toBe(true);
  expect((await db.claim(queue, { qty: 10 })).map((claimed) => claimed.task_id)).toEqual([spawned.task_id]);
  expect(await value('select absurd.resume_queue($1)', [queue])).toBe(false);
});

engine('a pause stops other queues not at all, and costs an unpaused queue no row', async (scene) => {
  const { db, queue, value, partitioned } = scene;
  const other = await partitioned();
  await pause(scene);
  const spawned = await db.spawn(other, 'job');

  expect((await db.claim(other)).map((claimed) => claimed.task_id)).toEqual([spawned.task_id]);
  expect(
    await value('select array_agg(queue_name) from absurd.claim_gates where queue_name in ($1, $2)', [queue, other]),
  ).toEqual([queue]);
  await db.query('select absurd.resume_queue($1)', [queue]);
  expect(await value('select count(*)::int from absurd.claim_gates where queue_name = $1', [queue])).toBe(0);
});

engine('the claim of a paused queue still cancels what is due and fails expired leases', async (scene) => {
  const { db, queue, task, run } = scene;
  await db.freeze(noon);
  await db.spawn(queue, 'expired', {}, { max_attempts: 1 });
  const [expired] = await db.claim(queue, { timeout: 30 });
  const late = await db.spawn(queue, 'late', {}, { cancellation: { max_delay: 60 } });
  await pause(scene);
  await db.advance('2 minutes');

  expect(await db.claim(queue, { qty: 5 })).toEqual([]);

  expect(await task(late.task_id)).toMatchObject({ state: 'cancelled' });
  expect(await run(expired?.run_id ?? '')).toMatchObject({ state: 'failed' });
});

engine('a pause with an end stops by itself, and a second pause replaces its end and reason', async (scene) => {
  const { db, queue } = scene;
  const at = await db.freeze(noon).then(() => db.advance('0 seconds'));
  const spawned = await db.spawn(queue, 'job');
  await pause(scene, new Date(at.getTime() + 60_000).toISOString(), 'first');
  await pause(scene, new Date(at.getTime() + 120_000).toISOString(), 'second');
  expect(await pauses(scene)).toMatchObject([{ reason: 'second', paused_at: at }]);

  await db.advance('90 seconds');
  expect(await db.claim(queue)).toEqual([]);
  await db.advance('31 seconds');

  expect((await db.claim(queue)).map((claimed) => claimed.task_id)).toEqual([spawned.task_id]);
  expect(await pauses(scene)).toEqual([]);
});

engine('a pause is refused for an unknown queue and an end in the past, and goes with its queue', async (scene) => {
  const { db, queue, value } = scene;
  await refuses(db.query(`select absurd.pause_queue('no such')`), 'P0002', 'does not exist');
  await refuses(pause(scene, '2001-01-01'), '22023', 'must be in the future');
  await refuses(db.query(`select absurd.resume_queue('no such')`), 'P0002', 'does not exist');
  await pause(scene);

  await db.query('select absurd.drop_queue($1)', [queue]);

  expect(await value('select count(*)::int from absurd.queue_pauses where queue_name = $1', [queue])).toBe(0);
});

engine('a row that somebody else inserts pauses the queue as well', async (scene) => {
  const { db, queue } = scene;
  await db.spawn(queue, 'job');
  await db.query('insert into absurd.queue_pauses (queue_name) values ($1)', [queue]);
  expect(await db.claim(queue)).toEqual([]);

  await db.query('delete from absurd.queue_pauses where queue_name = $1', [queue]);

  expect(await db.claim(queue)).toHaveLength(1);
});
