/** What the past of a task says: each incident is staged, and named with a next step that works when it is typed. */
import { whyId } from '../../src/lib/diagnosis/why.js';
import { parse as words } from '../support/words.js';
import { run } from '../support/command.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';
import { withGrants } from '../commands/roles.js';
import { aged, askId, askQueue, queryable, start, values } from './support.js';

const step = (db: TestDatabase, task: string, runId: string | undefined, name: string, state = '1') =>
  db.query(`select absurd.set_task_checkpoint_state('q', $1, $2, $3, $4)`, [task, name, state, runId]);

async function fail(db: TestDatabase, runId: string | undefined, error: { name: string; message: string }) {
  await db.query(`select absurd.fail_run('q', $1, $2)`, [runId, JSON.stringify(error)]);
}

/** Types the first advice that begins so. */
async function typed(db: TestDatabase, next: string[], verb: string) {
  const line = next.find((advice) => advice.includes(`absurdctl ${verb}`)) ?? '';
  expect(line, `${verb} among:\n${next.join('\n')}`).not.toBe('');
  return run(words(line.slice(line.indexOf('absurdctl ') + 'absurdctl '.length)), db);
}

test('an endless retry without delay, its errors alike but for a number', async ({ db }) => {
  await db.queue('q');
  await db.freeze(start);
  const task = await db.spawn('q', 'call');
  await db.query(
    `insert into absurd.r_q (run_id, task_id, attempt, state, started_at, failed_at, available_at, failure_reason)
     select absurd.portable_uuidv7(), $1, n, 'failed', absurd.current_time(), absurd.current_time(), absurd.current_time(),
            jsonb_build_object('name', 'HttpError', 'message', 'HTTP 410 for request ' || n)
       from generate_series(2, 1500) n`,
    [task.task_id],
  );
  await db.query(
    `update absurd.r_q set state = 'failed', failure_reason = '{"name": "E", "message": "other"}' where attempt = 1`,
  );
  const { rows } = await db.query<{ run_id: string }>(
    `insert into absurd.r_q (run_id, task_id, attempt, state, available_at)
     values (absurd.portable_uuidv7(), $1, 1501, 'pending', absurd.current_time()) returning run_id`,
    [task.task_id],
  );
  await db.query(`update absurd.t_q set attempts = 1501, last_attempt_run = $1`, [rows[0]?.run_id]);
  const result = await askId(db, task.task_id);
  expect(result).toMatchObject({ code: 'retrying_without_limit', verdict: 'stuck' });
  expect(result.sentence).toBe(
    'it is retrying without limit or delay: attempt 1,501, and the last 200 all failed with HttpError: HTTP 410 for request 1500',
  );
  const fork = result.next.find((advice) => advice.includes('fork-task')) ?? '';
  const refused = await run(words(/absurdctl (fork-task .*)/.exec(fork)?.[1] ?? ''), db);
  expect(refused.code).toBe(2);
  expect((await typed(db, result.next, 'cancel-task')).code).toBe(0);
});

test('a few failures with a limit are no storm', async ({ db }) => {
  await db.queue('q');
  const task = await db.spawn('q', 'call', {}, { max_attempts: 50, retry_strategy: { kind: 'none' } });
  for (let i = 0; i < 25; i++) await fail(db, (await db.claim('q'))[0]?.run_id, { name: 'E', message: 'no' });
  expect((await askId(db, task.task_id)).code).not.toBe('retrying_without_limit');
});

/** A task of the old code that fails after a step, claimed again. */
async function oldCode(db: TestDatabase, ...steps: string[]): Promise<string> {
  const task = await db.spawn('q', 'import', {}, { retry_strategy: { kind: 'none' } });
  const [first] = await db.claim('q');
  for (const name of steps) {
    await step(db, task.task_id, first?.run_id, name);
    await db.advance('1 second');
  }
  await fail(db, first?.run_id, { name: 'TypeError', message: 'x is not a function' });
  return task.task_id;
}

/** Tasks of the new code, completed since. */
async function newCode(db: TestDatabase, ...steps: string[]): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await db.advance('1 second');
    const task = await db.spawn('q', 'import');
    const claimed = (await db.claim('q', { qty: 10 })).find(({ task_id: id }) => id === task.task_id);
    for (const name of steps) {
      await db.advance('1 second');
      await step(db, task.task_id, claimed?.run_id, name);
    }
    await db.query(`select absurd.complete_run('q', $1)`, [claimed?.run_id]);
  }
}

