/** What clients call: every function of the contract that a worker or its program uses, and ours beside it. */
import type pg from 'pg';

/**
 * Takes tasks through all that may happen to them. Returns the first refusal for want of a right, null when there was none;
 * raises anything else.
 */
export async function callEverything(client: pg.Client, queue: string): Promise<string | null> {
  try {
    await calls(client, queue);
    return null;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === '42501') return message;
    throw error;
  }
}

interface Run {
  run_id: string;
  task_id: string;
}

async function calls(client: pg.Client, queue: string): Promise<void> {
  const name = `call-${Math.random()}`;
  const ask = async <T extends object>(call: string, ...values: unknown[]): Promise<T[]> =>
    (await client.query<T>(`select * from absurd.${call}`, [queue, ...values])).rows;
  const spawn = async (options: object = {}): Promise<Run> => {
    const [task] = await ask<Run>(`spawn_task($1, 'call', '{}', $2)`, JSON.stringify({ max_attempts: 2, ...options }));
    if (!task) throw new Error('nothing was spawned');
    return task;
  };
  const cancel = (run: Run): Promise<object[]> => ask('cancel_task($1, $2)', run.task_id);
  /** Claims until that task is in hand; what others left in the queue is cancelled. */
  const claim = async (task: Run): Promise<Run> => {
    for (;;) {
      const [run] = await ask<Run>(`claim_task($1, 'w', 60, 1)`);
      if (!run) throw new Error('nothing to claim');
      if (run.task_id === task.task_id) return run;
      await cancel(run);
    }
  };

  const keyed = await spawn({ idempotency_key: name });
  await spawn({ idempotency_key: name });
  await ask(`spawn_tasks($1, '[{"task_name": "many", "params": {}}]')`);
  let run = await claim(keyed);
  const save = (step: string): Promise<object[]> =>
    ask(`set_task_checkpoint_state($1, $2, $3, '1', $4, 30)`, run.task_id, step, run.run_id);
  await save('a');
  await save('a');
  const many = [{ task_id: run.task_id, step_name: 'b', state: 1, owner_run: run.run_id, extend_claim_by: 30 }];
  await ask('set_task_checkpoint_states($1, $2)', JSON.stringify(many));
  await ask(`get_task_checkpoint_state($1, $2, 'a')`, run.task_id);
  await ask('get_task_checkpoint_states($1, $2, $3)', run.task_id, run.run_id);
  await ask('get_run_checkpoints($1, array[$2]::uuid[])', run.run_id);
  await ask('extend_claim($1, $2, 60)', run.run_id);
  await ask('await_event($1, $2, $3, $4, $4, 60)', run.task_id, run.run_id, name);
  await ask(`emit_event($1, $2, '{}')`, name);
  run = await claim(keyed);
  await ask('schedule_run($1, $2, absurd.current_time())', run.run_id);
  run = await claim(keyed);
  await ask(`fail_run($1, $2, '{"message": "no"}')`, run.run_id);
  run = await claim(keyed);
  await ask(`fail_run($1, $2, '{"message": "no"}')`, run.run_id);
  await ask('retry_task($1, $2)', run.task_id);
  run = await claim(keyed);
  await ask(`complete_run($1, $2, '1')`, run.run_id);
  await ask('get_task_result($1, $2)', run.task_id);
  run = await claim(await spawn());
  await ask('complete_runs($1, $2)', JSON.stringify([{ run_id: run.run_id, state: 1 }]));
  run = await claim(await spawn());
  await ask('await_event($1, $2, $3, $4, $4)', run.task_id, run.run_id, `${name} never`);
  await cancel(run);
  run = await claim(await spawn());
  const waits = [
    { step: 'a', event: `${name} a` },
    { step: 'b', sleep_until: '2100-01-01' },
  ];
  await ask('await_events($1, $2, $3, $4)', run.task_id, run.run_id, JSON.stringify(waits));
  await cancel(run);
  const parent = await spawn();
  run = await claim(parent);
  const awaited = run;
  const child = await spawn({ parent: { task_id: parent.task_id } });
  const join = (step: string, { task_id: id } = child): Promise<object[]> =>
    ask(
      'await_tasks($1, $2, $3, $4, $5, $6)',
      awaited.task_id,
      awaited.run_id,
      step,
      JSON.stringify([{ task_id: id }]),
      'all',
    );
  await join('ended', keyed);
  await join('join');
  run = await claim(child);
  await ask(`complete_run($1, $2, '1')`, run.run_id);
  run = await claim(parent);
  await join('join');
  await ask('cancel_task_tree($1, $2)', parent.task_id);
  await ask('get_queue_wakeup($1)');
  await ask(`heartbeat_worker($1, $2, '{"task_names": ["call"]}')`, name);
  await ask('forget_worker($1, $2)', name);
  await client.query('listen absurd_wakeup');
  await client.query('select * from absurd.list_queues()');
}
