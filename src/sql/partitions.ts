import { pastedIdent } from './identifiers.js';
import type { Queryable } from './queryable.js';

export interface DetachCandidate {
  partition: string;
  queue: string;
  parent: string;
}

/** Old, empty partitions that the queues' policies allow to be detached. */
export async function listDetachCandidates(db: Queryable, queueName: string | null): Promise<DetachCandidate[]> {
  const { rows } = await db.query<DetachCandidate>(
    `select c.partition_table as partition, c.queue_name as queue, c.parent_table as parent
       from absurd.list_detach_candidates($1) c
      order by c.queue_name, c.parent_table, c.partition_table`,
    [queueName],
  );
  return rows;
}

/** Whether a partitioned table has a default partition: then nothing can be detached concurrently. */
export async function hasDefaultPartition(db: Queryable, parent: string): Promise<boolean> {
  const { rows } = await db.query<{ there: boolean }>(
    `select coalesce((select p.partdefid <> 0 from pg_partitioned_table p
                       where p.partrelid = to_regclass(format('absurd.%I', $1::text))), false) as there`,
    [parent],
  );
  return rows[0]?.there === true;
}

/** The statement that detaches, fit to be pasted. A concurrent one cannot run inside a transaction. */
export function detachStatement({ partition, parent }: DetachCandidate, concurrently: boolean): string {
  const how = concurrently ? ' concurrently' : '';
  return `alter table absurd.${pastedIdent(parent)} detach partition absurd.${pastedIdent(partition)}${how}`;
}

export async function detachPartition(db: Queryable, candidate: DetachCandidate, concurrently: boolean): Promise<void> {
  await db.query(detachStatement(candidate, concurrently));
}

/** Drops a partition that is no longer attached; true when it did. */
export async function dropDetachedPartition(db: Queryable, partition: string): Promise<boolean> {
  const { rows } = await db.query<{ dropped: boolean }>('select absurd.drop_detached_partition($1) as dropped', [
    partition,
  ]);
  return rows[0]?.dropped === true;
}

/** Makes the weeks of one queue, or of all (null). */
export async function ensurePartitions(db: Queryable, queueName: string | null): Promise<void> {
  await db.query('select absurd.ensure_partitions($1)', [queueName]);
}

/** How many partitions the queues' tables have, of one queue or all. */
export async function countPartitions(db: Queryable, queueName: string | null): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    `select count(*)::int as n
       from absurd.queues q
      cross join unnest(array['t', 'r', 'c', 'w']) letter
       join pg_inherits i on i.inhparent = to_regclass(format('absurd.%I', letter || '_' || q.queue_name))
      where $1::text is null or q.queue_name = $1`,
    [queueName],
  );
  return rows[0]?.n ?? 0;
}
