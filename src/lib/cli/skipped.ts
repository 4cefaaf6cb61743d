/** Warnings about skipped queues. */
import type { SkippedQueue } from '../../sql/each-queue.js';
import type { Database } from '../connection/database.js';
import { adviseRights } from '../grants/advice.js';
import type { Need } from '../grants/kinds.js';
import { command as typed, hint, type Advice } from './hint.js';

/** Up to this number, each is named. */
const named = 5;

/** Each queue with the reason, and the command that grants a missing right. */
export async function skippedNotes(
  skipped: readonly SkippedQueue[],
  database: Database,
  need: Need,
): Promise<Advice[]> {
  const notes: Advice[] = skipped
    .slice(0, named)
    .map((queue) => hint`Skipped queue "${queue.queue_name}": ${reason(queue)}`);
  if (skipped.length > named) notes.push(`Skipped ${skipped.length - named} more queues`);
  const refused = skipped.find(({ code }) => code === '42501');
  if (refused === undefined) return notes;
  const grant = await database.read((db) => adviseRights(db, need, refused.queue_name)).catch(() => undefined);
  return grant === undefined ? notes : [...notes, grant];
}

function reason({ queue_name: queue, code, reason: message }: SkippedQueue): Advice {
  if (code === '55P03') return hint`another session has locked its tables; ${typed('why', { queue })} names it`;
  if (code === '42P01') return hint`${message}; ${typed('doctor', { only: 'tables-missing' })}`;
  return message;
}
