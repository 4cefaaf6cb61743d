import { Absurd } from '../../src/sdk/index.js';
import { afterEach, describe, expect, claimedTask, FakeDatabase, KeptLog, test, vi } from './support.js';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const claimed = claimedTask();

/** A worker with a lease of ten seconds on a server that goes away; `exits` counts ends of the process. */
async function working(handler: Parameters<Absurd['registerTask']>[1]) {
  vi.useFakeTimers();
  const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never);
  const toClaim = [claimed];
  let away = false;
  let completed = 0;
  const fake = new FakeDatabase((text) => {
    if (away) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    if (text.includes('complete_run(')) completed += 1;
    if (text.includes('r.state, r.claimed_by')) {
      return [{ run_id: claimed.run_id, state: 'running', claimed_by: 'w' }];
    }
    return text.includes('claim_task') ? toClaim.splice(0) : [];
  });
  const absurd = new Absurd({ db: fake, log: new KeptLog() });
  absurd.registerTask({ name: 'job' }, handler);
  const worker = await absurd.startWorker({ workerId: 'w', claimTimeout: 10, onError: () => undefined });
  await vi.advanceTimersByTimeAsync(1000);
  return {
    worker,
    leave: () => (away = true),
    comeBack: () => (away = false),
    exits: () => exit.mock.calls.length,
    completed: () => completed,
  };
}

const seconds = (n: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, n * 1000));

describe('a lease that runs out twofold', () => {
  test.for([
    { what: 'its result', handler: async () => seconds(2) },
    {
      what: 'a heartbeat',
      handler: async (_: unknown, ctx: { heartbeat(): Promise<void> }) => {
        await seconds(2);
        await ctx.heartbeat();
      },
    },
  ])('while $what waits for a server that is away does not end the process', async ({ handler }) => {
    const { worker, leave, comeBack, exits, completed } = await working(handler);
    leave();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(exits()).toBe(0);
    comeBack();
    await vi.advanceTimersByTimeAsync(2000);
    expect(completed()).toBe(1);
    const closed = worker.close();
    await vi.advanceTimersByTimeAsync(5000);
    await closed;
    expect(exits()).toBe(0);
  });

  test('in the hands of a handler that is stuck ends it', async () => {
    const { exits } = await working(() => new Promise(() => undefined));
    await vi.advanceTimersByTimeAsync(20_000);
    expect(exits()).toBe(1);
  });
});
