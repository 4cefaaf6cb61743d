import { Crew } from '../../src/lib/work/workers.js';
import { expect, stateOf, test, until } from '../sdk/support.js';

test('a crew finds its queues empty also after it ran what a claim without an answer had claimed', async ({ db }) => {
  await db.queue('default');
  let losses = 0;
  const con = {
    async query(text: string, values?: unknown[]) {
      const answer = await db.pool.query(text, values);
      if (!text.includes('claim_task') || losses > 0) return answer;
      losses += 1;
      throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    },
  };
  const client = Crew.client(
    con,
    () => undefined,
    () => new Date(),
    'default',
  );
  client.registerTask({ name: 'job' }, async () => 'done');
  const { taskID } = await client.spawn('job', {});
  let isEmpty = false;
  const crew = await Crew.start(client, () => undefined, {
    pollInterval: 0.01,
    onEmpty: () => (isEmpty = true),
  });
  await until(async () => (await stateOf(db, taskID)) === 'completed');
  isEmpty = false;
  await until(() => isEmpty, { what: 'an empty queue' });
  await crew.stop();
  expect(losses).toBe(1);
});

test.for(['a string', { code: 7 }, undefined])(
  'a failure is said once, also where it is no error: %o',
  async (thrown, { db }) => {
    await db.queue('default');
    const said: string[] = [];
    const client = Crew.client(
      db.pool,
      (event, text) => said.push(`${event} ${text}`),
      () => new Date(),
      'default',
    );
    client.registerTask({ name: 'job' }, () => Promise.reject(thrown));
    const { taskID } = await client.spawn('job', {}, { maxAttempts: 1 });
    await client.workBatch();
    expect(await stateOf(db, taskID)).toBe('failed');
    expect(said.map((line) => line.split(' ')[0])).toEqual(['run_started', 'run_failed']);
  },
);
