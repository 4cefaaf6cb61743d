/** What the pause and resume commands share: which queues are named, and when a pause ends. */
import * as Flags from '@oclif/core/flags';
import type { PauseEnd } from '../../sql/pauses.js';
import type { Queryable } from '../../sql/queryable.js';
import { listQueueNames } from '../../sql/schema.js';
import { usageError } from '../cli/errors.js';
import { unknownQueue } from '../cli/explain.js';
import { command, hint } from '../cli/hint.js';
import { parseWhen, requireDuration } from '../cli/time.js';

export const pauseFlags = {
  for: Flags.string({ helpValue: 'DURATION', description: 'end the pause after this time, such as 2h' }),
  until: Flags.string({ helpValue: 'TIME', description: 'end the pause at this time, RFC 3339' }),
};

/** When the pause ends. Raises a usage error for both flags at once, and for what cannot be read. */
export function pauseEnd(flags: { for?: string; until?: string }): PauseEnd {
  if (flags.for !== undefined && flags.until !== undefined) throw usageError('Use either --for or --until, not both');
  if (flags.for !== undefined) {
    const seconds = requireDuration(flags.for, '--for');
    if (seconds <= 0) throw usageError(`--for "${flags.for}" must be longer than zero`, 'such as 30m or 2h');
    return { seconds };
  }
  if (flags.until === undefined) return null;
  const { at } = parseWhen(flags.until, '--until');
  if (at === null) {
    throw usageError(`--until "${flags.until}" is not a time`, `for a duration use --for ${flags.until}`);
  }
  return { at };
}

/** The queues that are named, or all. Raises a usage error where neither or both are said, and for an unknown name. */
export async function namedQueues(
  db: Queryable,
  id: string,
  { names, all }: { names: readonly string[]; all: boolean | undefined },
): Promise<string[]> {
  if (all === true && names.length > 0) throw usageError('Use either queue names or --all, not both');
  if (all !== true && names.length === 0) {
    throw usageError('No queue is named', hint`${command(id, 'QUEUE')} or ${command(id, { all: true })}`);
  }
  const known = await listQueueNames(db);
  if (all === true) return known;
  for (const name of names) if (!known.includes(name)) throw unknownQueue(name, known);
  return [...new Set(names)];
}
