/** How schedules look in the answers of commands. */
import { RawJson, type Timestamp } from '../../sql/values.js';
import type { Schedule } from '../../sql/schedules.js';
import type { Cell, Section } from '../cli/output.js';

/** When it fires, in the words that create it: `0 9 * * mon (Europe/Vienna)`, `every 00:15:00`. */
export const timing = ({ cron, every, time_zone }: Pick<Schedule, 'cron' | 'every' | 'time_zone'>): string =>
  cron === null ? `every ${every ?? ''}` : `${cron} (${time_zone})`;

/** `active`, or the pause in force. */
export function scheduleState({ paused_at, paused_until }: Pick<Schedule, 'paused_at' | 'paused_until'>): string {
  if (paused_at === null) return 'active';
  return paused_until === null ? 'paused' : `paused until ${paused_until}`;
}

export function scheduleRecord(schedule: Schedule): Record<string, Cell> {
  const { headers, spawn_options: options } = schedule;
  return {
    Schedule: schedule.schedule_name,
    Queue: schedule.queue_name,
    Task: schedule.task_name,
    Times: timing(schedule),
    State: scheduleState(schedule),
    'Paused by': schedule.paused_by ?? undefined,
    Reason: schedule.pause_reason ?? undefined,
    Overlap: schedule.overlap,
    Missed: `${schedule.missed}, within ${schedule.catch_up}`,
    Parameters: schedule.params,
    Headers: headers ?? undefined,
    Options: options.text === '{}' ? undefined : new RawJson(options.text),
    'Last time': schedule.last_at ?? undefined,
    'Last task': schedule.last_task_id ?? undefined,
    'Last error': schedule.last_error === null ? undefined : `${schedule.last_error} (${schedule.last_error_at ?? ''})`,
    Created: schedule.created_at,
    'Created by': schedule.created_by,
  };
}

export const timesTable = (title: string, times: readonly Timestamp[]): Section => ({
  title,
  table: {
    columns: [
      { key: 'at', label: 'TIME (UTC)', type: 'id' },
      { key: 'in', label: 'IN', type: 'time' },
    ],
    rows: times.map((at) => ({ at, in: at })),
    empty: 'No time follows',
  },
});
