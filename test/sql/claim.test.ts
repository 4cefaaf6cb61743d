import { expect } from 'vitest';
import { engine, iso, noon, refuses } from './support.js';

engine('a claim takes the oldest first and says what a worker needs', async ({ db, queue, run, task }) => {
  await db.freeze(noon);
  const first = await db.spawn(
    queue,
    'a',
    { n: 1 },
    { headers: { h: 1 }, max_attempts: 4, retry_strategy: { kind: 'none' } },
  );
  await db.advance('1 second');
  const second = await db.spawn(queue, 'b');
  const now = await db.advance('1 second');

  const claimed = await db.claim(queue, { qty: 5, worker: 'w7', timeout: 45 });

  expect(claimed).toEqual([
    {
      run_id: first.run_id,
      task_id: first.task_id,
      attempt: 1,
      task_name: 'a',
      params: { n: 1 },
      retry_strategy: { kind: 'none' },
      max_attempts: 4,
      headers: { h: 1 },
      wake_event: null,
      event_payload: null,
    },
    expect.objectContaining({ run_id: second.run_id, params: {}, headers: null, max_attempts: null }),
  ]);
  expect(await run(first.run_id)).toMatchObject({
    state: 'running',
    claimed_by: 'w7',
    claim_expires_at: new Date(now.getTime() + 45_000),
    started_at: now,
    available_at: now,
  });
  expect(await task(first.task_id)).toMatchObject({
    state: 'running',
    attempts: 1,
    first_started_at: now,
    last_attempt_run: first.run_id,
  });
  expect(await db.claim(queue, { qty: 5 })).toEqual([]);
});

engine('of one moment the lower run id comes first', async ({ db, queue }) => {
  await db.freeze(noon);
  const spawned = [];
  for (let i = 0; i < 6; i++) spawned.push((await db.spawn(queue, 'job')).run_id);
  const claimed = await db.claim(queue, { qty: 6 });
  expect(claimed.map((row) => row.run_id)).toEqual([...spawned].sort());
});

engine('odd arguments of a claim have their defaults', async ({ db, queue, run, value }) => {
  await db.freeze(noon);
  const ids = [];
  for (let i = 0; i < 4; i++) {
    await db.spawn(queue, 'job');
    ids.push(
      await value('select run_id from absurd.claim_task($1, $2, $3, $4)', [
        queue,
        ['', ' ', null, 'w'][i],
        [null, 0, -5, 10][i],
        [0, -3, null, 1][i],
      ]),
    );
  }
  const rows = await Promise.all(ids.map((id) => run(String(id))));
  expect(rows.map((row) => row['claimed_by'])).toEqual(['worker', 'worker', 'worker', 'w']);
  expect(rows.map((row) => (row['claim_expires_at'] === null ? null : iso(row['claim_expires_at'])))).toEqual([
    '2026-03-04T12:00:30.000Z',
    null,
    null,
    '2026-03-04T12:00:10.000Z',
  ]);
  await refuses(db.claim('nowhere'), 'P0002', 'nowhere');
});

engine('only runs whose time has come are claimed', async ({ db, queue }) => {
  await db.freeze(noon);
  await db.spawn(queue, 'job');
  const [claimed] = await db.claim(queue);
  await db.query(`select absurd.schedule_run($1, $2, absurd.current_time() + interval '10 seconds')`, [
    queue,
    claimed?.run_id,
  ]);
  expect(await db.claim(queue)).toEqual([]);
  await db.advance('9 seconds');
  expect(await db.claim(queue)).toEqual([]);
  await db.advance('1 second');
  expect(await db.claim(queue)).toMatchObject([{ run_id: claimed?.run_id, attempt: 1 }]);
});

engine('first_started_at is that of the first claim, started_at of the last', async ({ db, queue, run, task }) => {
  await db.freeze(noon);
  const { task_id: id, run_id: runId } = await db.spawn(queue, 'job');
  await db.claim(queue);
  await db.query('select absurd.schedule_run($1, $2, absurd.current_time())', [queue, runId]);
  const later = await db.advance('1 minute');
  await db.claim(queue);
  expect(iso((await task(id))['first_started_at'])).toBe(noon);
  expect((await run(runId))['started_at']).toEqual(later);
});

