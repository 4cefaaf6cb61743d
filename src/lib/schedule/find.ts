import type { Queryable } from '../../sql/queryable.js';
import { getSchedule, scheduleNames, type Schedule } from '../../sql/schedules.js';
import { notFound } from '../cli/errors.js';
import { command, hint } from '../cli/hint.js';
import { nearest } from '../cli/nearest.js';

/** The schedule of that name. Raises exit 3, with the nearest name, where none exists. */
export async function requireSchedule(db: Queryable, scheduleName: string): Promise<Schedule> {
  const found = await getSchedule(db, scheduleName);
  if (found !== undefined) return found;
  const known = await scheduleNames(db);
  const near = nearest(scheduleName, known);
  throw notFound(
    `Schedule "${scheduleName}" does not exist`,
    near === undefined
      ? hint`${command('list-schedules')} shows the ${known.length} that exist`
      : `did you mean "${near}"?`,
    'schedule_not_found',
  );
}
