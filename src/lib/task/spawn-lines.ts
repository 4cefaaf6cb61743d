/** Tasks as NDJSON: one object a line with name, params and options. All lines are checked before any is used. */
import { usageError } from '../cli/errors.js';
import { retryStrategyFault } from './retry-strategy.js';
import { splitObject } from './json-params.js';

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

/** Reads one line. Raises a usage error that names the line and what is wrong with it. */
function readSpawnLine(text: string, line: number): SpawnLine {
  const fail = (reason: string): Error => usageError(`Line ${line} ${reason}`, `a line is ${shape}`);
  const value = parse(text, fail);
  const unknown = Object.keys(value).find((key) => !members.has(key));
  if (unknown !== undefined) throw fail(`has a member "${unknown}" that means nothing`);
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
    if (rule === undefined) throw fail(`has an option "${name}" that means nothing`);
    if (option !== null && !rule.fits(option)) throw fail(`has an option "${name}" that is not ${rule.is}`);
  }
  const texts = new Map(splitObject(text));
  return {
    line,
    name: value.name,
    params: texts.get('params') ?? '{}',
    options: value.options === undefined || value.options === null ? '{}' : (texts.get('options') ?? '{}'),
  };
}

/** Reads all lines; blank ones are skipped. Raises a usage error for the first that is wrong. */
export function readSpawnLines(text: string): SpawnLine[] {
  return text
    .replace(/^\ufeff/, '')
    .split('\n')
    .flatMap((line, index) => (line.trim() === '' ? [] : [readSpawnLine(line.trim(), index + 1)]));
}
