import { SharedCalls, WorkerStore } from '../../src/sdk/worker-store.js';
import { probeCapabilities } from '../../src/sql/sdk-batch.js';
import { expect, test } from './support.js';

const outcome = (settled: PromiseSettledResult<void>): unknown =>
  settled.status === 'fulfilled' ? 'saved' : (settled.reason as { code?: string }).code;

test('two attempts at one task that save the same step in one call each hear their own verdict', async ({ db }) => {
  await db.queue('default');
  const { task_id: taskId } = await db.spawn('default', 'job');
  const [lost] = await db.claim('default');
  await db.query(`select absurd.fail_run('default', $1, '{}')`, [lost?.run_id]);
  const [live] = await db.claim('default');
  const worker = {
    workerId: 'w1',
    claiming: () => Promise.resolve(),
    givingUp: new AbortController().signal,
  };
  const store = new WorkerStore(new SharedCalls(db.pool, 'default', () => probeCapabilities(db.pool), worker));
  const save = (runId = ''): Promise<void> =>
    store.save({ taskId, runId, name: 'step', stateJson: '1', extendClaimBy: 60 });

  const liveFirst = await Promise.allSettled([save(live?.run_id), save(lost?.run_id)]);
  const lostFirst = await Promise.allSettled([save(lost?.run_id), save(live?.run_id)]);

  expect(liveFirst.map(outcome)).toEqual(['saved', 'AB002']);
  expect(lostFirst.map(outcome)).toEqual(['AB002', 'saved']);
});
