/** Brings the schedules of a database in line with a file: what differs is found by the database itself. */
import type { Queryable } from '../../sql/queryable.js';
import {
  dropSchedule,
  getSchedule,
  scheduleNames,
  setSchedule,
  type Schedule,
  type ScheduleSettings,
} from '../../sql/schedules.js';
import { RawJson } from '../../sql/values.js';

export interface ScheduleChange {
  schedule_name: string;
  change: 'create' | 'update' | 'drop';
  /** What differs, as `member: before -> after`. */
  differences: string[];
}

const compared = [
  'queue_name',
  'task_name',
  'params',
  'headers',
  'spawn_options',
  'cron',
  'every',
  'time_zone',
  'overlap',
  'missed',
  'catch_up',
] as const satisfies readonly (keyof Schedule)[];

const textOf = (value: RawJson | string | number | null): string =>
  value instanceof RawJson ? value.text : value === null ? 'none' : String(value);

/**
 * Sets every schedule and, with `prune`, drops those that the file does not name. To be called in a transaction; a plan is the
 * same, rolled back. Raises what `absurd.set_schedule` raises.
 */
export async function applySchedules(
  db: Queryable,
  wanted: readonly ScheduleSettings[],
  prune: boolean,
): Promise<ScheduleChange[]> {
  const changes: ScheduleChange[] = [];
  for (const settings of wanted) {
    const before = await getSchedule(db, settings.scheduleName);
    await setSchedule(db, settings);
    const after = await getSchedule(db, settings.scheduleName);
    if (before === undefined || after === undefined) {
      changes.push({ schedule_name: settings.scheduleName, change: 'create', differences: [] });
      continue;
    }
    const differences = compared
      .filter((key) => textOf(before[key]) !== textOf(after[key]))
      .map((key) => `${key}: ${textOf(before[key])} -> ${textOf(after[key])}`);
    if (differences.length > 0) {
      changes.push({ schedule_name: settings.scheduleName, change: 'update', differences });
    }
  }
  if (!prune) return changes;
  const named = new Set(wanted.map((settings) => settings.scheduleName));
  for (const schedule_name of await scheduleNames(db)) {
    if (named.has(schedule_name)) continue;
    await dropSchedule(db, schedule_name);
    changes.push({ schedule_name, change: 'drop', differences: [] });
  }
  return changes;
}
