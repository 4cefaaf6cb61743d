/**
 * The list commands. Each reads a limited number of rows of one queue through an index: the cost follows the limit,
 * not the queue. Only tables of the contract are read.
 */
import { errorMatches, tasksOfKey, type ErrorFilter } from './bulk.js';
import type { Moment } from './values.js';
import { events, runs, tasks, waits } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { RawJson, Timestamp } from './values.js';

/** The most rows that a list reads if no index has its order. */
export const scanned = 10_000;

/** A list carries JSON up to this many bytes; what is larger is left to the command that shows one. */
export const wideBytes = 10_000;

export interface RunRow {
  run_id: string;
  queue_name: string;
  task_id: string;
  task_name: string;
  attempt: number;
  state: string;
  claimed_by: string | null;
  /** When it was claimed last, or can be claimed. */
  available_at: Timestamp;
  /** When it was claimed last; null before. */
  started_at: Timestamp | null;
  /** Of a run that a worker holds: an ended one keeps in its row what it had. */
  claim_expires_at: Timestamp | null;
  wake_event: string | null;
  /** Of one larger than 10,000 bytes only the name, and the message's beginning. */
  failure_reason: RawJson | null;
}

/** Runs of a state that are looked at for those that a filter takes. */
const runsScanned = 200_000;

export interface RunFilter {
  states: readonly string[];
  taskName?: string;
  since?: Moment;
  until?: Moment;
  error?: ErrorFilter;
  worker?: string;
  /** The idempotency key of its task. */
  key?: string;
}

/**
 * The latest runs of these states, by `available_at`, read backwards from `r_<queue>_sai` one state at a time; of each at most
 * 200,000 are looked at. With a key the runs of its task alone.
 */
export async function listRunsOf(
  db: Queryable,
  queueName: string,
  filter: RunFilter,
  limit: number,
): Promise<RunRow[]> {
  const ids = filter.key === undefined ? null : await tasksOfKey(db, queueName, filter.key);
  if (ids?.length === 0) return [];
  const moment = (one: Moment | undefined): (string | number | null)[] =>
    one === undefined ? [null, null] : 'at' in one ? [one.at, null] : [null, one.secondsAgo];
  const { error } = filter;
  const { rows } = await db.query<RunRow>(
    `select r.run_id, $1::text as queue_name, r.task_id, t.task_name, r.attempt, r.state, r.claimed_by, r.available_at,
            r.started_at, r.wake_event,
            case when r.state = 'running' then r.claim_expires_at end as claim_expires_at,
            case when octet_length(r.failure_reason::text) <= ${wideBytes} then r.failure_reason
                 when r.failure_reason is not null
                 then jsonb_build_object('name', left(r.failure_reason ->> 'name', 200),
                                         'message', left(r.failure_reason ->> 'message', 2000), 'cut', true)
            end as failure_reason
       from (select absurd.current_time() as now) c
      cross join unnest($2::text[]) wanted (state)
      cross join lateral (
        select one.*
          from (
            select * from ${runs(queueName)} k
             where k.state = wanted.state ${ids === null ? '' : 'and k.task_id = any ($11::uuid[])'}
               and k.available_at >= coalesce($5::timestamptz, c.now - make_interval(secs => $6::float8), '-infinity')
               and case when k.available_at > c.now then coalesce(k.started_at, k.created_at) else k.available_at end
                   between coalesce($5::timestamptz, c.now - make_interval(secs => $6::float8), '-infinity')
                       and coalesce($7::timestamptz, c.now - make_interval(secs => $8::float8), 'infinity')
             order by k.available_at desc
             limit ${runsScanned}
          ) one
         where ($9::text is null or one.claimed_by = $9)
           and ${error === undefined ? '$10::text is null' : errorMatches(error, 'one.failure_reason', '$10::text')}
           and ($4::text is null
                or (select k.task_name = $4 from ${tasks(queueName)} k where k.task_id = one.task_id))
         order by one.available_at desc
         limit $3
      ) r
       left join ${tasks(queueName)} t on t.task_id = r.task_id
      order by r.available_at desc, r.run_id
      limit $3`,
    [
      queueName,
      filter.states,
      limit,
      filter.taskName ?? null,
      ...moment(filter.since),
      ...moment(filter.until),
      filter.worker ?? null,
      error?.text ?? null,
      ...(ids === null ? [] : [ids]),
    ],
  );
  return rows;
}

