/** The tasks that a run waits for. Schemas without these waits have none. */
import type { BoundedReader } from './bounded.js';
import { tasks } from './identifiers.js';

export interface AwaitedTask {
  queue: string;
  task_id: string;
  task_name: string;
  state: string;
}

export interface AwaitedTasks {
  /** The step that waits. */
  step: string;
  /** The first unfinished tasks, at most as many as were asked for. */
  tasks: AwaitedTask[];
  /** How many unfinished tasks it waits for. */
  unfinished: number;
}

export async function readAwaitedTasks(reader: BoundedReader, runId: string, limit: number): Promise<AwaitedTasks> {
  const none: AwaitedTasks = { step: '', tasks: [], unfinished: 0 };
  const found = await reader.row<{ found: boolean }>(
    'whether it can wait for tasks',
    `select to_regclass('absurd.task_waits') is not null as found`,
  );
  if (found?.found !== true) return none;
  const waits = await reader.rows<{ step_name: string; queue_name: string; ids: string[]; found: boolean }>(
    'the tasks that it waits for',
    `select w.step_name, child.queue_name, array_agg(child.task_id) as ids,
            to_regclass(format('absurd.%I', 't_' || child.queue_name)) is not null as found
       from absurd.task_waits w
      cross join lateral (
              select c.value ->> 'task_id' as task_id, coalesce(c.value ->> 'queue', w.queue_name) as queue_name
                from jsonb_array_elements(w.children) c
            ) child
      where w.run_id = $1
      group by w.step_name, w.created_at, child.queue_name
      order by w.created_at, w.step_name`,
    [runId],
  );
  const awaited = { ...none, step: waits?.[0]?.step_name ?? '' };
  for (const { queue_name: queue, ids, found } of waits ?? []) {
    if (!found) continue;
    const rows = await reader.rows<AwaitedTask & { unfinished: number }>(
      'the tasks that it waits for',
      `select $2::text as queue, t.task_id, t.task_name, t.state, (count(*) over ())::int as unfinished
         from ${tasks(queue)} t
        where t.task_id = any ($1::uuid[]) and t.state in ('pending', 'running', 'sleeping')
        order by t.task_id
        limit $3`,
      [ids, queue, limit],
    );
    awaited.unfinished += rows?.[0]?.unfinished ?? 0;
    for (const { unfinished: _, ...task } of rows ?? []) if (awaited.tasks.length < limit) awaited.tasks.push(task);
  }
  return awaited;
}
