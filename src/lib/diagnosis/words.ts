import { COUNT_LIMIT } from '../../sql/bounded.js';
import { harmless } from '../cli/format/text.js';
import { command, hint, Hint } from '../cli/hint.js';

/**
 * Wording of the findings. All text from a database goes through `quoted` or `shown`, so that it is safe for a
 * terminal.
 */

/** Text from a database with control characters spelled out, cut at `limit` characters. */
export function shown(text: string, limit = 200): string {
  return harmless(text.length > limit ? `${text.slice(0, limit)}…` : text);
}

export const quoted = (text: string): string => `"${shown(text)}"`;

/** Advice if the parameters may be wrong. "…" is not JSON: the command is refused until somebody replaces it. */
export const forkWithOther = (id: string, queue: string): Hint =>
  hint`with another parameter in place of …: ${command('fork-task', id, { queue, P: '…' })}`;

/** The dump of a task. */
export const dumpTask = (id: string): Hint => new Hint([{ id: 'dump-task', args: [`--task-id=${id}`] }]);

/** A time in UTC: RFC 3339 to the second, or `never`. */
export function at(moment: number | null): string {
  if (moment === null) return 'unknown';
  if (!Number.isFinite(moment)) return 'never';
  const date = new Date(moment);
  return Number.isNaN(date.getTime()) ? 'out of range' : date.toISOString().replace(/\.\d+Z$/, 'Z');
}

/** A length of time in its largest unit, rounded down: `45 seconds`, `3 hours`. */
export function span(seconds: number): string {
  const units: [number, string][] = [
    [86_400 * 2, 'day'],
    [3600 * 2, 'hour'],
    [60 * 2, 'minute'],
  ];
  for (const [from, unit] of units) {
    if (seconds >= from) return plural(Math.floor(seconds / (from / 2)), unit);
  }
  return plural(Math.max(0, Math.floor(seconds)), 'second');
}

export const since = (moment: number, now: number): string => `${span((now - moment) / 1000)} ago`;
export const until = (moment: number, now: number): string =>
  Number.isFinite(moment) ? `in ${span((moment - now) / 1000)}` : 'never';

export function plural(count: number, noun: string): string {
  return `${tally(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** A bounded count as text. */
export const tally = (count: number): string => (count > COUNT_LIMIT ? `${COUNT_LIMIT}+` : String(count));
