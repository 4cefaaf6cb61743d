/** How long a retry is put off, by the rules of `absurd.retry_delay_seconds`. */

const day = 86_400;

/** Milliseconds after attempt number `attempt`; 0 where the strategy says nothing, or nothing that can be used. */
export function retryDelayMs(strategy: unknown, attempt: number): number {
  if (typeof strategy !== 'object' || strategy === null || Array.isArray(strategy)) return 0;
  const { kind = 'none', base_seconds, factor, max_seconds } = strategy as Record<string, unknown>;
  if (kind !== 'fixed' && kind !== 'exponential') return 0;
  const base = number(base_seconds, kind === 'fixed' ? 60 : 30);
  if (kind === 'fixed') return base * 1000;
  const growth = number(factor, 2) ** (Math.max(1, attempt) - 1);
  const seconds = base === 0 ? 0 : Math.min(base * growth, number(max_seconds, day));
  return (Number.isFinite(seconds) ? seconds : 0) * 1000;
}

/** Numbers as text are numbers. What is out of range the schema refuses: here it counts as 0. */
function number(value: unknown, preset: number): number {
  if (value === undefined || value === null) return preset;
  const read = typeof value === 'number' || typeof value === 'string' ? Number(value) : NaN;
  return read >= 0 && read <= day ? read : 0;
}