async function again(db: TestDatabase, task: string, ...steps: string[]): Promise<void> {
  const { rows } = await db.query<{ run_id: string; state: string }>(
    `select run_id, state from absurd.r_q where task_id = $1 order by attempt desc limit 1`,
    [task],
  );
  if (rows[0]?.state === 'pending') await db.claim('q');
  for (const name of steps) await step(db, task, rows[0]?.run_id, name);
  await fail(db, rows[0]?.run_id, { name: 'TypeError', message: 'x is not a function' });
}

describe('a deploy between two attempts', () => {
  test('a step that was renamed', async ({ db }) => {
    await db.queue('q');
    await db.freeze(start);
    const task = await oldCode(db, 'fetch');
    await again(db, task, 'fetch-document');
    const result = await askId(db, task);
    expect(result).toMatchObject({ code: 'code_changed', verdict: 'stuck' });
    expect(result.sentence).toBe(
      'the code has changed since attempt 1: it recorded "fetch", later attempts run "fetch-document"',
    );
    expect((await typed(db, result.next, 'list-checkpoints')).code).toBe(0);
    const fork = result.next.find((advice) => advice.includes('fork-task')) ?? '';
    expect((await run(words(/absurdctl (fork-task .*)/.exec(fork)?.[1] ?? ''), db)).code).toBe(0);
  });

  test('steps that changed place, as others of the name show', async ({ db }) => {
    await db.queue('q');
    await db.freeze(start);
    const task = await oldCode(db, 'charge', 'reserve');
    await newCode(db, 'reserve', 'charge');
    await again(db, task);
    const result = await askId(db, task);
    expect(result.code).toBe('code_changed');
    expect(result.sentence).toContain('recorded "charge" before "reserve", and tasks of its name since then');
  });

  test('is not said of a task whose others do the same steps, whatever they are called', async ({ db }) => {
    await db.queue('q');
    await db.freeze(start);
    const task = await oldCode(db, 'send', 'row-1');
    await newCode(db, 'send', 'row-1', 'row-2', 'send-receipt');
    await again(db, task, 'row-2', 'send-receipt');
    expect((await askId(db, task)).code).not.toBe('code_changed');
  });
});

test('a handler that takes its workers down', async ({ db }) => {
  await db.queue('q');
  await db.freeze(start);
  const task = await db.spawn('q', 'resize');
  for (const worker of ['w1', 'w2']) {
    const [claimed] = await db.claim('q', { worker, timeout: 30 });
    await step(db, task.task_id, claimed?.run_id, 'load');
    await db.advance('1 minute');
    await db.query(`select absurd.claim_task('q', 'sweeper', 30, 0)`);
    await db.query(
      `update absurd.r_q set state = 'pending', claimed_by = null, claim_expires_at = null, started_at = null where state = 'running'`,
    );
    await db.query(`update absurd.t_q set state = 'pending'`);
  }
  const result = await askId(db, task.task_id);
  expect(result.code).toBe('ends_its_worker');
  expect(result.sentence).toBe(
    'attempts 1 and 2 ended without a result from their workers, after step "load": this task may be what crashes them',
  );
  expect(values(result)).toContain('their workers: "w2", "w1"');
  expect(values(result)).toContain('lease taken: 30 s');
});

test('a lease that is shorter than the steps', async ({ db }) => {
  await db.queue('q');
  await db.freeze(start);
  const other = await db.spawn('q', 'resize');
  const [done] = await db.claim('q', { timeout: 2 });
  await db.advance('3.5 seconds');
  await db.query(`select absurd.complete_run('q', $1)`, [done?.run_id]);
  const task = await db.spawn('q', 'resize');
  for (let i = 0; i < 2; i++) {
    await db.claim('q', { timeout: 2 });
    await db.advance('3 seconds');
  }
  const result = await askId(db, task.task_id);
  expect(other.task_id).not.toBe(task.task_id);
  expect(result.code).toBe('lease_too_short');
  expect(result.sentence).toContain('workers take 2 s, a step took 3.5 s, and the lease of attempts 1 and 2 expired');
});

