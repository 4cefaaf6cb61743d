import { taskStates, type TaskState } from './description.js';
import { runs, tasks } from './identifiers.js';
import { errorMatches, tasksOfKey, type ErrorFilter } from './bulk.js';
import type { QueueReader } from './each-queue.js';
import { childrenIn } from './families.js';
import type { Queryable } from './queryable.js';
import type { Moment, Timestamp } from './values.js';

/** A task with its latest attempt. */
export interface TaskRow {
  task_id: string;
  queue_name: string;
  task_name: string;
  state: TaskState;
  attempts: number;
  max_attempts: number | null;
  /** When the latest attempt was last claimed, or made, or woken. */
  activity_at: Timestamp;
  /** When the latest attempt was last claimed; null before. */
  started_at: Timestamp | null;
  run_id: string;
  enqueue_at: Timestamp;
  /** When a worker may take it (a sleeping one: when it wakes up, `infinity` while it waits for an event alone). */
  available_at: Timestamp;
  wake_event: string | null;
  claimed_by: string | null;
  claim_expires_at: Timestamp | null;
}

export interface TaskFilter {
  /** Empty: all states. */
  states: readonly TaskState[];
  taskName?: string;
  since?: Moment;
  until?: Moment;
  /** Of the last failed attempt. */
  error?: ErrorFilter;
  /** The worker of the latest attempt. */
  worker?: string;
  /** The idempotency key. */
  key?: string;
  /** The id of the parent. Requires feature `task_tree`. */
  parent?: string;
  limit: number;
}

export interface TaskList {
  rows: TaskRow[];
  /** Whether more tasks match than `limit`. */
  more: boolean;
  /** Whether reading stopped early, because too many rows lie between the matches or ahead of the clock. */
  stopped: boolean;
}

/** Runs read of each state of a queue: first few, then more where filters or older attempts left too little. */
const scans = [60, 400, 10_000, 200_000];
/** Runs of a state whose time is still to come that are read: those that wake up first. */
const aheadLimit = 10_000;
/** Queues read in one statement: first the latest alone, then more and more. */
const queuesAtOnce = [1, 3, 8];
/** With this number of queues or more, first ask which of them can have results. */
const manyQueues = 4;

interface Found extends TaskRow {
  /** Null in the row that a queue without a match answers with. */
  found: boolean | null;
  /** What was not read is not later than this; null when all was read. */
  unread_before: Timestamp | null;
  ahead_cut: boolean;
}

/**
 * The latest activity first. Runs are read backwards from the index r_<queue>_sai, one state at a time, so the cost follows
 * `limit`, not the queue: a claim and a wake-up set `available_at`, so up to the present that index is in order of activity.
 * Runs whose time is still to come are few as a rule; they are read too and placed by their last claim.
 */
export async function listTasks(reader: QueueReader, queues: readonly string[], filter: TaskFilter): Promise<TaskList> {
  const { key, parent } = filter;
  if (parent !== undefined) {
    return listThese(reader, queues, filter, async (queue) => {
      const keyed = key === undefined ? undefined : await tasksOfKey(reader.db, queue, key);
      return (await childrenIn(reader.db, queue, parent)).filter((id) => keyed?.includes(id) !== false);
    });
  }
  if (key !== undefined) return listThese(reader, queues, filter, (queue) => tasksOfKey(reader.db, queue, key));
  const list: TaskList = { rows: [], more: false, stopped: false };
  const left = queues.length < manyQueues ? queues.map(always) : await latestOf(reader, queues, filter);
  for (let step = 0; left.length > 0; step++) {
    const some = left.splice(0, queuesAtOnce[Math.min(step, queuesAtOnce.length - 1)]);
    const names = some.map(({ queue_name }) => queue_name);
    for (const read of await reader.some(names, (queues) => listSome(reader.db, queues, filter))) {
      list.rows = [...list.rows, ...read.rows].sort(latestFirst).slice(0, filter.limit + 1);
      list.stopped ||= read.stopped;
    }
    // One extra task shows that there are more; queues whose latest activity is older cannot change the result.
    const bottom = list.rows[filter.limit]?.activity_at;
    const next = left[0]?.at;
    if (bottom !== undefined && next !== undefined && next !== null && next < bottom) break;
  }
  list.more = list.rows.length > filter.limit;
  list.rows = list.rows.slice(0, filter.limit);
  return list;
}

