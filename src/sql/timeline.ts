/**
 * The rows that a timeline is made of: times, names and sizes, never what a task was given or returned. Each read follows an index
 * and is bounded. Only tables of the contract are read, and our own columns where the schema has them.
 */
import { checkpoints, events, runs, tasks, waits } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { RawJson, Timestamp } from './values.js';

export interface TimelineTask {
  task_id: string;
  queue_name: string;
  task_name: string;
  state: string;
  attempts: number;
  max_attempts: number | null;
  /** Of a delayed task its start. */
  enqueue_at: Timestamp;
  first_started_at: Timestamp | null;
  cancelled_at: Timestamp | null;
  retry_strategy: RawJson | null;
  /** Null also where the schema keeps no parents. */
  parent_task_id: string | null;
}

export interface TimelineRun {
  run_id: string;
  task_id: string;
  attempt: number;
  state: string;
  claimed_by: string | null;
  claim_expires_at: Timestamp | null;
  available_at: Timestamp;
  wake_event: string | null;
  created_at: Timestamp;
  /** The last claim, not the first. */
  started_at: Timestamp | null;
  completed_at: Timestamp | null;
  failed_at: Timestamp | null;
  /** `name: message` of the failure, at most 300 characters. */
  error: string | null;
}

export interface TimelineStep {
  checkpoint_name: string;
  owner_run_id: string | null;
  updated_at: Timestamp;
  /** Null where the SDK did not record it. */
  started_at: Timestamp | null;
  /** The state where it is a moment, as that of a sleep is. */
  sleep_until: string | null;
  /** How many tasks the state describes the ends of, as that of a wait for tasks does. */
  children: number | null;
  /** The event that was emitted in the very moment at which the checkpoint was written. */
  event_name: string | null;
}

/** What a run is registered for: an event, or the ends of tasks. */
export interface TimelineWait {
  run_id: string;
  step_name: string;
  event_name: string | null;
  /** Of a wait for tasks, how many. */
  children: number | null;
  timeout_at: Timestamp | null;
  created_at: Timestamp;
}

/** The server's present, and whether it stands still there. */
export async function readClock(db: Queryable): Promise<{ now: Timestamp; clock_stopped: boolean }> {
  const { rows } = await db.query<{ now: Timestamp; clock_stopped: boolean }>(
    `select absurd.current_time() as now,
            coalesce(btrim(current_setting('absurd.fake_now', true)), '') <> '' as clock_stopped`,
  );
  return rows[0] ?? { now: '', clock_stopped: false };
}

/** What the schema keeps beside the contract's columns. */
export interface TimelineColumns {
  parents: boolean;
  step_times: boolean;
  task_waits: boolean;
}

export async function readTimelineColumns(db: Queryable, queueName: string): Promise<TimelineColumns> {
  const { rows } = await db.query<TimelineColumns>(
    `select exists (select from pg_attribute a
                     where a.attrelid = to_regclass($1) and a.attname = 'parent_task_id' and not a.attisdropped) as parents,
            exists (select from pg_attribute a
                     where a.attrelid = to_regclass($2) and a.attname = 'started_at' and not a.attisdropped) as step_times,
            coalesce(has_table_privilege(to_regclass('absurd.task_waits'), 'select'), false) as task_waits`,
    [tasks(queueName), checkpoints(queueName)],
  );
  return rows[0] ?? { parents: false, step_times: false, task_waits: false };
}

const taskColumns = ({ parents }: TimelineColumns): string =>
  `t.task_id, t.task_name, t.state, t.attempts, t.max_attempts, t.enqueue_at, t.first_started_at, t.cancelled_at,
   case when pg_column_size(t.retry_strategy) < 1000 then t.retry_strategy end as retry_strategy,
   ${parents ? 't.parent_task_id' : 'null::uuid as parent_task_id'}`;

export async function readTimelineTask(
  db: Queryable,
  queueName: string,
  taskId: string,
  columns: TimelineColumns,
): Promise<TimelineTask | undefined> {
  const { rows } = await db.query<TimelineTask>(
    `select $2::text as queue_name, ${taskColumns(columns)} from ${tasks(queueName)} t where t.task_id = $1`,
    [taskId, queueName],
  );
  return rows[0];
}

/** Tasks of a queue that these tasks are the parents of, the oldest first, at most `limit`. The queue must keep parents. */
export async function listTimelineChildren(
  db: Queryable,
  queueNames: readonly string[],
  parentIds: readonly string[],
  limit: number,
): Promise<TimelineTask[]> {
  const columns = taskColumns({ parents: true, step_times: true, task_waits: true });
  const part = (queue: string, index: number): string =>
    `(select ($1::text[])[${index + 1}] as queue_name, ${columns}
        from ${tasks(queue)} t
       where t.parent_task_id = any ($2::uuid[])
       order by t.task_id
       limit $3)`;
  const { rows } = await db.query<TimelineTask>(
    `select * from (${queueNames.map(part).join(' union all ')}) c order by c.task_id limit $3`,
    [queueNames, parentIds, limit],
  );
  return rows;
}

