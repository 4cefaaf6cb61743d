import { hostname } from 'node:os';
import { Absurd, CancelledTask, FailedTask, SuspendTask, type ClaimedTask } from '../../src/sdk/index.js';
import {
  checkpointsOf,
  claimedTask,
  describe,
  expect,
  FakeDatabase,
  gate,
  KeptLog,
  runsOf,
  stateOf,
  test,
  until,
  vi,
} from './support.js';

const claimed = (run: string): ClaimedTask => claimedTask({ run_id: run, task_name: 't' });

/** A worker over replaced calls: what it claims is scripted, what it runs is held until opened. */
function scripted(batches: ClaimedTask[][]) {
  const absurd = new Absurd({ db: new FakeDatabase(), log: new KeptLog() });
  const claims: unknown[] = [];
  const running = new Map<string, () => void>();
  let most = 0;
  const claimTasks = vi.spyOn(absurd, 'claimTasks').mockImplementation(async (options) => {
    claims.push(options?.batchSize);
    return batches.shift() ?? [];
  });
  const executeTask = vi.spyOn(absurd, 'executeTask').mockImplementation(async (task) => {
    const held = gate();
    running.set(task.run_id, held.open);
    most = Math.max(most, running.size);
    await held.promise;
    running.delete(task.run_id);
  });
  return { absurd, claims, running, claimTasks, executeTask, most: () => most };
}

