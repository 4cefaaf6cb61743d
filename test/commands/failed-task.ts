import type { Filler } from '../support/database.js';

/** A task of three steps, the last of which failed permanently. */
export async function failedTask(db: Filler, queue: string): Promise<string> {
  const { task_id: id } = await db.spawn(
    queue,
    'order',
    { card: { number: '4111' }, cents: 5 },
    {
      max_attempts: 1,
      headers: { tenant: 'x', nothing: null },
      retry_strategy: { kind: 'fixed', base_seconds: 7 },
      cancellation: { max_duration: 60 },
    },
  );
  const [claimed] = await db.claim(queue);
  const steps: [string, string][] = [
    ['reserve', '{"shelf": 12345678901234567890.5}'],
    ['charge', '{"token": "secret"}'],
    ['pack', 'null'],
  ];
  for (const [step, state] of steps) {
    await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
      queue,
      id,
      step,
      state,
      claimed?.run_id,
    ]);
  }
  await db.query(`select absurd.fail_run($1, $2, '{"name": "Error", "message": "no van"}')`, [queue, claimed?.run_id]);
  return id;
}
