/** Takes old, empty partitions away; for detach-candidate and maintain. */
import {
  detachPartition,
  dropDetachedPartition,
  finishDetaching,
  hasDefaultPartition,
  holdsRows,
  type DetachCandidate,
  type HalfDetached,
} from '../../sql/partitions.js';
import type { Database, Touched } from '../connection/database.js';
import { refused } from '../cli/errors.js';
import { command, hint } from '../cli/hint.js';

export interface Detached extends DetachCandidate {
  concurrently: boolean;
  dropped: boolean;
}

/** A partition that is in use is not waited for longer than this. */
const lockTimeoutMs = 10_000;

/** Detaches a candidate, concurrently where PostgreSQL allows it, and drops it if asked to. */
export async function detach(db: Database, candidate: DetachCandidate, drop: boolean): Promise<Detached> {
  const concurrently = !(await db.read((read) => hasDefaultPartition(read, candidate.parent)));
  const touched = (): Touched => ({ queue: candidate.queue });
  if (concurrently) {
    await detachPartition(db, candidate, true);
    // It cannot run in a transaction: the row of the operation follows in its own.
    await db.transaction(async () => undefined, { touched });
  } else {
    await db.transaction((transaction) => detachPartition(transaction, candidate, false), { lockTimeoutMs, touched });
  }
  return { ...candidate, concurrently, dropped: drop && (await dropFormer(db, candidate)) };
}

/** Goes on where a concurrent detaching broke off. Raises exit 4 where somebody is still at it. */
export async function finish(db: Database, { pid, ...half }: HalfDetached, drop: boolean): Promise<Detached> {
  if (pid !== null) {
    throw refused(`Process ${pid} is detaching "${half.partition}" just now`, 'wait for it', 'detaching');
  }
  if (drop) await requireEmpty(db, half.partition);
  await finishDetaching(db, half);
  await db.transaction(async () => undefined, { touched: () => ({ queue: half.queue }) });
  return { ...half, concurrently: true, dropped: drop && (await dropFormer(db, half)) };
}

/** Drops a partition that is no longer attached. Raises exit 4 where rows came in between: nothing may be lost by it. */
export async function dropFormer(
  db: Database,
  { partition, queue }: Pick<DetachCandidate, 'partition' | 'queue'>,
): Promise<boolean> {
  await requireEmpty(db, partition);
  return db.transaction((transaction) => dropDetachedPartition(transaction, partition), {
    lockTimeoutMs,
    touched: () => ({ queue }),
  });
}

async function requireEmpty(db: Database, partition: string): Promise<void> {
  if (!(await db.read((read) => holdsRows(read, partition)))) return;
  throw refused(
    `Detached partition "${partition}" holds rows`,
    hint`they were inserted after it was found empty: ${command('attach-partition', partition)} brings them back`,
    'partition_not_empty',
  );
}
