import { expect } from 'vitest';
import type { Connection } from '../support/database.js';
import { engine, type Scene } from './support.js';

/** Half of them tasks that ended long ago, half that wait for an event; with checkpoints, and an event each. */
async function fill({ db }: Scene, queue: string, tasks: number): Promise<void> {
  await db.query(`
    with task as (
      insert into absurd."t_${queue}" (task_id, task_name, params, state, attempts, last_attempt_run)
      select absurd.portable_uuidv7(), 'bulk', '{}', case when i % 2 = 0 then 'completed' else 'sleeping' end, 1,
             absurd.portable_uuidv7()
        from generate_series(1, ${tasks}) i
      returning task_id, state, last_attempt_run
    ),
    saved as (
      insert into absurd."c_${queue}" (task_id, checkpoint_name, state, owner_run_id)
      select task_id, 'step', '1', last_attempt_run from task
    ),
    wait as (
      insert into absurd."w_${queue}" (task_id, run_id, step_name, event_name)
      select task_id, last_attempt_run, 'wait', 'bulk ' || task_id from task where state = 'sleeping'
    ),
    event as (
      insert into absurd."e_${queue}" (event_name, payload, emitted_at)
      select 'bulk ' || task_id, case when state = 'completed' then jsonb '1' end,
             case when state = 'completed' then now() - interval '60 days' else 'epoch' end
        from task
    )
    insert into absurd."r_${queue}" (run_id, task_id, attempt, state, available_at, completed_at, wake_event)
    select last_attempt_run, task_id, 1, state, case state when 'sleeping' then 'infinity' else now() end,
           case state when 'completed' then now() - interval '60 days' end,
           case state when 'sleeping' then 'bulk ' || task_id end
      from task`);
}

const cleaned = 1000;

async function rowsReadIn(session: Connection, call: string): Promise<number> {
  /** Grows within a transaction; what it starts with may be of the ones before. */
  const rowsRead = async (): Promise<number> => {
    const { rows } = await session.query(
      `select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as n
         from pg_stat_xact_user_tables where schemaname = 'absurd'`,
    );
    return Number(rows[0]?.['n']);
  };
  await session.query('begin');
  const before = await rowsRead();
  await session.query(`select * from absurd.${call}`);
  const read = (await rowsRead()) - before;
  await session.query('commit');
  return read;
}

/** How many rows each call reads, by a session that has no plans yet. */
async function rowsReadBy({ db, connect }: Scene, queue: string): Promise<Map<string, number>> {
  const session = await connect();
  const found = new Map<string, number>();
  const q = `'${queue}'`;
  const measure = async (call: string, name = call.slice(0, call.indexOf('('))): Promise<void> => {
    found.set(name, await rowsReadIn(session, call));
  };
  /** A task that a worker has in hand. */
  const claimed = async (options = {}): Promise<{ task: string; run: string }> => {
    await db.query(`select absurd.spawn_task($1, 'probe', '{}', $2)`, [queue, JSON.stringify(options)]);
    const [run] = await db.claim(queue, { worker: 'probe' });
    return { task: String(run?.task_id), run: String(run?.run_id) };
  };
  await measure(`spawn_task(${q}, 'probe', '{}', '{"idempotency_key": "probe ${Math.random()}"}')`);
  await measure(`spawn_tasks(${q}, '[{"task_name": "probe", "params": {}}]')`);
  await measure(`claim_task(${q}, 'probe', 30, 5)`);
  const { task, run } = await claimed();
  await measure(`extend_claim(${q}, '${run}', 30)`);
  await measure(`set_task_checkpoint_state(${q}, '${task}', 'step', '1', '${run}', 30)`);
  await measure(`get_task_checkpoint_state(${q}, '${task}', 'step')`);
  await measure(`get_task_checkpoint_states(${q}, '${task}', '${run}')`);
  const write = { task_id: task, step_name: 'another', state: 1, owner_run: run, extend_claim_by: 30 };
  await measure(`set_task_checkpoint_states(${q}, '${JSON.stringify([write])}')`);
  await measure(`get_run_checkpoints(${q}, array['${run}']::uuid[])`);
  await measure(`await_event(${q}, '${task}', '${run}', 'wait', 'probe ${run}')`);
  await measure(`emit_event(${q}, 'probe ${run}', '1')`);
  await db.claim(queue, { worker: 'probe' });
  await measure(`schedule_run(${q}, '${run}', absurd.current_time())`);
  await db.claim(queue, { worker: 'probe' });
  await measure(`complete_run(${q}, '${run}', '1')`);
  await measure(`get_task_result(${q}, '${task}')`);
  const { task: slow, run: late } = await claimed();
  await db.query('select absurd.await_event($1, $2, $3, $4, $5, 0)', [queue, slow, late, 'wait', late]);
  await measure(`emit_event(${q}, '${late}', '1')`, 'emit_event, a wait has timed out');
  await db.query('select absurd.cancel_task($1, $2)', [queue, slow]);
  const second = await claimed();
  await measure(`complete_runs(${q}, '[{"run_id": "${second.run}", "state": 1}]')`);
  const third = await claimed({ max_attempts: 1 });
  await measure(`fail_run(${q}, '${third.run}', '{}')`);
  await measure(`retry_task(${q}, '${third.task}', '{}')`);
  await measure(`cancel_task(${q}, '${third.task}')`);
  const { run: lost } = await claimed({ max_attempts: 1 });
  const expire = `update absurd."r_${queue}" set claim_expires_at = now() - interval '1 hour' where run_id = $1`;
  await db.query(expire, [lost]);
  await measure(`claim_task(${q}, 'probe', 30, 5)`, 'claim_task, a lease has run out');
  await db.query(`select absurd.spawn_task($1, 'probe', '{}', '{"cancellation": {"max_delay": 1}}')`, [queue]);
  await db.query(`update absurd."t_${queue}" set cancel_due = now() - interval '1 hour' where cancel_due is not null`);
  await measure(`claim_task(${q}, 'probe', 30, 5)`, 'claim_task, a task is to be cancelled');
  await measure(`cleanup_tasks(${q}, 86400, ${cleaned})`);
  await measure(`cleanup_events(${q}, 86400, ${cleaned})`);
  await session.client.end();
  return found;
}

