import { runs, waits } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { RawJson, Timestamp } from './values.js';

/** One attempt at a task. */
export interface RunDetail {
  run_id: string;
  attempt: number;
  state: string;
  claimed_by: string | null;
  claim_expires_at: Timestamp | null;
  available_at: Timestamp;
  wake_event: string | null;
  event_payload: RawJson | null;
  created_at: Timestamp;
  /** The last wake-up: every claim sets it again. */
  started_at: Timestamp | null;
  completed_at: Timestamp | null;
  failed_at: Timestamp | null;
  result: RawJson | null;
  failure_reason: RawJson | null;
}

/** What a sleeping run waits for. */
export interface WaitDetail {
  run_id: string;
  step_name: string;
  event_name: string;
  timeout_at: Timestamp | null;
  created_at: Timestamp;
}

const runColumns = `r.run_id, r.attempt, r.state, r.claimed_by, r.claim_expires_at, r.available_at, r.wake_event,
            r.event_payload, r.created_at, r.started_at, r.completed_at, r.failed_at, r.result, r.failure_reason`;

/** The latest `limit` attempts at a task, oldest first; and always the run `wanted`, however old. */
export async function listRuns(
  db: Queryable,
  queueName: string,
  taskId: string,
  { limit, wanted = null }: { limit: number; wanted?: string | null },
): Promise<RunDetail[]> {
  const { rows } = await db.query<RunDetail>(
    `select *
       from (
         (select ${runColumns} from ${runs(queueName)} r where r.task_id = $1 order by r.attempt desc limit $2)
         union
         select ${runColumns} from ${runs(queueName)} r where r.run_id = $3
       ) latest
      order by attempt, run_id`,
    [taskId, limit, wanted],
  );
  return rows;
}

/** One attempt, by its number. */
export async function getAttempt(
  db: Queryable,
  queueName: string,
  taskId: string,
  attempt: number,
): Promise<RunDetail | undefined> {
  const { rows } = await db.query<RunDetail>(
    `select ${runColumns} from ${runs(queueName)} r where r.task_id = $1 and r.attempt = $2 order by r.run_id limit 1`,
    [taskId, attempt],
  );
  return rows[0];
}

/** Consecutive attempts that ended in the same way. */
export interface RunSpan {
  first_attempt: number;
  last_attempt: number;
  /** Of the last one. */
  run_id: string;
  state: string;
  /** Whether their errors are identical; otherwise they differ only in numbers and ids. */
  identical: boolean;
}

/** Attempts that are looked at for spans. */
const spansOf = 100_000;

/** An error without ids and numbers, which differ between attempts. */
const errorKind = `regexp_replace(left(r.failure_reason::text, 2000), '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+', '#', 'g')`;

/** The attempts at a task, the latest first, those in a row that failed alike as one span; at most `limit` spans. */
export async function listRunSpans(
  db: Queryable,
  queueName: string,
  taskId: string,
  limit: number,
): Promise<RunSpan[]> {
  const { rows } = await db.query<RunSpan>(
    `select min(a.attempt) as first_attempt, max(a.attempt) as last_attempt,
            (array_agg(a.run_id order by a.attempt desc, a.run_id desc))[1] as run_id, a.state,
            count(distinct a.error) <= 1 as identical
       from (
         select r.attempt, r.run_id, r.state, md5(r.failure_reason::text) as error,
                row_number() over (order by r.attempt, r.run_id)
                  - row_number() over (partition by r.state, ${errorKind} order by r.attempt, r.run_id) as span,
                case when r.state = 'failed' then ${errorKind} else r.run_id::text end as kind
           from (select * from ${runs(queueName)} k where k.task_id = $1 order by k.attempt desc limit ${spansOf}) r
       ) a
      group by a.state, a.kind, a.span
      order by max(a.attempt) desc
      limit $2`,
    [taskId, limit],
  );
  return rows;
}

/** The waits of a task's runs, oldest first, at most 1,000. */
export async function listWaits(db: Queryable, queueName: string, taskId: string): Promise<WaitDetail[]> {
  const { rows } = await db.query<WaitDetail>(
    `select w.run_id, w.step_name, w.event_name, w.timeout_at, w.created_at
       from ${waits(queueName)} w
      where w.task_id = $1
      order by w.created_at, w.step_name
      limit 1000`,
    [taskId],
  );
  return rows;
}
