/** Tasks at the times of a cron expression or an interval, and pauses. The schema spawns them: no process has to run. */
import * as sql from '../sql/sdk-engine.js';
import type { SdkDatabase } from '../sql/sdk.js';
import { requireFeature } from './features.js';
import { toJson } from './json.js';
import { cancellationOptions, queueForSpawn, retryStrategyOptions, withDefaults, type Registry } from './registry.js';
import type { CancellationPolicy, JsonObject, ParsedJson, RetryStrategy, SpawnOptions } from './types.js';

/** When a schedule spawns its task, and how. Exactly one of `cron` and `every` is given. */
export interface ScheduleOptions<P = ParsedJson> {
  /** The task's name. Its queue is that of its registration; one that is not registered needs `queue`. */
  task: string;
  params?: P;
  queue?: string;
  /** Five fields, names (`mon`, `jan`), or `@hourly` and its kin. */
  cron?: string;
  /** Seconds between two times, at least 1. */
  every?: number;
  /** An IANA name, for `cron`; default UTC. */
  timeZone?: string;
  /** What to do while the previous task is unfinished; default `skip`. */
  overlap?: 'skip' | 'allow' | 'cancel';
  /** What to do about times that passed while nothing could fire; default `latest`: one task for all of them. */
  missed?: 'latest' | 'all' | 'none';
  /** Seconds that a missed time may be old; default 3600. */
  catchUp?: number;
  headers?: JsonObject;
  maxAttempts?: number;
  retryStrategy?: RetryStrategy;
  cancellation?: CancellationPolicy;
}

export interface PauseOptions {
  /** When the pause ends by itself; default: it lasts until something ends it. */
  until?: Date;
  /** Shown wherever the pause is. */
  reason?: string;
}

export interface QueuePause {
  queueName: string;
  pausedAt: Date;
  pausedUntil: Date | null;
  pausedBy: string;
  reason: string | null;
}

export interface Schedule {
  name: string;
  queueName: string;
  taskName: string;
  params: ParsedJson;
  cron: string | null;
  /** Seconds. */
  every: number | null;
  timeZone: string;
  overlap: 'skip' | 'allow' | 'cancel';
  missed: 'latest' | 'all' | 'none';
  /** Seconds. */
  catchUp: number;
  /** Null unless it is paused. */
  pausedAt: Date | null;
  pausedUntil: Date | null;
  pauseReason: string | null;
  nextAt: Date | null;
  lastAt: Date | null;
  lastTaskID: string | null;
  /** Why its latest time could not spawn a task. */
  lastError: string | null;
}

/** A time that a backfill covered; without a task where that time had fired before. */
export interface BackfilledTask {
  scheduledFor: Date;
  taskID: string | null;
}

const feature = (db: SdkDatabase): Promise<void> => requireFeature(db, 'schedules', 'keep schedules');

function readUntil({ until, reason }: PauseOptions): { until: Date | null; reason: string | null } {
  if (until !== undefined && Number.isNaN(until.getTime())) throw new Error('A pause needs a valid date as its end');
  return { until: until ?? null, reason: reason ?? null };
}

const toDate = (moment: Date | string): Date => new Date(moment);
const toDateOrNull = (moment: Date | string | null): Date | null => (moment === null ? null : new Date(moment));

/** @internal The client: its connection, and what it fills in. */
export interface ScheduleHost {
  readonly db: SdkDatabase;
  readonly registry: Registry;
  readonly defaultMaxAttempts: number;
  readonly defaultRetryStrategy: RetryStrategy | undefined;
}

