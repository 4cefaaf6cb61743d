import { keys, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { RawJson, Timestamp } from './values.js';

export { pauseSchedule, resumeSchedule } from './pauses.js';

/** One schedule, as `absurd.schedules` keeps it. JSON members are the server's text. */
export interface Schedule {
  schedule_name: string;
  queue_name: string;
  task_name: string;
  params: RawJson;
  headers: RawJson | null;
  /** Options of each spawn: retry_strategy, max_attempts and their kin. */
  spawn_options: RawJson;
  cron: string | null;
  /** An interval, such as `00:05:00`. */
  every: string | null;
  time_zone: string;
  overlap: string;
  missed: string;
  /** An interval. */
  catch_up: string;
  /** Null unless a pause is in force. */
  paused_at: Timestamp | null;
  paused_until: Timestamp | null;
  paused_by: string | null;
  pause_reason: string | null;
  next_at: Timestamp | null;
  last_at: Timestamp | null;
  last_task_id: string | null;
  last_error: string | null;
  last_error_at: Timestamp | null;
  created_at: Timestamp;
  created_by: string;
}

/** Arguments of `absurd.set_schedule`; JSON texts are passed unchanged. */
export interface ScheduleSettings {
  scheduleName: string;
  queueName: string;
  taskName: string;
  /** JSON text; null is {}. */
  params: string | null;
  /** JSON text of the options of set_schedule. */
  options: string;
}

const columns = (alias: string): string => {
  const paused = `${alias}.paused_at is not null and coalesce(${alias}.paused_until > absurd.current_time(), true)`;
  const whilePaused = (name: string): string => `case when ${paused} then ${alias}.${name} end as ${name}`;
  return `${alias}.schedule_name, ${alias}.queue_name, ${alias}.task_name, ${alias}.params, ${alias}.headers,
          ${alias}.spawn_options, ${alias}.cron, ${alias}.every::text, ${alias}.time_zone, ${alias}.overlap, ${alias}.missed,
          ${alias}.catch_up::text, ${['paused_at', 'paused_until', 'paused_by', 'pause_reason'].map(whilePaused).join(', ')},
          ${alias}.next_at, ${alias}.last_at, ${alias}.last_task_id, ${alias}.last_error, ${alias}.last_error_at,
          ${alias}.created_at, ${alias}.created_by`;
};

/** Schedules, the next to fire first; of one queue where it is named. Requires feature `schedules`. */
export async function listSchedules(db: Queryable, filter: { queueName?: string; limit: number }): Promise<Schedule[]> {
  const { rows } = await db.query<Schedule>(
    `select ${columns('s')}
       from absurd.schedules s
      where $1::text is null or s.queue_name = $1
      order by s.next_at nulls last, s.schedule_name
      limit $2`,
    [filter.queueName ?? null, filter.limit],
  );
  return rows;
}

export async function getSchedule(db: Queryable, scheduleName: string): Promise<Schedule | undefined> {
  const { rows } = await db.query<Schedule>(
    `select ${columns('s')}
       from absurd.schedules s
      where s.schedule_name = $1`,
    [scheduleName],
  );
  return rows[0];
}

export async function scheduleNames(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ schedule_name: string }>(
    'select s.schedule_name from absurd.schedules s order by s.schedule_name',
  );
  return rows.map((row) => row.schedule_name);
}

/** Creates or replaces a schedule. Raises 22023 for bad options, P0002 for an unknown queue, AB003. */
export async function setSchedule(db: Queryable, schedule: ScheduleSettings): Promise<void> {
  await db.query('select absurd.set_schedule($1, $2, $3, $4::jsonb, $5::jsonb)', [
    schedule.scheduleName,
    schedule.queueName,
    schedule.taskName,
    schedule.params,
    schedule.options,
  ]);
}

export async function dropSchedule(db: Queryable, scheduleName: string): Promise<boolean> {
  const { rows } = await db.query<{ dropped: boolean }>('select absurd.drop_schedule($1) as dropped', [scheduleName]);
  return rows[0]?.dropped === true;
}

/** Spawns one more task now. Raises P0002 for an unknown schedule or queue. */
export async function triggerSchedule(
  db: Queryable,
  scheduleName: string,
): Promise<{ task_id: string; run_id: string }> {
  const { rows } = await db.query<{ task_id: string; run_id: string }>(
    'select t.task_id, t.run_id from absurd.trigger_schedule($1) t',
    [scheduleName],
  );
  if (rows[0] === undefined) throw new Error('absurd.trigger_schedule returned no row');
  return rows[0];
}

/** The next times of a schedule that is paused or not, after the server's now. */
export async function nextTimes(db: Queryable, scheduleName: string, count: number): Promise<Timestamp[]> {
  const { rows } = await db.query<{ at: Timestamp }>(
    `select t.at
       from absurd.schedules s
      cross join lateral absurd._schedule_times(s, absurd.current_time(), 'infinity', $2) with ordinality t (at, n)
      where s.schedule_name = $1
      order by t.n`,
    [scheduleName, count],
  );
  return rows.map((row) => row.at);
}

