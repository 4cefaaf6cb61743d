/**
 * The lists of an investigation. Each reads one queue through an index, so many rows at most: what it costs follows the limit,
 * not the queue. Only tables of the contract are read.
 */
import { events, runs, tasks, waits } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { RawJson, Timestamp } from './values.js';

/** The most rows that a list looks at where no index has its order. */
const scanned = 10_000;

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
  claim_expires_at: Timestamp | null;
  failure_reason: RawJson | null;
}

/** The latest runs of these states, by `available_at`, read backwards from `r_<queue>_sai` one state at a time. */
export async function listRunsOf(
  db: Queryable,
  queueName: string,
  states: readonly string[],
  limit: number,
): Promise<RunRow[]> {
  const { rows } = await db.query<RunRow>(
    `select r.run_id, $1::text as queue_name, r.task_id, t.task_name, r.attempt, r.state, r.claimed_by, r.available_at,
            r.claim_expires_at, r.failure_reason
       from unnest($2::text[]) wanted (state)
      cross join lateral (
        select * from ${runs(queueName)} one where one.state = wanted.state order by one.available_at desc limit $3
      ) r
       left join ${tasks(queueName)} t on t.task_id = r.task_id
      order by r.available_at desc, r.run_id
      limit $3`,
    [queueName, states, limit],
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

/** Who waits for which event; of many waits, the oldest of the first 10,000 that the table gives. */
export async function listWaitsOf(
  db: Queryable,
  queueName: string,
  eventName: string | null,
  limit: number,
): Promise<WaitRow[]> {
  const { rows } = await db.query<WaitRow>(
    `select w.event_name, $1::text as queue_name, w.task_id, t.task_name, w.run_id, w.step_name, w.created_at, w.timeout_at
       from (
         select * from ${waits(queueName)} one where $2::text is null or one.event_name = $2 limit ${scanned}
       ) w
       left join ${tasks(queueName)} t on t.task_id = w.task_id
      order by w.created_at, w.run_id, w.step_name
      limit $3`,
    [queueName, eventName, limit],
  );
  return rows;
}

export interface EventRow {
  event_name: string;
  queue_name: string;
  /** Null while it is only awaited. */
  emitted_at: Timestamp | null;
  /** Counted up to 1,000. */
  waiting: number;
  payload: RawJson | null;
}

/** The latest emissions first, from `e_<queue>_eai`; events that are only awaited come last. */
export async function listEventsOf(
  db: Queryable,
  queueName: string,
  eventName: string | null,
  limit: number,
): Promise<EventRow[]> {
  const { rows } = await db.query<EventRow>(
    `select e.event_name, $1::text as queue_name, case when e.payload is not null then e.emitted_at end as emitted_at,
            (select count(*)::int
               from (select from ${waits(queueName)} w where w.event_name = e.event_name limit 1000) w) as waiting,
            e.payload
       from (
         select * from ${events(queueName)} one
          where $2::text is null or one.event_name = $2
          order by one.emitted_at desc
          limit $3
       ) e
      order by e.emitted_at desc, e.event_name`,
    [queueName, eventName, limit],
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

export interface WorkerRow {
  worker: string;
  queue_name: string;
  running: number;
  /** When the first of its leases ends. */
  oldest_lease: Timestamp | null;
  last_claim: Timestamp;
}

/** Workers by their claims: of all that run (10,000 at most) and of the latest 1,000 that ended either way. */
export async function listWorkersOf(db: Queryable, queueName: string): Promise<WorkerRow[]> {
  const part = (state: string, limit: number): string =>
    `(select one.claimed_by, one.state, one.claim_expires_at, one.started_at from ${runs(queueName)} one
       where one.state = '${state}' order by one.available_at desc limit ${limit})`;
  const { rows } = await db.query<WorkerRow>(
    `select r.claimed_by as worker, $1::text as queue_name, count(*) filter (where r.state = 'running')::int as running,
            min(r.claim_expires_at) filter (where r.state = 'running') as oldest_lease, max(r.started_at) as last_claim
       from (${[part('running', scanned), part('completed', 1000), part('failed', 1000)].join(' union all ')}) r
      where r.claimed_by is not null and r.started_at is not null
      group by r.claimed_by
      order by max(r.started_at) desc, r.claimed_by`,
    [queueName],
  );
  return rows;
}
