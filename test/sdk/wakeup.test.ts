import { expect, test, until } from './support.js';

const patient = { pollInterval: 3600 };

test('a queue that announces new work has it picked up at once', async ({ absurd, db }) => {
  expect(await absurd.getQueueWakeup()).toBe(false);
  await absurd.setQueueWakeup(true);
  expect(await absurd.getQueueWakeup()).toBe(true);
  absurd.registerTask({ name: 'job' }, async () => 'done');
  const worker = await absurd.startWorker(patient);
  await until(
    async () =>
      (
        await db.query(
          `select 1 from pg_stat_activity where datname = current_database() and query like 'SELECT pg_notify%'`,
        )
      ).rows[0],
  );
  // The next poll is an hour away: only the announcement can start them.
  for (let n = 0; n < 5; n += 1) {
    const { taskID } = await absurd.spawn('job', {});
    expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toMatchObject({ state: 'completed' });
  }
  await worker.close();
  await absurd.setQueueWakeup(false);
  expect(await absurd.getQueueWakeup()).toBe(false);
});

test('one listener serves every worker of the process, and comes back when it is cut', async ({ absurd, make, db }) => {
  await absurd.setQueueWakeup(true);
  const other = make({ queueName: 'other' });
  await other.createQueue();
  await other.setQueueWakeup(true);
  const listeners = async (): Promise<number[]> => {
    const { rows } = await db.query<{ pid: number }>(
      `select pid from pg_stat_activity where datname = current_database() and query like 'LISTEN%'`,
    );
    return rows.map((row) => row.pid);
  };
  for (const client of [absurd, other]) client.registerTask({ name: 'job' }, async () => 'done');
  const workers = [await absurd.startWorker(patient), await other.startWorker(patient)];
  const [pid] = await until(async () => {
    const found = await listeners();
    return found.length > 0 ? found : undefined;
  });
  for (const client of [absurd, other]) {
    const { taskID } = await client.spawn('job', {});
    expect((await client.awaitTaskResult(taskID, { timeout: 60 })).state).toBe('completed');
  }
  expect(await listeners()).toEqual([pid]);
  await db.query('select pg_terminate_backend($1)', [pid]);
  await until(async () => {
    const found = await listeners();
    return found.length === 1 && found[0] !== pid;
  });
  const { taskID } = await absurd.spawn('job', {});
  expect((await absurd.awaitTaskResult(taskID, { timeout: 60 })).state).toBe('completed');
  await Promise.all(workers.map((worker) => worker.close()));
  await until(async () => (await listeners()).length === 0);
});

test('where announcements do not come through, a warning says so and polling carries the work', async ({
  make,
  emptyDatabase,
  log,
}) => {
  // Notifications do not cross databases: the listener hears as little as behind a pooler in transaction mode.
  const absurd = make({ listenUrl: emptyDatabase.url });
  await absurd.createQueue();
  await absurd.setQueueWakeup(true);
  absurd.registerTask({ name: 'job' }, async () => 'done');
  const worker = await absurd.startWorker({ pollInterval: 0.05 });
  await until(() =>
    log.lines.find((line) => /^warn: queue "default".*test notification did not arrive.*listenUrl/.test(line)),
  );
  const { taskID } = await absurd.spawn('job', {});
  expect((await absurd.awaitTaskResult(taskID, { timeout: 60 })).state).toBe('completed');
  await worker.close();
});

test('where there is nobody to listen to, the warning says why', async ({ make, log }) => {
  const absurd = make({ listenUrl: 'postgresql://nobody:secret@127.0.0.1:1/none' });
  await absurd.createQueue();
  await absurd.setQueueWakeup(true);
  const worker = await absurd.startWorker({ pollInterval: 0.05 });
  const line = await until(() => log.lines.find((said) => said.includes('ECONNREFUSED')));
  expect(line).not.toContain('secret');
  await worker.close();
});

test('a schema that knows no announcements is said to be that', async ({ make, db }) => {
  const absurd = make();
  await db.query('drop function absurd.get_queue_wakeup');
  expect(await absurd.getQueueWakeup()).toBe(false);
  await expect(absurd.setQueueWakeup(true)).rejects.toThrow('absurdctl init');
});
