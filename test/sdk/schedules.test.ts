import { expect, finish, test, until } from './support.js';

test('schedule: what a program keeps at each start fires its task, and changes nothing the second time', async ({
  absurd,
  db,
}) => {
  absurd.registerTask<{ to: string }>({ name: 'report', defaultMaxAttempts: 7 }, async ({ to }, ctx) => ({
    to,
    schedule: ctx.headers['absurd.schedule'] ?? null,
  }));
  const keep = () =>
    absurd.schedule('weekly', {
      task: 'report',
      params: { to: 'ops' },
      cron: '0 9 * * mon',
      timeZone: 'Europe/Vienna',
      overlap: 'allow',
      catchUp: 7200,
    });
  await keep();
  const [before] = await absurd.listSchedules();
  await keep();
  expect(await absurd.listSchedules({ queue: 'default' })).toEqual([before]);
  expect(await absurd.listSchedules({ queue: 'other' })).toEqual([]);
  expect(before).toMatchObject({
    name: 'weekly',
    queueName: 'default',
    taskName: 'report',
    params: { to: 'ops' },
    cron: '0 9 * * mon',
    every: null,
    timeZone: 'Europe/Vienna',
    overlap: 'allow',
    missed: 'latest',
    catchUp: 7200,
    pausedAt: null,
    lastTaskID: null,
  });
  expect(before?.nextAt?.getUTCDay()).toBe(1);

  const { taskID } = await absurd.triggerSchedule('weekly');
  expect(await finish(absurd, taskID)).toEqual({ state: 'completed', result: { to: 'ops', schedule: 'weekly' } });
  const { rows } = await db.query('select max_attempts from absurd.t_default where task_id = $1', [taskID]);
  expect(rows).toEqual([{ max_attempts: 7 }]);
  expect((await absurd.listSchedules())[0]?.lastTaskID).toBe(taskID);
});

test('schedule: a worker fires it', async ({ absurd, db }) => {
  absurd.registerTask({ name: 'tick' }, async () => 1);
  await absurd.schedule('ticks', { task: 'tick', every: 1 });
  const worker = await absurd.startWorker({ pollInterval: 0.05 });
  await until(async () => (await db.query(`select from absurd.t_default where state = 'completed'`)).rows.length > 0);
  await worker.close();
  expect(await absurd.dropSchedule('ticks')).toBe(true);
  expect(await absurd.dropSchedule('ticks')).toBe(false);
});

test('schedule: a pause, a backfill, and what is refused', async ({ absurd }) => {
  absurd.registerTask({ name: 'report' }, async () => 1);
  await absurd.schedule('hourly', { task: 'report', cron: '@hourly' });
  const until2099 = new Date('2099-01-01T00:00:00Z');
  await absurd.pauseSchedule('hourly', { until: until2099, reason: 'holidays' });
  expect((await absurd.listSchedules())[0]).toMatchObject({ pausedUntil: until2099, pauseReason: 'holidays' });
  expect(await absurd.resumeSchedule('hourly')).toBe(true);
  expect(await absurd.resumeSchedule('hourly')).toBe(false);
  expect((await absurd.listSchedules())[0]).toMatchObject({ pausedAt: null, pausedUntil: null, pauseReason: null });

  const span = { from: new Date('2026-01-01T00:00:00Z'), to: new Date('2026-01-01T02:00:00Z') };
  expect((await absurd.backfillSchedule('hourly', span)).map(({ scheduledFor }) => scheduledFor.getUTCHours())).toEqual(
    [0, 1, 2],
  );

  await expect(absurd.schedule('x', { task: 'report' })).rejects.toThrow('either cron or every');
  await expect(absurd.schedule('x', { task: 'report', cron: '@daily', every: 5 })).rejects.toThrow('either');
  await expect(absurd.schedule('x', { task: 'unheard', cron: '@daily' })).rejects.toThrow('not registered');
  await expect(absurd.schedule('x', { task: 'report', cron: '* * *' })).rejects.toThrow(/five|fields/);
  await expect(absurd.pauseSchedule('hourly', { until: new Date('x') })).rejects.toThrow('valid date');
  await expect(absurd.triggerSchedule('none')).rejects.toThrow('none');
});

test('pauseQueue: workers get nothing until resumeQueue', async ({ absurd, db }) => {
  absurd.registerTask({ name: 'job' }, async () => 1);
  const { taskID } = await absurd.spawn('job', {});
  await absurd.pauseQueue(undefined, { reason: 'incident' });
  expect(await absurd.listPauses()).toMatchObject([
    { queueName: 'default', pausedUntil: null, reason: 'incident', pausedBy: expect.any(String) },
  ]);
  expect(await absurd.claimTasks()).toEqual([]);
  expect(await absurd.resumeQueue()).toBe(true);
  expect(await absurd.resumeQueue()).toBe(false);
  expect(await finish(absurd, taskID)).toEqual({ state: 'completed', result: 1 });
  expect((await db.query('select from absurd.queue_pauses')).rows).toEqual([]);
});
