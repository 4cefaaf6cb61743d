/** What wake-task does, as workers of both SDKs see it: a sleep is over, and a wait has timed out. */
import { Absurd as Original, TimeoutError as OriginalTimeout } from 'absurd-sdk';
import { Absurd, TimeoutError } from '../../src/sdk/index.js';
import { run } from '../support/command.js';
import { expect, stateOf, test } from './support.js';

const log = { log() {}, info() {}, warn() {}, error() {} };

interface Context {
  sleepFor(name: string, seconds: number): Promise<void>;
  step<T>(name: string, work: () => Promise<T>): Promise<T>;
  awaitEvent(event: string): Promise<unknown>;
}

const handler = (Timeout: new (...args: never[]) => Error) => async (_: unknown, ctx: Context) => {
  const deadline = await ctx.step('deadline', async () => new Date(Date.now() + 3_600_000).toISOString());
  await ctx.sleepFor('nap', 3600);
  await ctx.sleepFor('again', 7200);
  const event = await ctx.awaitEvent('paid').catch((error: unknown) => {
    if (error instanceof Timeout) return 'timed out';
    throw error;
  });
  return { event, deadline: deadline.length };
};

for (const sdk of ['ours', 'absurd-sdk'] as const) {
  test(`${sdk}: a woken sleep is over, and a wait that was ended has timed out`, async ({ db }) => {
    const client = sdk === 'ours' ? new Absurd({ db: db.pool, log }) : new Original({ db: db.pool, log });
    await client.createQueue();
    client.registerTask(
      { name: 'job', defaultMaxAttempts: 1 },
      handler(sdk === 'ours' ? TimeoutError : OriginalTimeout) as never,
    );
    const { taskID: id } = await client.spawn('job', {});
    for (const flags of [[], [], ['--as-timeout']]) {
      await client.workBatch();
      expect(await stateOf(db, id)).toBe('sleeping');
      expect(await run(['wake-task', id, ...flags], db)).toMatchObject({ code: 0 });
    }
    await client.workBatch();
    const { rows } = await db.query('select completed_payload from absurd.t_default');
    expect(rows).toEqual([{ completed_payload: { event: 'timed out', deadline: 24 } }]);
  });
}
