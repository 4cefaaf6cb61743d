/** A file of schedules, as a repository keeps it: JSON, checked whole before anything is written. */
import { usageError } from '../cli/errors.js';
import { parseDuration } from '../cli/time.js';
import type { ScheduleSettings } from '../../sql/schedules.js';
import { splitObject } from '../task/json-params.js';

const shape = '{"schedules": [{"name": "weekly-report", "task": "report", "cron": "0 9 * * mon"}]}';

/** Members of a schedule in the file that go into the options of `absurd.set_schedule` as they are. */
const passed = [
  'cron',
  'time_zone',
  'overlap',
  'missed',
  'headers',
  'max_attempts',
  'retry_strategy',
  'cancellation',
  'delay_seconds',
] as const;
const durations = ['every', 'catch_up'] as const;
const members = new Set<string>(['name', 'queue', 'task', 'params', ...passed, ...durations]);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads the schedules of a file. Raises a usage error that names the schedule and what is wrong with it. */
export function readScheduleFile(text: string, file: string): ScheduleSettings[] {
  let content: unknown;
  try {
    content = JSON.parse(text.replace(/^\ufeff/, ''));
  } catch (error) {
    throw usageError(`${file} is not JSON: ${error instanceof Error ? error.message : String(error)}`, shape);
  }
  if (!isObject(content) || !Array.isArray(content.schedules)) {
    throw usageError(`${file} has no array "schedules"`, shape);
  }
  const unknown = Object.keys(content).find((key) => key !== 'schedules');
  if (unknown !== undefined) throw usageError(`${file} has an unknown member "${unknown}"`, shape);
  const texts = arrayItems(new Map(splitObject(text.trim().replace(/^\ufeff/, ''))).get('schedules') ?? '[]');
  const schedules = content.schedules.map((value: unknown, i) =>
    readSchedule(value, texts[i] ?? '', `${file}: schedule ${i + 1}`),
  );
  const names = schedules.map((schedule) => schedule.scheduleName);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw usageError(`${file} has two schedules "${twice}"`);
  return schedules;
}

function readSchedule(value: unknown, text: string, where: string): ScheduleSettings {
  if (!isObject(value)) throw usageError(`${where} is not an object`, shape);
  const name = requireText(value, 'name', where);
  const here = `${where} ("${name}")`;
  const unknown = Object.keys(value).find((key) => !members.has(key));
  if (unknown !== undefined) {
    throw usageError(`${here} has an unknown member "${unknown}"`, `members are ${[...members].join(', ')}`);
  }
  // JSON members stay the text that was written, so that no digit of a number is lost.
  const texts = new Map(splitObject(text));
  const options = passed.flatMap((key) => {
    const own = texts.get(key);
    return own === undefined || own === 'null' ? [] : [`${JSON.stringify(key)}:${own}`];
  });
  for (const key of durations) {
    if (value[key] !== undefined) options.push(`${JSON.stringify(key)}:${seconds(value[key], key, here)}`);
  }
  return {
    scheduleName: name,
    queueName: value.queue === undefined ? 'default' : requireText(value, 'queue', here),
    taskName: requireText(value, 'task', here),
    params: texts.get('params') ?? '{}',
    options: `{${options.join(',')}}`,
  };
}

function requireText(value: Record<string, unknown>, key: string, where: string): string {
  const text = value[key];
  if (typeof text === 'string' && text.trim() !== '') return text;
  throw usageError(`${where} has no "${key}"`, shape);
}

function seconds(value: unknown, key: string, where: string): number {
  const read = typeof value === 'number' ? value : typeof value === 'string' ? parseDuration(value) : undefined;
  if (read === undefined || !Number.isFinite(read) || read < 0) {
    throw usageError(
      `${where} has "${key}": ${JSON.stringify(value)}, which is not a duration`,
      'such as "15m" or 900',
    );
  }
  return read;
}

/** The texts of an array's items. */
function arrayItems(text: string): string[] {
  const items: string[] = [];
  let depth = 0;
  let inString = false;
  let start = 1;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (inString) {
      if (character === '\\') i++;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === '[' || character === '{') depth++;
    else if (character === ']' || character === '}') depth--;
    if (!inString && ((character === ',' && depth === 1) || (depth === 0 && i > 0))) {
      items.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  return items.filter((item) => item !== '');
}