test('a sleeper that polls, and checkpoints that are large', async ({ db }) => {
  await db.queue('q');
  await db.freeze(start);
  const task = await db.spawn('q', 'poll');
  const [claimed] = await db.claim('q');
  await db.query(
    `select absurd.set_task_checkpoint_state('q', $1, 'look-' || n,
              case n % 2 when 0 then to_jsonb(n) else '"2026-03-02T09:59:59.000Z"' end, $2) from generate_series(1, 218) n`,
    [task.task_id, claimed?.run_id],
  );
  await db.query(`select absurd.schedule_run('q', $1, absurd.current_time() + interval '1 second')`, [claimed?.run_id]);
  const polling = await askId(db, task.task_id);
  expect(polling.code).toBe('polling');
  expect(polling.sentence).toContain('it polls: 109 sleeps and 218 checkpoints in the last minute');
  expect((await run(['why', task.task_id, '--polling', '300', '--json'], db)).json()).toMatchObject({
    code: 'sleeping',
  });

  await db.advance('10 minutes');
  await db.query(
    `insert into absurd.c_q (task_id, checkpoint_name, state, owner_run_id)
     select $1, 'big', to_jsonb(string_agg(md5(n::text), '')), $2 from generate_series(1, 700000) n`,
    [task.task_id, claimed?.run_id],
  );
  const large = await askId(db, task.task_id);
  expect(large.code).toBe('large_checkpoints');
  expect(large.sentence).toMatch(/its checkpoints hold 1\d MB|its checkpoints hold 2\d MB/);
  expect((await run(['why', task.task_id, '--large-mb', '100', '--json'], db)).json()).not.toMatchObject({
    code: 'large_checkpoints',
  });
});

test('a start in 973 years', async ({ db }) => {
  await db.queue('q');
  await db.freeze(start);
  const task = await db.spawn('q', 'later');
  const [claimed] = await db.claim('q');
  await db.query(`select absurd.schedule_run('q', $1, absurd.current_time() + interval '973 years 2 days')`, [
    claimed?.run_id,
  ]);
  const result = await askId(db, task.task_id);
  expect(result.code).toBe('starts_far_ahead');
  expect(result.sentence).toBe('it sleeps for 973 years: were milliseconds given where seconds are taken?');
});

describe('a task that waits for another', () => {
  test('by an event whose name holds its id: the answer is the other one’s', async ({ db }) => {
    await db.queue('q');
    await db.queue('children');
    await db.freeze(start);
    const child = await db.spawn('children', 'child');
    await db.advance('2 minutes');
    const parent = await db.spawn('q', 'parent');
    const [claimed] = await db.claim('q');
    await db.query(`select absurd.await_event('q', $1, $2, 's', $3)`, [
      parent.task_id,
      claimed?.run_id,
      `done:${child.task_id}`,
    ]);
    const result = await askId(db, parent.task_id);
    expect(result).toMatchObject({ code: 'waits_for_task', verdict: 'stuck' });
    expect(result.sentence).toContain(`of task ${child.task_id} ("child"), and that task: it waits for a worker`);
    expect(result.next[0]).toBe('start a worker on queue "children"');
  });

  test('by polling after the step that spawned it', async ({ db }) => {
    await db.queue('q');
    await db.queue('children');
    await db.freeze(start);
    const child = await db.spawn('children', 'child');
    await db.advance('2 minutes');
    const parent = await db.spawn('q', 'parent');
    const [claimed] = await db.claim('q');
    await step(db, parent.task_id, claimed?.run_id, 'spawn-child', JSON.stringify({ taskID: child.task_id }));
    await db.advance('1 second');
    await step(db, parent.task_id, claimed?.run_id, 'nap', '"2026-03-02T10:05:00.000Z"');
    await db.query(`select absurd.schedule_run('q', $1, '2026-03-02T10:05:00Z')`, [claimed?.run_id]);
    const result = await askId(db, parent.task_id);
    expect(result.code).toBe('waits_for_task');
    expect(result.sentence).toContain('which its step "spawn-child" named last');
    expect(values(result)).toContain('why that one is where it is: never_claimed');
  });

  test('in a circle ends', async ({ db }) => {
    await db.queue('q');
    const [a, b] = [await db.spawn('q', 'a'), await db.spawn('q', 'b')];
    const claimed = await db.claim('q', { qty: 2 });
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const own = claimed.find(({ task_id: id }) => id === one.task_id);
      await db.query(`select absurd.await_event('q', $1, $2, 's', $3)`, [
        one.task_id,
        own?.run_id,
        `done:${other.task_id}`,
      ]);
    }
    expect((await askId(db, a.task_id)).code).toBe('waits_for_task');
  });
});

