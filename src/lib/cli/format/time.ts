import type { Timestamp } from '../../../sql/values.js';

const units: [string, number][] = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
];

/** A span in seconds for people: `45s`, `3m 20s`, `2h 5m`, `3d 4h`. At most two units; below a second `0.4s`. */
export function duration(seconds: number): string {
  const span = Math.abs(seconds);
  if (span < 10 && span % 1 !== 0) return `${Math.round(span * 10) / 10}s`;
  let rest = Math.round(span);
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    if (count > 0) {
      parts.push(`${count}${unit}`);
      rest -= count * size;
    } else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(' ') || '0s';
}

/** `2h ago`, `in 5m`, `now`: one unit. `infinity` is `never`; text that is not a time is returned unchanged. */
export function ago(time: Timestamp, now: Date): string {
  if (time === 'infinity') return 'never';
  const far = /^(\d{5,6})-\d\d-\d\d /.exec(time);
  if (far) return `in ${Number(far[1]) - now.getUTCFullYear()}y`;
  const at = Date.parse(time);
  if (Number.isNaN(at)) return time;
  const seconds = (now.getTime() - at) / 1000;
  if (Math.abs(seconds) < 1) return 'now';
  const [unit, size] = units.find(([, length]) => Math.abs(seconds) >= length) ?? ['s', 1];
  const span = `${Math.floor(Math.abs(seconds) / size)}${unit}`;
  return seconds > 0 ? `${span} ago` : `in ${span}`;
}

/**
 * What the server prints for a timestamptz, as RFC 3339 in UTC with its microseconds: `2026-01-02 03:04:05.6+05:30` is
 * `2026-01-01T21:34:05.600000Z`. What RFC 3339 cannot say (`infinity`, years before 1 or past 9999) stays as it is.
 */
export function toRfc3339(text: string): Timestamp {
  const match = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d+))?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?$/.exec(
    text,
  );
  if (!match) return text;
  const [, year, month, day, hour, minute, second, fraction = '', sign, hours, minutes = '0', seconds = '0'] = match;
  const offset = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * (sign === '-' ? -1 : 1);
  const at = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  const date = new Date(at - offset * 1000);
  if (Number(year) < 100) date.setUTCFullYear(Number(year));
  return `${date.toISOString().slice(0, 19)}.${fraction.padEnd(6, '0').slice(0, 6)}Z`;
}
