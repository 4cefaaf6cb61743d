/** Parents and children across queues. Requires feature `task_tree`; waits for tasks require `await_tasks`. */
import type { BatchOutcome, ChosenTask } from './bulk.js';
import type { TaskState } from './description.js';
import { runs, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';

/** A task of a family. */
export interface FamilyMember {
  queue_name: string;
  task_id: string;
  parent_task_id: string | null;
  task_name: string;
  state: TaskState;
  attempts: number;
  max_attempts: number | null;
  enqueue_at: Timestamp;
  started_at: Timestamp | null;
  ended_at: Timestamp | null;
  /** From the first claim to the end, or to now; null before the first claim. */
  seconds: number | null;
}

interface Place {
  queue_name: string;
  task_id: string;
}

/** The oldest ancestor of a task that still exists; the task itself where it has no parent. */
export async function familyRoot(db: Queryable, queueName: string, taskId: string): Promise<Place> {
  const { rows } = await db.query<{ place: string }>(
    `select a.place from unnest(absurd._ancestors($1, $2)) with ordinality a (place, n) order by a.n desc`,
    [queueName, taskId],
  );
  // A queue's name may contain colons, an id cannot.
  for (const { place } of rows) {
    const found = { queue_name: place.slice(0, -37), task_id: place.slice(-36) };
    if (await exists(db, found)) return found;
  }
  return { queue_name: queueName, task_id: taskId };
}

async function exists(db: Queryable, { queue_name: queue, task_id: id }: Place): Promise<boolean> {
  const { rows: tables } = await db.query<{ found: boolean }>('select to_regclass($1) is not null as found', [
    tasks(queue),
  ]);
  if (tables[0]?.found !== true) return false;
  const { rows } = await db.query(`select 1 from ${tasks(queue)} t where t.task_id = $1`, [id]);
  return rows.length > 0;
}

/** The tasks of a tree, by queue. */
async function placesBelow(db: Queryable, queueName: string, taskId: string): Promise<Map<string, string[]>> {
  const { rows } = await db.query<Place>('select t.queue_name, t.task_id from absurd._task_tree($1, $2) t', [
    queueName,
    taskId,
  ]);
  const places = new Map<string, string[]>();
  for (const { queue_name: queue, task_id: id } of rows) {
    const ids = places.get(queue);
    if (ids === undefined) places.set(queue, [id]);
    else ids.push(id);
  }
  return places;
}

/** A task and its descendants, in no order. */
export async function readFamily(db: Queryable, queueName: string, taskId: string): Promise<FamilyMember[]> {
  const members: FamilyMember[] = [];
  for (const [queue, ids] of await placesBelow(db, queueName, taskId)) {
    const { rows } = await db.query<FamilyMember>(
      `select f.*, extract(epoch from coalesce(f.ended_at, absurd.current_time()) - f.started_at)::float8 as seconds
         from (
           select $1::text as queue_name, t.task_id, t.parent_task_id, t.task_name, t.state, t.attempts, t.max_attempts,
                  t.enqueue_at, t.first_started_at as started_at,
                  case when t.state in ('completed', 'failed', 'cancelled')
                       then coalesce(t.cancelled_at, r.completed_at, r.failed_at) end as ended_at
             from ${tasks(queue)} t
             left join ${runs(queue)} r on r.run_id = t.last_attempt_run
            where t.task_id = any ($2::uuid[])
         ) f`,
      [queue, ids],
    );
    members.push(...rows);
  }
  return members;
}

/** The tasks that these wait for now, ended ones too. */
export async function readAwaited(
  db: Queryable,
  members: readonly FamilyMember[],
): Promise<{ task_id: string; awaited_id: string }[]> {
  const asleep = members.filter(({ state }) => state === 'sleeping');
  const { rows } = await db.query<{ task_id: string; run_id: string; queue_name: string; awaited_id: string }>(
    `select w.task_id, w.run_id, w.queue_name, child.value ->> 'task_id' as awaited_id
       from absurd.task_waits w
      cross join jsonb_array_elements(w.children) child
      where w.task_id = any ($1::uuid[])`,
    [asleep.map(({ task_id: id }) => id)],
  );
  return rows;
}

/** The unfinished descendants of tasks, without the tasks themselves. */
export async function unfinishedBelow(db: Queryable, roots: readonly ChosenTask[]): Promise<ChosenTask[]> {
  const seen = new Set(roots.map(({ task_id: id }) => id));
  const found: ChosenTask[] = [];
  for (const root of roots) {
    for (const [queue, ids] of await placesBelow(db, root.queue_name, root.task_id)) {
      const below = ids.filter((id) => !seen.has(id));
      for (const id of below) seen.add(id);
      const { rows } = await db.query<ChosenTask>(
        `select t.task_id, $1::text as queue_name, t.task_name, t.state, t.attempts
           from ${tasks(queue)} t
          where t.task_id = any ($2::uuid[]) and t.state in ('pending', 'running', 'sleeping')
          order by t.task_id`,
        [queue, below],
      );
      found.push(...rows);
    }
  }
  return found;
}

/** Cancels tasks with their unfinished descendants, and says in which state each of the tasks is then. Runs in a transaction. */
export async function cancelFamilies(
  db: Queryable,
  queueName: string,
  taskIds: readonly string[],
): Promise<BatchOutcome[]> {
  for (const id of taskIds) await db.query('select absurd.cancel_task_tree($1, $2)', [queueName, id]);
  const { rows } = await db.query<BatchOutcome>(
    `select t.task_id, t.state, null::uuid as new_task_id, null::uuid as run_id, null::int as attempt
       from ${tasks(queueName)} t
      where t.task_id = any ($1::uuid[])`,
    [taskIds],
  );
  return rows;
}

/** The children of a task that are in this queue. */
export async function childrenIn(db: Queryable, queueName: string, parentId: string): Promise<string[]> {
  const { rows } = await db.query<{ task_id: string }>(
    `select t.task_id from ${tasks(queueName)} t where t.parent_task_id = $1`,
    [parentId],
  );
  return rows.map((row) => row.task_id);
}