/** Those of a few tasks in each queue that the other filters take, too. */
async function listThese(
  reader: QueueReader,
  queues: readonly string[],
  filter: TaskFilter,
  idsIn: (queue: string) => Promise<string[]>,
): Promise<TaskList> {
  const found = await reader.each(queues, async (queue) => {
    const ids = await idsIn(queue);
    return ids.length === 0 ? [] : readTasks(reader.db, queue, filter, ids);
  });
  const rows = found.flat().sort(latestFirst);
  return { rows: rows.slice(0, filter.limit), more: rows.length > filter.limit, stopped: false };
}

interface Latest {
  queue_name: string;
  /** No task of the queue has been active after this; null where that cannot be told. */
  at: Timestamp | null;
}

/** Like `latestActivity`, without the queues that cannot be read. */
async function latestOf(reader: QueueReader, queues: readonly string[], filter: TaskFilter): Promise<Latest[]> {
  const found = await reader.some(queues, (some) => latestActivity(reader.db, some, filter));
  return found.flat().sort((a, b) => (a.at === null ? -1 : b.at === null ? 1 : compare(b.at, a.at)));
}

const always = (queue_name: string): Latest => ({ queue_name, at: null });

/**
 * How late the latest activity of each queue can be, the latest first; queues without runs in these states are left out. A run
 * whose time is still to come may have been active just now.
 */
async function latestActivity(db: Queryable, queues: readonly string[], filter: TaskFilter): Promise<Latest[]> {
  const states = filter.states.length === 0 ? taskStates : filter.states;
  const part = (queue: string, index: number): string => `
    select ($1::text[])[${index + 1}] as queue_name, max(r.available_at) as at
      from unnest($2::text[]) s (state)
     cross join lateral (
             select u.available_at from ${runs(queue)} u where u.state = s.state order by u.available_at desc limit 1
           ) r`;
  const { rows } = await db.query<Latest & { ahead: boolean }>(
    `select l.queue_name, l.at, l.at > absurd.current_time() as ahead
       from (${queues.map(part).join(' union all ')}) l
      where l.at is not null
      order by l.at desc`,
    [queues, runStates(states)],
  );
  return rows.map(({ queue_name, at, ahead }) => ({ queue_name, at: ahead ? null : at }));
}

/** A task that was cancelled because its next attempt would come too late ends with a failed run. */
const runStates = (states: readonly TaskState[]): TaskState[] =>
  states.includes('cancelled') ? [...new Set<TaskState>([...states, 'failed'])] : [...states];

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const latestFirst = (a: TaskRow, b: TaskRow): number =>
  compare(b.activity_at, a.activity_at) || compare(b.run_id, a.run_id);

/** Up to one task a queue more than asked for. */
async function listSome(db: Queryable, queues: string[], filter: TaskFilter): Promise<TaskList> {
  const list: TaskList = { rows: [], more: false, stopped: false };
  let left = queues;
  for (const scan of scans) {
    const answer = await readQueues(db, left, filter, Math.max(scan, filter.limit + 1));
    const last = scan === scans.at(-1);
    const again: string[] = [];
    for (const [queue, found] of answer) {
      const rows = found.filter((row) => row.found).sort(latestFirst);
      const unread = found[0]?.unread_before ?? null;
      const bottom = rows[filter.limit - 1]?.activity_at;
      const exact = unread === null || (bottom !== undefined && bottom >= unread);
      if (!exact && !last) {
        again.push(queue);
        continue;
      }
      list.rows.push(...rows.map(toRow));
      list.stopped ||= !exact || (found[0]?.ahead_cut ?? false);
    }
    left = again;
    if (left.length === 0) break;
  }
  return list;
}