/** The latest `limit` attempts at each of these tasks, oldest first. */
export async function listTimelineRuns(
  db: Queryable,
  queueName: string,
  taskIds: readonly string[],
  limit: number,
): Promise<TimelineRun[]> {
  // Of a failure that is long, the whole is not read to show how it begins.
  const error = `case when jsonb_typeof(r.failure_reason) = 'object'
                      then left(concat_ws(': ', r.failure_reason ->> 'name', r.failure_reason ->> 'message'), 300)
                      else left(r.failure_reason #>> '{}', 300) end`;
  const { rows } = await db.query<TimelineRun>(
    `select r.run_id, r.task_id, r.attempt, r.state, r.claimed_by, r.claim_expires_at, r.available_at, r.wake_event,
            r.created_at, r.started_at, r.completed_at, r.failed_at, ${error} as error
       from unnest($1::uuid[]) i (task_id)
      cross join lateral (
        select * from ${runs(queueName)} k where k.task_id = i.task_id order by k.attempt desc, k.run_id desc limit $2
      ) r
      order by r.task_id, r.attempt, r.run_id`,
    [taskIds, limit],
  );
  return rows;
}

/** Checkpoints of a task that are looked at. */
const stepsScanned = 50_000;

/** States up to this stored size are looked into, for what kind of step left them. */
const stateBytes = 10_000;

/** The latest `limit` checkpoints of a task, oldest first, and how many there are (counted up to 50,000). */
export async function listTimelineSteps(
  db: Queryable,
  queueName: string,
  taskId: string,
  limit: number,
  { step_times: stepTimes }: TimelineColumns,
): Promise<{ steps: TimelineStep[]; total: number }> {
  const moment = `pg_column_size(c.state) < 100 and jsonb_typeof(c.state) = 'string'
                  and c.state #>> '{}' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}'`;
  const outcomes = `pg_column_size(c.state) < ${stateBytes} and jsonb_typeof(c.state) = 'array'
                    and c.state -> 0 ?& array['task_id', 'queue', 'state', 'result', 'failure_reason']`;
  const { rows } = await db.query<TimelineStep & { total: number }>(
    `select c.checkpoint_name, c.owner_run_id, c.updated_at, c.started_at, c.total,
            case when ${moment} then c.state #>> '{}' end as sleep_until,
            case when ${outcomes} then jsonb_array_length(c.state) end as children,
            null::text as event_name
       from (
         select k.*, count(*) over ()::int as total
           from (
             select s.checkpoint_name, s.owner_run_id, s.updated_at, s.state,
                    ${stepTimes ? 's.started_at' : 'null::timestamptz as started_at'}
               from ${checkpoints(queueName)} s
              where s.task_id = $1 and s.status = 'committed'
              limit ${stepsScanned}
           ) k
          order by k.updated_at desc, k.checkpoint_name desc
          limit $2
       ) c
      order by c.updated_at, c.checkpoint_name`,
    [taskId, limit],
  );
  const steps = rows.map(({ total: _total, ...step }) => step);
  await nameEvents(db, queueName, steps);
  return { steps, total: rows[0]?.total ?? 0 };
}

/** An emission writes the checkpoints of those that wait for it at its own moment, to the microsecond. */
async function nameEvents(db: Queryable, queueName: string, steps: TimelineStep[]): Promise<void> {
  if (steps.length === 0) return;
  const { rows } = await db.query<{ event_name: string; emitted_at: Timestamp }>(
    `select e.event_name, e.emitted_at
       from ${events(queueName)} e
      where e.emitted_at = any ($1::timestamptz[]) and e.payload is not null
      limit 2000`,
    [[...new Set(steps.map((step) => step.updated_at))]],
  );
  if (rows.length === 0) return;
  const names = new Map<string, string[]>();
  for (const { event_name: name, emitted_at: at } of rows) names.set(at, [...(names.get(at) ?? []), name]);
  const saved = new Map<string, number>();
  for (const { updated_at: at } of steps) saved.set(at, (saved.get(at) ?? 0) + 1);
  for (const step of steps) {
    const emitted = names.get(step.updated_at) ?? [];
    const alone = saved.get(step.updated_at) === 1;
    step.event_name =
      emitted.find((name) => step.checkpoint_name.includes(name)) ?? (alone ? emitted[0] : undefined) ?? null;
  }
}

/** What the runs of these tasks are registered for, at most 1,000. */
export async function listTimelineWaits(
  db: Queryable,
  queueName: string,
  taskIds: readonly string[],
  { task_waits: taskWaits }: TimelineColumns,
): Promise<TimelineWait[]> {
  const forTasks = `
     union all
     select k.run_id, k.step_name, null, jsonb_array_length(k.children), k.timeout_at, k.created_at
       from absurd.task_waits k
      where k.task_id = any ($1::uuid[]) and k.queue_name = $2`;
  const { rows } = await db.query<TimelineWait>(
    `select w.*
       from (
         select e.run_id, e.step_name, e.event_name, null::int as children, e.timeout_at, e.created_at
           from ${waits(queueName)} e
          where e.task_id = any ($1::uuid[]) and $2::text is not null${taskWaits ? forTasks : ''}
       ) w
      order by w.created_at, w.step_name
      limit 1000`,
    [taskIds, queueName],
  );
  return rows;
}
