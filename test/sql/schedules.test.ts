import { expect } from 'vitest';
import { engine, iso, noon, refuses, type Scene } from './support.js';

const set = ({ db, queue }: Scene, name: string, options: object, task = 'job', params: object | null = null) =>
  db.query('select absurd.set_schedule($1, $2, $3, $4, $5)', [
    name,
    queue,
    task,
    params === null ? null : JSON.stringify(params),
    JSON.stringify(options),
  ]);
const spawned = async ({ db, queue }: Scene) =>
  (
    await db.query<{ at: string; state: string }>(
      `select headers ->> 'absurd.scheduled_for' as at, state from absurd."t_${queue}" order by 1`,
    )
  ).rows;
const schedule = async ({ db }: Scene, name: string) =>
  (await db.query('select * from absurd.schedules where schedule_name = $1', [name])).rows[0] ?? {};

engine('a schedule fires in a claim of its queue, once for each time', async (scene) => {
  const { db, queue } = scene;
  await db.freeze(noon);
  await set(scene, `${queue}-s`, { cron: '*/5 * * * *', headers: { a: 1 } }, 'report', { n: 1 });
  expect(await db.claim(queue, { qty: 5 })).toEqual([]);
  await db.advance('5 minutes');

  const first = await db.claim(queue, { qty: 5 });
  const second = await db.claim(queue, { qty: 5 });

  expect(first).toMatchObject([
    {
      task_name: 'report',
      params: { n: 1 },
      headers: {
        a: 1,
        'absurd.schedule': `${queue}-s`,
        'absurd.scheduled_for': '2026-03-04T12:05:00.000Z',
      },
    },
  ]);
  expect(second).toEqual([]);
  expect(await schedule(scene, `${queue}-s`)).toMatchObject({
    next_at: new Date('2026-03-04T12:10:00Z'),
    last_at: new Date('2026-03-04T12:05:00Z'),
    last_task_id: first[0]?.task_id,
  });
});

engine('missed times: one task for all of them, all, or none, within the time to catch up', async (scene) => {
  const { db, queue } = scene;
  for (const [missed, catchUp, times] of [
    ['latest', '1 hour', ['13:00']],
    ['all', '1 hour', ['12:15', '12:30', '12:45', '13:00']],
    ['all', '20 minutes', ['12:45', '13:00']],
    ['none', '1 hour', []],
    ['latest', '1 minute', []],
  ] as const) {
    await db.query(`truncate absurd."t_${queue}", absurd."r_${queue}"`);
    await db.freeze(noon);
    await set(scene, `${queue}-s`, { cron: '*/15 * * * *', missed, catch_up: catchUp, overlap: 'allow' });
    await db.query('update absurd.schedules set next_at = $2 where schedule_name = $1', [
      `${queue}-s`,
      '2026-03-04T12:15:00Z',
    ]);
    await db.advance('62 minutes');

    await db.query('select * from absurd.fire_schedules($1)', [queue]);

    expect((await spawned(scene)).map(({ at }) => at.slice(11, 16))).toEqual(times);
    expect(await schedule(scene, `${queue}-s`)).toMatchObject({ next_at: new Date('2026-03-04T13:15:00Z') });
  }
});

engine('an interval fires from when it was created, and a year away costs one look', async (scene) => {
  const { db, queue } = scene;
  await db.freeze(noon);
  await set(scene, `${queue}-s`, { every: '10 seconds' });
  await db.advance('400 days');
  await db.advance('3 seconds');

  const { rows } = await db.query('select * from absurd.fire_schedules($1)', [queue]);

  expect(rows.map((row) => iso(row.scheduled_for))).toEqual(['2027-04-08T12:00:00.000Z']);
  expect(await schedule(scene, `${queue}-s`)).toMatchObject({ next_at: new Date('2027-04-08T12:00:10Z') });
});

engine('overlap: skip while the previous task is unfinished, allow both, or cancel the previous', async (scene) => {
  const { db, queue } = scene;
  for (const [overlap, states] of [
    ['skip', ['pending']],
    ['allow', ['pending', 'pending']],
    ['cancel', ['cancelled', 'pending']],
  ] as const) {
    await db.query(`truncate absurd."t_${queue}", absurd."r_${queue}"`);
    await db.query('select absurd.drop_schedule($1)', [`${queue}-s`]);
    await db.freeze(noon);
    await set(scene, `${queue}-s`, { every: 60, overlap });
    for (let i = 0; i < 2; i++) {
      await db.advance('60 seconds');
      await db.query('select * from absurd.fire_schedules($1)', [queue]);
    }

    expect((await spawned(scene)).map(({ state }) => state)).toEqual(states);
  }
});

engine('a failing schedule notes it on its row and stops neither the claim nor another schedule', async (scene) => {
  const { db, queue } = scene;
  await db.freeze(noon);
  await set(scene, `${queue}-a`, { every: 60 });
  await set(scene, `${queue}-b`, { every: 60 });
  await db.query(`update absurd.schedules set spawn_options = '{"max_attempts": 0}' where schedule_name = $1`, [
    `${queue}-a`,
  ]);
  await db.advance('61 seconds');

  expect(await db.claim(queue, { qty: 5 })).toHaveLength(1);

  expect(await schedule(scene, `${queue}-a`)).toMatchObject({
    last_error: expect.stringContaining('max_attempts') as string,
    next_at: new Date('2026-03-04T12:02:00Z'),
  });
  expect(await schedule(scene, `${queue}-b`)).toMatchObject({ last_error: null });
});

