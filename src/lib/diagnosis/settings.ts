/** Reads the JSON settings of a task as defensively as the engine: unreadable settings count as absent. */
import { retryStrategyFault } from '../task/retry-strategy.js';

/** A finite number of seconds >= 0 under `key`, or null. Numbers in strings do not count. */
export function seconds(settings: unknown, key: string): number | null {
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) return null;
  const value: unknown = Reflect.get(settings, key);
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null;
}

/** The retry strategy in words. */
export function strategyWords(strategy: unknown): string {
  if (typeof strategy !== 'object' || strategy === null) return 'none: at once';
  const kind: unknown = Reflect.get(strategy, 'kind');
  if (kind === 'fixed') return `fixed, ${seconds(strategy, 'base_seconds') ?? 60} s`;
  if (kind === 'exponential') {
    const most = seconds(strategy, 'max_seconds');
    const cap = most === null ? '' : `, at most ${most} s`;
    return `exponential, ${seconds(strategy, 'base_seconds') ?? 30} s × ${seconds(strategy, 'factor') ?? 2}^(attempt - 1)${cap}`;
  }
  return 'none: at once';
}

/** Why a task's stored settings (JSON text) cannot be read or used, or null if they can. */
export function unreadableSettings(cancellation: string | null, retryStrategy: string | null): string | null {
  return unreadableCancellation(cancellation) ?? unusableStrategy(retryStrategy);
}

/** Why stored cancellation settings (JSON text) count as absent, or null if they can be read. */
export function unreadableCancellation(text: string | null): string | null {
  const limits: unknown = text === null ? null : JSON.parse(text);
  if (limits === null) return null;
  if (typeof limits !== 'object' || Array.isArray(limits)) return 'cancellation is not an object';
  const odd = ['max_delay', 'max_duration'].find((key) => {
    const value: unknown = Reflect.get(limits, key);
    return value !== undefined && value !== null && seconds(limits, key) === null;
  });
  return odd === undefined ? null : `${odd} in cancellation is not a number of 0 or more`;
}

/** Why a stored retry strategy (JSON text) cannot be used, or null if it can. */
export function unusableStrategy(text: string | null): string | null {
  return text === null ? null : retryStrategyFault(JSON.parse(text));
}

/**
 * The pattern of a worker that does not know a task's name: it claims the task, schedules it 15 to 30 seconds ahead,
 * and saves no checkpoint. A task's own sleep saves one.
 */
export function isPutBackPattern(
  run: {
    state: string;
    started_at: number | null;
    available_at: number;
    wake_event: string | null;
    checkpoint_at: number | null;
  },
  now: number,
): boolean {
  if (run.state !== 'sleeping' || run.started_at === null || run.wake_event !== null) return false;
  if (run.checkpoint_at !== null && run.checkpoint_at >= run.started_at) return false;
  const sleep = run.available_at - run.started_at;
  return sleep >= 14_500 && sleep <= 31_000 && now - run.available_at < 60_000;
}