export interface WaitRow {
  event_name: string;
  queue_name: string;
  task_id: string;
  task_name: string;
  run_id: string;
  step_name: string;
  created_at: Timestamp;
  timeout_at: Timestamp | null;
}

/**
 * Who waits for which event, the longest waiting first. No index has that order: of more than 10,000 waits those of the oldest
 * runs are looked at, and of more than 10,000 for one event any; `cut` says so.
 */
export async function listWaitsOf(
  db: Queryable,
  queueName: string,
  eventName: string | null,
  limit: number,
): Promise<{ rows: WaitRow[]; cut: boolean }> {
  const { rows } = await db.query<WaitRow & { looked_at: number }>(
    `with looked as materialized (
       select one.* from ${waits(queueName)} one
        ${eventName === null ? 'order by one.run_id' : 'where one.event_name = $2'}
        limit ${scanned + 1}
     )
     select w.event_name, $1::text as queue_name, w.task_id, t.task_name, w.run_id, w.step_name, w.created_at, w.timeout_at,
            (select count(*)::int from looked) as looked_at
       from (select * from looked one order by one.created_at, one.run_id, one.step_name limit $${eventName === null ? 2 : 3}) w
       left join ${tasks(queueName)} t on t.task_id = w.task_id
      order by w.created_at, w.run_id, w.step_name`,
    eventName === null ? [queueName, limit] : [queueName, eventName, limit],
  );
  const cut = (rows[0]?.looked_at ?? 0) > scanned;
  return { rows: rows.map(({ looked_at: _looked, ...row }) => row), cut };
}

export interface EventRow {
  event_name: string;
  queue_name: string;
  /** Null while it is only awaited. */
  emitted_at: Timestamp | null;
  /** Counted up to 1,000. */
  waiting: number;
  /** Bytes of the payload as text; null while it is only awaited. */
  bytes: number | null;
  /** Null also where it is larger than 10,000 bytes. */
  payload: RawJson | null;
}

/** The latest emissions first, from `e_<queue>_eai`; events that are only awaited come last. */
export async function listEventsOf(
  db: Queryable,
  queueName: string,
  eventName: string | null,
  limit: number,
  { whole }: { whole: boolean },
): Promise<EventRow[]> {
  const { rows } = await db.query<EventRow>(
    `select e.event_name, $1::text as queue_name, case when e.payload is not null then e.emitted_at end as emitted_at,
            (select count(*)::int
               from (select from ${waits(queueName)} w where w.event_name = e.event_name limit 1000) w) as waiting,
            octet_length(e.payload::text) as bytes,
            case when $4::int is null or octet_length(e.payload::text) <= $4 then e.payload end as payload
       from (
         select * from ${events(queueName)} one
          where $2::text is null or one.event_name = $2
          order by one.emitted_at desc
          limit $3
       ) e
      order by e.emitted_at desc, e.event_name`,
    [queueName, eventName, limit, whole ? null : wideBytes],
  );
  return rows;
}

/** The names of a queue's events that are near: those that begin as `name` does, then the latest; at most 1,000. */
export async function eventNames(db: Queryable, queueName: string, name: string): Promise<string[]> {
  const { rows } = await db.query<{ event_name: string }>(
    `(select e.event_name from ${events(queueName)} e where e.event_name >= left($1, 2) order by e.event_name limit 500)
     union
     (select e.event_name from ${events(queueName)} e order by e.emitted_at desc limit 500)`,
    [name],
  );
  return rows.map((row) => row.event_name);
}
