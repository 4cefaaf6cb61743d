import { runs, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';

/** Where an id was found, and as what. */
export interface FoundTask {
  queue_name: string;
  task_id: string;
  /** The run that the id names, or null when it names a task. */
  run_id: string | null;
  task_name: string;
  state: string;
  attempts: number;
  max_attempts: number | null;
}

/** Queues asked in one statement: enough for almost everyone in one round trip, few enough to be planned quickly. */
const queuesAtOnce = 40;

/**
 * Finds the task of an id, which may be that of a task or of one of its runs, in the given queues. Ids are unique, so more
 * than one row means that rows were copied between queues. Planning a look into many tables is what it costs: so tasks are
 * looked for first and runs only where there is none, and only the key is read until the queue is known.
 */
export async function findTask(db: Queryable, id: string, queues: readonly string[]): Promise<FoundTask[]> {
  const holders =
    queues.length === 1
      ? queues
      : ((await holding(db, id, queues, tasks, 'task_id')) ?? (await holding(db, id, queues, runs, 'run_id')) ?? []);
  if (holders.length === 0) return [];
  const { rows } = await db.query<FoundTask>(holders.map(findIn).join('\n union all\n'), [id, holders]);
  return rows;
}

/** The queues whose table has the id as its key; undefined when none has. */
async function holding(
  db: Queryable,
  id: string,
  queues: readonly string[],
  table: (queue: string) => string,
  key: string,
): Promise<string[] | undefined> {
  const found: string[] = [];
  for (let first = 0; first < queues.length; first += queuesAtOnce) {
    const some = queues.slice(first, first + queuesAtOnce);
    const { rows } = await db.query<{ at: number }>(
      some.map((queue, at) => `select ${at} as at from ${table(queue)} where ${key} = $1::uuid`).join(' union all '),
      [id],
    );
    found.push(...rows.flatMap(({ at }) => some[at] ?? []));
  }
  return found.length > 0 ? found : undefined;
}

const findIn = (queue: string, index: number): string => `
  select ($2::text[])[${index + 1}] as queue_name, t.task_id, i.run_id, t.task_name, t.state, t.attempts, t.max_attempts
    from (
      select $1::uuid as task_id, null::uuid as run_id
      union all
      select r.task_id, r.run_id from ${runs(queue)} r where r.run_id = $1::uuid
    ) i
    join ${tasks(queue)} t on t.task_id = i.task_id`;

/**
 * The queues whose tables are there, in name order: a registry row without tables must not break a look through all
 * queues.
 */
export async function readableQueues(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ queue_name: string }>(
    `select q.queue_name
       from absurd.queues q
      where to_regclass(format('absurd.%I', 't_' || q.queue_name)) is not null
        and to_regclass(format('absurd.%I', 'r_' || q.queue_name)) is not null
      order by q.queue_name`,
  );
  return rows.map((row) => row.queue_name);
}
