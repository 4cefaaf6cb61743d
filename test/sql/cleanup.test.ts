import { expect } from 'vitest';
import { engine, noon, refuses, type Scene } from './support.js';

/** One task of each end, a minute apart, oldest first: completed, failed, cancelled; then one that is not over. */
async function ends({ db }: Scene, queue: string): Promise<string[]> {
  const ids: string[] = [];
  for (const end of ['complete', 'fail', 'cancel']) {
    const { task_id: id } = await db.spawn(queue, 'job', {}, { max_attempts: 1, idempotency_key: end });
    ids.push(id);
    const [run] = await db.claim(queue);
    await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [queue, id, 's', '1', run?.run_id]);
    if (end === 'complete') await db.query('select absurd.complete_run($1, $2)', [queue, run?.run_id]);
    if (end === 'fail') await db.query('select absurd.fail_run($1, $2, $3)', [queue, run?.run_id, '{}']);
    if (end === 'cancel') await db.query('select absurd.cancel_task($1, $2)', [queue, id]);
    await db.advance('1 minute');
  }
  ids.push((await db.spawn(queue, 'job')).task_id);
  return ids;
}

for (const mode of ['unpartitioned', 'partitioned'] as const) {
  engine(`cleanup_tasks deletes the oldest ended tasks, and all of them (${mode})`, async (scene) => {
    const { db, value } = scene;
    await db.freeze(noon);
    const queue = mode === 'partitioned' ? await scene.partitioned() : scene.queue;
    const [first, second, third, open] = await ends(scene, queue);
    const clean = (ttl: number, limit: number | null = 1000): Promise<number> =>
      value('select absurd.cleanup_tasks($1, $2, $3)', [queue, ttl, limit]);
    const left = (): Promise<unknown> =>
      value(`select array_agg(task_id order by enqueue_at) from absurd."t_${queue}"`);

    // Strictly longer ago: at exactly the ttl nothing goes.
    expect(await clean(180)).toBe(0);
    expect(await clean(60, 1)).toBe(1);
    expect(await left()).toEqual([second, third, open]);
    await db.advance('1 second');
    expect(await clean(120)).toBe(1);
    expect(await left()).toEqual([third, open]);
    expect(await clean(0)).toBe(1);
    expect(await left()).toEqual([open]);
    for (const table of ['r', 'c', 'w']) {
      expect(await value(`select count(*)::int from absurd."${table}_${queue}" where task_id <> $1`, [open])).toBe(0);
    }
    expect((await db.spawn(queue, 'job', {}, { idempotency_key: 'complete' })).created).toBe(true);
    expect(first).not.toBe(undefined);
  });
}

engine('cleanup_events deletes what was emitted long ago, never what is only awaited', async ({ db, queue, value }) => {
  await db.freeze(noon);
  await db.spawn(queue, 'job');
  const [run] = await db.claim(queue);
  await db.query('select absurd.await_event($1, $2, $3, $4, $5)', [queue, run?.task_id, run?.run_id, 's', 'awaited']);
  for (const event of ['a', 'b', 'c']) {
    await db.query('select absurd.emit_event($1, $2)', [queue, event]);
    await db.advance('1 minute');
  }
  const left = (): Promise<unknown> =>
    value(`select string_agg(event_name, ',' order by event_name) from absurd."e_${queue}"`);
  expect(await value('select absurd.cleanup_events($1, 60, 1)', [queue])).toBe(1);
  expect(await left()).toBe('awaited,b,c');
  expect(await value('select absurd.cleanup_events($1, 60)', [queue])).toBe(1);
  expect(await left()).toBe('awaited,c');
  await db.advance('1 second');
  expect(await value('select absurd.cleanup_events($1, 0)', [queue])).toBe(1);
  expect(await left()).toBe('awaited');
});

engine('what makes no sense is refused', async ({ db, queue }) => {
  for (const name of ['cleanup_tasks', 'cleanup_events']) {
    await refuses(db.query(`select absurd.${name}($1, -1)`, [queue]), '22023', /ttl/i);
    await refuses(db.query(`select absurd.${name}('nowhere', 1)`), 'P0002', 'nowhere');
  }
});

engine('cleanup_all_queues takes one batch a queue by its policy, in the order of the names', async (scene) => {
  const { db, queue } = scene;
  await db.freeze(noon);
  const other = await db.queue(`${queue}a`);
  for (const name of [other, queue]) await ends(scene, name);
  await db.query('select absurd.emit_event($1, $2)', [queue, 'e']);
  await db.query('select absurd.set_queue_policy($1, $2)', [queue, '{"cleanup_ttl": "1 day", "cleanup_limit": 2}']);
  await db.advance('2 days');
  const { rows } = await db.query('select * from absurd.cleanup_all_queues() where queue_name = any ($1)', [
    [queue, other],
  ]);
  expect(rows).toEqual([
    { queue_name: queue, tasks_deleted: 2, events_deleted: 1 },
    { queue_name: other, tasks_deleted: 0, events_deleted: 0 },
  ]);
  const one = await db.query('select * from absurd.cleanup_all_queues($1)', [queue]);
  expect(one.rows).toEqual([{ queue_name: queue, tasks_deleted: 1, events_deleted: 0 }]);
  await refuses(db.query(`select * from absurd.cleanup_all_queues('nowhere')`), 'P0002', 'nowhere');
});

engine('a checkpoint that comes while its task is cleaned up does not outlive it', async (scene) => {
  const { db, queue, connect, value } = scene;
  await db.freeze(noon);
  const { task_id: task } = await db.spawn(queue, 'job');
  const [run] = await db.claim(queue);
  await db.query('select absurd.complete_run($1, $2)', [queue, run?.run_id]);
  await db.advance('1 minute');
  const [late, cleaner] = [await connect(), await connect()];
  await late.query('begin');
  await late.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [queue, task, 's', '1', run?.run_id]);

  const pid = await cleaner.pid();
  const cleaned = cleaner.query('select absurd.cleanup_tasks($1, 0) as n', [queue]);
  const waits = 'select wait_event_type from pg_stat_activity where pid = $1';
  await expect.poll(() => value(waits, [pid]), { timeout: 60_000, interval: 10 }).toBe('Lock');
  await late.query('commit');

  expect((await cleaned).rows).toEqual([{ n: 1 }]);
  expect(await value(`select count(*)::int from absurd."c_${queue}"`)).toBe(0);
});
