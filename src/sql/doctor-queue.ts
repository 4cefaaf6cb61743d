import { boundedCount, ms, type BoundedReader } from './bounded.js';
import { checkpoints, events, quoteIdent, runs, tasks, waits } from './identifiers.js';

/**
 * Facts about one queue for `doctor`, each from a bounded sample of an index's end: the first 1000 runs of every unfinished
 * state, the latest finished ones, both ends of the tasks. Times are milliseconds since 1970.
 */
const SAMPLE = 1000;

export interface SampledRun {
  run_id: string;
  task_id: string;
  state: string;
  attempt: number;
  claimed_by: string | null;
  started_at: number | null;
  available_at: number;
  claim_expires_at: number | null;
  wake_event: string | null;
  /** Null where the task is missing. */
  task_name: string | null;
  task_state: string | null;
  last_attempt_run: string | null;
  max_attempts: number | null;
  /** Latest checkpoint of the run; only for running and sleeping ones. */
  checkpoint_at: number | null;
  /** JSON text. */
  cancellation: string | null;
  retry_strategy: string | null;
}

/** Unfinished runs: the first of each state in line, with their tasks. */
export async function readUnfinished(reader: BoundedReader, queue: string): Promise<SampledRun[] | null> {
  const first = (state: string): string =>
    `(select * from ${runs(queue)} r where r.state = '${state}' order by r.available_at limit ${SAMPLE})`;
  return reader.rows<SampledRun>(
    `the unfinished runs of queue ${queue}`,
    `select r.run_id, r.task_id, r.state, r.attempt, r.claimed_by, ${ms('r.started_at')} as started_at,
            ${ms('r.available_at')} as available_at, ${ms('r.claim_expires_at')} as claim_expires_at, r.wake_event,
            t.task_name, t.state as task_state, t.last_attempt_run, t.max_attempts,
            t.cancellation::text as cancellation, t.retry_strategy::text as retry_strategy,
            case when r.state in ('running', 'sleeping') then
              (select ${ms('max(c.updated_at)')}
                 from (select k.updated_at from ${checkpoints(queue)} k where k.task_id = r.task_id limit 200) as c)
            end as checkpoint_at
       from (${['pending', 'sleeping', 'running'].map(first).join(' union all ')}) as r
       left join ${tasks(queue)} t on t.task_id = r.task_id`,
  );
}

export interface DeadEnd {
  task_id: string;
  state: string;
  /** Null where the run is missing. */
  run_state: string | null;
}

/** Unfinished tasks at both ends of the ids whose last run is over or missing: nothing will ever move them. */
export async function readDeadEnds(reader: BoundedReader, queue: string): Promise<DeadEnd[] | null> {
  const end = (order: string): string =>
    `(select t.task_id, t.state, t.last_attempt_run from ${tasks(queue)} t order by t.task_id ${order} limit ${SAMPLE})`;
  return reader.rows<DeadEnd>(
    `the tasks of queue ${queue}`,
    `select distinct t.task_id, t.state, r.state as run_state
       from (${end('asc')} union all ${end('desc')}) as t
       left join ${runs(queue)} r on r.run_id = t.last_attempt_run
      where t.state in ('pending', 'running', 'sleeping')
        and (r.run_id is null or r.state in ('completed', 'failed', 'cancelled'))
      limit 100`,
  );
}

export interface ErrorCount {
  error: string;
  failures: number;
  task_name: string | null;
  task_id: string;
}

/** The commonest errors of the runs that failed within the window, at most the latest 500. */
export async function readErrors(
  reader: BoundedReader,
  queue: string,
  nowText: string,
  windowSeconds: number,
): Promise<ErrorCount[] | null> {
  return reader.rows<ErrorCount>(
    `the failures of queue ${queue}`,
    `select f.error, count(*)::int as failures, max(t.task_name) as task_name, (array_agg(f.task_id))[1] as task_id
       from (select r.task_id, left(coalesce(r.failure_reason ->> 'name' || ': ', '')
                      || coalesce(r.failure_reason ->> 'message', r.failure_reason #>> '{}', ''), 200) as error
               from ${runs(queue)} r
              where r.state = 'failed' and r.available_at <= $1::timestamptz
                and r.available_at > $1::timestamptz - make_interval(secs => $2)
              order by r.available_at desc limit 500) as f
       left join ${tasks(queue)} t on t.task_id = f.task_id
      group by f.error order by 2 desc, 1 limit 5`,
    [nowText, windowSeconds],
  );
}

