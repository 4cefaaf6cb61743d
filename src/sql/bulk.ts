/**
 * Many tasks at once: which ones a filter takes, and the contract's functions over a batch of them. Choosing reads
 * `r_<queue>_sai` one state at a time through a cursor, so that a queue of millions is read in bounded statements.
 */
import { keys, runs, tasks } from './identifiers.js';
import type { TaskState } from './description.js';
import type { Moment, Timestamp } from './values.js';
import type { Queryable } from './queryable.js';
import { whereSql, type WhereCondition } from './where.js';

/** A task that was chosen. */
export interface ChosenTask {
  task_id: string;
  queue_name: string;
  task_name: string;
  state: TaskState;
  attempts: number;
}

/** What an error contains, or a regular expression that it matches. */
export interface ErrorFilter {
  text: string;
  how: 'contains' | 'matches' | 'matches-any-case';
}

export interface ChoiceFilter {
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
  /** Conditions on the task's JSON. */
  where?: readonly WhereCondition[];
}

const comparison = {
  contains: (error: string, value: string): string => `position(${value} in ${error}) > 0`,
  matches: (error: string, value: string): string => `${error} ~ ${value}`,
  'matches-any-case': (error: string, value: string): string => `${error} ~* ${value}`,
};

/** An error as text, `name: message`; other values stay JSON. */
const errorText = (reason: string): string =>
  `case when ${reason} ? 'message' then concat_ws(': ', ${reason} ->> 'name', ${reason} ->> 'message')
        when jsonb_typeof(${reason}) = 'string' then ${reason} #>> '{}'
        else ${reason}::text
    end`;

/** Whether a stored failure matches the filter; `value` is the parameter with the filter's text. */
export const errorMatches = ({ how }: ErrorFilter, reason: string, value: string): string =>
  comparison[how](errorText(reason), value);

/** The tasks of one queue with this idempotency key: at most one, and found by an index in every storage mode. */
export async function tasksOfKey(db: Queryable, queueName: string, key: string): Promise<string[]> {
  const { rows: found } = await db.query<{ partitioned: boolean }>(
    'select to_regclass($1) is not null as partitioned',
    [keys(queueName)],
  );
  const table = found[0]?.partitioned === true ? keys(queueName) : tasks(queueName);
  const { rows } = await db.query<{ task_id: string }>(
    `select k.task_id from ${table} k where k.idempotency_key = $1`,
    [key],
  );
  return rows.map((row) => row.task_id);
}

const page = 10_000;

/** The server's time, or a number of seconds before it. */
export async function readMoment(db: Queryable, secondsAgo = 0): Promise<Timestamp> {
  const { rows } = await db.query<{ at: Timestamp }>(
    'select absurd.current_time() - make_interval(secs => $1::float8) as at',
    [secondsAgo],
  );
  return rows[0]?.at ?? '';
}

/**
 * The tasks of one queue that a filter takes, those whose latest activity is longest ago first within each state; at most
 * `limit`. Must run inside a transaction: it declares a cursor there. Activity is what list-tasks shows.
 */
export async function chooseTasks(
  db: Queryable,
  queueName: string,
  filter: ChoiceFilter,
  limit: number,
): Promise<ChosenTask[]> {
  const moment = (one: Moment | undefined): [string | null, number | null] =>
    one === undefined ? [null, null] : 'at' in one ? [one.at, null] : [null, one.secondsAgo];
  const { error } = filter;
  const ofKey = filter.key === undefined ? null : await tasksOfKey(db, queueName, filter.key);
  if (ofKey?.length === 0) return [];
  // Parameter numbers are fixed, even if a value is null: $7 is the error's text. The runs of a task come first, so
  // that without statistics no plan reads all failed runs.
  const failure = `(select ${errorText('f.failure_reason')}
                      from (select * from ${runs(queueName)} o where o.task_id = t.task_id offset 0) f
                     where f.state = 'failed'
                     order by f.attempt desc
                     limit 1)`;
  // A failed run may have been asleep: its wake-up time then says nothing about its last activity. Activity is never
  // later than available_at, so --since is a range of the index.
  const activity = `case when u.state = 'failed' or u.available_at > clock.now then coalesce(u.started_at, u.created_at)
                         else u.available_at end`;
  const where = whereSql(queueName, filter.where ?? [], 11);
  const held = where.values.length > 0 || where.sql !== 'true' ? ', x.params, x.headers, x.completed_payload' : '';
  await db.query(
    `declare chosen no scroll cursor for
     select t.task_id, $8::text as queue_name, t.task_name, t.state, t.attempts
       from (
         select c.at as now, coalesce($3::timestamptz, c.at - make_interval(secs => $4::float8), '-infinity') as since,
                coalesce($5::timestamptz, c.at - make_interval(secs => $6::float8), 'infinity') as until
           from (select absurd.current_time() as at) c
       ) clock
      cross join unnest($1::text[]) s (state)
      cross join lateral (
        select u.run_id, u.task_id, ${activity} as activity_at
          from ${runs(queueName)} u
         where u.state = s.state
           and u.available_at >= clock.since
           and ($9::text is null or u.claimed_by = $9)
           and ($10::uuid[] is null or u.task_id = any ($10))
         order by u.available_at
        offset 0
      ) u
      cross join lateral (
        select x.task_id, x.task_name, x.state, x.attempts, x.last_attempt_run${held}
          from ${tasks(queueName)} x
         where x.task_id = u.task_id
        offset 0
      ) t
      where t.last_attempt_run = u.run_id
        and t.state = s.state
        and u.activity_at between clock.since and clock.until
        and ($2::text is null or t.task_name = $2)
        and ($7::text is null or ${error === undefined ? 'true' : comparison[error.how](failure, '$7::text')})
        and ${where.sql}`,
    [
      filter.states,
      filter.taskName ?? null,
      ...moment(filter.since),
      ...moment(filter.until),
      error?.text ?? null,
      queueName,
      filter.worker ?? null,
      ofKey,
      ...where.values,
    ],
  );
  const chosen: ChosenTask[] = [];
  while (chosen.length < limit) {
    const { rows } = await db.query<ChosenTask>(`fetch ${Math.min(page, limit - chosen.length)} from chosen`);
    chosen.push(...rows);
    if (rows.length < Math.min(page, limit)) break;
  }
  await db.query('close chosen');
  return chosen;
}

