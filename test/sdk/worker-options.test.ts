import { Absurd, type AbsurdHooks, type WorkerOptions } from '../../src/sdk/index.js';
import { afterEach, describe, expect, FakeDatabase, KeptLog, runsOf, stateOf, test, until, vi } from './support.js';

afterEach(() => {
  vi.useRealTimers();
});

describe('options that cannot work are refused by name', () => {
  test.for<[keyof WorkerOptions, unknown[]]>([
    ['concurrency', [0, -1, Number.NaN, 1.5, '4', Infinity]],
    ['batchSize', [0, -1, Number.NaN, 1.5, '4']],
    ['claimTimeout', [1.5, -1, Number.NaN, Infinity, '30', 2 ** 31]],
    ['pollInterval', [-1, Number.NaN, Infinity, '1']],
    ['adaptivePolling', ['off', 0, null]],
  ])('%s', async ([name, values]) => {
    const fake = new FakeDatabase();
    const absurd = new Absurd({ db: fake });
    for (const value of values) {
      await expect(absurd.startWorker({ [name]: value })).rejects.toThrow(new RegExp(`^${name} must be .*not`));
    }
    if (name === 'claimTimeout') await expect(absurd.claimTasks({ claimTimeout: 1.5 })).rejects.toThrow(/claimTimeout/);
    expect(fake.queries).toEqual([]);
  });

  test('a lease without an end and a pause of nothing are not among them', async () => {
    const absurd = new Absurd({ db: new FakeDatabase() });
    const worker = await absurd.startWorker({ claimTimeout: 0, pollInterval: 0 });
    await worker.close();
  });
});

const broken = (): never => {
  throw new Error('the program’s own code is broken');
};

describe('a program’s code that throws costs neither a lease nor the polling', () => {
  test.for<[string, WorkerOptions]>([
    ['onError', { onError: broken }],
    ['an async onError', { onError: (async () => broken()) as never }],
    ['the log', {}],
  ])('%s', async ([what, options], { db, make }) => {
    const log = what === 'the log' ? { log: broken, info: broken, warn: broken, error: broken } : new KeptLog();
    let failures = 3;
    const flaky = {
      async query(text: string, values?: unknown[]) {
        if (text.includes('claim_task') && failures-- > 0) throw new Error('no claim now');
        return db.pool.query(text, values);
      },
    };
    const absurd = make({ db: flaky, log });
    await absurd.createQueue();
    absurd.registerTask({ name: 'job', defaultMaxAttempts: 1 }, () => Promise.reject(new Error('failed')));
    const { taskID } = await absurd.spawn('job', {});
    const worker = await absurd.startWorker({ ...options, pollInterval: 0.01, claimTimeout: 600 });
    await until(async () => (await stateOf(db, taskID)) === 'failed');
    await worker.close();
    if (log instanceof KeptLog) {
      const said = log.lines.filter((line) => line.includes('onError of the worker threw'));
      expect(said.length).toBeGreaterThan(0);
    }
  });
});

describe('a hook around the execution', () => {
  const run = async (
    { make, db }: { make: (options: object) => Absurd; db: Parameters<typeof runsOf>[0] },
    wrapTaskExecution: AbsurdHooks['wrapTaskExecution'],
  ) => {
    const absurd = make({ hooks: { wrapTaskExecution } });
    await absurd.createQueue();
    let executions = 0;
    absurd.registerTask({ name: 'job', defaultMaxAttempts: 1 }, async () => (executions += 1));
    const { taskID } = await absurd.spawn('job', {});
    await absurd.workBatch('w', 600);
    const [last] = await runsOf(db, taskID);
    return { state: last?.state, reason: last?.failure_reason?.message, executions };
  };

  test('that never calls execute fails the run', async ({ make, db }) => {
    expect(await run({ make, db }, (async () => undefined) as never)).toEqual({
      state: 'failed',
      reason: 'hooks.wrapTaskExecution returned without calling execute',
      executions: 0,
    });
  });

  test('that calls execute twice executes the run once', async ({ make, db }) => {
    const twice: AbsurdHooks['wrapTaskExecution'] = async (_, execute) => {
      await execute();
      return execute();
    };
    expect(await run({ make, db }, twice)).toEqual({ state: 'completed', executions: 1 });
  });

  test('that does not wait for execute is waited for', async ({ make, db }) => {
    const hasty: AbsurdHooks['wrapTaskExecution'] = async (_, execute) => {
      void execute();
      return undefined as never;
    };
    expect(await run({ make, db }, hasty)).toEqual({ state: 'completed', executions: 1 });
  });
});

test('an error that repeats at every poll is logged once, then once a minute in one line', async () => {
  vi.useFakeTimers();
  let failing = true;
  const log = new KeptLog();
  let claims = 0;
  const fake = new FakeDatabase((text) => {
    if (!text.includes('claim_task')) return [];
    claims += 1;
    if (failing) throw Object.assign(new Error('permission denied for schema absurd'), { code: '42501' });
    return [];
  });
  const worker = await new Absurd({ db: fake, log }).startWorker({ pollInterval: 0.25 });
  await vi.advanceTimersByTimeAsync(30_000);
  expect(log.lines).toEqual([expect.stringMatching(/^error: Worker error: /)]);
  // Backed off, so that a server in trouble is not asked four times a second.
  expect(claims).toBeLessThan(15);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(log.lines.slice(1)).toEqual([
    expect.stringMatching(/^error: Worker error, \d+ more times: permission denied for schema absurd$/),
  ]);
  failing = false;
  await vi.advanceTimersByTimeAsync(10_000);
  failing = true;
  await vi.advanceTimersByTimeAsync(1000);
  expect(log.lines).toHaveLength(3);
  const closed = worker.close();
  await vi.advanceTimersByTimeAsync(10_000);
  await closed;
});
