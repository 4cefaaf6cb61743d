import { schemaFeatures } from './features.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';

/** A pause that is in force. */
export interface QueuePause {
  queue_name: string;
  paused_at: Timestamp;
  /** Null: until somebody resumes the queue. */
  paused_until: Timestamp | null;
  /** The database role. */
  paused_by: string;
  reason: string | null;
}

/** When a pause ends: a time, or seconds from the server's now; null without an end. */
export type PauseEnd = { at: string } | { seconds: number } | null;

const endOf = (until: PauseEnd): [string | null, number | null] => [
  until !== null && 'at' in until ? until.at : null,
  until !== null && 'seconds' in until ? until.seconds : null,
];

/** The pause's end in SQL, from the parameters `at` and `at + 1`. */
const pauseEndSql = (at: number): string =>
  `coalesce($${at}::timestamptz, absurd.current_time() + make_interval(secs => $${at + 1}::float8))`;

/** The pauses in force by the queue's name. Requires feature `pause`. */
export async function listPauses(db: Queryable, queueName?: string): Promise<QueuePause[]> {
  const { rows } = await db.query<QueuePause>(
    `select p.queue_name, p.paused_at, p.paused_until, p.paused_by, p.reason
       from absurd.get_queue_pauses($1) p`,
    [queueName ?? null],
  );
  return rows;
}

/** The same by the queue's name, on schemas without pauses too: those have none. */
export async function findPauses(db: Queryable): Promise<Map<string, QueuePause>> {
  if (!(await schemaFeatures(db)).includes('pause')) return new Map();
  return new Map((await listPauses(db)).map((pause) => [pause.queue_name, pause]));
}

/** Pauses a queue, or replaces the end and the reason of its pause. Raises P0002, and 22023 for an end in the past. */
export async function pauseQueue(
  db: Queryable,
  pause: { queueName: string; until: PauseEnd; reason?: string },
): Promise<void> {
  await db.query(`select absurd.pause_queue($1, ${pauseEndSql(3)}, $2)`, [
    pause.queueName,
    pause.reason ?? null,
    ...endOf(pause.until),
  ]);
}

/** Ends the pause of a queue; false when it had none. Raises P0002. */
export async function resumeQueue(db: Queryable, queueName: string): Promise<boolean> {
  const { rows } = await db.query<{ resumed: boolean }>('select absurd.resume_queue($1) as resumed', [queueName]);
  return rows[0]?.resumed === true;
}

/** Pauses a schedule. Raises P0002, and 22023 for an end in the past. */
export async function pauseSchedule(
  db: Queryable,
  pause: { scheduleName: string; until: PauseEnd; reason?: string },
): Promise<void> {
  await db.query(`select absurd.pause_schedule($1, ${pauseEndSql(3)}, $2)`, [
    pause.scheduleName,
    pause.reason ?? null,
    ...endOf(pause.until),
  ]);
}

/** Ends the pause of a schedule; false when it had none. Raises P0002. */
export async function resumeSchedule(db: Queryable, scheduleName: string): Promise<boolean> {
  const { rows } = await db.query<{ resumed: boolean }>('select absurd.resume_schedule($1) as resumed', [scheduleName]);
  return rows[0]?.resumed === true;
}