engine('a paused queue or schedule does not fire; what was missed is decided on resume', async (scene) => {
  const { db, queue, value } = scene;
  await db.freeze(noon);
  await set(scene, `${queue}-s`, { every: 60 });
  await db.query('select absurd.pause_queue($1)', [queue]);
  await db.advance('10 minutes');
  expect(await db.claim(queue)).toEqual([]);
  expect(await spawned(scene)).toEqual([]);

  await db.query('select absurd.resume_queue($1)', [queue]);
  expect(await db.claim(queue, { qty: 5, timeout: 600 })).toHaveLength(1);

  await db.query('select absurd.pause_schedule($1, null, $2)', [`${queue}-s`, 'quiet']);
  await db.advance('1 minute');
  expect(await db.claim(queue)).toEqual([]);
  expect(await value('select absurd.resume_schedule($1)', [`${queue}-s`])).toBe(true);
  expect(await value('select absurd.resume_schedule($1)', [`${queue}-s`])).toBe(false);
});

engine('a schedule that another session has locked is skipped, and fires in that session', async (scene) => {
  const { db, queue, connect } = scene;
  await set(scene, `${queue}-s`, { every: 60 });
  await db.query(`update absurd.schedules set next_at = now() - interval '1 second' where schedule_name = $1`, [
    `${queue}-s`,
  ]);
  const other = await connect();
  await other.query('begin');
  const { rows: fired } = await other.query('select * from absurd.fire_schedules($1)', [queue]);

  expect(await db.claim(queue, { qty: 5 })).toEqual([]);
  await other.query('commit');

  expect(fired).toHaveLength(1);
  expect((await db.claim(queue, { qty: 5 })).map((run) => run.task_id)).toEqual([fired[0]?.task_id]);
});

engine('triggered by hand it spawns once more; a backfill spawns each time once', async (scene) => {
  const { db, queue } = scene;
  await db.freeze(noon);
  await set(scene, `${queue}-s`, { cron: '@hourly' });
  const { rows: triggered } = await db.query('select * from absurd.trigger_schedule($1)', [`${queue}-s`]);
  expect(triggered).toHaveLength(1);
  const backfill = async () =>
    (
      await db.query('select * from absurd.backfill_schedule($1, $2, $3)', [
        `${queue}-s`,
        '2026-03-04T08:00:00Z',
        '2026-03-04T10:59:00Z',
      ])
    ).rows;

  const first = await backfill();

  expect(first.map((row) => iso(row.scheduled_for).slice(11, 16))).toEqual(['08:00', '09:00', '10:00']);
  expect(await backfill()).toEqual(first);
  await refuses(
    db.query('select * from absurd.backfill_schedule($1, $2, $3)', [`${queue}-s`, '2020-01-01', '2026-01-01']),
    '22023',
    'over 10000 times',
  );
});

engine('setting a schedule twice changes nothing; other times change the next one', async (scene) => {
  const { db, queue } = scene;
  await db.freeze(noon);
  await set(scene, `${queue}-s`, { every: 60 });
  const before = await schedule(scene, `${queue}-s`);
  await db.advance('30 seconds');
  await set(scene, `${queue}-s`, { every: 60 });
  expect(await schedule(scene, `${queue}-s`)).toEqual(before);

  await set(scene, `${queue}-s`, { every: 90 });

  expect(await schedule(scene, `${queue}-s`)).toMatchObject({ next_at: new Date('2026-03-04T12:02:00Z') });
});

engine('settings that cannot be used are refused', async (scene) => {
  const { queue } = scene;
  for (const options of [
    {},
    { cron: '* * * * *', every: 60 },
    { cron: '* * * *' },
    { cron: '60 * * * *' },
    { cron: '0 0 30 2 *' },
    { cron: '5-1 * * * *' },
    { cron: '* * * * L' },
    { cron: '*/0 * * * *' },
    { every: 0.5 },
    { every: '1 month' },
    { every: 'soon' },
    { every: 60, time_zone: 'Europe/Nowhere' },
    { every: 60, overlap: 'maybe' },
    { every: 60, missed: 'some' },
    { every: 60, catch_up: '-1 hour' },
    { every: 60, idempotency_key: 'k' },
    { every: 60, start_at: '2030-01-01' },
    { every: 60, max_attempts: 0 },
    { every: 60, headers: [] },
  ]) {
    await refuses(set(scene, `${queue}-s`, options), '22023');
  }
  await refuses(set(scene, `${queue}-s`, { every: 60, retry_strategy: { kind: 'odd' } }), 'AB003');
  await refuses(set({ ...scene, queue: 'no such' }, `${queue}-s`, { every: 60 }), 'P0002');
  await refuses(set(scene, ' ', { every: 60 }), '22023');
});

engine('a skipped local time fires after the gap, one that occurs twice fires once', async ({ db }) => {
  const next = async (cron: string, zone: string, from: string, count: number) =>
    (await db.query('select absurd.next_times($1, $2, $3, $4) as at', [cron, zone, from, count])).rows.map((row) =>
      iso(row.at),
    );
  expect(await next('30 2 * * *', 'America/New_York', '2026-03-08T00:00:00-05:00', 2)).toEqual([
    '2026-03-08T07:00:00.000Z',
    '2026-03-09T06:30:00.000Z',
  ]);
  expect(await next('*/20 2 * * *', 'Europe/Vienna', '2026-03-29T00:00:00Z', 2)).toEqual([
    '2026-03-29T01:00:00.000Z',
    '2026-03-30T00:00:00.000Z',
  ]);
  expect(await next('30 1 * * *', 'America/New_York', '2026-10-31T12:00:00Z', 2)).toEqual([
    '2026-11-01T05:30:00.000Z',
    '2026-11-02T06:30:00.000Z',
  ]);
  expect(await next('0 0 29 2 *', 'UTC', '2096-03-01T00:00:00Z', 1)).toEqual(['2104-02-29T00:00:00.000Z']);
});
