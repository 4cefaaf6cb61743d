/** What the pause and resume commands share: which queues are named, and when a pause ends. */
import * as Flags from '@oclif/core/flags';
import type { PauseEnd, QueuePause } from '../../sql/pauses.js';
import type { Queryable } from '../../sql/queryable.js';
import { listQueueNames } from '../../sql/schema.js';
import type { Timestamp } from '../../sql/values.js';
import type { Column, RenderContext } from '../cli/output.js';
import { usageError } from '../cli/errors.js';
import { unknownQueue } from '../cli/explain.js';
import { command, hint } from '../cli/hint.js';
import { parseWhen, requireDuration } from '../cli/time.js';

/** The pause of a queue in a row about the queue. All are null where it is not paused. */
export interface PauseColumns {
  paused_at: Timestamp | null;
  paused_until: Timestamp | null;
  paused_by: string | null;
  pause_reason: string | null;
}

export const withPause = <Row extends { queue_name: string }>(
  row: Row,
  pauses: ReadonlyMap<string, QueuePause>,
): Row & PauseColumns => {
  const pause = pauses.get(row.queue_name);
  return {
    ...row,
    paused_at: pause?.paused_at ?? null,
    paused_until: pause?.paused_until ?? null,
    paused_by: pause?.paused_by ?? null,
    pause_reason: pause?.reason ?? null,
  };
};

/** Columns of the pause; a terminal shows them only where a queue is paused. */
export const pauseColumns = (rows: readonly object[], { tty }: Pick<RenderContext, 'tty'>): Column[] =>
  tty && !rows.some((row) => (row as Partial<PauseColumns>).paused_at != null)
    ? []
    : [
        { key: 'paused_at', label: 'PAUSED', type: 'time' },
        { key: 'paused_until', label: 'UNTIL', type: 'time', drop: 1 },
        { key: 'pause_reason', label: 'WHY', drop: 2 },
      ];

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
