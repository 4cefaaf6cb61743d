import { Absurd, SuspendTask } from '../../src/sdk/index.js';
import { checkpointsOf, describe, expect, gate, KeptLog, stateOf, test, until, type TestDatabase } from './support.js';

/** A task with a step in two halves and a wait; its first execution has suspended between the halves. */
async function suspended(db: TestDatabase) {
  const client = new Absurd({ db: db.pool, log: new KeptLog() });
  await client.createQueue();
  const holds = [gate<string>(), gate<string>()];
  const late: unknown[] = [];
  let ran = 0;
  client.registerTask({ name: 'job' }, async (_, ctx) => {
    const halves = async (): Promise<string> => {
      const handle = await ctx.beginStep<string>('slow');
      if (handle.done) return handle.state;
      return ctx.completeStep(handle, await (holds[ran++]?.promise ?? Promise.resolve('not held')));
    };
    const slow = halves();
    slow.catch((error: unknown) => late.push(error));
    return Promise.all([slow, ctx.awaitEvent('go')]);
  });
  const { taskID } = await client.spawn('job', {});
  // Between the halves the handler is at work: half of a lease is how long the wait waits for it.
  await client.workBatch('worker', 2);
  expect(await stateOf(db, taskID)).toBe('sleeping');
  return { client, taskID, holds, late, ran: () => ran };
}

describe('a step that outlasts the suspension of its run', () => {
  test('is kept, and does not run again', async ({ db }) => {
    const { client, taskID, holds, late, ran } = await suspended(db);
    holds[0]?.open('once');
    await until(() => late.length === 1);
    expect(late[0]).toBeInstanceOf(SuspendTask);
    await client.emitEvent('go', 1);
    await client.workBatch();
    expect(await client.fetchTaskResult(taskID)).toEqual({ state: 'completed', result: ['once', 1] });
    expect(ran()).toBe(1);
  });

  test('is not kept where another execution has the run by then', async ({ db }) => {
    const { client, taskID, holds, late } = await suspended(db);
    await client.emitEvent('go', 1);
    await db.claim('default');
    holds[0]?.open('too late');
    await until(() => late.length === 1);
    expect(Object.keys(await checkpointsOf(db, taskID))).toEqual(['$awaitEvent:go']);
  });

  test('writes over nothing', async ({ db }) => {
    const { client, taskID, holds, late } = await suspended(db);
    await db.query(
      `insert into absurd.c_default (task_id, checkpoint_name, state) values ($1, 'slow', '"by another"')`,
      [taskID],
    );
    holds[0]?.open('too late');
    await until(() => late.length === 1);
    await client.emitEvent('go', 1);
    await client.workBatch();
    expect(await client.fetchTaskResult(taskID)).toEqual({ state: 'completed', result: ['by another', 1] });
  });
});