/** @internal */
export async function setSchedule(host: ScheduleHost, name: string, options: ScheduleOptions): Promise<void> {
  const { db } = host;
  if (!name) throw new Error('A schedule requires a name');
  const registration = host.registry.get(options.task);
  const queueName = queueForSpawn(options.task, options.queue, registration);
  const { maxAttempts, retryStrategy, cancellation } = options;
  const given: SpawnOptions = {};
  if (maxAttempts !== undefined) given.maxAttempts = maxAttempts;
  if (retryStrategy !== undefined) given.retryStrategy = retryStrategy;
  if (cancellation !== undefined) given.cancellation = cancellation;
  const spawn = withDefaults(given, registration, host);
  if ((options.cron === undefined) === (options.every === undefined)) {
    throw new Error(`Schedule "${name}" needs either cron or every`);
  }
  await feature(db);
  await sql.setSchedule(db, {
    scheduleName: name,
    queueName,
    taskName: options.task,
    paramsJson: toJson(options.params, `The params of schedule "${name}"`),
    optionsJson: JSON.stringify({
      cron: options.cron,
      every: options.every,
      time_zone: options.timeZone,
      overlap: options.overlap,
      missed: options.missed,
      catch_up: options.catchUp,
      headers: options.headers,
      max_attempts: spawn.maxAttempts,
      retry_strategy: retryStrategyOptions(spawn.retryStrategy),
      cancellation: cancellationOptions(spawn.cancellation),
    }),
  });
}

/** @internal */
export async function dropSchedule(db: SdkDatabase, name: string): Promise<boolean> {
  await feature(db);
  return sql.dropSchedule(db, name);
}

/** @internal */
export async function pauseSchedule(db: SdkDatabase, name: string, options: PauseOptions): Promise<void> {
  const pause = readUntil(options);
  await feature(db);
  await sql.pauseSchedule(db, { scheduleName: name, ...pause });
}

/** @internal */
export async function resumeSchedule(db: SdkDatabase, name: string): Promise<boolean> {
  await feature(db);
  return sql.resumeSchedule(db, name);
}

/** @internal */
export async function triggerSchedule(db: SdkDatabase, name: string): Promise<{ taskID: string; runID: string }> {
  await feature(db);
  const row = await sql.triggerSchedule(db, name);
  if (row === undefined) throw new Error(`Failed to trigger schedule "${name}"`);
  return { taskID: row.task_id, runID: row.run_id };
}

/** @internal */
export async function backfillSchedule(
  db: SdkDatabase,
  name: string,
  { from, to }: { from: Date; to: Date },
): Promise<BackfilledTask[]> {
  await feature(db);
  const rows = await sql.backfillSchedule(db, { scheduleName: name, from, to });
  return rows.map((row) => ({ scheduledFor: toDate(row.scheduled_for), taskID: row.task_id }));
}

/** @internal */
export async function listSchedules(db: SdkDatabase, queueName: string | null): Promise<Schedule[]> {
  await feature(db);
  return (await sql.listSchedules(db, queueName)).map((row) => ({
    name: row.schedule_name,
    queueName: row.queue_name,
    taskName: row.task_name,
    params: row.params,
    cron: row.cron,
    every: row.every_seconds,
    timeZone: row.time_zone,
    overlap: row.overlap as Schedule['overlap'],
    missed: row.missed as Schedule['missed'],
    catchUp: row.catch_up_seconds,
    pausedAt: toDateOrNull(row.paused_at),
    pausedUntil: toDateOrNull(row.paused_until),
    pauseReason: row.pause_reason,
    nextAt: toDateOrNull(row.next_at),
    lastAt: toDateOrNull(row.last_at),
    lastTaskID: row.last_task_id,
    lastError: row.last_error,
  }));
}

// --- pauses of queues -------------------------------------------------------------------------------------------------

/** @internal */
export async function pauseQueue(db: SdkDatabase, queueName: string, options: PauseOptions): Promise<void> {
  const pause = readUntil(options);
  await requireFeature(db, 'pause', 'pause queues');
  await sql.pauseQueue(db, { queueName, ...pause });
}

/** @internal */
export async function resumeQueue(db: SdkDatabase, queueName: string): Promise<boolean> {
  await requireFeature(db, 'pause', 'pause queues');
  return sql.resumeQueue(db, queueName);
}

/** @internal */
export async function listPauses(db: SdkDatabase): Promise<QueuePause[]> {
  await requireFeature(db, 'pause', 'pause queues');
  return (await sql.getQueuePauses(db, null)).map((row) => ({
    queueName: row.queue_name,
    pausedAt: toDate(row.paused_at),
    pausedUntil: toDateOrNull(row.paused_until),
    pausedBy: row.paused_by,
    reason: row.reason,
  }));
}
