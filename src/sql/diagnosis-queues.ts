import { queueLettersSql, requiredLetters } from './description.js';
import { COUNT_LIMIT, boundedCount, ms, type BoundedReader } from './bounded.js';
import { runs, tasks, waits } from './identifiers.js';

/** The server's time and its queues. */
export interface QueueList {
  /** absurd.current_time() as text that the server reads back without loss. */
  now_text: string;
  /** The same in milliseconds since 1970. */
  now: number;
  /** Whether the session's clock is stopped (absurd.fake_now). */
  clock_stopped: boolean;
  /** Whether the schema has `wake_task`. */
  can_wake: boolean;
  queues: KnownQueue[];
}

export interface KnownQueue {
  queue_name: string;
  created_at: number | null;
  /** Null on schemas before 0.4.0, which had no partitions and no policies. */
  storage_mode: string | null;
  default_partition: string | null;
  cleanup_ttl_seconds: number | null;
  lookahead_seconds: number | null;
  /** The prefixes (t, r, c, e, w, i) of existing tables. */
  tables: string[];
}

/** The server's time, or that of a stopped clock. */
export async function readClock(reader: BoundedReader): Promise<Omit<QueueList, 'queues'> | null> {
  return reader.row<Omit<QueueList, 'queues'>>(
    'the time',
    `select c.t::text as now_text, ${ms('c.t')} as now,
            coalesce(current_setting('absurd.fake_now', true), '') ~ '[^[:space:]]' as clock_stopped,
            to_regprocedure('absurd.wake_task(text, uuid, boolean)') is not null as can_wake
       from (select absurd.current_time() as t) as c`,
  );
}

/** Reads only what every schema since 0.2.0 has; later columns of `absurd.queues` are looked for, not relied on. */
export async function readQueues(reader: BoundedReader): Promise<QueueList | null> {
  const clock = await readClock(reader);
  const queues = await reader.rows<KnownQueue>(
    'the list of queues',
    `select q.queue_name, ${ms('q.created_at')} as created_at,
            q.policy ->> 'storage_mode' as storage_mode,
            q.policy ->> 'default_partition' as default_partition,
            extract(epoch from (q.policy ->> 'cleanup_ttl')::interval)::float8 as cleanup_ttl_seconds,
            extract(epoch from (q.policy ->> 'partition_lookahead')::interval)::float8 as lookahead_seconds,
            array(select p.prefix from unnest(${queueLettersSql}) as p (prefix)
                   where exists (select 1 from pg_class c
                                  where c.relnamespace = n.oid and c.relkind in ('r', 'p')
                                    and c.relname = p.prefix || '_' || q.queue_name)) as tables
       from (select k.queue_name, k.created_at, to_jsonb(k) as policy from absurd.queues k) as q
       join pg_namespace n on n.nspname = 'absurd'
      order by q.queue_name`,
  );
  return clock && queues ? { ...clock, queues } : null;
}

/** Whether all tables of the queue exist. */
export function isWhole(queue: KnownQueue): boolean {
  return requiredLetters.every((prefix) => queue.tables.includes(prefix));
}

/** The flow of a queue. Times are milliseconds since 1970; counts stop at COUNT_LIMIT + 1. */
export interface QueueFlow {
  pending_ready: number;
  sleeping_ready: number;
  /** When the run that is first in line became available. */
  oldest_ready_at: number | null;
  running: number;
  expired: number;
  oldest_expired_at: number | null;
  without_lease: number;
  sleeping: number;
  /** Sleeping runs without an end: waiting for an event without a timeout. */
  sleeping_forever: number;
  next_wake_at: number | null;
  /** Latest claim that the sampled rows show. */
  last_claim_at: number | null;
  /** Runs last claimed within the window that are running or finished by now. */
  window_claims: number;
  /** Runs created within the window. */
  window_created: number;
  window_failed: number;
  window_completed: number;
}

const SAMPLE = 200;

/**
 * One statement of index ranges: every part reads at most COUNT_LIMIT + 1 entries of `r_<queue>_sai`, `r_<queue>_cei` or the
 * primary key. `available_at` of a running or finished run is the time of its claim, which is what makes claims countable.
 */