/** The times of a schedule in a span, both ends included, for a preview of a backfill. */
export async function timesBetween(
  db: Queryable,
  span: { scheduleName: string; from: string; to: string; limit: number },
): Promise<Timestamp[]> {
  const { rows } = await db.query<{ at: Timestamp }>(
    `select t.at
       from absurd.schedules s
      cross join lateral absurd._schedule_times(
              s, $2::timestamptz - interval '1 microsecond', $3::timestamptz, $4) with ordinality t (at, n)
      where s.schedule_name = $1
      order by t.n`,
    [span.scheduleName, span.from, span.to, span.limit],
  );
  return rows.map((row) => row.at);
}

/** A time of a schedule, and the task that was spawned for it. */
export interface ScheduledTask {
  scheduled_for: Timestamp;
  task_id: string | null;
}

/** Spawns a task for every time in a span. Raises P0002, and 22023 for over 10,000 times. */
export async function backfillSchedule(
  db: Queryable,
  span: { scheduleName: string; from: string; to: string },
): Promise<ScheduledTask[]> {
  const { rows } = await db.query<ScheduledTask>(
    'select b.scheduled_for, b.task_id from absurd.backfill_schedule($1, $2::timestamptz, $3::timestamptz) b',
    [span.scheduleName, span.from, span.to],
  );
  return rows;
}

/** A task that a schedule spawned, and its state. */
export interface SpawnedBySchedule {
  task_id: string;
  scheduled_for: Timestamp;
  state: string;
  attempts: number;
}

/** Spans to look back over, in seconds, until there are enough times: an hour, a day, a week, two months, two years, nine. */
const lookBack = [3600, 86_400, 604_800, 5_270_400, 63_158_400, 284_000_000];

/** Number of last times to look up: skipped times have no task. */
const timesRead = 200;

/**
 * The last tasks of a schedule, the latest time first: those with the idempotency keys of its last times, and the one that it
 * spawned last, which a person may have triggered. The cost follows the number of times, not the queue.
 */
export async function lastScheduledTasks(
  db: Queryable,
  schedule: Pick<Schedule, 'schedule_name' | 'queue_name' | 'last_task_id'>,
  limit: number,
): Promise<SpawnedBySchedule[]> {
  const { schedule_name: scheduleName, queue_name: queue } = schedule;
  const { rows: known } = await db.query<{ found: boolean; keyed: boolean; readable: boolean }>(
    `select to_regclass($1) is not null as found, to_regclass($2) is not null as keyed,
            coalesce(has_table_privilege(to_regclass($2)::oid, 'select'), true) as readable`,
    [tasks(queue), keys(queue)],
  );
  if (known[0]?.found !== true) return [];
  let times: Timestamp[] = [];
  for (const seconds of lookBack) {
    const { rows } = await db.query<{ at: Timestamp }>(
      `select t.at
         from absurd.schedules s
        cross join lateral absurd._schedule_times(
                s, absurd.current_time() - make_interval(secs => $2), absurd.current_time(), 100000) with ordinality t (at, n)
        where s.schedule_name = $1
        order by t.n desc
        limit $3`,
      [scheduleName, seconds, timesRead],
    );
    times = rows.map((row) => row.at);
    if (times.length >= limit * 4) break;
  }
  // Without the right to read a partitioned queue's keys, the task that was spawned last is still shown.
  if (!known[0].readable) times = [];
  const keyed =
    known[0].keyed && known[0].readable
      ? `select i.task_id from ${keys(queue)} i where i.idempotency_key`
      : `select i.task_id from ${tasks(queue)} i where i.idempotency_key`;
  const { rows } = await db.query<SpawnedBySchedule>(
    `select t.task_id, t.headers ->> 'absurd.scheduled_for' as scheduled_for, t.state, t.attempts
       from ${tasks(queue)} t
      where t.task_id = any (
              array(${keyed} = any (array(
                select absurd._schedule_key($1, time.at) from unnest($2::timestamptz[]) as time (at))))
              || array_remove(array[$3::uuid], null))
      order by scheduled_for desc
      limit $4`,
    [scheduleName, times, schedule.last_task_id, limit],
  );
  return rows;
}

/** A moment that a user typed, by the server's clock, as RFC 3339. Raises class 22 where it is out of range. */
export async function readMoment(
  db: Queryable,
  { at, secondsAgo }: { at: string | null; secondsAgo: number | null },
): Promise<Timestamp> {
  const { rows } = await db.query<{ moment: Timestamp }>(
    'select coalesce($1::timestamptz, absurd.current_time() - make_interval(secs => $2)) as moment',
    [at, secondsAgo],
  );
  if (rows[0] === undefined) throw new Error('the server returned no time');
  return rows[0].moment;
}