function toRow({ found: _found, unread_before: _unread, ahead_cut: _cut, ...row }: Found): TaskRow {
  return row;
}

async function readQueues(
  db: Queryable,
  queues: string[],
  filter: TaskFilter,
  scan: number,
): Promise<Map<string, Found[]>> {
  const states = filter.states.length === 0 ? taskStates : filter.states;
  const select = (queue: string, index: number): string => selectTasks(queue, index, filter);
  const { rows } = await db.query<Found>(queues.map(select).join('\nunion all\n'), [
    queues,
    runStates(states),
    states,
    filter.taskName ?? null,
    ...times(filter),
    filter.limit + 1,
    scan,
    aheadLimit,
    filter.worker ?? null,
    filter.error?.text ?? null,
  ]);
  const byQueue = new Map<string, Found[]>(queues.map((queue) => [queue, []]));
  for (const row of rows) byQueue.get(row.queue_name)?.push(row);
  return byQueue;
}

/** `since` and `until`, each as a point in time or seconds before now. */
function times({ since, until }: TaskFilter): (string | number | null)[] {
  const moment = (one: Moment | undefined): (string | number | null)[] =>
    one === undefined ? [null, null] : 'at' in one ? [one.at, null] : [null, one.secondsAgo];
  return [...moment(since), ...moment(until)];
}

/** Whether the last failed attempt of task `t` failed in the way that was asked for. */
const failedSo = (queue: string, { error }: TaskFilter, value: string): string =>
  error === undefined
    ? `${value}::text is null`
    : `coalesce((select ${errorMatches(error, 'f.failure_reason', `${value}::text`)}
                   from (select * from ${runs(queue)} o where o.task_id = t.task_id offset 0) f
                  where f.state = 'failed'
                  order by f.attempt desc
                  limit 1), false)`;

/** Tasks by their ids: no index of runs has to be walked for them. */
export async function readTasks(
  db: Queryable,
  queue: string,
  filter: TaskFilter,
  taskIds: string[],
): Promise<TaskRow[]> {
  const { rows } = await db.query<TaskRow>(
    `select l.*
       from (
         select t.task_id, $1::text as queue_name, t.task_name, t.state, t.attempts, t.max_attempts,
                case when r.state in ('failed', 'cancelled') or r.available_at > k.now
                     then coalesce(r.started_at, r.created_at) else r.available_at end as activity_at,
                r.started_at, r.run_id, t.enqueue_at, r.available_at, r.wake_event, r.claimed_by,
                case when t.state = 'running' then r.claim_expires_at end as claim_expires_at
           from (select absurd.current_time() as now) k
          cross join ${tasks(queue)} t
           join ${runs(queue)} r on r.run_id = t.last_attempt_run
          where t.task_id = any ($2::uuid[])
            and t.state = any ($3::text[])
            and ($4::text is null or t.task_name = $4)
            and ($9::text is null or r.claimed_by = $9)
            and ${failedSo(queue, filter, '$10')}
       ) l
      cross join (select absurd.current_time() as now) c
      where l.activity_at >= coalesce($5::timestamptz, c.now - make_interval(secs => $6::float8), '-infinity')
        and l.activity_at <= coalesce($7::timestamptz, c.now - make_interval(secs => $8::float8), 'infinity')`,
    [
      queue,
      taskIds,
      filter.states.length === 0 ? taskStates : filter.states,
      filter.taskName ?? null,
      ...times(filter),
      filter.worker ?? null,
      filter.error?.text ?? null,
    ],
  );
  return rows;
}

/**
 * One queue's part. `ready` and `ahead` are the runs read, before and after the present; `listed` those that are the latest
 * attempt of a fitting task. A cancelled or failed run may have been asleep: its `available_at` then says nothing of what
 * happened, so its activity is its last claim, which is never later. Lateral subqueries with `offset 0` keep the planner
 * from reading a whole table for a few rows.
 */
