import { RawJson } from '../../sql/values.js';

const quote = (text: string): string => JSON.stringify(text);

function scalar(value: unknown): string | undefined {
  if (value === null || value === undefined) return 'null';
  if (value instanceof RawJson) return value.text;
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : quote(String(value));
  if (typeof value === 'boolean') return String(value);
  if (value instanceof Date) return quote(value.toISOString());
  return undefined;
}

/**
 * Like JSON.stringify, but JSON from the server (RawJson) goes in as it came and bigint as digits, so that every digit
 * survives. Members that are undefined are left out, as usual. `indent` 0 writes one line.
 */
export function toJson(value: unknown, indent = 0, depth = 0): string {
  const simple = scalar(value);
  if (simple !== undefined) return simple;
  const [open, close, items] = Array.isArray(value)
    ? ['[', ']', value.map((item) => toJson(item, indent, depth + 1))]
    : [
        '{',
        '}',
        Object.entries(value as object)
          .filter(([, member]) => member !== undefined)
          .map(([key, member]) => `${quote(key)}:${indent ? ' ' : ''}${toJson(member, indent, depth + 1)}`),
      ];
  if (items.length === 0) return open + close;
  if (!indent) return open + items.join(',') + close;
  const inner = `\n${' '.repeat(indent * (depth + 1))}`;
  return `${open}${inner}${items.join(`,${inner}`)}\n${' '.repeat(indent * depth)}${close}`;
}

const token = /"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s[\]{}:,"]+/g;

/** Lays a JSON text out over lines without touching one token of it: numbers keep every digit, keys their order. */
export function prettyJson(text: string, indent = 2): string {
  let result = '';
  let depth = 0;
  let empty = false;
  const line = (): string => `\n${' '.repeat(indent * depth)}`;
  for (const [part] of text.matchAll(token)) {
    if (part === '}' || part === ']') {
      depth--;
      result += (empty ? '' : line()) + part;
      empty = false;
      continue;
    }
    if (empty) result += line();
    empty = part === '{' || part === '[';
    if (empty) depth++;
    result += part === ':' ? ': ' : part === ',' ? `,${line()}` : part;
  }
  return result;
}
