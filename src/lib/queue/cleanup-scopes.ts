/** What `cleanup` is asked for, turned into what goes of each queue. */
import { readCleanupPolicy, readInterval } from '../../sql/cleanup.js';
import type { Queryable } from '../../sql/queryable.js';
import type { Scope } from './cleanup.js';
import { CliError, exit, usageError } from '../cli/errors.js';
import { queuesToLookIn } from '../task/find-task.js';
import { lacksUnit } from '../cli/time.js';
import { command, hint } from '../cli/hint.js';

/** Rows a batch where neither a flag nor a policy says. */
export const defaultLimit = 1000;

/** The words of the command line. */
export interface Asked {
  queue?: string;
  days?: string;
  all?: boolean;
  'older-than'?: string;
  limit?: number;
  'tasks-only'?: boolean;
  'events-only'?: boolean;
}

const usage = hint`${command('cleanup', 'QUEUE', 'TTL_DAYS')}, or QUEUE --older-than INTERVAL, or --all`;

/** Raises a usage error where the words contradict each other or say too little. */
export function checkAsked<Words extends Asked>(asked: Words): Words {
  const { all, queue, days, 'older-than': olderThan } = asked;
  if (all && queue !== undefined) throw usageError('--all means every queue: omit the name', usage);
  if (!all && queue === undefined) throw usageError('Name a queue', usage);
  if (days !== undefined && olderThan !== undefined) throw usageError('Give days or --older-than, not both', usage);
  if (!all && days === undefined && olderThan === undefined) throw usageError('No age is given', usage);
  if (days !== undefined) secondsOfDays(days);
  if (olderThan !== undefined && lacksUnit(olderThan)) {
    throw usageError(
      `--older-than "${olderThan}" has no unit: PostgreSQL would take seconds`,
      `write '${olderThan.trim()} days', or ${olderThan.trim()}s`,
    );
  }
  return asked;
}

/** One scope a queue, all of them read before anything is deleted. Raises a usage error for a span that is none. */
export async function scopesOf(db: Queryable, asked: Asked): Promise<Scope[]> {
  const { days, 'older-than': olderThan } = asked;
  const ofDays = days === undefined ? undefined : secondsOfDays(days);
  const given = olderThan === undefined ? ofDays : await readInterval(db, olderThan);
  if (given !== undefined && given < 0) throw usageError(`--older-than "${olderThan}" is in the future`);
  const scopes: Scope[] = [];
  for (const queue of await queuesToLookIn(db, asked.queue)) {
    const policy = given === undefined ? await readCleanupPolicy(db, queue) : undefined;
    scopes.push({
      queue_name: queue,
      ttl_seconds: given ?? policy?.ttl_seconds ?? raiseMissingQueue(queue),
      limit: asked.limit ?? policy?.cleanup_limit ?? defaultLimit,
      tasks: !asked['events-only'],
      events: !asked['tasks-only'],
    });
  }
  return scopes;
}

function raiseMissingQueue(queue: string): never {
  throw new CliError(`Queue "${queue}" no longer exists`, { exitCode: exit.notFound, code: 'queue_not_found' });
}

function secondsOfDays(text: string): number {
  const seconds = Math.round(Number(text) * 86_400);
  if (text.trim() === '' || !Number.isFinite(seconds) || seconds < 0 || seconds > 2 ** 31 - 1) {
    throw usageError(`"${text}" is not a number of days from 0 to 24855`, command('cleanup', 'QUEUE', 'TTL_DAYS'));
  }
  return seconds;
}
