import * as theirs from 'absurd-sdk';
import type { Pool } from 'pg';
import * as ours from '../../src/sdk/index.js';
import { expect, claimedTask, FakeDatabase, KeptLog, test } from './support.js';

/** As programs without types may call: both clients have these methods. */
type Program = (absurd: ours.Absurd) => unknown;

const nothing = null as never;

const programs: [string, Program][] = [
  ['no limit of attempts', (absurd) => absurd.spawn('mine', {}, { maxAttempts: nothing })],
  ['no cancellation policy', (absurd) => absurd.spawn('mine', {}, { cancellation: nothing })],
  ['no retry strategy', (absurd) => absurd.spawn('mine', {}, { retryStrategy: nothing })],
  ['too long a queue for a registered task', (absurd) => absurd.spawn('mine', {}, { queue: 'x'.repeat(58) })],
  ['a queue without a name', (absurd) => absurd.createQueue(nothing)],
  ['a mode that is none', (absurd) => absurd.createQueue('q', { storageMode: nothing })],
  ['a mode of another name', (absurd) => absurd.createQueue('q', { storageMode: 'weekly' as never })],
  ['the policy of no queue', (absurd) => absurd.getQueuePolicy(nothing)],
  ['a policy for no queue', (absurd) => absurd.setQueuePolicy(nothing, { cleanupLimit: 5 })],
  ['no queue to drop', (absurd) => absurd.dropQueue(nothing)],
  ['an event for no queue', (absurd) => absurd.emitEvent('done', 1, nothing)],
  ['a cancellation in no queue', (absurd) => absurd.cancelTask('T', nothing)],
  ['a claim without options', (absurd) => absurd.claimTasks(nothing)],
];

const answer = (text: string): unknown[] =>
  text.includes('spawn_task') ? [{ task_id: 'T', run_id: 'R', attempt: 1, created: true }] : [];

async function callsOf(absurd: ours.Absurd, fake: FakeDatabase, program: Program): Promise<unknown[]> {
  absurd.registerTask({ name: 'mine', defaultMaxAttempts: 7, defaultCancellation: { maxDelay: 3 } }, async () => null);
  let error: unknown;
  try {
    await program(absurd);
  } catch (caught) {
    error = (caught as Error).message;
  }
  return [fake.calls, error];
}

test.for(programs)('%s: the same as with absurd-sdk', async ([, program]) => {
  const [one, other] = [new FakeDatabase(answer), new FakeDatabase(answer)];
  const mine = await callsOf(new ours.Absurd({ db: one }), one, program);
  const original = new theirs.Absurd({ db: other as unknown as Pool }) as unknown as ours.Absurd;
  expect(mine).toEqual(await callsOf(original, other, program));
});

test('a database may be a function that has a query', async () => {
  const fake = new FakeDatabase();
  const db = Object.assign(() => undefined, { query: fake.query });
  await new ours.Absurd({ db }).listQueues();
  expect(fake.queries).toHaveLength(1);
});

const claimed = claimedTask({ run_id: 'R' });

/** A reason as JSON text, its stack as whether there is one. */
function withoutStack(value: unknown): unknown {
  if (typeof value !== 'string' || !value.startsWith('{')) return value;
  const reason = JSON.parse(value) as { stack: unknown };
  return { ...reason, stack: typeof reason.stack };
}

test.for<[string, (ctx: ours.TaskContext) => Promise<unknown>]>([
  ['a wait without options', (ctx) => ctx.awaitEvent('e', nothing)],
  ['too long a queue to wait on', (ctx) => ctx.awaitTaskResult('T', { queue: 'x'.repeat(58) })],
  ['an error without a stack', () => Promise.reject(Object.assign(new Error('bare'), { stack: '' }))],
])('in a handler, %s: the same as with absurd-sdk', async ([, handler]) => {
  const endings = [ours.Absurd, theirs.Absurd as unknown as typeof ours.Absurd].map(async (Client) => {
    const fake = new FakeDatabase((text) =>
      text.includes('await_event') ? [{ should_suspend: false, payload: 1 }] : [],
    );
    const absurd = new Client({ db: fake, log: new KeptLog() });
    absurd.registerTask({ name: 'job' }, (_, ctx) => handler(ctx));
    await absurd.executeTask(claimed, 10);
    return fake.queries.at(-1)?.values?.map(withoutStack);
  });
  const [mine, original] = await Promise.all(endings);
  expect(mine).toEqual(original);
});

test('the errors say the same as those of absurd-sdk', () => {
  const said = ({ SuspendTask, CancelledTask, FailedTask }: typeof ours): string[] =>
    [new SuspendTask(), new CancelledTask(), new FailedTask()].map(String);
  expect(said(ours)).toEqual(said(theirs as unknown as typeof ours));
});
