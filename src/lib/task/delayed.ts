/** A task whose spawn asked for a later start, told apart from one that sleeps: its first run was never claimed. */
import type { Timestamp } from '../../sql/values.js';
import { ago } from '../cli/format/time.js';

interface MaybeDelayed {
  state: string;
  attempt: number;
  started_at: unknown;
  wake_event: string | null;
}

/** Whether a run waits for the start that its spawn asked for. */
export const isDelayedStart = (run: MaybeDelayed | null | undefined): boolean =>
  run?.state === 'sleeping' && run.attempt === 1 && run.started_at === null && run.wake_event === null;

/** `starts in 2h` where a run, or the latest run of a task, waits for its first start; undefined otherwise. */
export function startsIn(row: MaybeDelayed & { available_at: Timestamp }, now: Date): string | undefined {
  const later = row.available_at === 'infinity' || Date.parse(row.available_at) > now.getTime();
  return isDelayedStart(row) && later ? `starts ${ago(row.available_at, now)}` : undefined;
}
