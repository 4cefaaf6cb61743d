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
