import { Absurd, CancelledTask } from '../../src/sdk/index.js';
import { describe, expect, claimedTask, FakeDatabase, KeptLog, test, vi, afterEach } from './support.js';

afterEach(() => {
  vi.useRealTimers();
});

const claimed = claimedTask({ task_name: 'long' });

/** A worker that runs one task whose handler does not end, by a clock of the test's own. */
async function busy() {
  vi.useFakeTimers();
  const toClaim = [claimed];
  let state = 'running';
  const fake = new FakeDatabase((text) => {
    if (text.includes('claim_task')) return toClaim.splice(0);
    return text.includes('r.state, r.claimed_by') ? [{ run_id: claimed.run_id, state, claimed_by: 'w' }] : [];
  });
  const absurd = new Absurd({ db: fake, log: new KeptLog() });
  let signal: AbortSignal | undefined;
  absurd.registerTask({ name: 'long' }, (_, ctx) => {
    signal = ctx.signal;
    return new Promise(() => undefined);
  });
  const worker = await absurd.startWorker({ claimTimeout: 600 });
  await vi.advanceTimersByTimeAsync(1000);
  return {
    worker,
    handedBack: () => fake.calls.filter((call) => call.startsWith('schedule_run')).length,
    cancel: () => (state = 'cancelled'),
    reason: (): unknown => signal?.reason,
  };
}

describe('a worker that closes', () => {
  test('waits for what runs as long as it was told, also where that is long', async () => {
    const { worker, handedBack } = await busy();
    const closed = worker.close({ timeout: 60 });
    await vi.advanceTimersByTimeAsync(59_000);
    expect(handedBack()).toBe(0);
    await vi.advanceTimersByTimeAsync(2000);
    await closed;
    expect(handedBack()).toBe(1);
  });

  test('goes on hearing of cancellations while it waits', async () => {
    const { worker, cancel, reason, handedBack } = await busy();
    const closed = worker.close();
    await vi.advanceTimersByTimeAsync(59_000);
    cancel();
    await vi.advanceTimersByTimeAsync(1000);
    await closed;
    expect(reason()).toBeInstanceOf(CancelledTask);
    expect(handedBack()).toBe(0);
  });
});