/** The tasks in this queue with these ids, which may be ids of tasks or of runs. */
export async function findTasks(
  db: Queryable,
  queueName: string,
  ids: readonly string[],
): Promise<(ChosenTask & { id: string })[]> {
  const { rows } = await db.query<ChosenTask & { id: string }>(
    `select i.id, t.task_id, $2::text as queue_name, t.task_name, t.state, t.attempts
       from (
         select given.id, given.id as task_id from unnest($1::uuid[]) given (id)
         union all
         select r.run_id, r.task_id from ${runs(queueName)} r where r.run_id = any ($1::uuid[])
       ) i
       join ${tasks(queueName)} t on t.task_id = i.task_id`,
    [ids, queueName],
  );
  return rows;
}

/** The outcome of a task of a batch. */
export interface BatchOutcome {
  task_id: string;
  state: string;
  /** The task and run that a retry created or continues. */
  new_task_id: string | null;
  run_id: string | null;
  attempt: number | null;
}

/** Retries all of these failed tasks, or raises the error of the first that cannot be retried. */
export async function retryTasks(
  db: Queryable,
  queueName: string,
  taskIds: readonly string[],
  options: { maxAttempts?: number; spawnNew?: boolean },
): Promise<BatchOutcome[]> {
  const { rows } = await db.query<BatchOutcome>(
    `select i.task_id, 'retried' as state, s.task_id as new_task_id, s.run_id, s.attempt
       from unnest($2::uuid[]) with ordinality i (task_id, place)
      cross join lateral absurd.retry_task($1, i.task_id, $3::jsonb) s
      order by i.place`,
    [
      queueName,
      taskIds,
      JSON.stringify({ max_attempts: options.maxAttempts, spawn_new: options.spawnNew ? true : undefined }),
    ],
  );
  return rows;
}

/**
 * Cancels every one of these tasks and says in which state each is then. With `states` only those that are still in one of
 * them: a worker may have claimed a task since it was chosen. Must run inside a transaction.
 */
export async function cancelTasks(
  db: Queryable,
  queueName: string,
  taskIds: readonly string[],
  states?: readonly TaskState[],
): Promise<BatchOutcome[]> {
  const still = states === undefined ? taskIds : await lockThoseIn(db, queueName, taskIds, states);
  await db.query(`select count(absurd.cancel_task($1, i.task_id)) from unnest($2::uuid[]) i (task_id)`, [
    queueName,
    still,
  ]);
  const { rows } = await db.query<BatchOutcome>(
    `select t.task_id, t.state, null::uuid as new_task_id, null::uuid as run_id, null::int as attempt
       from ${tasks(queueName)} t
      where t.task_id = any ($1::uuid[])`,
    [taskIds],
  );
  return rows;
}

/** Tasks whose unfinished run is in one of these states. Locks these runs so that they stay in it. */
async function lockThoseIn(
  db: Queryable,
  queueName: string,
  taskIds: readonly string[],
  states: readonly TaskState[],
): Promise<string[]> {
  const { rows } = await db.query<{ task_id: string }>(
    `select r.task_id
       from ${runs(queueName)} r
      where r.task_id = any ($1::uuid[])
        and r.state = any ($2::text[])
      order by r.run_id
        for update`,
    [taskIds, states],
  );
  return [...new Set(rows.map((row) => row.task_id))];
}
