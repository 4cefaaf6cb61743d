/** Finds the queue of an id, even while tables are locked. */
import type { BoundedReader } from './bounded.js';
import type { FoundTask, IdRange } from './find-task.js';
import { runs, tasks } from './identifiers.js';

export interface Located {
  queue: string;
  task_id: string;
  /** The run with that id; null if it is the id of a task. */
  run_id: string | null;
}

const CHUNK = 50;

export function chunks<T>(list: T[]): T[][] {
  const result: T[][] = [];
  for (let at = 0; at < list.length; at += CHUNK) result.push(list.slice(at, at + CHUNK));
  return result;
}

/**
 * Finds the queue of an id: tasks first, then runs. A look-up is cheap but its planning is not, so each statement
 * reads one key of each queue.
 */
export async function locate(reader: BoundedReader, queues: string[], id: string): Promise<Located | null> {
  const kinds = [
    { kind: 'task', table: tasks, key: 'task_id' },
    { kind: 'run', table: runs, key: 'run_id' },
  ] as const;
  for (const { kind, table, key } of kinds) {
    for (const part of chunks(queues)) {
      const found = await reader.row<{ at: number; task_id: string }>(
        `the id in ${part.length === 1 ? 'a queue' : `${part.length} queues`}`,
        part
          .map((queue, at) => `select ${at} as at, k.task_id from ${table(queue)} k where k.${key} = $1`)
          .join(' union all '),
        [id],
      );
      const queue = found && part[found.at];
      if (found && queue !== undefined && queue !== null)
        return { queue, task_id: found.task_id, run_id: kind === 'run' ? id : null };
    }
  }
  return null;
}

/** Maximum matches of an id's prefix to read from each table. */
const matchesRead = 11;

/** The tasks whose id, or a run's id, starts with this prefix; null if it could not be read. */
export async function locateStart(
  reader: BoundedReader,
  queues: string[],
  { first, last }: IdRange,
): Promise<FoundTask[] | null> {
  const part = (queue: string, at: number): string => `
    select i.own, ($3::text[])[${at + 1}] as queue_name, t.task_id, i.run_id, t.task_name, t.state, t.attempts, t.max_attempts
      from (
        (select true as own, k.task_id, null::uuid as run_id from ${tasks(queue)} k
          where k.task_id between $1::uuid and $2::uuid order by k.task_id limit ${matchesRead})
        union all
        (select false, r.task_id, r.run_id from ${runs(queue)} r
          where r.run_id between $1::uuid and $2::uuid order by r.run_id limit ${matchesRead})
      ) i
     cross join lateral (select * from ${tasks(queue)} k where k.task_id = i.task_id offset 0) t`;
  const found = new Map<string, FoundTask & { own: boolean }>();
  for (const some of chunks(queues)) {
    const rows = await reader.rows<FoundTask & { own: boolean }>(
      `the id in ${some.length === 1 ? 'a queue' : `${some.length} queues`}`,
      some.map(part).join(' union all '),
      [first, last, some],
    );
    if (rows === null) return null;
    for (const row of rows) {
      const known = found.get(row.task_id);
      // Several runs of one task, or a run and its task: the prefix identifies the task.
      if (known === undefined) found.set(row.task_id, row);
      else known.run_id = null;
    }
  }
  return [...found.values()].map(({ own: _own, ...task }) => task);
}
