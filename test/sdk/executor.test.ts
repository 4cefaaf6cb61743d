import { Absurd, type AbsurdHooks, type ClaimedTask, type TaskHandler } from '../../src/sdk/index.js';
import { describe, expect, FakeDatabase, gate, KeptLog, runsOf, test, until, vi } from './support.js';

const claimed = (task: Partial<ClaimedTask> = {}): ClaimedTask => ({
  run_id: 'R',
  task_id: 'T',
  task_name: 't',
  attempt: 1,
  params: { p: 1 },
  retry_strategy: null,
  max_attempts: null,
  headers: null,
  wake_event: null,
  event_payload: null,
  ...task,
});

const refuse = (fn: string, error: Error) => (text: string) => {
  if (text.includes(`absurd.${fn}(`)) throw error;
  return [];
};

const coded = (code: string): Error => Object.assign(new Error(`refused with ${code}`), { code });

/** Executes one claimed run over a fake database and returns what was asked of it, and the log. */
async function execute(
  handler: TaskHandler,
  options: { fake?: FakeDatabase; hooks?: AbsurdHooks; task?: Partial<ClaimedTask>; queue?: string } = {},
): Promise<{ calls: string[]; log: string[] }> {
  const fake = options.fake ?? new FakeDatabase();
  const log = new KeptLog();
  const absurd = new Absurd({ db: fake, log, hooks: options.hooks });
  absurd.registerTask({ name: 't', queue: options.queue }, handler);
  await absurd.executeTask(claimed(options.task), 120);
  return { calls: fake.calls.map((call) => call.replace(/,\\"stack\\":.*?}"/, '}"')), log: log.lines };
}

const opened = 'get_task_checkpoint_states("default", "T", "R")';

describe('an execution in the contract’s own statements', () => {
  test('loads, calls the handler, completes', async () => {
    const handler = vi.fn(async () => ({ a: 1 }));
    expect(await execute(handler)).toEqual({ calls: [opened, 'complete_run("default", "R", "{\\"a\\":1}")'], log: [] });
    expect(handler.mock.calls[0]).toMatchObject([
      { p: 1 },
      { taskID: 'T', runID: 'R', attempt: 1, queueName: 'default', headers: {} },
    ]);
    expect((await execute(async () => undefined)).calls[1]).toBe('complete_run("default", "R", "null")');
  });

  test('stores an error with name, message and stack, anything else with its message', async () => {
    const fake = new FakeDatabase();
    await execute(
      async () => {
        throw new TypeError('x');
      },
      { fake },
    );
    const reason = JSON.parse(String(fake.queries[1]?.values?.[2])) as Record<string, string>;
    expect(Object.keys(reason)).toEqual(['name', 'message', 'stack']);
    expect(reason).toMatchObject({
      name: 'TypeError',
      message: 'x',
      stack: expect.stringContaining('executor.test.ts'),
    });
    for (const [thrown, stored] of [
      ['word', { message: 'word' }],
      [{ a: 1 }, { message: '{"a":1}', value: { a: 1 } }],
      [null, { message: 'null' }],
    ] as const) {
      const { calls, log } = await execute(() => Promise.reject(thrown));
      expect(calls).toEqual([opened, `fail_run("default", "R", ${JSON.stringify(JSON.stringify(stored))}, null)`]);
      expect(log).toHaveLength(1);
    }
  });

  test.for(['AB001', 'AB002'])('ends quietly when %s comes from anywhere', async (code) => {
    for (const fn of ['complete_run', 'set_task_checkpoint_state', 'extend_claim', 'await_event', 'emit_event']) {
      const fake = new FakeDatabase(refuse(fn, coded(code)));
      const { calls, log } = await execute(
        async (_, ctx) => {
          if (fn === 'set_task_checkpoint_state') await ctx.step('s', async () => 1);
          if (fn === 'extend_claim') await ctx.heartbeat();
          if (fn === 'await_event') await ctx.awaitEvent('e');
          if (fn === 'emit_event') await ctx.emitEvent('e');
        },
        { fake },
      );
      expect(calls.at(-1)).toContain(fn);
      expect(log).toEqual([]);
    }
    const late = new FakeDatabase(refuse('fail_run', coded(code)));
    await execute(() => Promise.reject(new Error('x')), { fake: late });
    expect(late.calls.at(-1)).toContain('fail_run');
  });

  test('rejects with what kept it from loading, and from failing the run', async () => {
    await expect(
      execute(async () => 1, { fake: new FakeDatabase(refuse('get_task_checkpoint_states', new Error('no'))) }),
    ).rejects.toThrow('no');
    const fake = new FakeDatabase(refuse('fail_run', new Error('cannot fail')));
    await expect(execute(() => Promise.reject(new Error('x')), { fake })).rejects.toThrow('cannot fail');
  });

  test('stores a brief reason where the server refuses the whole one', async () => {
    let refusals = 1;
    const fake = new FakeDatabase((text) => {
      if (text.includes('fail_run') && refusals-- > 0) throw coded('22P05');
      return [];
    });
    const { calls } = await execute(() => Promise.reject(new Error('grün')), { fake });
    expect(calls.at(-1)).toBe('fail_run("default", "R", "{\\"name\\":\\"Error\\",\\"message\\":\\"gr?n\\"}", null)');
  });

  test('fails the run whose completion is refused', async () => {
    const { calls } = await execute(async () => 1, {
      fake: new FakeDatabase(refuse('complete_run', new Error('boom'))),
    });
    expect(calls).toEqual([
      opened,
      'complete_run("default", "R", "1")',
      'fail_run("default", "R", "{\\"name\\":\\"Error\\",\\"message\\":\\"boom\\"}", null)',
    ]);
  });

  test('fails a result that is not JSON', async () => {
    const { calls } = await execute(async () => 1n);
    expect(calls[1]).toContain('BigInt');
  });
});

describe('a task that is not for this worker', () => {
  test('is put back for 15 to 30 seconds where nobody registered it, spread by run', async () => {
    const delays = new Set<number>();
    for (let n = 0; n < 60; n += 1) {
      const fake = new FakeDatabase();
      const { log } = await execute(async () => 1, { fake, task: { task_name: 'unknown', run_id: `run-${n}` } });
      expect(fake.queries).toHaveLength(1);
      expect(fake.queries[0]?.text).toMatch(/^SELECT absurd\.schedule_run\(/);
      expect(log[0]).toMatch(/^warn: .*unknown/);
      delays.add(Number(fake.queries[0]?.values?.[2]));
    }
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(15);
    expect(Math.max(...delays)).toBeLessThanOrEqual(30);
    expect(delays.size).toBeGreaterThan(8);
  });

  test('fails where it cannot be put back', async () => {
    const fake = new FakeDatabase(refuse('schedule_run', new Error('no way back')));
    const { calls } = await execute(async () => 1, { fake, task: { task_name: 'unknown' } });
    expect(calls[1]).toContain('fail_run("default", "R", "{\\"name\\":\\"Error\\",\\"message\\":\\"no way back\\"}"');
  });

  test('keeps its attempts and comes back by the server’s clock', async ({ absurd, db }) => {
    await db.freeze('2030-01-01T00:00:00Z');
    const client = absurd.bindToConnection(db.pool);
    const { taskID } = await client.spawn('unknown', {}, { queue: 'default' });
    await client.workBatch();
    const [run, ...others] = await runsOf(db, taskID);
    expect(others).toEqual([]);
    expect(run).toMatchObject({ state: 'sleeping', attempt: 1, claimed_by: null });
    const seconds = ((run?.available_at.getTime() ?? 0) - Date.parse('2030-01-01T00:00:00Z')) / 1000;
    expect(seconds).toBeGreaterThanOrEqual(15);
    expect(seconds).toBeLessThanOrEqual(30);
  });

  test('fails where it is registered for another queue', async () => {
    const { calls } = await execute(async () => 1, { queue: 'elsewhere' });
    expect(calls.at(-1)).toContain('Misconfigured task (queue mismatch)');
  });
});

describe('wrapTaskExecution', () => {
  test('surrounds the handler and its completion, and sees the result', async () => {
    const order: unknown[] = [];
    const fake = new FakeDatabase((text) => (order.push(/absurd\.(\w+)/.exec(text)?.[1]), []));
    await execute(async () => (order.push('handler'), 5), {
      fake,
      hooks: {
        wrapTaskExecution: async (ctx, run) => {
          order.push(`before ${ctx.taskID}`);
          const result = await run();
          order.push(`after ${String(result)}`);
          return result;
        },
      },
    });
    expect(order).toEqual(['get_task_checkpoint_states', 'before T', 'handler', 'complete_run', 'after 5']);
  });

  test('sees the handler’s error; the run fails also where the hook keeps it to itself', async () => {
    const seen: string[] = [];
    const { calls } = await execute(() => Promise.reject(new Error('inner')), {
      hooks: {
        wrapTaskExecution: async <T>(_: unknown, run: () => Promise<T>) => {
          try {
            return await run();
          } catch (error) {
            seen.push((error as Error).message);
            return undefined as T;
          }
        },
      },
    });
    expect(seen).toEqual(['inner']);
    expect(calls.at(-1)).toContain('fail_run');
  });
});

describe('a lease overrun', () => {
  const busy = async (fatal: boolean | undefined): Promise<{ log: string[]; exits: unknown[][] }> => {
    vi.useFakeTimers();
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
    const log = new KeptLog();
    const absurd = new Absurd({ db: new FakeDatabase(), log });
    const work = gate();
    absurd.registerTask({ name: 't' }, () => work.promise);
    const run = absurd.executeTask(claimed(), 10, { fatalOnLeaseTimeout: fatal });
    await vi.advanceTimersByTimeAsync(9_900);
    expect(log.lines).toEqual([]);
    await vi.advanceTimersByTimeAsync(200);
    expect(log.lines).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(9_800);
    expect(exit).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(200);
    work.open();
    await run;
    vi.useRealTimers();
    const exits = [...exit.mock.calls];
    exit.mockRestore();
    return { log: log.lines, exits };
  };

  test('warns after one length, and ends the process after two', async () => {
    const { log, exits } = await busy(true);
    expect(log[0]).toMatch(/^warn: .*t \(T\).*10s/);
    expect(log[1]).toMatch(/^error: .*t \(T\)/);
    expect(exits).toEqual([[1]]);
  });

  test.for([false, undefined])('only warns where fatalOnLeaseTimeout is %s', async (fatal) => {
    const { log, exits } = await busy(fatal);
    expect(log).toHaveLength(1);
    expect(exits).toEqual([]);
  });

  test('is counted from the last sign of life', async () => {
    vi.useFakeTimers();
    const log = new KeptLog();
    const absurd = new Absurd({ db: new FakeDatabase(), log });
    const rest = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
    absurd.registerTask({ name: 't' }, async (_, ctx) => {
      await rest(8000);
      await ctx.step('a', async () => 1);
      await rest(8000);
      await ctx.heartbeat(60);
      await rest(50_000);
    });
    const run = absurd.executeTask(claimed(), 10, { fatalOnLeaseTimeout: true });
    await vi.advanceTimersByTimeAsync(70_000);
    await run;
    vi.useRealTimers();
    expect(log.lines).toEqual([]);
  });
});

test('workBatch runs one after another and rejects with the first trouble', async () => {
  const absurd = new Absurd({ db: new FakeDatabase() });
  const order: string[] = [];
  vi.spyOn(absurd, 'claimTasks').mockResolvedValue([claimed({ run_id: 'a' }), claimed({ run_id: 'b' })]);
  const executeTask = vi.spyOn(absurd, 'executeTask').mockImplementation(async (task) => {
    order.push(`start ${task.run_id}`);
    await until(() => true);
    order.push(`end ${task.run_id}`);
    throw new Error(`trouble ${task.run_id}`);
  });
  await expect(absurd.workBatch('w', 5, 6)).rejects.toThrow('trouble a');
  expect(absurd.claimTasks).toHaveBeenCalledWith({ batchSize: 6, claimTimeout: 5, workerId: 'w' });
  expect(executeTask.mock.calls.map((call) => call[1])).toEqual([5, 5]);
  expect(order).toEqual(['start a', 'end a', 'start b', 'end b']);
});
