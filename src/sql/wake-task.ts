/** Lets tasks that sleep be claimed now: an addition of ours to the contract. */
import type { BatchOutcome } from './bulk.js';
import { runs, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';

export interface WakeOutcome extends BatchOutcome {
  /** `woken`, or why nothing was done: `awaits event` (its wait must not end), `due` (it can be claimed), else the task's state. */
  state: string;
  /** The event that it waits for. */
  wake_event: string | null;
}

/**
 * Wakes every one of these tasks that sleeps, and says what became of each. `asTimeout` also ends waits for events. Must run
 * inside a transaction.
 */
export async function wakeTasks(
  db: Queryable,
  queueName: string,
  taskIds: readonly string[],
  asTimeout: boolean,
): Promise<WakeOutcome[]> {
  const { rows: woken } = await db.query<{ task_id: string }>(
    `select w.task_id
       from (
         select i.task_id, absurd.wake_task($1, i.task_id, $3) as woken
           from unnest($2::uuid[]) with ordinality i (task_id, place)
          order by i.place
       ) w
      where w.woken`,
    [queueName, taskIds, asTimeout],
  );
  const { rows } = await db.query<WakeOutcome>(
    `select t.task_id, null::uuid as new_task_id, r.run_id, r.attempt, r.wake_event,
            case when t.task_id = any ($2::uuid[]) then 'woken'
                 when t.state = 'sleeping' and r.available_at > absurd.current_time() then 'awaits event'
                 when t.state in ('pending', 'sleeping') then 'due'
                 else t.state
            end as state
       from ${tasks(queueName)} t
       left join ${runs(queueName)} r on r.run_id = t.last_attempt_run
      where t.task_id = any ($1::uuid[])`,
    [taskIds, woken.map((row) => row.task_id)],
  );
  return rows;
}
