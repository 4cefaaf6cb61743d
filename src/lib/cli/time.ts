/** Parses points in time and spans. */
import type { Moment } from '../../sql/values.js';
import { usageError } from './errors.js';

const unitSeconds: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

function unit(word: string): number | undefined {
  const short = /^(milliseconds?|msecs?)$/.test(word) ? 'ms' : /^mins?$|^minutes?$/.test(word) ? 'm' : word;
  const known = unitSeconds[short];
  if (known !== undefined) return known;
  return /^(secs?|seconds?|hrs?|hours?|days?|weeks?)$/.test(word) ? unitSeconds[word.charAt(0)] : undefined;
}

/** Seconds of `90`, `90s`, `1h30m`, `2 days`; undefined if it is not a span. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim().toLowerCase();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed);
  if (!/^(\d+(\.\d+)?\s*[a-z]+\s*)+$/.test(trimmed)) return undefined;
  let seconds = 0;
  for (const [, count, word = ''] of trimmed.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)/g)) {
    const size = unit(word);
    if (size === undefined) return undefined;
    seconds += Number(count) * size;
  }
  return seconds;
}

/**
 * Whether a span has no unit, so that PostgreSQL reads seconds where days may be intended: `14`. Zero needs no unit.
 */
export const lacksUnit = (span: string): boolean =>
  span.trim() !== '' && Number.isFinite(Number(span)) && Number(span) !== 0;

/** Like `parseDuration`, but raises a usage error that names the flag. */
export function requireDuration(text: string, flag: string): number {
  const seconds = parseDuration(text);
  if (seconds === undefined) throw usageError(`${flag} "${text}" is not a duration`, 'such as 90s, 15m, 2h or 1d12h');
  return seconds;
}

/**
 * A point in time: exactly one member is set. A span before now is left to the server's clock:
 * `coalesce($1::timestamptz, absurd.current_time() - make_interval(secs => $2))`.
 */
export interface When {
  /** RFC 3339. */
  at: string | null;
  secondsAgo: number | null;
}

/** Parses `2h`, `30m ago`, `now`, `2026-01-02`, `2026-01-02 03:04` and RFC 3339; without an offset it is UTC. */
export function parseWhen(text: string, flag: string): When {
  const trimmed = text.trim();
  if (trimmed.toLowerCase() === 'now') return { at: null, secondsAgo: 0 };
  const seconds = /^\d+$/.test(trimmed) ? undefined : parseDuration(trimmed.replace(/\s*ago$/i, ''));
  if (seconds !== undefined) return { at: null, secondsAgo: seconds };
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,6})?)?\s*(Z|[+-]\d\d:?\d\d)?)?$/i.exec(trimmed);
  if (match) {
    const [, date = '', time = '00:00', second = ':00', offset = 'Z'] = match;
    const at = `${date}T${time}${second}${offset.toUpperCase().replace(/^([+-]\d\d)(\d\d)$/, '$1:$2')}`;
    const day = new Date(`${date}T00:00:00Z`);
    // Date reads 2026-02-30 as the second of March.
    const exists = !Number.isNaN(day.getTime()) && day.toISOString().startsWith(date);
    if (exists && !Number.isNaN(Date.parse(at))) return { at, secondsAgo: null };
  }
  throw usageError(`${flag} "${text}" is not a time`, 'such as 2h, "30m ago", 2026-01-02 or 2026-01-02T03:04:05Z');
}

/** Like `parseWhen`, for queries that take a Moment; undefined stays undefined. */
export function parseMoment(text: string | undefined, flag: string): Moment | undefined {
  if (text === undefined) return undefined;
  const { at, secondsAgo } = parseWhen(text, flag);
  return at === null ? { secondsAgo: secondsAgo ?? 0 } : { at };
}
