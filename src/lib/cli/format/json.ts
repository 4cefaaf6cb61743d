import { RawJson } from '../../../sql/values.js';
import { Hint } from '../hint.js';

const quote = (text: string): string => JSON.stringify(text);

function scalar(value: unknown): string | undefined {
  if (value === null || value === undefined) return 'null';
  if (value instanceof RawJson) return value.text;
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : quote(String(value));
  if (typeof value === 'boolean') return String(value);
  if (value instanceof Date) return quote(value.toISOString());
  if (value instanceof Hint) return quote(value.text());
  return undefined;
}

/**
 * Like JSON.stringify, but writes JSON from the server (RawJson) unchanged and bigint as digits, so that no digit is
 * lost. Undefined members are omitted. `indent` 0 writes one line.
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

/** The end of the string that begins before `from`. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text[at - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return at + 1;
  }
  return text.length;
}

/**
 * The tokens of a valid JSON text with their offsets. Strings are scanned by hand: a regular expression overflows the
 * stack at about ten megabytes.
 */
export function* jsonTokens(text: string): Generator<[token: string, index: number]> {
  const start = /["[\]{}:,]|[^\s[\]{}:,"]+/g;
  for (let match = start.exec(text); match; match = start.exec(text)) {
    if (match[0] === '"') start.lastIndex = endOfString(text, start.lastIndex);
    yield [text.slice(match.index, start.lastIndex), match.index];
  }
}

/** Formats a JSON text over several lines without changing a token: numbers keep every digit, keys their order. */
export function prettyJson(text: string, indent = 2): string {
  let result = '';
  let depth = 0;
  let empty = false;
  const line = (): string => `\n${' '.repeat(indent * depth)}`;
  for (const [part] of jsonTokens(text)) {
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
