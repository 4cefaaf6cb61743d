import { expect } from 'vitest';
import { engine, noon, refuses } from './support.js';

engine('a delayed task sleeps until its start, and max_delay counts from then', async ({ db, queue, task, run }) => {
  await db.freeze(noon);
  const spawned = await db.spawn(queue, 'late', {}, { delay_seconds: 90.5, cancellation: { max_delay: 60 } });
  expect(spawned).toMatchObject({ attempt: 1, created: true });
  expect(await task(spawned.task_id)).toMatchObject({ state: 'sleeping', attempts: 1 });
  expect(await run(spawned.run_id)).toMatchObject({ state: 'sleeping' });
  await db.advance('90 seconds');
  expect(await db.claim(queue)).toEqual([]);

  await db.advance('1 second');

  expect((await db.claim(queue)).map((claimed) => claimed.task_id)).toEqual([spawned.task_id]);
});

engine('a delayed task that nobody starts in time is cancelled after max_delay', async ({ db, queue, task }) => {
  await db.freeze(noon);
  const spawned = await db.spawn(queue, 'late', {}, { delay_seconds: 90, cancellation: { max_delay: 60 } });
  await db.advance('149 seconds');
  await db.query(`select absurd.claim_task($1, 'w', 30, 1) from absurd.pause_queue($1)`, [queue]);
  expect(await task(spawned.task_id)).toMatchObject({ state: 'sleeping' });

  await db.advance('1 second');
  await db.claim(queue);

  expect(await task(spawned.task_id)).toMatchObject({ state: 'cancelled' });
});

engine('start_at names the start; one in the past means now', async ({ db, queue, run, task }) => {
  await db.freeze(noon);
  const future = await db.spawn(queue, 'future', {}, { start_at: '2030-01-02T03:04:05Z' });
  const past = await db.spawn(queue, 'past', {}, { start_at: '2001-01-01T00:00:00Z' });

  expect(await run(future.run_id)).toMatchObject({ available_at: new Date('2030-01-02T03:04:05Z') });
  expect(await task(past.task_id)).toMatchObject({ state: 'pending' });
});

engine('a delay is refused where it cannot be read, and nothing is written', async ({ db, queue, value }) => {
  for (const options of [
    { delay_seconds: 1, start_at: '2030-01-01' },
    { delay_seconds: -1 },
    { delay_seconds: '1' },
    { start_at: 'tomorrowish' },
    { start_at: 1_700_000_000 },
    { start_at: 'infinity' },
  ]) {
    await refuses(db.spawn(queue, 'job', {}, options), '22023');
  }
  expect(await value(`select count(*)::int from absurd."t_${queue}"`)).toBe(0);
});

engine('many at once may be delayed, in a partitioned queue too; a known key changes nothing', async (scene) => {
  const { db, value, partitioned } = scene;
  const queue = await partitioned();
  const spawn = (delay: number) =>
    db.query('select * from absurd.spawn_tasks($1, $2)', [
      queue,
      JSON.stringify([
        { task_name: 'a', options: { delay_seconds: delay, idempotency_key: 'k' } },
        { task_name: 'b', options: {} },
      ]),
    ]);
  const { rows: first } = await spawn(3600);
  const at = await value(`select available_at from absurd."r_${queue}" where run_id = $1`, [first[0]?.run_id]);

  const { rows: second } = await spawn(0);

  expect(first.map(({ created }) => created)).toEqual([true, true]);
  expect(second.map(({ created }) => created)).toEqual([false, true]);
  expect(await value(`select available_at from absurd."r_${queue}" where run_id = $1`, [first[0]?.run_id])).toEqual(at);
});