engine(
  'a lease that ran out fails its run, with a reason, and a retry follows at once',
  async ({ db, queue, run, task }) => {
    await db.freeze(noon);
    const spawned = await db.spawn(queue, 'job');
    await db.claim(queue, { worker: 'lost', timeout: 30 });
    await db.advance('30 seconds');

    const [again] = await db.claim(queue, { worker: 'heir' });

    expect(again).toMatchObject({ task_id: spawned.task_id, attempt: 2 });
    expect(await run(spawned.run_id)).toMatchObject({
      state: 'failed',
      failure_reason: {
        name: '$ClaimTimeout',
        message: expect.any(String) as string,
        workerId: 'lost',
        attempt: 1,
        claimExpiredAt: expect.stringContaining('2026-03-04') as string,
      },
    });
    expect(await task(spawned.task_id)).toMatchObject({
      state: 'running',
      attempts: 2,
      last_attempt_run: again?.run_id,
    });
  },
);

engine('expired leases are swept at most as many as are claimed, oldest first', async ({ db, queue, value }) => {
  await db.freeze(noon);
  const ids = [];
  for (let i = 0; i < 3; i++) {
    ids.push((await db.spawn(queue, 'job', {}, { max_attempts: 1 })).run_id);
    await db.claim(queue, { timeout: 10 });
    await db.advance('1 second');
  }
  await db.advance('1 minute');
  await db.claim(queue, { qty: 2 });
  const failed = await value(
    `select array_agg(run_id order by claim_expires_at) from absurd."r_${queue}" where state = 'failed'`,
  );
  expect(failed).toEqual(ids.slice(0, 2));
});

engine('a run without a lease is never swept', async ({ db, queue, run }) => {
  await db.freeze(noon);
  const { run_id: id } = await db.spawn(queue, 'job');
  await db.claim(queue, { timeout: 0 });
  await db.advance('10 years');
  expect(await db.claim(queue)).toEqual([]);
  expect((await run(id))['state']).toBe('running');
});

engine('max_delay cancels a task that did not start in time, exactly then', async ({ db, queue, run, task }) => {
  await db.freeze(noon);
  const late = await db.spawn(queue, 'late', {}, { cancellation: { max_delay: 60 } });
  const started = await db.spawn(queue, 'started', {}, { cancellation: { max_delay: 60 } });
  await db.query(`update absurd."r_${queue}" set available_at = 'infinity' where run_id = $1`, [late.run_id]);
  await db.claim(queue);
  await db.advance('59 seconds');
  await db.claim(queue);
  expect((await task(late.task_id))['state']).toBe('pending');
  const now = await db.advance('1 second');
  await db.claim(queue);
  expect(await task(late.task_id)).toMatchObject({ state: 'cancelled', cancelled_at: now });
  expect(await run(late.run_id)).toMatchObject({ state: 'cancelled', claimed_by: null, claim_expires_at: null });
  expect((await task(started.task_id))['state']).not.toBe('cancelled');
});

engine('max_duration cancels a task that takes too long, running or not', async ({ db, queue, run, task }) => {
  await db.freeze(noon);
  const spawned = await db.spawn(queue, 'long', {}, { cancellation: { max_duration: 100 } });
  await db.advance('1 hour');
  await db.claim(queue, { timeout: 1000 });
  await db.advance('99 seconds');
  await db.claim(queue);
  expect((await task(spawned.task_id))['state']).toBe('running');
  await db.advance('1 second');
  await db.claim(queue);
  expect((await task(spawned.task_id))['state']).toBe('cancelled');
  expect(await run(spawned.run_id)).toMatchObject({ state: 'cancelled', claimed_by: null, claim_expires_at: null });
});

engine('stored cancellation settings that cannot be read count as absent', async ({ db, queue }) => {
  const spawned = await db.spawn(queue, 'job');
  for (const odd of [
    '{"max_delay": "soon"}',
    '{"max_delay": {"a": 1}}',
    '[1]',
    '"x"',
    '{"max_duration": -4}',
    '{"max_delay": "1e999"}',
  ]) {
    await db.query(`update absurd."t_${queue}" set cancellation = $1 where task_id = $2`, [odd, spawned.task_id]);
    expect(await db.claim(queue, { timeout: 0 })).toHaveLength(1);
    await db.query('select absurd.schedule_run($1, $2, absurd.current_time())', [queue, spawned.run_id]);
  }
});

