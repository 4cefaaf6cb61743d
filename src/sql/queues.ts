import { runs, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';

export { listQueueNames } from './schema.js';

/** One queue by name: all that a pipe gets. */
export interface QueueName {
  queue_name: string;
}

export const unfinishedStates = ['pending', 'running', 'sleeping'] as const;
export const finishedStates = ['completed', 'failed', 'cancelled'] as const;
export type TaskState = (typeof unfinishedStates)[number] | (typeof finishedStates)[number];

/** Tasks by state. Null where the queue's tables are missing. */
export type StateCounts = Record<TaskState, number | null>;

/** What a queue holds. Counting is bounded, so not every count is exact. */
export interface QueueOverview extends QueueName, StateCounts {
  storage_mode: string;
  /** Since when the oldest task that a worker could claim now has been waiting; null when none waits. */
  oldest_waiting_at: Timestamp | null;
  /** The states whose count stopped at 10,000: there are more. */
  at_least: TaskState[];
  /** The states whose count is the planner's estimate. */
  estimated: TaskState[];
}

/** A registered queue, before anything is counted. */
export interface RegisteredQueue extends QueueName {
  storage_mode: string;
  /** Whether its tables are there. */
  complete: boolean;
}

/** Counts go no further than this. */
export const countLimit = 10_000;

/** The registry, sorted by name. Reads only columns that schemas of any age have. */
export async function listRegisteredQueues(db: Queryable): Promise<RegisteredQueue[]> {
  const { rows } = await db.query<RegisteredQueue>(
    `select q.queue_name,
            coalesce(to_jsonb(q) ->> 'storage_mode', 'unpartitioned') as storage_mode,
            to_regclass(format('absurd.%I', 't_' || q.queue_name)) is not null
              and to_regclass(format('absurd.%I', 'r_' || q.queue_name)) is not null as complete
       from absurd.queues q
      order by q.queue_name`,
  );
  return rows;
}

interface CountRow extends Record<TaskState, number> {
  queue_name: string;
  looked_at: number;
  oldest_waiting_at: Timestamp | null;
  /** Pairs of a state and its count, for a queue too large to count. */
  estimates: [string, string][] | null;
}

/**
 * One queue's part of the counting statement; `at` is the number of its name among the parameters, its table comes next.
 * Up to 10,000 tasks are simply counted. Beyond, an unfinished state is the number of runs in it, at most 10,001 entries of
 * `r_<queue>_sai`: a task has one unfinished run, and the order keeps the planner to that index. A finished state is then what the planner's statistics say of
 * `t_<queue>`, in a partitioned queue of all its partitions. The time is asked for once: a volatile function is no bound of an
 * index, and all that sleeps would be looked at.
 */
function countPart(queue: string, at: number): string {
  const table = `to_regclass($${at + 1})`;
  const few = (state: TaskState): string => `count(*) filter (where few.state = '${state}')::integer as ${state}`;
  const many = (state: TaskState): string =>
    `case when looked.looked_at <= ${countLimit} then looked.${state} else (
       select count(*)::integer
         from (select 1 from ${runs(queue)} r where r.state = '${state}'
                order by r.available_at limit ${countLimit + 1}) counted
     ) end as ${state}`;
  const oldest = (state: TaskState): string =>
    `(select r.available_at from ${runs(queue)} r
       where r.state = '${state}' and r.available_at <= (select absurd.current_time())
       order by r.available_at limit 1)`;
  return `
    select $${at}::text as queue_name,
           looked.looked_at,
           ${unfinishedStates.map(many).join(', ')},
           ${finishedStates.map((state) => `looked.${state}`).join(', ')},
           least(${oldest('pending')}, ${oldest('sleeping')}) as oldest_waiting_at,
           case when looked.looked_at > ${countLimit} then (
             select array_agg(array[guess.state, guess.count::text])
               from (select value.state, round(sum(c.reltuples * value.frequency))::bigint as count
                       from pg_class c
                       join pg_namespace n on n.oid = c.relnamespace
                       join pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = 'state'
                      cross join unnest(s.most_common_vals::text::text[], s.most_common_freqs)
                                 as value (state, frequency)
                      where c.relkind = 'r'
                        and c.reltuples > 0
                        and (c.oid = ${table}
                             or c.oid in (select i.inhrelid from pg_inherits i where i.inhparent = ${table}))
                      group by value.state) guess
           ) end as estimates
      from (select count(*)::integer as looked_at, ${[...unfinishedStates, ...finishedStates].map(few).join(', ')}
              from (select t.state from ${tasks(queue)} t limit ${countLimit + 1}) few) looked`;
}

/** Counts these queues' tasks in one statement. Ask for some 50 at a time: every table and index takes a lock meanwhile. */
export async function countTasks(db: Queryable, queues: readonly RegisteredQueue[]): Promise<QueueOverview[]> {
  const counted = queues.filter((queue) => queue.complete);
  const parts = counted.map((queue, i) => countPart(queue.queue_name, 2 * i + 1));
  const values = counted.flatMap((queue) => [queue.queue_name, tasks(queue.queue_name)]);
  const { rows } = counted.length > 0 ? await db.query<CountRow>(parts.join(' union all '), values) : { rows: [] };
  const byName = new Map(rows.map((row) => [row.queue_name, row]));
  return queues.map((queue) => overview(queue, byName.get(queue.queue_name)));
}

function overview({ queue_name, storage_mode }: RegisteredQueue, row: CountRow | undefined): QueueOverview {
  const large = row !== undefined && row.looked_at > countLimit;
  const estimates = new Map(row?.estimates ?? []);
  const at_least = unfinishedStates.filter((state) => row !== undefined && row[state] > countLimit);
  return {
    queue_name,
    storage_mode,
    pending: bounded(row?.pending),
    running: bounded(row?.running),
    sleeping: bounded(row?.sleeping),
    completed: large ? Number(estimates.get('completed') ?? 0) : (row?.completed ?? null),
    failed: large ? Number(estimates.get('failed') ?? 0) : (row?.failed ?? null),
    cancelled: large ? Number(estimates.get('cancelled') ?? 0) : (row?.cancelled ?? null),
    oldest_waiting_at: row?.oldest_waiting_at ?? null,
    at_least,
    estimated: large ? [...finishedStates] : [],
  };
}

const bounded = (count: number | undefined): number | null =>
  count === undefined ? null : Math.min(count, countLimit);

/** Whether the registry has this queue. */
export async function queueExists(db: Queryable, queue: string): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>(
    `select exists (select from absurd.queues q where q.queue_name = $1) as found`,
    [queue],
  );
  return rows[0]?.found === true;
}

export interface CreatedQueue extends QueueName {
  storage_mode: string;
  /** False when it was there already. */
  created: boolean;
}

/**
 * Creates a queue, or finds it as it is. Without a mode the one-argument form is called, which schemas of any age have.
 * Raises 22023 for an illegal name, 55000 when the queue is there in the other mode, 42883 where the schema knows no modes.
 */
export async function createQueue(db: Queryable, queue: string, storageMode?: string): Promise<CreatedQueue> {
  const before = await queueExists(db, queue);
  if (storageMode === undefined) await db.query('select absurd.create_queue($1)', [queue]);
  else await db.query('select absurd.create_queue($1, $2)', [queue, storageMode]);
  return { queue_name: queue, storage_mode: storageMode ?? 'unpartitioned', created: !before };
}

/** Drops a queue with all that it holds; no error when there is none. */
export async function dropQueue(db: Queryable, queue: string): Promise<void> {
  await db.query('select absurd.drop_queue($1)', [queue]);
}
