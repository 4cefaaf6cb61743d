/** What the list commands share: the queues they read, and how much they show. */
import * as Flags from '@oclif/core/flags';
import { wideBytes } from '../../sql/lists.js';
import type { QueueReader } from '../../sql/each-queue.js';
import { ago } from './format/time.js';
import { startsIn } from '../task/delayed.js';
import { command, hint, joined, type Advice } from './hint.js';
import type { Column } from './output.js';
import { wholeNumberFlag } from './flags.js';

export const listFlags = {
  queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'queue to search; default: all' }),
  limit: wholeNumberFlag({
    char: 'l',
    min: 1,
    max: 10_000,
    default: 50,
    helpValue: 'N',
    description: 'maximum number of rows',
  }),
};

/** What narrows a list of tasks or of runs. */
export const filterFlags = {
  'task-name': Flags.string({ char: 'n', helpValue: 'NAME', description: 'only tasks of this name' }),
  since: Flags.string({ helpValue: 'TIME', description: 'active at or after: 2h, 2026-01-02, RFC 3339' }),
  until: Flags.string({ helpValue: 'TIME', description: 'active at or before' }),
  error: Flags.string({
    helpValue: 'TEXT|/REGEX/',
    description: 'only those tasks whose last error contains the text or matches the expression (/…/i ignores case)',
  }),
  worker: Flags.string({ helpValue: 'ID', description: 'only tasks tasks whose latest attempt this worker claimed' }),
  key: Flags.string({ helpValue: 'KEY', description: 'only the task with this idempotency key' }),
};

/** When a task or a run can be claimed next, and the event that it waits for: `in 5m`, `paid:42`, `paid:42, in 5m`. */
export function drawWake(now: Date): Column['draw'] {
  return (_cell, row) => {
    const { state, available_at: at, wake_event: event } = row as Waking;
    if (state !== 'sleeping') return '-';
    if (at === 'infinity') return event ?? 'never';
    return event === null ? ago(at, now) : `${event}, ${ago(at, now)}`;
  };
}

/** The state, or when a delayed task or run starts. */
export function drawState(now: Date): Column['draw'] {
  return (cell, row) => {
    const { attempt, attempts, ...rest } = row as Waking & { attempt?: number; attempts?: number };
    return startsIn({ ...rest, attempt: attempt ?? attempts ?? 0 }, now) ?? String(cell);
  };
}

interface Waking {
  state: string;
  available_at: string;
  started_at: string | null;
  wake_event: string | null;
}

/** The rows to show, in their order, and whether there are more. */
export interface Listed<Row> {
  rows: Row[];
  more: boolean;
  limit: number;
}

/** Reads the queues one by one and keeps the first `limit` rows by `compare`. */
export async function acrossQueues<Row>(
  reader: QueueReader,
  queues: readonly string[],
  limit: number,
  read: (queueName: string, limit: number) => Promise<Row[]>,
  compare: (a: Row, b: Row) => number,
): Promise<Listed<Row>> {
  let rows: Row[] = [];
  await reader.each(queues, async (name) => {
    const found = await read(name, limit + 1);
    // Sorting is stable: equal rows keep the order of their queues.
    rows = [...rows, ...found].sort(compare).slice(0, limit + 1);
  });
  return { rows: rows.slice(0, limit), more: rows.length > limit, limit };
}

/** Compares times as text, latest first, without a time last. RFC 3339 in UTC sorts as text. */
export const latestFirst = (a: string | null, b: string | null): number =>
  a === b ? 0 : (a ?? '') < (b ?? '') ? 1 : -1;

/** Says how to see JSON that was too large for a list, if any was. */
export function wideNote(rows: readonly { bytes: number | null }[], id: string): Advice | undefined {
  const wide = rows.filter(({ bytes }) => (bytes ?? 0) > wideBytes).length;
  if (wide === 0) return undefined;
  return hint`${wide} of more than ${wideBytes} bytes ${wide === 1 ? 'is' : 'are'} omitted here; ${command(id)} prints the whole value`;
}

/** Joins several notes about what is not shown. */
export function joinNotes(...notes: (Advice | undefined)[]): Advice | undefined {
  const said = notes.filter((note) => note !== undefined);
  return said.length === 0 ? undefined : joined(said, '; ');
}

export const cutNote = ({ more, rows, limit }: Listed<unknown>): string | undefined =>
  more ? `Showing ${rows.length}; --limit ${Math.min(limit * 2, 10_000)} shows more` : undefined;