export interface EndedEarly {
  task_id: string;
  /** JSON text. */
  retry_strategy: string;
}

/** Tasks with a retry strategy that failed for good within the window and had attempts left, of the latest 500 failures. */
export async function readEndedEarly(
  reader: BoundedReader,
  queue: string,
  nowText: string,
  windowSeconds: number,
): Promise<EndedEarly[] | null> {
  return reader.rows<EndedEarly>(
    `the failed tasks of queue ${queue}`,
    `select t.task_id, t.retry_strategy::text as retry_strategy
       from (select r.run_id, r.task_id
               from ${runs(queue)} r
              where r.state = 'failed' and r.available_at <= $1::timestamptz
                and r.available_at > $1::timestamptz - make_interval(secs => $2)
              order by r.available_at desc limit 500) as f
       join ${tasks(queue)} t on t.task_id = f.task_id and t.last_attempt_run = f.run_id
      where t.state = 'failed' and t.retry_strategy is not null
        and (t.max_attempts is null or t.attempts < t.max_attempts)`,
    [nowText, windowSeconds],
  );
}

export interface WaitSample {
  event_name: string;
  waiting: number;
  oldest_at: number;
  with_timeout: number;
  /** When the awaited event was emitted, although the wait is still there; null for what is as it should be. */
  emitted_at: number | null;
  task_id: string;
}

/** Waits of the longest sleepers, by event, with whether that event is there. */
export async function readWaitSample(reader: BoundedReader, queue: string): Promise<WaitSample[] | null> {
  return reader.rows<WaitSample>(
    `the waits of queue ${queue}`,
    `select w.event_name, count(*)::int as waiting, ${ms('min(w.created_at)')} as oldest_at,
            (count(*) filter (where w.timeout_at is not null))::int as with_timeout,
            ${ms('max(e.emitted_at) filter (where e.payload is not null)')} as emitted_at,
            (array_agg(w.task_id))[1] as task_id
       from (select r.run_id from ${runs(queue)} r
              where r.state = 'sleeping' order by r.available_at desc limit ${SAMPLE}) as r
      cross join lateral (
        select x.event_name, x.created_at, x.timeout_at, x.task_id from ${waits(queue)} x where x.run_id = r.run_id offset 0
      ) w
       left join ${events(queue)} e on e.event_name = w.event_name
      group by w.event_name order by 3 limit 1000`,
  );
}

/** How much finished work is older than `seconds`: tasks among the oldest 1000, events from `e_<queue>_eai`, bounded. */
export interface Leftovers {
  tasks: number;
  events: number;
  oldest_at: number | null;
}

export async function readLeftovers(
  reader: BoundedReader,
  queue: string,
  nowText: string,
  seconds: number,
): Promise<Leftovers | null> {
  const border = `$1::timestamptz - make_interval(secs => $2)`;
  return reader.row<Leftovers>(
    `what cleanup left in queue ${queue}`,
    `with old as materialized (
       select coalesce(t.cancelled_at, r.completed_at, r.failed_at) as at
         from (select * from ${tasks(queue)} k order by k.task_id limit ${SAMPLE}) as t
         left join ${runs(queue)} r on r.run_id = t.last_attempt_run
        where t.state in ('completed', 'failed', 'cancelled'))
     select (select count(*)::int from old o where o.at < ${border}) as tasks,
            ${boundedCount(`from ${events(queue)} e where e.emitted_at < ${border} and e.emitted_at > 'epoch'`)} as events,
            (select ${ms('min(o.at)')} from old o) as oldest_at`,
    [nowText, seconds],
  );
}

/** How many rows the default partitions of these names hold, bounded each. */
export async function readPartitionRows(
  reader: BoundedReader,
  partitions: string[],
): Promise<{ partition: string; rows: number }[]> {
  const counted: { partition: string; rows: number }[] = [];
  for (const partition of partitions) {
    const found = await reader.row<{ rows: number }>(
      `the rows of ${partition}`,
      `select ${boundedCount(`from absurd.${quoteIdent(partition)}`)} as rows`,
    );
    if (found) counted.push({ partition, rows: found.rows });
  }
  return counted;
}

/** The id below which a moment's ids lie, as uuidv7_floor gives it; computed here since schemas before 0.4.0 lack it. */
export function uuidFloor(moment: number): string {
  const hex = Math.max(0, Math.floor(moment)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}
