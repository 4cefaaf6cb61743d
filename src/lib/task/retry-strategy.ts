/** The rules of a retry strategy, as `absurd.retry_delay_seconds` has them, for where there is no server to ask. */

/** The longest delay that a strategy may ask for, in seconds. */
export const longestDelaySeconds = 86_400;

const kinds = ['none', 'fixed', 'exponential'];

/**
 * Why the schema cannot use a strategy, in its own words; null where it can. `strategy` is what the JSON says: a number in
 * a text counts, and one that is too large for JavaScript is infinite.
 */
export function retryStrategyFault(strategy: unknown): string | null {
  if (typeof strategy !== 'object' || strategy === null || Array.isArray(strategy)) {
    return 'retry_strategy must be a JSON object';
  }
  const { kind, base_seconds: base, factor, max_seconds: max } = strategy as Record<string, unknown>;
  const name = kind === undefined || kind === null ? 'none' : typeof kind === 'string' ? kind : JSON.stringify(kind);
  if (!kinds.includes(name)) return `Unsupported retry strategy kind "${name}"`;
  if (name === 'none') return null;
  const limits: [unknown, string, (value: number) => boolean][] = [
    [base, `base_seconds must be between 0 and ${longestDelaySeconds}`, isDelay],
    [factor, 'factor must be a finite non-negative number', (value) => value >= 0 && Number.isFinite(value)],
    [max, `max_seconds must be between 0 and ${longestDelaySeconds}`, isDelay],
  ];
  for (const [value, rule, fits] of name === 'fixed' ? limits.slice(0, 1) : limits) {
    const number = readNumber(value);
    if (number === undefined) return 'retry_strategy contains an invalid number';
    if (number !== null && !fits(number)) return `retry_strategy.${rule}`;
  }
  return null;
}

/** The flag of `spawn-task` that a fault is about; undefined where it is about the strategy as a whole. */
export function flagOfFault(fault: string): string | undefined {
  if (/ kind /.test(fault)) return '--retry-kind';
  const [, key] = /\.(base|factor|max)(_seconds)? must /.exec(fault) ?? [];
  return key === undefined ? undefined : `--retry-${key}`;
}

const isDelay = (value: number): boolean => value >= 0 && value <= longestDelaySeconds;

/** A number as the server reads it: null where it is absent, undefined where it is not a number. */
function readNumber(value: unknown): number | null | undefined {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') return undefined;
  const text = value.trim().toLowerCase();
  const special = /^([+-]?)(inf|infinity|nan)$/.exec(text);
  if (special) return special[2] === 'nan' ? Number.NaN : special[1] === '-' ? -Infinity : Infinity;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(text) ? Number(text) : undefined;
}
