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
