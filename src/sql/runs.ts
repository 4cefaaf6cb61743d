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
  /** The last wake-up, not the first: every claim sets it anew. */
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

/** The latest `limit` attempts at a task, oldest first; and always the run `wanted`, however old. */
export async function listRuns(
  db: Queryable,
  queueName: string,
  taskId: string,
  { limit, wanted = null }: { limit: number; wanted?: string | null },
): Promise<RunDetail[]> {
  const columns = `r.run_id, r.attempt, r.state, r.claimed_by, r.claim_expires_at, r.available_at, r.wake_event,
            r.event_payload, r.created_at, r.started_at, r.completed_at, r.failed_at, r.result, r.failure_reason`;
  const { rows } = await db.query<RunDetail>(
    `select *
       from (
         (select ${columns} from ${runs(queueName)} r where r.task_id = $1 order by r.attempt desc limit $2)
         union
         select ${columns} from ${runs(queueName)} r where r.run_id = $3
       ) latest
      order by attempt, run_id`,
    [taskId, limit, wanted],
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
