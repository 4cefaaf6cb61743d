import type { QueueReader } from './each-queue.js';
import { runs, tasks } from './identifiers.js';
import type { TaskState } from './description.js';
import type { Queryable } from './queryable.js';

/** Where an id was found: its queue, task and run. */
export interface FoundTask {
  queue_name: string;
  task_id: string;
  /** The run with that id, or null if it is the id of a task. */
  run_id: string | null;
  task_name: string;
  state: TaskState;
  attempts: number;
  max_attempts: number | null;
}

/** The first and last id with a prefix; for a complete id both are the same. */
export interface IdRange {
  first: string;
  last: string;
}

/** Queues read in one statement: usually all of them, but few enough to plan quickly. */
const queuesAtOnce = 40;

/**
 * Maximum matches of a prefix to read from each queue, of tasks and of runs: enough to see that it is ambiguous, and
 * to list some.
 */
const matchesRead = 11;

/**
 * Finds the tasks that an id, or the beginning of one, names: as a task's, or as that of one of its runs. A whole id is unique, so
 * more than one row then means that rows were copied between queues. Planning a look into many tables is what it costs: so tasks
 * are looked for first and runs only where there is none, and only the key is read until the queue is known. For a prefix both
 * are read, by a range of the primary keys.
 */
export async function findTask(reader: QueueReader, id: IdRange, queues: readonly string[]): Promise<FoundTask[]> {
  const whole = id.first === id.last;
  const ofTasks = await holding(reader, id, queues, 'task');
  const ofRuns = whole && ofTasks.length > 0 ? [] : await holding(reader, id, queues, 'run');
  const found: FoundTask[] = [];
  for (const queue of new Set([...ofTasks, ...ofRuns].map((match) => match.queue_name))) {
    const taskIds = ofTasks.filter((match) => match.queue_name === queue).map((match) => match.task_id);
    const runsOf = ofRuns.filter((match) => match.queue_name === queue && !taskIds.includes(match.task_id));
    const rows = await describe(reader.db, queue, [...new Set([...taskIds, ...runsOf.map((match) => match.task_id)])]);
    for (const row of rows) {
      const named = runsOf.filter((match) => match.task_id === row.task_id).map((match) => match.id);
      // Several runs of one task: the prefix identifies the task, not a run.
      found.push({ ...row, run_id: named.length === 1 ? (named[0] ?? null) : null });
    }
  }
  return found;
}

interface Match {
  queue_name: string;
  /** The id that matched. */
  id: string;
  task_id: string;
}

/** The rows whose key is in the range. */
async function holding(
  reader: QueueReader,
  { first, last }: IdRange,
  queues: readonly string[],
  kind: 'task' | 'run',
): Promise<Match[]> {
  const part = (queue: string, index: number): string =>
    `(select ($3::text[])[${index + 1}] as queue_name, k.${kind}_id as id, k.task_id
        from ${kind === 'task' ? tasks(queue) : runs(queue)} k
       where ${first === last ? `k.${kind}_id = $1::uuid and $2::uuid is not null` : `k.${kind}_id between $1::uuid and $2::uuid`}
       order by k.${kind}_id
       limit ${matchesRead})`;
  const found: Match[] = [];
  for (let from = 0; from < queues.length; from += queuesAtOnce) {
    const answers = await reader.some(queues.slice(from, from + queuesAtOnce), async (some) => {
      const { rows } = await reader.db.query<Match>(some.map(part).join(' union all '), [first, last, some]);
      return rows;
    });
    found.push(...answers.flat());
  }
  return found;
}

async function describe(db: Queryable, queue: string, taskIds: readonly string[]): Promise<FoundTask[]> {
  const { rows } = await db.query<FoundTask>(
    `select $2::text as queue_name, t.task_id, null::uuid as run_id, t.task_name, t.state, t.attempts, t.max_attempts
       from ${tasks(queue)} t
      where t.task_id = any ($1::uuid[])
      order by t.task_id`,
    [taskIds, queue],
  );
  return rows;
}

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
