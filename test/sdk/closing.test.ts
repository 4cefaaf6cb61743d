import { Absurd, CancelledTask } from '../../src/sdk/index.js';
import pg from 'pg';
import {
  describe,
  expect,
  claimedTask,
  FakeDatabase,
  gate,
  KeptLog,
  onTestFinished,
  test,
  vi,
  afterEach,
} from './support.js';

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

  test.for(['127.0.0.1', 'localhost', 'no-such-host.invalid', '/no/such/socket'])(
    'does not wait where its server was never reachable, as nothing was sent that could be lost: %s',
    async (host) => {
      const refusal = await new pg.Client({ host, port: 9, database: 'none' })
        .connect()
        .catch((error: unknown) => error);
      vi.useFakeTimers();
      const fake = new FakeDatabase(() => {
        throw refusal;
      });
      const worker = await new Absurd({ db: fake, log: new KeptLog() }).startWorker({ onError: () => undefined });
      await vi.advanceTimersByTimeAsync(5000);
      expect(fake.calls.length).toBeGreaterThan(1);
      let isClosed = false;
      void worker.close().then(() => (isClosed = true));
      await vi.advanceTimersByTimeAsync(10);
      expect(isClosed).toBe(true);
    },
  );

  test.for([
    { what: 'a claim', stuck: 'claim_task' },
    { what: 'a step', stuck: 'set_task_checkpoint_state' },
    { what: 'the release', stuck: 'schedule_run' },
  ])('ends soon after its timeout, though $what has no answer and never will', async ({ stuck }) => {
    vi.useFakeTimers();
    const never = new Promise<never>(() => undefined);
    const toClaim = [claimed];
    const absurd = new Absurd({
      db: {
        async query(text) {
          if (text.includes(stuck) && (stuck !== 'claim_task' || toClaim.length === 0)) return never;
          return { rows: text.includes('claim_task') ? toClaim.splice(0) : [] };
        },
      },
      log: new KeptLog(),
    });
    absurd.registerTask({ name: 'long' }, async (_, ctx) => {
      await ctx.step('one', async () => 1);
      await never;
    });
    const worker = await absurd.startWorker({ claimTimeout: 600, concurrency: 2 });
    await vi.advanceTimersByTimeAsync(1000);
    let isClosed = false;
    const closed = worker.close({ timeout: 1 }).then(() => (isClosed = true));
    await vi.advanceTimersByTimeAsync(900);
    expect(isClosed).toBe(false);
    await vi.advanceTimersByTimeAsync(6000);
    expect(isClosed).toBe(true);
    await closed;
  });

  test('that lost its server ends soon after its timeout, though its runs cannot be released', async () => {
    vi.useFakeTimers();
    const toClaim = [claimed];
    let away = false;
    const fake = new FakeDatabase((text) => {
      if (away) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
      return text.includes('claim_task') ? toClaim.splice(0) : [];
    });
    const absurd = new Absurd({ db: fake, log: new KeptLog() });
    const open = gate();
    absurd.registerTask({ name: 'long' }, () => open.promise);
    const worker = await absurd.startWorker({ claimTimeout: 600, onError: () => undefined });
    onTestFinished(() => open.open());
    await vi.advanceTimersByTimeAsync(1000);
    away = true;
    await vi.advanceTimersByTimeAsync(2000);
    let isClosed = false;
    void worker.close({ timeout: 1 }).then(() => (isClosed = true));
    await vi.advanceTimersByTimeAsync(3000);
    expect(isClosed).toBe(true);
  });

  test('passes through its states in order, and no other way', async () => {
    const absurd = new Absurd({ db: new FakeDatabase(), log: new KeptLog() });
    const worker = (await absurd.startWorker()) as unknown as {
      state: string;
      close(): Promise<void>;
      enter(to: string): void;
    };
    const states = [worker.state];
    const closed = worker.close();
    states.push(worker.state);
    await closed;
    states.push(worker.state);
    expect(states).toEqual(['running', 'draining', 'closed']);
    expect(() => worker.enter('running')).toThrow('A worker that is closed cannot be running');
  });
});
