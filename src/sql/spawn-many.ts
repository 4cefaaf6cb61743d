import type { Queryable } from './queryable.js';

/** What became of one of many spawns. */
export interface ManySpawned {
  task_id: string;
  run_id: string;
  attempt: number;
  /** False when its idempotency key was known. */
  created: boolean;
}

/** Whether the schema has our call for many at once. */
export async function hasSpawnTasks(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ there: boolean }>(
    `select to_regprocedure('absurd.spawn_tasks(text,jsonb)') is not null as there`,
  );
  return rows[0]?.there === true;
}

/**
 * Spawns many tasks in one statement, all or none, and returns them in their order. `name` is a plain text, `params` and
 * `options` are JSON texts. `together` uses our function for many, else the contract's is called for each.
 */
export async function spawnMany(
  db: Queryable,
  queueName: string,
  tasks: readonly { name: string; params: string; options: string }[],
  together: boolean,
): Promise<ManySpawned[]> {
  const list = tasks.map(
    ({ name, params, options }) => `{"task_name":${JSON.stringify(name)},"params":${params},"options":${options}}`,
  );
  const each = `select s.task_id, s.run_id, s.attempt, s.created
       from jsonb_array_elements($2::jsonb) with ordinality i (item, ordinality)
      cross join lateral absurd.spawn_task($1, i.item ->> 'task_name', i.item -> 'params', i.item -> 'options') s
      order by i.ordinality`;
  const { rows } = await db.query<ManySpawned>(
    together ? 'select task_id, run_id, attempt, created from absurd.spawn_tasks($1, $2::jsonb)' : each,
    [queueName, `[${list.join(',')}]`],
  );
  return rows;
}