describe('advice is safe', () => {
  async function waiter(db: TestDatabase, event: string) {
    const task = await db.spawn('q', 'job');
    const [claimed] = await db.claim('q');
    await db.query(`select absurd.await_event('q', $1, $2, 's', $3)`, [task.task_id, claimed?.run_id, event]);
    return task.task_id;
  }

  test.for([
    ['short', `{"cents": 1999, "note": "it's"}`],
    ['long', JSON.stringify({ text: 'x'.repeat(2000) })],
  ] as const)('a payload that is known is emitted again, %s', async ([, payload], { db }) => {
    await db.queue('q');
    await db.queue('other');
    const id = await waiter(db, 'paid');
    await db.query(`select absurd.emit_event('other', 'paid', $1)`, [payload]);
    const result = await askId(db, id);
    expect(result.code).toBe('event_in_other_queue');
    const advice = result.next.find((text) => text.includes('emit-event')) ?? '';
    const [show, emit = show] = advice
      .split(' | ')
      .map((line) => words(line.slice(line.indexOf('absurdctl ') + 'absurdctl '.length)));
    const stdin = advice.includes(' | ') ? (await run(show ?? [], db)).stdout : undefined;
    expect((await run(emit ?? [], { ...db, ...(stdin === undefined ? {} : { stdin }) })).code).toBe(0);
    expect((await db.claim('q'))[0]?.event_payload).toEqual(JSON.parse(payload));
  });

  test('one that is not known cannot be emitted by accident', async ({ db }) => {
    await db.queue('q');
    const id = await waiter(db, 'paid');
    const result = await askId(db, id);
    expect(result.next.join('\n')).not.toContain(`'{}'`);
    expect((await typed(db, result.next, 'emit-event')).code).toBe(2);
    expect((await db.query(`select from absurd.e_q where payload is not null`)).rowCount).toBe(0);
  });
});

test('a stopped clock is said', async ({ db }) => {
  await db.queue('q');
  const task = await db.spawn('q', 'job');
  expect((await askId(db, task.task_id)).clock_stopped_at).toBeNull();
  await db.freeze(start);
  expect((await askId(db, task.task_id)).clock_stopped_at).toBe('2026-03-02T10:00:00.000Z');
  expect((await run(['why', task.task_id], db)).stdout).toContain(
    'the clock is stopped at 2026-03-02T10:00:00.000Z (absurd.fake_now): ages and future times are unreliable',
  );
});

test('a role that is not shown sessions says so first, and still names the holder of a lock', async ({
  db,
  second,
}) => {
  await db.queue('q');
  const task = await db.spawn('q', 'job');
  await withGrants(db, 'reader', async (role) => {
    await second.query('begin');
    await second.query('select from absurd.t_q for update');
    await aged(db, await second.pid());
    const result = await run(['why', task.task_id], role);
    expect(result.stdout.split('\n')[0]).toContain('This role cannot see what other sessions do');
    expect(result.stdout).toContain(`Session ${await second.pid()}`);
    expect((await run(['why', task.task_id, '--json'], role)).json()).toMatchObject({
      code: 'locked',
      sees_sessions: false,
    });
    await second.query('rollback');
    const free = await run(['why', task.task_id, '--json'], role);
    expect(free.json()).not.toMatchObject({ code: 'locked' });
  });
  expect((await run(['why', task.task_id], db)).stdout).not.toContain('This role');
});

test('a locked table: an answer within 5 seconds', async ({ db, second }) => {
  await db.queue('q');
  const task = await db.spawn('q', 'job');
  await second.query('begin');
  await second.query('lock table absurd.t_q, absurd.r_q, absurd.c_q, absurd.w_q, absurd.e_q in access exclusive mode');
  await aged(db, await second.pid());
  for (const ask of [() => askId(db, task.task_id), () => askQueue(db, 'q')]) {
    const startedAt = performance.now();
    expect((await ask()).code).toBe('locked');
    // On an idle machine it takes less than two.
    expect(performance.now() - startedAt).toBeLessThan(5000);
  }
  expect(await whyId(queryable(db), task.task_id, undefined, { windowSeconds: 300, timeoutMs: 5000 })).toBeDefined();
});
