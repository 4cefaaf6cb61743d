/** Words and figures as the pages show them. */

const hazard =
  /[\p{Cc}\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** Stored text with all that a reader cannot see, or that turns the direction of text, spelled out. */
export function plain(text: string, lines = false): string {
  return text.replace(hazard, (character) => {
    if (lines && (character === '\n' || character === '\t')) return character;
    const code = character.codePointAt(0) ?? 0;
    const known: Record<string, string> = { '\n': '\\n', '\t': '\\t', '\r': '\\r' };
    return (
      known[character] ?? (code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`)
    );
  });
}

const units: [string, number][] = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
];

/** `45s`, `3m 20s`, `2h 5m`; below ten seconds with a fraction, below one in milliseconds. */
export function duration(seconds: number): string {
  const span = Math.abs(seconds);
  if (span < 0.0005) return '0s';
  if (span < 1) return `${Math.round(span * 1000)}ms`;
  if (span < 10) return `${Math.round(span * 10) / 10}s`;
  let rest = Math.round(span);
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    if (count > 0) parts.push(`${count}${unit}`);
    else if (parts.length > 0) break;
    rest -= count * size;
    if (parts.length === 2) break;
  }
  return parts.join(' ') || '0s';
}

/** `2h ago`, `in 5m`. */
export function ago(time: string | null, now: number): string {
  if (time === null) return '–';
  if (time === 'infinity') return 'never';
  const at = Date.parse(time);
  if (Number.isNaN(at)) return plain(time);
  const seconds = (now - at) / 1000;
  if (Math.abs(seconds) < 1) return 'now';
  const [unit, size] = units.find(([, length]) => Math.abs(seconds) >= length) ?? ['s', 1];
  const span = `${Math.floor(Math.abs(seconds) / size)}${unit}`;
  return seconds > 0 ? `${span} ago` : `in ${span}`;
}

/** A moment in the reader's own time zone, to the second. */
export function moment(time: string): string {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return plain(time);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export const grouped = (count: number): string => count.toLocaleString('en-US');
export const percent = (share: number | null): string =>
  share === null ? '–' : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)}%`;

export function bytes(size: number): string {
  const names = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = size;
  let at = 0;
  while (value >= 1000 && at < names.length - 1) {
    value /= 1000;
    at++;
  }
  return `${at === 0 ? value : value.toFixed(1)} ${names[at] ?? ''}`;
}

/** A number of JSON that would lose digits as a number of JavaScript. */
class BigNumber {
  constructor(readonly text: string) {}
}

/** JSON in which no digit is lost, where the browser says how a number was written. */
export function parseJson(text: string): unknown {
  return JSON.parse(text, function (this: unknown, _key: string, value: unknown, context?: { source?: string }) {
    if (typeof value !== 'number' || context?.source === undefined) return value;
    return String(value) === context.source ? value : new BigNumber(context.source);
  } as (key: string, value: unknown) => unknown);
}

/** JSON laid out over lines. */
export function prettyJson(value: unknown, indent = ''): string {
  if (value instanceof BigNumber) return value.text;
  if (typeof value === 'string') return plain(JSON.stringify(value));
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const inner = `${indent}  `;
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  const items = Array.isArray(value)
    ? value.map((item: unknown) => prettyJson(item, inner))
    : Object.entries(value).map(([key, item]) => `${plain(JSON.stringify(key))}: ${prettyJson(item, inner)}`);
  return items.length === 0 ? open + close : `${open}\n${inner}${items.join(`,\n${inner}`)}\n${indent}${close}`;
}

/** JSON on one line, cut. */
export function shortJson(value: unknown, limit = 120): string {
  const text = prettyJson(value).replaceAll(/\n\s*/g, ' ');
  return text.length > limit ? `${text.slice(0, limit)}…` : text;
}
