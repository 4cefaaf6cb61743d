/** The flags of a task to spawn: what spawn-task and create-schedule share. */
import * as Flags from '@oclif/core/flags';
import { usageError } from '../cli/errors.js';
import { numberFlag, secondsFlag, wholeNumberFlag } from '../cli/flags.js';
import type { Io } from '../cli/io.js';
import { parseWhen, requireDuration } from '../cli/time.js';
import { readJsonFlags } from './json-params.js';
import { longestDelaySeconds } from './retry-strategy.js';
import { readHeaders, retryStrategy, type SpawnSettings } from './spawn-options.js';

export const spawnFlags = {
  queue: Flags.string({ char: 'q', helpValue: 'QUEUE', default: 'default', description: 'queue to spawn in' }),
  param: Flags.string({
    char: 'P',
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'KEY=VALUE',
    description: 'a parameter: k=text, k:=json, a.b=text',
  }),
  params: Flags.string({ helpValue: 'JSON', description: 'all parameters: JSON, @file, or - for standard input' }),
  header: Flags.string({
    char: 'H',
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'KEY=VALUE',
    description: 'a header, written like a parameter',
  }),
  'max-attempts': wholeNumberFlag({ min: 1, helpValue: 'N', description: 'limit of attempts (default none)' }),
  'retry-kind': Flags.option({
    options: ['fixed', 'exponential', 'none'] as const,
    description: 'backoff of retries (default none; exponential when one of the next three is given)',
  })(),
  'retry-base': secondsFlag({ max: longestDelaySeconds, description: 'first delay, 0 to 86400 seconds' }),
  'retry-factor': numberFlag({ helpValue: 'FACTOR', description: 'growth of an exponential delay, from 0' }),
  'retry-max': secondsFlag({
    max: longestDelaySeconds,
    description: 'maximum of an exponential delay, 0 to 86400 seconds',
  }),
  'max-duration': secondsFlag({ description: 'cancel the task this many seconds after its first start' }),
  'max-delay': secondsFlag({ description: 'cancel the task if it has not started after this many seconds' }),
};

interface Given {
  param?: string[];
  params?: string;
  header?: string[];
  'max-attempts'?: number;
  'retry-kind'?: 'fixed' | 'exponential' | 'none';
  'retry-base'?: number;
  'retry-factor'?: number;
  'retry-max'?: number;
  'max-duration'?: number;
  'max-delay'?: number;
}

/** Parameters as JSON text, and the settings that the flags make. Raises a usage error for what cannot be read. */
export async function readSpawnFlags(io: Io, flags: Given): Promise<{ params: string; settings: SpawnSettings }> {
  const params = await readJsonFlags(io, {
    base: flags.params,
    assignments: flags.param,
    baseFlag: '--params',
    assignmentFlag: '-P',
  });
  const settings = {
    headers: await readHeaders(io, flags.header),
    maxAttempts: flags['max-attempts'],
    retryStrategy: retryStrategy({
      kind: flags['retry-kind'],
      base: flags['retry-base'],
      factor: flags['retry-factor'],
      max: flags['retry-max'],
    }),
    maxDuration: flags['max-duration'],
    maxDelay: flags['max-delay'],
  };
  return { params, settings };
}

export const startFlags = {
  at: Flags.string({ helpValue: 'TIME', description: 'start the task at this time, RFC 3339; without an offset UTC' }),
  in: Flags.string({ helpValue: 'DURATION', description: 'start the task after this time, such as 2h' }),
};

/** When the task starts. Raises a usage error for both flags at once, and for what cannot be read. */
export function readStart(flags: { at?: string; in?: string }): Pick<SpawnSettings, 'startAt' | 'delaySeconds'> {
  if (flags.at !== undefined && flags.in !== undefined) throw usageError('Use either --at or --in, not both');
  if (flags.in !== undefined) return { delaySeconds: requireDuration(flags.in, '--in') };
  if (flags.at === undefined) return {};
  const { at } = parseWhen(flags.at, '--at');
  if (at === null) throw usageError(`--at "${flags.at}" is not a time`, `for a duration use --in ${flags.at}`);
  return { startAt: at };
}