function expectNoMore(now: Map<string, number>, few: Map<string, number>): void {
  for (const [call, rows] of now) {
    expect(rows, `rows that ${call} reads`).toBeLessThan((few.get(call) ?? 0) + 200);
  }
}

for (const mode of ['unpartitioned', 'partitioned'] as const) {
  const makeQueue = (scene: Scene): Promise<string> =>
    mode === 'partitioned' ? scene.partitioned() : Promise.resolve(scene.queue);

  engine(`no call reads more of a full queue than of a nearly empty one (${mode})`, async (scene) => {
    const queue = await makeQueue(scene);
    await fill(scene, queue, 6 * cleaned);
    const few = await rowsReadBy(scene, queue);
    await fill(scene, queue, 60_000);
    // At first nothing has told the planner: the worst moment for a cached plan.
    for (const told of ['', 'analyze']) {
      await scene.db.query(told);
      expectNoMore(await rowsReadBy(scene, queue), few);
    }
  });

  engine(`plans made when the queue was known to be empty hold for a full one (${mode})`, async (scene) => {
    const queue = await makeQueue(scene);
    await scene.db.query('vacuum analyze');
    const session = await scene.connect();
    await scene.db.query(`select absurd.spawn_task($1, 'probe', '{}')`, [queue]);
    const [claimed] = await scene.db.claim(queue, { worker: 'probe' });
    const [task, run] = [String(claimed?.task_id), String(claimed?.run_id)];
    const write = { task_id: task, step_name: 'step', state: 1, owner_run: run, extend_claim_by: 30 };
    const calls = [
      `spawn_task('${queue}', 'probe', '{}')`,
      `claim_task('${queue}', 'probe', 30, 1)`,
      `emit_event('${queue}', 'probe ' || clock_timestamp(), '1')`,
      `complete_runs('${queue}', '[{"run_id": "${run}", "state": 1}]')`,
      `get_task_checkpoint_states('${queue}', '${task}', '${run}')`,
      `get_run_checkpoints('${queue}', array['${run}']::uuid[])`,
      `set_task_checkpoint_states('${queue}', '${JSON.stringify([write])}')`,
    ];
    const measureAll = async (): Promise<Map<string, number>> => {
      const found = new Map<string, number>();
      for (const call of calls) found.set(call, await rowsReadIn(session, call));
      return found;
    };
    const few = await measureAll();
    await fill(scene, queue, 2 * cleaned);
    expectNoMore(await measureAll(), few);
    await session.client.end();
  });
}