describe('the rhythm', () => {
  test('asks with the documented defaults', async () => {
    const { absurd, claimTasks, executeTask, running } = scripted([[claimed('a')]]);
    const worker = await absurd.startWorker();
    await until(() => running.get('a'));
    running.get('a')?.();
    await until(() => claimTasks.mock.calls.length > 1);
    await worker.close();
    expect(claimTasks).toHaveBeenCalledWith({
      batchSize: 1,
      claimTimeout: 120,
      workerId: expect.stringMatching(new RegExp(`^${hostname()}:${process.pid}:[0-9a-f]{8}$`)),
    });
    expect(executeTask.mock.calls[0]?.slice(1)).toEqual([
      120,
      { fatalOnLeaseTimeout: true, assignment: expect.objectContaining({ workerID: worker.workerId }) },
    ]);
  });

  test('never claims beyond its free capacity, and claims at once when some frees up', async () => {
    const first = ['a', 'b', 'c'].map(claimed);
    const { absurd, claims, running, most } = scripted([first, [claimed('d')], []]);
    const worker = await absurd.startWorker({ concurrency: 4, pollInterval: 3600, adaptivePolling: false });
    await until(() => running.size === 4);
    expect(claims).toEqual([4, 1]);
    running.get('b')?.();
    await until(() => claims.length === 3);
    expect(claims).toEqual([4, 1, 1]);
    running.get('a')?.();
    running.get('c')?.();
    await until(() => claims.length === 4);
    expect(claims[3]).toBe(3);
    expect(most()).toBe(4);
    const closing = worker.close();
    running.get('d')?.();
    await closing;
  });

  test('claims no more than batchSize at a time', async () => {
    const { absurd, claims, running } = scripted([['a', 'b'].map(claimed), [claimed('c')]]);
    const worker = await absurd.startWorker({ concurrency: 3, batchSize: 2, workerId: 'me', claimTimeout: 9 });
    await until(() => running.size === 3);
    expect(claims.slice(0, 2)).toEqual([2, 1]);
    for (const open of running.values()) open();
    await worker.close();
  });

  test('polls an empty queue at its interval', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { absurd, claims } = scripted([]);
    const worker = await absurd.startWorker({ pollInterval: 2 });
    for (let n = 0; n < 5; n += 1) {
      await vi.advanceTimersByTimeAsync(2000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const closing = worker.close();
    await vi.advanceTimersByTimeAsync(20_000);
    await closing;
    vi.useRealTimers();
    expect(claims.length).toBeGreaterThanOrEqual(5);
    expect(claims.length).toBeLessThanOrEqual(7);
  });

  test('hands errors of claims and runs to onError, and goes on', async () => {
    const { absurd, claimTasks, executeTask } = scripted([]);
    const errors: string[] = [];
    claimTasks.mockRejectedValueOnce(new Error('claim')).mockResolvedValueOnce([claimed('a')]);
    executeTask.mockRejectedValueOnce('not an error');
    const worker = await absurd.startWorker({ pollInterval: 0.01, onError: (error) => errors.push(error.message) });
    await until(() => claimTasks.mock.calls.length > 3);
    await worker.close();
    expect(errors).toEqual(['claim', 'not an error']);
  });

  test('logs errors where nobody asked for them', async () => {
    const { absurd, claimTasks } = scripted([]);
    claimTasks.mockRejectedValueOnce(new Error('claim'));
    const worker = await absurd.startWorker({ pollInterval: 0.01 });
    await until(() => claimTasks.mock.calls.length > 1);
    await worker.close();
    expect((absurd.log as KeptLog).lines).toEqual([expect.stringMatching(/^error: .*claim/)]);
  });
});

describe('closing', () => {
  test('stops claiming and waits for what runs; so does the client’s close', async () => {
    const { absurd, claims, running } = scripted([[claimed('a')]]);
    await absurd.startWorker({ concurrency: 2, pollInterval: 0.01 });
    await until(() => running.size === 1);
    let closed = false;
    const closing = absurd.close().then(() => (closed = true));
    const before = claims.length;
    await new Promise((resolve) => setImmediate(resolve));
    expect(closed).toBe(false);
    running.get('a')?.();
    await closing;
    expect(claims.length - before).toBeLessThanOrEqual(1);
  });

  test('with a timeout gives back what still runs: its signal fires, another worker has it at once', async ({
    make,
    db,
  }) => {
    const absurd = make();
    await absurd.createQueue();
    const reasons: unknown[] = [];
    const held = gate();
    let steps = 0;
    let late: unknown;
    absurd.registerTask({ name: 'slow' }, async (_, ctx) => {
      await ctx.step('first', async () => (steps += 1));
      ctx.signal.addEventListener('abort', () => reasons.push(ctx.signal.reason));
      if (ctx.workerID === 'one') {
        await held.promise;
        late = await ctx.step('second', async () => 'by the old one').catch((error: unknown) => error);
      }
      return ctx.workerID;
    });
    const { taskID } = await absurd.spawn('slow', {});
    const one = await absurd.startWorker({ workerId: 'one', pollInterval: 0.01, claimTimeout: 600 });
    await until(async () => (await checkpointsOf(db, taskID))['first'] === 1);
    // The handler is still held: that this returns at all shows that it does not wait for it.
    await one.close({ timeout: 0.1 });
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toBeInstanceOf(SuspendTask);
    const two = await absurd.startWorker({ workerId: 'two', pollInterval: 0.01 });
    expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toEqual({ state: 'completed', result: 'two' });
    await two.close();
    held.open();
    await until(() => late);
    expect(late).toBeInstanceOf(SuspendTask);
    expect(await checkpointsOf(db, taskID)).toEqual({ first: 1 });
    expect((await runsOf(db, taskID)).map((run) => [run.attempt, run.state])).toEqual([[1, 'completed']]);
  });
});

describe('a run that is taken away', () => {
  test('by cancellation: its signal fires and its slot is free, though the handler never looks', async ({
    absurd,
    db,
    log,
  }) => {
    const held = gate();
    let reason: unknown;
    absurd.registerTask({ name: 'deaf' }, async (_, ctx) => {
      ctx.signal.addEventListener('abort', () => (reason = ctx.signal.reason));
      await held.promise;
    });
    absurd.registerTask({ name: 'next' }, async () => 'had its turn');
    const { taskID } = await absurd.spawn('deaf', {});
    const worker = await absurd.startWorker({ pollInterval: 0.01 });
    await until(async () => (await stateOf(db, taskID)) === 'running');
    const next = await absurd.spawn('next', {});
    await absurd.cancelTask(taskID);
    expect(await absurd.awaitTaskResult(next.taskID, { timeout: 5 })).toEqual({
      state: 'completed',
      result: 'had its turn',
    });
    expect(reason).toBeInstanceOf(CancelledTask);
    await worker.close();
    held.open();
    expect(await stateOf(db, taskID)).toBe('cancelled');
    expect(log.lines).toEqual([]);
  });

  test('by a lost lease: its signal fires, and what it does afterwards changes nothing', async ({ absurd, db }) => {
    const held = gate();
    const seen: unknown[] = [];
    absurd.registerTask({ name: 'job' }, async (_, ctx) => {
      if (ctx.attempt > 1) return 'second';
      ctx.signal.addEventListener('abort', () => seen.push(ctx.signal.reason));
      await held.promise;
      return 'first';
    });
    const { taskID } = await absurd.spawn('job', {});
    const worker = await absurd.startWorker({ pollInterval: 0.01, claimTimeout: 60, concurrency: 2 });
    await until(async () => (await stateOf(db, taskID)) === 'running');
    await db.query(`update absurd.r_default set claim_expires_at = now() - interval '1 second'`);
    expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toEqual({ state: 'completed', result: 'second' });
    await until(() => seen.length === 1);
    expect(seen[0]).toBeInstanceOf(FailedTask);
    held.open();
    await worker.close();
    expect((await runsOf(db, taskID)).map((run) => run.state)).toEqual(['failed', 'completed']);
    expect(await absurd.fetchTaskResult(taskID)).toEqual({ state: 'completed', result: 'second' });
  });

  test('a handler that heeds the signal may wind up before its slot is freed', async ({ absurd, db }) => {
    let wound = false;
    absurd.registerTask({ name: 'polite' }, async (_, ctx) => {
      await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve));
      await new Promise((resolve) => setTimeout(resolve, 20));
      wound = true;
      ctx.signal.throwIfAborted();
    });
    const { taskID } = await absurd.spawn('polite', {});
    const worker = await absurd.startWorker({ pollInterval: 0.01 });
    await until(async () => (await stateOf(db, taskID)) === 'running');
    await absurd.cancelTask(taskID);
    await worker.close();
    expect(wound).toBe(true);
  });
});

