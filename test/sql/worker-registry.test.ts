import { expect } from 'vitest';
import { engine, refuses, type Scene } from './support.js';

const beat = ({ db }: Scene, queue: string, worker: string, details: object = {}) =>
  db.query('select absurd.heartbeat_worker($1, $2, $3)', [queue, worker, JSON.stringify(details)]);
/** Of the queue of this test, and of one that does not exist. */
const rows = async ({ db, queue }: Scene) =>
  (
    await db.query(`select * from absurd.workers where queue_name in ($1, $2) order by worker_id`, [
      queue,
      elsewhere(queue),
    ])
  ).rows;
const elsewhere = (queue: string): string => `not-${queue}`;

engine('a heartbeat makes the row of a worker, then keeps what it does not name', async (scene) => {
  const { db, queue } = scene;
  const [from, to] = [new Date('2026-03-04T12:00:00Z'), new Date('2026-03-04T12:00:15Z')];
  await db.freeze(from.toISOString());
  const details = {
    host: 'web-1',
    pid: 7,
    sdk_name: 'absurdctl',
    sdk_version: '1.2.3',
    program_version: '2.0',
    task_names: ['a', 'b'],
    concurrency: 4,
    running: 3,
  };
  await beat(scene, queue, 'w1', details);
  const row = { queue_name: queue, worker_id: 'w1', ...details, state: 'running', started_at: from };
  expect(await rows(scene)).toEqual([{ ...row, heartbeat_at: from }]);
  await db.freeze(to.toISOString());
  await beat(scene, queue, 'w1', { running: 1, state: 'draining' });
  expect(await rows(scene)).toEqual([{ ...row, running: 1, state: 'draining', heartbeat_at: to }]);
});

engine('a heartbeat without details makes a row, too', async (scene) => {
  await beat(scene, scene.queue, 'w1');
  expect(await rows(scene)).toMatchObject([
    { worker_id: 'w1', host: null, task_names: [], running: 0, state: 'running' },
  ]);
});

engine('a process that takes over the name of another starts when it does so', async (scene) => {
  const { db, queue } = scene;
  const details = { host: 'web-1', pid: 7, program_version: '2.0' };
  for (const change of [{ host: 'web-2' }, { pid: 8 }, { program_version: '2.1' }]) {
    await db.freeze('2026-03-04T12:00:00Z');
    await beat(scene, queue, JSON.stringify(change), details);
    await db.freeze('2026-03-04T12:00:15Z');
    await beat(scene, queue, JSON.stringify(change), { ...details, ...change });
  }
  expect((await rows(scene)).map((row) => row['started_at'])).toEqual(Array(3).fill(new Date('2026-03-04T12:00:15Z')));
});

engine('a heartbeat removes the rows that are an hour old, of any queue, and skips locked ones', async (scene) => {
  const { db, queue, connect } = scene;
  await db.freeze('2026-03-04T12:00:00Z');
  for (const worker of ['gone', 'held']) await beat(scene, elsewhere(queue), worker);
  await db.freeze('2026-03-04T12:00:01Z');
  await beat(scene, queue, 'young');
  const holder = await connect();
  await holder.query('begin');
  await holder.query(`select from absurd.workers where worker_id = 'held' for update`);
  await db.freeze('2026-03-04T13:00:01Z');
  await beat(scene, queue, 'live');
  await holder.query('commit');
  expect((await rows(scene)).map((row) => row['worker_id'])).toEqual(['held', 'live', 'young']);
});

engine('a worker is forgotten when it closes, and with its queue', async (scene) => {
  const { db, queue, value } = scene;
  await beat(scene, queue, 'w1');
  expect(await value(`select absurd.forget_worker($1, 'w1')`, [elsewhere(queue)])).toBe(false);
  expect(await value('select absurd.forget_worker($1, $2)', [queue, 'w1'])).toBe(true);
  expect(await value('select absurd.forget_worker($1, $2)', [queue, 'w1'])).toBe(false);
  await beat(scene, queue, 'w2');
  await db.query('select absurd.drop_queue($1)', [queue]);
  expect(await rows(scene)).toEqual([]);
});

engine('a heartbeat refuses a blank name and details that it cannot use', async (scene) => {
  const { queue } = scene;
  await refuses(beat(scene, queue, ' '), '22023');
  for (const details of [[], { state: 'asleep' }, { pid: 'seven' }, { task_names: 'a' }]) {
    await refuses(beat(scene, queue, 'w1', details), '2\\w{4}');
  }
  expect(await rows(scene)).toEqual([]);
});
