/**
 * What the SDK asks of our own schema for pauses, schedules and families. Callers look for the feature first: where it is missing,
 * these functions do not exist.
 */
import type { SdkDatabase } from './sdk.js';

export type Feature = 'await_tasks' | 'delayed_spawn' | 'pause' | 'schedules' | 'step_times' | 'task_tree';

/** Whether the schema has a feature; false where it does not say, or does not exist. */
export async function hasFeature(db: SdkDatabase, feature: Feature): Promise<boolean> {
  const { rows } = await db.query(`SELECT to_regprocedure('absurd.get_schema_features()') IS NOT NULL AS found`);
  if ((rows[0] as { found?: boolean } | undefined)?.found !== true) return false;
  const answer = await db.query('SELECT $1 = ANY (absurd.get_schema_features()) AS found', [feature]);
  return (answer.rows[0] as { found?: boolean } | undefined)?.found === true;
}

export async function pauseQueue(
  db: SdkDatabase,
  pause: { queueName: string; until: Date | null; reason: string | null },
): Promise<void> {
  await db.query('SELECT absurd.pause_queue($1, $2::text::timestamptz, $3)', [
    pause.queueName,
    pause.until?.toISOString() ?? null,
    pause.reason,
  ]);
}

async function isTrue(db: SdkDatabase, text: string, values: unknown[]): Promise<boolean> {
  const { rows } = await db.query(text, values);
  return (rows[0] as { done?: boolean } | undefined)?.done === true;
}

export const resumeQueue = (db: SdkDatabase, queueName: string): Promise<boolean> =>
  isTrue(db, 'SELECT absurd.resume_queue($1) AS done', [queueName]);

export interface PauseRow {
  queue_name: string;
  paused_at: Date | string;
  paused_until: Date | string | null;
  paused_by: string;
  reason: string | null;
}

export async function getQueuePauses(db: SdkDatabase, queueName: string | null): Promise<PauseRow[]> {
  const { rows } = await db.query(
    'SELECT queue_name, paused_at, paused_until, paused_by, reason FROM absurd.get_queue_pauses($1)',
    [queueName],
  );
  return rows as PauseRow[];
}

// --- schedules --------------------------------------------------------------------------------------------------------

export async function setSchedule(
  db: SdkDatabase,
  schedule: {
    scheduleName: string;
    queueName: string;
    taskName: string;
    paramsJson: string | undefined;
    optionsJson: string;
  },
): Promise<void> {
  await db.query('SELECT absurd.set_schedule($1, $2, $3, $4::text::jsonb, $5::text::jsonb)', [
    schedule.scheduleName,
    schedule.queueName,
    schedule.taskName,
    schedule.paramsJson,
    schedule.optionsJson,
  ]);
}

export const dropSchedule = (db: SdkDatabase, scheduleName: string): Promise<boolean> =>
  isTrue(db, 'SELECT absurd.drop_schedule($1) AS done', [scheduleName]);

export async function pauseSchedule(
  db: SdkDatabase,
  pause: { scheduleName: string; until: Date | null; reason: string | null },
): Promise<void> {
  await db.query('SELECT absurd.pause_schedule($1, $2::text::timestamptz, $3)', [
    pause.scheduleName,
    pause.until?.toISOString() ?? null,
    pause.reason,
  ]);
}

export const resumeSchedule = (db: SdkDatabase, scheduleName: string): Promise<boolean> =>
  isTrue(db, 'SELECT absurd.resume_schedule($1) AS done', [scheduleName]);

export async function triggerSchedule(
  db: SdkDatabase,
  scheduleName: string,
): Promise<{ task_id: string; run_id: string } | undefined> {
  const { rows } = await db.query('SELECT task_id, run_id FROM absurd.trigger_schedule($1)', [scheduleName]);
  return rows[0] as { task_id: string; run_id: string } | undefined;
}

export async function backfillSchedule(
  db: SdkDatabase,
  span: { scheduleName: string; from: Date; to: Date },
): Promise<{ scheduled_for: Date | string; task_id: string | null }[]> {
  const { rows } = await db.query(
    `SELECT scheduled_for, task_id
       FROM absurd.backfill_schedule($1, $2::text::timestamptz, $3::text::timestamptz)`,
    [span.scheduleName, span.from.toISOString(), span.to.toISOString()],
  );
  return rows as { scheduled_for: Date | string; task_id: string | null }[];
}

/** Moments are the server's text or the driver's dates. */
export interface ScheduleRow {
  schedule_name: string;
  queue_name: string;
  task_name: string;
  params: unknown;
  cron: string | null;
  every_seconds: number | null;
  time_zone: string;
  overlap: string;
  missed: string;
  catch_up_seconds: number;
  paused_at: Date | string | null;
  paused_until: Date | string | null;
  pause_reason: string | null;
  next_at: Date | string | null;
  last_at: Date | string | null;
  last_task_id: string | null;
  last_error: string | null;
}

/** Schedules, the next to fire first; of one queue where it is named. A pause that has ended is left out. */
export async function listSchedules(db: SdkDatabase, queueName: string | null): Promise<ScheduleRow[]> {
  const { rows } = await db.query(
    `SELECT s.schedule_name, s.queue_name, s.task_name, s.params, s.cron,
            extract(epoch FROM s.every)::float8 AS every_seconds, s.time_zone, s.overlap, s.missed,
            extract(epoch FROM s.catch_up)::float8 AS catch_up_seconds, paused.at AS paused_at,
            CASE WHEN paused.at IS NOT NULL THEN s.paused_until END AS paused_until,
            CASE WHEN paused.at IS NOT NULL THEN s.pause_reason END AS pause_reason,
            s.next_at, s.last_at, s.last_task_id, s.last_error
       FROM absurd.schedules s
      CROSS JOIN LATERAL (
              SELECT CASE WHEN coalesce(s.paused_until > absurd.current_time(), true) THEN s.paused_at END AS at
            ) paused
      WHERE $1::text IS NULL OR s.queue_name = $1
      ORDER BY s.next_at NULLS LAST, s.schedule_name`,
    [queueName],
  );
  return rows as ScheduleRow[];
}
