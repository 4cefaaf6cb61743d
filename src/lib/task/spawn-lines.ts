/** Tasks as NDJSON: one object a line with name, params and options. All lines are checked before any is used. */
import { usageError } from '../cli/errors.js';
import { retryStrategyFault } from './retry-strategy.js';
import { jsonTokens } from '../cli/format/json.js';
import { cut } from '../cli/format/text.js';
import { parseWhen } from '../cli/time.js';
import { splitObject } from './json-params.js';
import type { TextLine } from './line-batches.js';

/** A line that can be spawned; JSON stays the text that was written. */
export interface SpawnLine {
  /** From 1. */
  line: number;
  name: string;
  params: string;
  options: string;
}

const shape = '{"name": "send-mail", "params": {…}, "options": {"idempotency_key": "…"}}';
const members = new Set(['name', 'params', 'options']);

const isSeconds = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value) && value >= 0;
/** With an offset, for without one the server would read it in the time zone of the session. */
function isMoment(value: unknown): boolean {
  if (typeof value !== 'string' || !/^\d{4}-.*(Z|[+-]\d\d:?\d\d)$/i.test(value)) return false;
  try {
    return parseWhen(value, 'start_at').at !== null;
  } catch {
    return false;
  }
}
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What each option but `retry_strategy` must be; null counts as absent. */
const options: Record<string, { fits(value: unknown): boolean; is: string }> = {
  headers: { fits: isObject, is: 'an object' },
  max_attempts: {
    fits: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) < 2 ** 31,
    is: 'a whole number from 1',
  },
  cancellation: {
    fits: (value) => isObject(value) && Object.values(value).every((one) => one === null || isSeconds(one)),
    is: 'an object of max_delay and max_duration, numbers of seconds from 0',
  },
  idempotency_key: { fits: (value) => typeof value === 'string' && value !== '', is: 'a text' },
  start_at: { fits: isMoment, is: 'a time with an offset, such as "2026-01-02T03:04:05Z"' },
  delay_seconds: { fits: isSeconds, is: 'a number of seconds from 0' },
};

function parse(text: string, fail: (reason: string) => Error): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw fail(`is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (!isObject(value)) throw fail('is not an object');
  return value;
}

/** A text that does not match needs no closer look: no \\u escapes, no surrogates, no exponents, no very long numbers. */
const suspicious = /\\u|\d[eE]|\d{1000}|\p{Surrogate}/u;

/** What jsonb cannot hold, of what JSON can: the characters are refused by the server, with all that is sent along. */
function unstorable(text: string): string | undefined {
  if (!suspicious.test(text)) return undefined;
  for (const [token] of jsonTokens(text)) {
    if (!token.startsWith('"')) {
      if (!fitsNumeric(token)) return `holds the number ${cut(token, 40)}, which PostgreSQL cannot store`;
      continue;
    }
    const value = JSON.parse(token) as string;
    if (value.includes('\0')) return 'holds the character \\u0000, which PostgreSQL cannot store';
    if (/\p{Surrogate}/u.test(value)) return 'holds half of a surrogate pair, which PostgreSQL cannot store';
  }
  return undefined;
}

/** PostgreSQL's numeric has up to 131,072 digits before the point and 16,383 after it. */
function fitsNumeric(token: string): boolean {
  const [, whole = '', fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(token) ?? [];
  if (whole === '') return true;
  const scale = Number(exponent);
  const first = (whole + fraction).search(/[1-9]/);
  return fraction.length - scale <= 16_383 && (first < 0 || whole.length - first + scale <= 131_072);
}

/** Checks one line, and says whether it asks for a later start. Raises a usage error that names the line and what is wrong with it. */
export function checkSpawnLine({ text, line }: TextLine): { delayed: boolean } {
  const fail = (reason: string): Error => usageError(`Line ${line} ${reason}`, `a line is ${shape}`);
  const value = parse(text, fail);
  const refused = unstorable(text);
  if (refused !== undefined) throw fail(refused);
  const unknown = Object.keys(value).find((key) => !members.has(key));
  if (unknown !== undefined) throw fail(`has a member "${unknown}" that is unknown`);
  if (typeof value.name !== 'string' || value.name.trim() === '') throw fail('has no "name"');
  const given = value.options ?? {};
  if (!isObject(given)) throw fail('has "options" that are not an object');
  for (const [name, option] of Object.entries(given)) {
    if (name === 'retry_strategy') {
      const fault = retryStrategyFault(option);
      if (fault !== null) throw fail(`has an option "${name}" that cannot be used: ${fault}`);
      continue;
    }
    const rule = options[name];
    if (rule === undefined) throw fail(`has an option "${name}" that is unknown`);
    if (option !== null && !rule.fits(option)) throw fail(`has an option "${name}" that is not ${rule.is}`);
  }
  const starts = ['start_at', 'delay_seconds'].filter((name) => (given[name] ?? null) !== null);
  if (starts.length > 1) throw fail('has both "start_at" and "delay_seconds"');
  return { delayed: starts.length > 0 };
}

/** Reads one line that was checked. */
export function toSpawnLine({ text, line }: TextLine): SpawnLine {
  const texts = new Map(splitObject(text));
  const given = texts.get('options') ?? 'null';
  return {
    line,
    name: JSON.parse(texts.get('name') ?? '""') as string,
    params: texts.get('params') ?? '{}',
    options: given === 'null' ? '{}' : given,
  };
}