engine('a limit next to nothing breaks no claim', async ({ db, queue, task, value }) => {
  await db.freeze(noon);
  const id = await value(
    `select task_id from absurd.spawn_task($1, 'job', null, '{"cancellation": {"max_delay": 1e-400}}')`,
    [queue],
  );
  await db.spawn(queue, 'job');
  expect(await db.claim(queue, { qty: 4 })).toHaveLength(1);
  expect((await task(String(id)))['state']).toBe('cancelled');
});

engine('a claim forgets waits whose timeout has passed, and keeps what woke the run', async ({ db, queue, value }) => {
  await db.freeze(noon);
  const { task_id: task, run_id: runId } = await db.spawn(queue, 'job');
  await db.claim(queue);
  await db.query('select absurd.await_event($1, $2, $3, $4, $5, 10)', [queue, task, runId, 'wait', 'paid']);
  await db.advance('10 seconds');
  expect(await db.claim(queue)).toMatchObject([{ run_id: runId, wake_event: 'paid', event_payload: null }]);
  expect(await value(`select count(*)::int from absurd."w_${queue}"`)).toBe(0);
});

engine('a row that somebody holds locked holds up nobody', async ({ db, queue, connect }) => {
  const due = await db.spawn(queue, 'due', {}, { cancellation: { max_delay: 0 } });
  await db.spawn(queue, 'expired');
  const locked = await db.spawn(queue, 'locked');
  const ready = await db.spawn(queue, 'ready');
  await db.query(`update absurd."r_${queue}" set state = 'running', claim_expires_at = now() - interval '1 minute'
                   where run_id in (select last_attempt_run from absurd."t_${queue}" where task_name = 'expired')`);
  const other = await connect();
  await other.query('begin');
  await other.query(`select 1 from absurd."t_${queue}" where task_id in ($1, $2) for update`, [
    due.task_id,
    locked.task_id,
  ]);
  await other.query(`select 1 from absurd."r_${queue}" where state = 'running' for update`);
  await db.query(`set statement_timeout = '5s'`);

  const claimed = await db.claim(queue, { qty: 10 });

  expect(claimed.map((row) => row.run_id)).toEqual([ready.run_id]);
  await other.query('rollback');
  await db.query('reset statement_timeout');
});

for (const [beside, sweeps] of [
  ['', false],
  [', also when it cancels a task and fails a run', true],
] as const) {
  const name = `a claim beside 20,000 finished and 20,000 waiting tasks touches no more blocks than in an empty queue${beside}`;
  engine(name, async ({ db, queue, connect }) => {
    const probe = async (): Promise<void> => {
      await db.spawn(queue, 'probe');
      if (!sweeps) return;
      await db.spawn(queue, 'due', {}, { cancellation: { max_delay: 0 } });
      const { run_id: expired } = await db.spawn(queue, 'expired');
      await db.query(`update absurd."r_${queue}" set state = 'running', claim_expires_at = 'epoch' where run_id = $1`, [
        expired,
      ]);
    };
    const blocks = async (): Promise<number> => {
      const fresh = await connect();
      await probe();
      await fresh.query('select absurd.claim_task($1, $2)', [queue, 'warm']);
      await probe();
      const { rows } = await fresh.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(
        `explain (analyze, buffers, format json) select * from absurd.claim_task('${queue}', 'probe')`,
      );
      const plan = rows[0]?.['QUERY PLAN'][0].Plan ?? {};
      await fresh.client.end();
      return (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0);
    };
    const empty = await blocks();
    await db.query(
      `with task as (
       insert into absurd."t_${queue}" (task_id, task_name, params, state, attempts)
       select absurd.portable_uuidv7(), 'bulk', '{}', case when i % 2 = 0 then 'completed' else 'pending' end, 1
         from generate_series(1, 40000) i returning task_id, state)
     insert into absurd."r_${queue}" (run_id, task_id, attempt, state, available_at, completed_at)
     select absurd.portable_uuidv7(), task_id, 1, state, now(), case state when 'completed' then now() end from task`,
    );
    // Nothing has told the planner: the worst moment for a cached plan.
    expect(await blocks()).toBeLessThan(empty + 60);
    // Now it knows, and finds it cheap to go through them all in the wanted order.
    await db.query(`analyze absurd."t_${queue}", absurd."r_${queue}"`);
    expect(await blocks()).toBeLessThan(empty + 60);
  });
}
