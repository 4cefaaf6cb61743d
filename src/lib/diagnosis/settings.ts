/** Reads of the JSON settings of a task as defensive as the engine's own: what cannot be read counts as absent. */

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

/** Why a task's stored settings (JSON text) cannot be read, or null where they can. */
export function unreadableSettings(cancellation: string | null, retryStrategy: string | null): string | null {
  const limits: unknown = cancellation === null ? null : JSON.parse(cancellation);
  const strategy: unknown = retryStrategy === null ? null : JSON.parse(retryStrategy);
  return (
    oddity('cancellation', limits, ['max_delay', 'max_duration']) ??
    oddity('retry_strategy', strategy, ['base_seconds', 'factor', 'max_seconds']) ??
    oddKind(strategy)
  );
}

function oddity(what: string, settings: unknown, keys: string[]): string | null {
  if (settings === null) return null;
  if (typeof settings !== 'object' || Array.isArray(settings)) return `${what} is no object`;
  const odd = keys.find((key) => {
    const value: unknown = Reflect.get(settings, key);
    return value !== undefined && value !== null && seconds(settings, key) === null;
  });
  return odd === undefined ? null : `${odd} in ${what} is no number of 0 or more`;
}

function oddKind(strategy: unknown): string | null {
  if (typeof strategy !== 'object' || strategy === null) return null;
  const kind: unknown = Reflect.get(strategy, 'kind');
  if (kind === undefined || kind === null) return null;
  return kind === 'fixed' || kind === 'exponential' || kind === 'none' ? null : 'retry_strategy has an unknown kind';
}

/**
 * What a worker does with a task whose name it does not know: it claims it and schedules it 15 to 30 seconds on, and no
 * checkpoint comes of it. A task's own sleep saves one.
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
