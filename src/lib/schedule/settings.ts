/** A schedule from flags or from a file, as the options of `absurd.set_schedule`. */
import { usageError } from '../cli/errors.js';
import { requireDuration } from '../cli/time.js';

export interface ScheduleFlags {
  cron?: string;
  every?: string;
  'time-zone'?: string;
  overlap?: string;
  missed?: string;
  'catch-up'?: string;
}

/** Raises a usage error unless exactly one of --cron and --every is given, and for a duration that cannot be read. */
export function scheduleOptions(flags: ScheduleFlags): Record<string, unknown> {
  if (flags.cron !== undefined && flags.every !== undefined) throw usageError('Use either --cron or --every, not both');
  if (flags.cron === undefined && flags.every === undefined) {
    throw usageError('No time is given', "--cron '0 9 * * mon' or --every 15m");
  }
  return {
    cron: flags.cron,
    every: flags.every === undefined ? undefined : requireDuration(flags.every, '--every'),
    time_zone: flags['time-zone'],
    overlap: flags.overlap,
    missed: flags.missed,
    catch_up: flags['catch-up'] === undefined ? undefined : requireDuration(flags['catch-up'], '--catch-up'),
  };
}

/**
 * The options' JSON text: those of the schedule, and the JSON text of a spawn's options (`{…}`), whose numbers keep every
 * digit.
 */
export function optionsText(options: Record<string, unknown>, spawnOptions: string): string {
  const own = JSON.stringify(options);
  if (spawnOptions === '{}') return own;
  return own === '{}' ? spawnOptions : `${own.slice(0, -1)},${spawnOptions.slice(1)}`;
}
