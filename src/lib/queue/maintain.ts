/** The chores that pg_cron would do, once: weeks ahead, one batch of cleanup a queue, one old partition a table. */
import { cleanupByPolicy } from '../../sql/cleanup.js';
import {
  countPartitions,
  ensurePartitions,
  listDetachCandidates,
  listHalfDetached,
  type DetachCandidate,
} from '../../sql/partitions.js';
import type { Database } from '../connection/database.js';
import { detach, finish } from './detach.js';
import { CliError, exit, toCliError } from '../cli/errors.js';

/** What one chore did for one queue. */
export interface Chore {
  chore: 'partitions' | 'cleanup' | 'detach';
  queue_name: string;
  /** Partitions made. */
  partitions_created: number | null;
  tasks_deleted: number | null;
  events_deleted: number | null;
  /** The partition that was detached and dropped. */
  partition: string | null;
  /** Why it could not be done; null when it was. */
  error: string | null;
}

/** A table that stays busy is left for the next time. */
const lockTimeoutMs = 10_000;

/**
 * One queue's trouble keeps no other from its chores: it is told in its row. What ends everything (a lost connection, Ctrl-C,
 * a missing schema) is raised; a missing right too, of the only queue, or where no chore could be done for want of it.
 */
export async function maintain(db: Database, queues: readonly string[]): Promise<Chore[]> {
  const chores: Chore[] = [];
  const refusals: unknown[] = [];
  /** A row for each chore; none where `work` finds that there is nothing to do. */
  const attempt = async (
    chore: Chore['chore'],
    queue: string,
    work: () => Promise<Partial<Chore> | null>,
    partition: string | null = null,
  ): Promise<void> => {
    const blank = { partitions_created: null, tasks_deleted: null, events_deleted: null, partition, error: null };
    try {
      const done = await work();
      if (done !== null) chores.push({ chore, queue_name: queue, ...blank, ...done });
    } catch (error) {
      const plain = toCliError(error);
      const refused = plain.code === 'not_permitted';
      if (endsAll(plain) || (refused && queues.length === 1)) throw error;
      if (refused) refusals.push(error);
      chores.push({ chore, queue_name: queue, ...blank, error: plain.message });
    }
  };
  for (const queue of queues) {
    // First: where one is half gone, its table lets no other go, and its week cannot be made.
    const halves = await db.read((read) => listHalfDetached(read, [queue]));
    for (const half of halves.filter(({ pid }) => pid === null)) {
      await attempt('detach', queue, () => without(finish(db, half, true)), half.partition);
    }
    await attempt('partitions', queue, async () => {
      const before = await db.read((read) => countPartitions(read, queue));
      await db.transaction((transaction) => ensurePartitions(transaction, queue), { lockTimeoutMs });
      return { partitions_created: (await db.read((read) => countPartitions(read, queue))) - before };
    });
    await attempt('cleanup', queue, async () => {
      const [batch] = await db.transaction((transaction) => cleanupByPolicy(transaction, queue), {
        lockTimeoutMs,
        touched: ([done]) => {
          const count = done?.tasks_deleted ?? 0;
          return count > 0 || (done?.events_deleted ?? 0) > 0 ? { queue, count } : [];
        },
      });
      return { tasks_deleted: batch?.tasks_deleted ?? 0, events_deleted: batch?.events_deleted ?? 0 };
    });
    // A table that somebody is taking a partition from is left to them.
    const busy = halves.flatMap(({ parent, pid }) => (pid === null ? [] : [parent]));
    let candidates: DetachCandidate[] = [];
    await attempt('detach', queue, async () => {
      candidates = oldestOfEach(await db.read((read) => listDetachCandidates(read, queue)));
      return null;
    });
    for (const candidate of candidates) {
      if (busy.includes(candidate.parent)) continue;
      await attempt('detach', queue, () => without(detach(db, candidate, true)), candidate.partition);
    }
  }
  if (refusals.length > 0 && refusals.length === chores.length) throw refusals[0];
  return chores;
}

/** A detaching tells its row nothing beside the partition. */
const without = (work: Promise<unknown>): Promise<Partial<Chore>> => work.then(() => ({}));

/** Candidates come oldest first within their parent; more than one at a time would lock its table for longer. */
function oldestOfEach(candidates: readonly DetachCandidate[]): DetachCandidate[] {
  const parents = new Map<string, DetachCandidate>();
  for (const candidate of candidates) if (!parents.has(candidate.parent)) parents.set(candidate.parent, candidate);
  return [...parents.values()];
}

const endsAll = ({ exitCode, code }: CliError): boolean =>
  exitCode === exit.interrupted || exitCode === exit.unreachable || ['read_only', 'sqlstate_42883'].includes(code);
