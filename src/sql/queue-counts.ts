import { runs, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';
import { finishedStates, taskStates, unfinishedStates, type TaskState } from './description.js';
import type { QueueName, RegisteredQueue } from './queues.js';
import type { Timestamp } from './values.js';

/** Tasks by state. Null where the queue's tables are missing. */
export type StateCounts = Record<TaskState, number | null>;

/** The contents of a queue. Counting is bounded, so not every count is exact. */
export interface QueueOverview extends QueueName, StateCounts {
  storage_mode: string;
  /** Since when the oldest task that a worker could claim now has been waiting; null when none waits. */
  oldest_waiting_at: Timestamp | null;
  /** The states whose count stopped at 10,000: there are more. */
  at_least: TaskState[];
  /** The states whose count is the planner's estimate. */
  estimated: TaskState[];
  /** Why nothing could be counted; null if it was. */
  error: string | null;
}

/** Counts stop here. */
const countLimit = 10_000;

/** A table that holds a queue's tasks: the one, or a partition. `live` is what the server's counters say, null or 0 unknown. */
interface TaskTable extends QueueName {
  table_name: string;
  rows: number;
  live: number | null;
}

async function taskTables(db: Queryable, names: readonly string[]): Promise<TaskTable[]> {
  const { rows } = await db.query<TaskTable>(
    `select q.queue_name, c.relname as table_name, c.reltuples::float8 as rows,
            pg_stat_get_live_tuples(c.oid)::float8 as live
       from unnest($1::text[], $2::text[]) as q (queue_name, table_name)
      cross join lateral (
              select to_regclass(q.table_name)::oid as oid
               union all
              select i.inhrelid from pg_inherits i where i.inhparent = to_regclass(q.table_name)
            ) part
       join pg_class c on c.oid = part.oid
      where c.relkind = 'r'`,
    [names, names.map((name) => tasks(name))],
  );
  return rows;
}

/**
 * The queues with more than 10,000 tasks, whose finished ones are not counted. Where the server's counters speak of twice as
 * many, that will do; else, and where there are none (a standby, a crash), 10,001 rows are looked at.
 */
async function largeOnes(db: Queryable, names: readonly string[], tables: readonly TaskTable[]): Promise<Set<string>> {
  const large = new Set<string>();
  const live = new Map<string, number>();
  for (const table of tables) {
    const sum = (live.get(table.queue_name) ?? 0) + (table.live ?? 0);
    live.set(table.queue_name, sum);
    if (sum > 2 * countLimit) large.add(table.queue_name);
  }
  const unsure = names.filter((name) => !large.has(name));
  if (unsure.length === 0) return large;
  const parts = unsure.map(
    (name, i) => `select $${i + 1}::text as queue_name, count(*) > ${countLimit} as large
       from (select from ${tasks(name)} limit ${countLimit + 1}) looked`,
  );
  const { rows } = await db.query<QueueName & { large: boolean }>(parts.join(' union all '), unsure);
  for (const row of rows) if (row.large) large.add(row.queue_name);
  return large;
}

interface CountRow extends StateCounts, QueueName {
  oldest_waiting_at: Timestamp | null;
}

/**
 * One queue's part of the counting statement; `at` is the number of its name among the parameters. A small queue's tasks are
 * counted. In a large one an unfinished state is the number of runs in it, at most 10,001 entries of `r_<queue>_sai`: a task
 * has one unfinished run, and the order keeps the planner to that index, whose first entry also tells the oldest.
 */
function countPart(queue: string, at: number, large: boolean): string {
  const ofRuns = (state: TaskState): string =>
    `(select count(*)::integer as count, min(r.available_at) as first
        from (select r.available_at from ${runs(queue)} r
               where r.state = '${state}' order by r.available_at limit ${large ? countLimit + 1 : 1}) r) ${state}_runs`;
  const counts = taskStates.map((state) => {
    if (!large) return `t.${state}`;
    return `${(finishedStates as readonly TaskState[]).includes(state) ? 'null::integer' : `${state}_runs.count`} as ${state}`;
  });
  const ofTasks = taskStates.map((state) => `count(*) filter (where t.state = '${state}')::integer as ${state}`);
  const sources = [
    ...['pending' as const, 'sleeping' as const, ...(large ? ['running' as const] : [])].map(ofRuns),
    ...(large ? [] : [`(select ${ofTasks.join(', ')} from ${tasks(queue)} t) t`]),
  ];
  return `
    select $${at}::text as queue_name, ${counts.join(', ')},
           case when least(pending_runs.first, sleeping_runs.first) <= absurd.current_time()
                then least(pending_runs.first, sleeping_runs.first) end as oldest_waiting_at
      from ${sources.join(', ')}`;
}

/**
 * What the planner's statistics say of the states of the tasks in these tables, added up by queue. Asked by names of tables:
 * so the server reads the statistics of these alone.
 */
async function estimates(db: Queryable, tables: readonly TaskTable[]): Promise<Map<string, Map<string, number>>> {
  const { rows } = await db.query<{ table_name: string; state: string; frequency: number }>(
    `select s.tablename as table_name, value.state, value.frequency::float8 as frequency
       from pg_stats s
      cross join unnest(s.most_common_vals::text::text[], s.most_common_freqs) as value (state, frequency)
      where s.schemaname = 'absurd' and s.attname = 'state' and s.tablename = any ($1::name[])`,
    [tables.map((table) => table.table_name)],
  );
  const byTable = new Map(tables.map((table) => [table.table_name, table]));
  const found = new Map<string, Map<string, number>>(tables.map((table) => [table.queue_name, new Map()]));
  for (const { table_name, state, frequency } of rows) {
    const table = byTable.get(table_name);
    const states = table && found.get(table.queue_name);
    // Rows are -1 where nothing was ever analysed.
    if (states) states.set(state, (states.get(state) ?? 0) + Math.max(table.rows, 0) * frequency);
  }
  return found;
}

/** Counts these queues' tasks. Ask for some 50 at a time: every table and index takes a lock meanwhile. */
export async function countTasks(db: Queryable, queues: readonly RegisteredQueue[]): Promise<QueueOverview[]> {
  const names = queues.filter((queue) => queue.complete).map((queue) => queue.queue_name);
  if (names.length === 0) return queues.map((queue) => overview(queue));
  const tables = await taskTables(db, names);
  const large = await largeOnes(db, names, tables);
  const parts = names.map((name, i) => countPart(name, i + 1, large.has(name)));
  const { rows } = await db.query<CountRow>(parts.join(' union all '), names);
  const byName = new Map(rows.map((row) => [row.queue_name, row]));
  const ofLarge = tables.filter((table) => large.has(table.queue_name));
  const guesses = ofLarge.length > 0 ? await estimates(db, ofLarge) : undefined;
  return queues.map((queue) => overview(queue, byName.get(queue.queue_name), guesses?.get(queue.queue_name)));
}

/** A queue whose tables could not be read. */
export const uncounted = (queue: RegisteredQueue, error: string): QueueOverview => ({ ...overview(queue), error });

function overview(
  { queue_name, storage_mode }: RegisteredQueue,
  row?: CountRow,
  guesses?: ReadonlyMap<string, number>,
): QueueOverview {
  const bounded = (state: TaskState): number | null => {
    const count = row?.[state] ?? null;
    return count === null ? null : Math.min(count, countLimit);
  };
  const finished = (state: TaskState): number | null =>
    guesses ? Math.round(guesses.get(state) ?? 0) : bounded(state);
  return {
    queue_name,
    storage_mode,
    pending: bounded('pending'),
    running: bounded('running'),
    sleeping: bounded('sleeping'),
    completed: finished('completed'),
    failed: finished('failed'),
    cancelled: finished('cancelled'),
    oldest_waiting_at: row?.oldest_waiting_at ?? null,
    at_least: guesses ? unfinishedStates.filter((state) => (row?.[state] ?? 0) > countLimit) : [],
    estimated: guesses ? [...finishedStates] : [],
    error: null,
  };
}
