/** Creates a new task from an old one: its inputs, and the results of steps that need not run again. */
import { checkpoints, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { SpawnedTask } from './tasks.js';

/**
 * The names of the steps that a fork takes over, in their order: those that finished before `fromStep`, or all. Steps that
 * were saved at the same instant as `fromStep` are not taken over.
 */
export async function stepsBefore(
  db: Queryable,
  queueName: string,
  taskId: string,
  fromStep: string | null,
): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    `select c.checkpoint_name as name
       from ${checkpoints(queueName)} c
      where c.task_id = $1
        and c.status = 'committed'
        and ($2::text is null or c.updated_at < (
              select f.updated_at from ${checkpoints(queueName)} f where f.task_id = $1 and f.checkpoint_name = $2))
      order by c.updated_at, c.checkpoint_name`,
    [taskId, fromStep],
  );
  return rows.map(({ name }) => name);
}

export interface Fork {
  queueName: string;
  taskId: string;
  fromStep: string | null;
  /** JSON text. */
  params: string;
  steps: readonly string[];
  /** Settings of the old task that are not copied: a spawn would refuse them. */
  without: readonly ('retry_strategy' | 'cancellation')[];
}

/**
 * Spawns the new task and copies the steps into it. Must run inside a transaction, so that no worker sees the task without
 * them. Name, headers, retry strategy, limit of attempts and cancellation are the old task's; the header `forked_from` says
 * where it came from. JSON goes from row to row in the server and keeps every digit.
 */
export async function forkTask(db: Queryable, fork: Fork): Promise<SpawnedTask | undefined> {
  const { queueName: queue, taskId } = fork;
  const { rows } = await db.query<SpawnedTask>(
    `select $1::text as queue_name, s.task_id, s.run_id, s.attempt, s.created
       from ${tasks(queue)} t
      cross join lateral (
        select coalesce(jsonb_object_agg(o.key, o.value) filter (where o.value <> 'null' and o.key <> all ($5::text[])), '{}') as options
          from (values ('retry_strategy', t.retry_strategy), ('max_attempts', to_jsonb(t.max_attempts)),
                       ('cancellation', t.cancellation)) o (key, value)
      ) kept
      cross join lateral (
        select case jsonb_typeof(t.headers) when 'object' then t.headers else '{}' end
               || jsonb_build_object('forked_from', jsonb_build_object(
                    'task_id', t.task_id, 'queue_name', $1::text, 'from_step', $3::text)) as headers
      ) own
      cross join lateral absurd.spawn_task($1, t.task_name, $4::jsonb,
                    kept.options || jsonb_build_object('headers', own.headers)) s
      where t.task_id = $2`,
    [queue, taskId, fork.fromStep, fork.params, fork.without],
  );
  const [spawned] = rows;
  if (spawned === undefined) return undefined;
  await db.query(
    `select count(absurd.set_task_checkpoint_state($1, $2, c.checkpoint_name, c.state, $3))
       from (
         select c.checkpoint_name, c.state
           from unnest($5::text[]) with ordinality wanted (name, place)
           join ${checkpoints(queue)} c on c.task_id = $4 and c.checkpoint_name = wanted.name
          order by wanted.place
       ) c`,
    [queue, spawned.task_id, spawned.run_id, taskId, fork.steps],
  );
  return spawned;
}
