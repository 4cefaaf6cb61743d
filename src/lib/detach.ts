/** Takes old, empty partitions away; for detach-candidate and maintain. */
import {
  detachPartition,
  dropDetachedPartition,
  hasDefaultPartition,
  holdsRows,
  type DetachCandidate,
} from '../sql/partitions.js';
import type { Database } from './connection/database.js';
import { refused } from './errors.js';

export interface Detached extends DetachCandidate {
  concurrently: boolean;
  dropped: boolean;
}

/** A partition that is in use is not waited for longer than this. */
const lockTimeoutMs = 10_000;

/** Detaches a candidate, concurrently where PostgreSQL allows it, and drops it if asked to. */
export async function detach(db: Database, candidate: DetachCandidate, drop: boolean): Promise<Detached> {
  const concurrently = !(await db.read((read) => hasDefaultPartition(read, candidate.parent)));
  if (concurrently) await detachPartition(db, candidate, true);
  else await db.transaction((transaction) => detachPartition(transaction, candidate, false), { lockTimeoutMs });
  return { ...candidate, concurrently, dropped: drop && (await dropFormer(db, candidate.partition)) };
}

/** Drops a partition that is no longer attached. Raises exit 4 where rows came in between: nothing may be lost by it. */
export async function dropFormer(db: Database, partition: string): Promise<boolean> {
  if (await db.read((read) => holdsRows(read, partition))) {
    throw refused(
      `Detached partition "${partition}" holds rows`,
      'they came after it was found empty: attach it again, or drop it by hand',
      'partition_not_empty',
    );
  }
  return db.transaction((transaction) => dropDetachedPartition(transaction, partition), { lockTimeoutMs });
}