export async function readQueueFlow(
  reader: BoundedReader,
  queue: string,
  nowText: string,
  windowSeconds: number,
): Promise<QueueFlow | null> {
  const r = runs(queue);
  const inState = (state: string): string => `from ${r} r where r.state = '${state}'`;
  const recent = (state: string): string =>
    boundedCount(
      `${inState(state)} and r.available_at <= $1::timestamptz
                 and r.available_at > $1::timestamptz - make_interval(secs => $2)`,
    );
  const claimsOf = (state: string): string =>
    `(select r.started_at ${inState(state)} and r.available_at <= $1::timestamptz
       order by r.available_at desc limit ${SAMPLE})`;
  const soonest = (state: string): string =>
    `(select r.started_at ${inState(state)} order by r.available_at limit ${SAMPLE})`;
  return reader.row<QueueFlow>(
    `the flow of queue ${queue}`,
    `select
       ${boundedCount(`${inState('pending')} and r.available_at <= $1::timestamptz`)} as pending_ready,
       ${boundedCount(`${inState('sleeping')} and r.available_at <= $1::timestamptz`)} as sleeping_ready,
       (select ${ms('min(x.at)')} from (
          (select r.available_at as at ${inState('pending')} and r.available_at <= $1::timestamptz
            order by r.available_at limit 1)
          union all
          (select r.available_at ${inState('sleeping')} and r.available_at <= $1::timestamptz
            order by r.available_at limit 1)) as x) as oldest_ready_at,
       ${boundedCount(inState('running'))} as running,
       ${boundedCount(`${inState('running')} and r.claim_expires_at <= $1::timestamptz`)} as expired,
       (select ${ms('min(r.claim_expires_at)')} ${inState('running')}
           and r.claim_expires_at <= $1::timestamptz) as oldest_expired_at,
       (select count(*)::int from (select r.claim_expires_at ${inState('running')} limit ${COUNT_LIMIT}) as x
         where x.claim_expires_at is null) as without_lease,
       ${boundedCount(inState('sleeping'))} as sleeping,
       ${boundedCount(`${inState('sleeping')} and r.available_at = 'infinity'`)} as sleeping_forever,
       (select ${ms('r.available_at')} ${inState('sleeping')} and r.available_at > $1::timestamptz
           and r.available_at < 'infinity' order by r.available_at limit 1) as next_wake_at,
       (select ${ms('max(x.at)')} from (
          ${['running', 'completed', 'failed', 'cancelled', 'sleeping', 'pending'].map(claimsOf).join(' union all ')}
          union all ${soonest('sleeping')} union all ${soonest('pending')}
          union all (select r.started_at from ${r} r order by r.run_id desc limit ${SAMPLE})) as x (at)) as last_claim_at,
       ${recent('running')} + ${recent('completed')} + ${recent('failed')} as window_claims,
       ${boundedCount(
         `from ${r} r where r.run_id >= (lpad(to_hex((extract(epoch from $1::timestamptz
             - make_interval(secs => $2)) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid`,
       )} as window_created,
       ${recent('failed')} as window_failed,
       ${recent('completed')} as window_completed`,
    [nowText, windowSeconds],
  );
}

/** The head of the queue, to see whether another session has locked it. */
export async function readHeadOfLine(
  reader: BoundedReader,
  queue: string,
  nowText: string,
): Promise<{ run_id: string; task_id: string; xmax: string; task_xmax: string | null }[]> {
  const head = (state: string): string =>
    `(select r.run_id, r.task_id, r.available_at, r.xmax::text as xmax from ${runs(queue)} r
       where r.state = '${state}' and r.available_at <= $1::timestamptz order by r.available_at, r.run_id limit 20)`;
  const found = await reader.rows<{ run_id: string; task_id: string; xmax: string; task_xmax: string | null }>(
    `the head of queue ${queue}`,
    `select h.run_id, h.task_id, h.xmax, t.xmax::text as task_xmax
       from (${head('pending')} union all ${head('sleeping')}) as h
       left join ${tasks(queue)} t on t.task_id = h.task_id
      order by h.available_at, h.run_id
      limit 20`,
    [nowText],
  );
  return found ?? [];
}

/** The most common awaited events of a bounded sample of sleeping runs. */
export async function readAwaitedEvents(
  reader: BoundedReader,
  queue: string,
): Promise<{ event_name: string; waiting: number }[]> {
  const found = await reader.rows<{ event_name: string; waiting: number }>(
    `the waits of queue ${queue}`,
    `select w.event_name, count(*)::int as waiting
       from (select w.event_name from ${waits(queue)} w limit 1000) as w
      group by w.event_name order by 2 desc, 1 limit 5`,
  );
  return found ?? [];
}
