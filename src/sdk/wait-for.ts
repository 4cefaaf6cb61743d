import type { TaskToAwait } from '../sql/sdk.js';

export type { TaskRow, TaskToAwait } from '../sql/sdk.js';

/** A wait: for an event, for tasks, or for the end of a sleep. `step` is the name of its checkpoint. */
export type WaitFor = EventWait | TasksWait | Sleep;

export interface EventWait {
  step: string;
  event: string;
  /** Whole seconds; null: no limit. */
  timeoutSeconds: number | null;
}

export interface TasksWait {
  step: string;
  tasks: readonly TaskToAwait[];
  mode: 'all' | 'any';
  /** Whole seconds; null: no limit. */
  timeoutSeconds: number | null;
}

export type Sleep = { step: string; sleepSeconds: number } | { step: string; sleepUntil: Date };

export const isEventWait = (wait: WaitFor): wait is EventWait => 'event' in wait;
export const isTasksWait = (wait: WaitFor): wait is TasksWait => 'tasks' in wait;
export const isSleep = (wait: WaitFor): wait is Sleep => !isEventWait(wait) && !isTasksWait(wait);

/** How long a sleep was said to be; undefined for one until a date. */
export const secondsOf = (sleep: Sleep): number | undefined =>
  'sleepSeconds' in sleep ? sleep.sleepSeconds : undefined;

/** Marks a step whose wait for an event timed out. Under a name of its own: other SDKs would return it as the payload. */
export const timeoutMarker = (step: string): string => `$timeout:${step}`;
/** Holds when a wait times out that was registered together with others. */
export const deadlineMarker = (step: string): string => `$deadline:${step}`;

/** A deadline as kept where waits take turns: the wake-ups in between are no timeouts. */
export interface TurnsDeadline {
  until: string | null;
}

/** Seconds as the server takes them; null: no limit. */
export function wholeSeconds(timeout: number | null | undefined, what: string): number | null {
  if (timeout === undefined || timeout === null || timeout === Infinity) return null;
  if (typeof timeout !== 'number' || !(timeout >= 0 && timeout <= 2 ** 31 - 1)) {
    throw new Error(
      `${what}: timeout must be a number of seconds and not negative, it is ${JSON.stringify(String(timeout))}`,
    );
  }
  return Math.ceil(timeout);
}