describe('many at once', () => {
  /** Counts the statements of a pool by the function they call. */
  function counted(db: { pool: import('pg').Pool }) {
    const counts: Record<string, number> = {};
    const con = {
      query: (text: string, values?: unknown[]) => {
        const name = /absurd\.(\w+)\s*\(/.exec(text)?.[1] ?? 'other';
        counts[name] = (counts[name] ?? 0) + 1;
        return db.pool.query(text, values);
      },
    };
    return { con, counts };
  }

  test('go out together: far fewer statements than runs, and every one in its place', async ({ db, log }) => {
    const { con, counts } = counted(db);
    const absurd = new Absurd({ db: con, log });
    await absurd.createQueue();
    absurd.registerTask({ name: 'job' }, async (params, ctx) => {
      const doubled = await ctx.step('double', async () => params.n * 2);
      if (params.n % 50 === 7) throw new Error(`no ${params.n}`);
      return { n: params.n, doubled };
    });
    const spawned = await absurd.spawnMany(
      Array.from({ length: 400 }, (_, n) => ({ name: 'job', params: { n }, options: { maxAttempts: 1 } })),
    );
    const worker = await absurd.startWorker({ concurrency: 40, pollInterval: 0.02 });
    await until(
      async () => {
        const { rows } = await db.query(
          `select 1 from absurd.t_default where state not in ('completed', 'failed') limit 1`,
        );
        return rows.length === 0;
      },
      { timeoutMs: 20_000 },
    );
    await worker.close();
    const { rows } = await db.query<{ ok: number; wrong: number; failed: number }>(
      `select count(*) filter (where state = 'completed')::int as ok,
              count(*) filter (where state = 'failed')::int as failed,
              count(*) filter (where state = 'completed' and completed_payload is distinct from
                jsonb_build_object('n', params->'n', 'doubled', (params->>'n')::int * 2))::int as wrong
         from absurd.t_default`,
    );
    expect(rows).toEqual([{ ok: 392, wrong: 0, failed: 8 }]);
    expect(await checkpointsOf(db, spawned[3]?.taskID ?? '')).toEqual({ double: 6 });
    const completions = (counts['complete_runs'] ?? 0) + (counts['complete_run'] ?? 0);
    expect(completions).toBeLessThan(200);
    expect((counts['get_run_checkpoints'] ?? 0) + (counts['get_task_checkpoint_states'] ?? 0)).toBeLessThan(200);
    expect((counts['set_task_checkpoint_states'] ?? 0) + (counts['set_task_checkpoint_state'] ?? 0)).toBeLessThan(200);
  });

  test('one result that the server cannot store fails alone', async ({ absurd }) => {
    const together = gate();
    let here = 0;
    absurd.registerTask({ name: 'job', defaultMaxAttempts: 1 }, async (params) => {
      if ((here += 1) === 6) together.open();
      await together.promise;
      return params.n === 3 ? 'nul: \u0000' : params.n;
    });
    const spawned = await absurd.spawnMany(Array.from({ length: 6 }, (_, n) => ({ name: 'job', params: { n } })));
    const worker = await absurd.startWorker({ concurrency: 6, pollInterval: 0.02 });
    const ends = await Promise.all(spawned.map(({ taskID }) => absurd.awaitTaskResult(taskID, { timeout: 10 })));
    await worker.close();
    expect(ends.map((end) => end.state)).toEqual([
      'completed',
      'completed',
      'completed',
      'failed',
      'completed',
      'completed',
    ]);
  });

  test('one row that somebody holds locked does not hold up the others', async ({ absurd, db, second }) => {
    const together = gate();
    let here = 0;
    absurd.registerTask({ name: 'job' }, async (params) => {
      here += 1;
      await together.promise;
      return params.n;
    });
    const locked = await absurd.spawn('job', { n: -1 });
    const worker = await absurd.startWorker({ concurrency: 8, pollInterval: 0.02 });
    await until(() => here === 1);
    await second.query('begin');
    await second.query('select 1 from absurd.r_default where task_id = $1 for update', [locked.taskID]);
    together.open();
    const others = await absurd.spawnMany(Array.from({ length: 20 }, (_, n) => ({ name: 'job', params: { n } })));
    for (const { taskID } of others) {
      expect((await absurd.awaitTaskResult(taskID, { timeout: 60 })).state).toBe('completed');
    }
    expect(await stateOf(db, locked.taskID)).toBe('running');
    await second.query('rollback');
    expect((await absurd.awaitTaskResult(locked.taskID, { timeout: 60 })).state).toBe('completed');
    await worker.close();
  });

  test('without our functions, as on the original’s schema, every run has its own statements', async ({ db, log }) => {
    const { con: real, counts } = counted(db);
    const con = {
      query: async (text: string, values?: unknown[]) =>
        text.includes('to_regprocedure') ? { rows: [{}] } : real.query(text, values),
    };
    const absurd = new Absurd({ db: con, log });
    await absurd.createQueue();
    absurd.registerTask({ name: 'job' }, async (params, ctx) => ctx.step('s', async () => params));
    const spawned = await absurd.spawnMany(Array.from({ length: 10 }, (_, n) => ({ name: 'job', params: n })));
    const worker = await absurd.startWorker({ concurrency: 10, pollInterval: 0.02 });
    for (const [n, { taskID }] of spawned.entries()) {
      expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toEqual({ state: 'completed', result: n });
    }
    await worker.close();
    expect(counts).toMatchObject({
      spawn_task: 10,
      complete_run: 10,
      set_task_checkpoint_state: 10,
      get_task_checkpoint_states: 10,
    });
  });
});