const selectTasks = (queue: string, index: number, filter: TaskFilter): string => `(
with clock as materialized (
  select c.at as now,
         coalesce($5::timestamptz, c.at - make_interval(secs => $6::double precision), '-infinity') as since,
         coalesce($7::timestamptz, c.at - make_interval(secs => $8::double precision), 'infinity') as until
    from (select absurd.current_time() as at) c
),
ready as materialized (
  select r.*
    from clock k
   cross join unnest($2::text[]) s (state)
   cross join lateral (
           select u.run_id, u.task_id, u.available_at, u.wake_event, u.claimed_by, u.claim_expires_at, u.state, u.started_at,
                  case when u.state in ('failed', 'cancelled') then coalesce(u.started_at, u.created_at)
                       else u.available_at end as activity_at
             from ${runs(queue)} u
            where u.state = s.state
              and u.available_at >= k.since
              and u.available_at <= case when s.state in ('failed', 'cancelled') then k.now else least(k.now, k.until) end
            order by u.available_at desc
            limit $10
         ) r
),
ahead as materialized (
  select r.*
    from clock k
   cross join unnest($2::text[]) s (state)
   cross join lateral (
           select u.run_id, u.task_id, u.available_at, u.wake_event, u.claimed_by, u.claim_expires_at, u.state, u.started_at,
                  coalesce(u.started_at, u.created_at) as activity_at
             from ${runs(queue)} u
            where u.state = s.state
              and u.available_at > k.now
            order by u.available_at
            limit $11
         ) r
),
ahead_cut as materialized (
  select exists (select from ahead a group by a.state having count(*) >= $11) as cut
),
made as (
  select u.run_id, u.task_id, u.available_at, u.wake_event, u.claimed_by, u.claim_expires_at, u.state, u.started_at,
         coalesce(u.started_at, u.created_at) as activity_at
    from (select m.* from ${runs(queue)} m order by m.run_id desc limit $11) u
   cross join clock k
   where u.available_at > k.now
     and u.state = any ($2::text[])
     and not exists (select from ahead a where a.run_id = u.run_id)
     and (select c.cut from ahead_cut c)
),
seen as (
  select p.*
    from (select * from ready union all select * from ahead union all select * from made) p
   cross join clock k
   where p.activity_at between k.since and k.until
   order by p.activity_at desc, p.run_id desc
   offset 0
),
listed as (
  select t.task_id, t.task_name, t.state, t.attempts, t.max_attempts, t.enqueue_at,
         p.activity_at, p.started_at, p.run_id, p.available_at, p.wake_event, p.claimed_by, p.claim_expires_at
    from seen p
   cross join lateral (
           select x.task_id, x.task_name, x.state, x.attempts, x.max_attempts, x.enqueue_at, x.last_attempt_run
             from ${tasks(queue)} x
            where x.task_id = p.task_id
           offset 0
         ) t
   where t.last_attempt_run = p.run_id
     and t.state = any ($3::text[])
     and ($4::text is null or t.task_name = $4)
     and ($12::text is null or p.claimed_by = $12)
     and ${failedSo(queue, filter, '$13')}
   order by p.activity_at desc, p.run_id desc
   limit $9
),
unread as (
  select max(f.oldest) as before
    from (select min(r.available_at) as oldest from ready r group by r.state having count(*) >= $10) f
)
select l.task_id, ($1::text[])[${index + 1}] as queue_name, l.task_name, l.state, l.attempts, l.max_attempts,
       l.activity_at, l.started_at, l.run_id, l.enqueue_at, l.available_at, l.wake_event, l.claimed_by,
       case when l.state = 'running' then l.claim_expires_at end as claim_expires_at,
       l.task_id is not null as found, u.before as unread_before, c.cut as ahead_cut
  from unread u
 cross join ahead_cut c
  left join listed l on true
)`;
