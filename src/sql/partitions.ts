import { partitionedLettersSql } from './description.js';
import { pastedIdent, quoteIdent } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';

export interface DetachCandidate {
  partition: string;
  queue: string;
  parent: string;
}

/** Old, empty partitions that the queues' policies allow to be detached, by queue and parent, the oldest first. */
export async function listDetachCandidates(db: Queryable, queueName: string | null): Promise<DetachCandidate[]> {
  const { rows } = await db.query<DetachCandidate>(
    `select c.partition_table as partition, c.queue_name as queue, c.parent_table as parent
       from absurd.list_detach_candidates($1) with ordinality c (queue_name, parent_table, partition_table, place)
      order by c.place`,
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

/** The statement that detaches, safe to paste. A concurrent one cannot run inside a transaction. */
export function detachStatement({ partition, parent }: DetachCandidate, concurrently: boolean): string {
  const how = concurrently ? ' concurrently' : '';
  return `alter table absurd.${pastedIdent(parent)} detach partition absurd.${pastedIdent(partition)}${how}`;
}

export async function detachPartition(db: Queryable, candidate: DetachCandidate, concurrently: boolean): Promise<void> {
  await db.query(detachStatement(candidate, concurrently));
}

/**
 * A partition whose concurrent detach was interrupted: queries skip it, and no other partition can be detached before
 * it.
 */
export interface HalfDetached extends DetachCandidate {
  /** The process that is detaching it, as far as this role can see; null if it was interrupted. */
  pid: number | null;
}

/** Of a partition `c` of pg_class: the process that is detaching it, null where none is seen. */
export const detachingPid = `(
              select min(a.pid) from pg_stat_activity a
               where a.datname = current_database() and a.pid <> pg_backend_pid() and a.state = 'active'
                 and a.query ilike '%detach partition%' and strpos(a.query, c.relname) > 0)`;

export async function listHalfDetached(db: Queryable, queueNames: readonly string[]): Promise<HalfDetached[]> {
  const { rows } = await db.query<HalfDetached>(
    `select c.relname::text as partition, q.queue_name as queue, letter || '_' || q.queue_name as parent,
            ${detachingPid} as pid
       from unnest($1::text[]) q (queue_name)
      cross join unnest(${partitionedLettersSql}) letter
       join pg_inherits i on i.inhparent = to_regclass(format('absurd.%I', letter || '_' || q.queue_name))
                         and i.inhdetachpending
       join pg_class c on c.oid = i.inhrelid
      order by q.queue_name, letter`,
    [queueNames],
  );
  return rows;
}

/** Completes an interrupted detach. */
export async function finishDetaching(db: Queryable, { partition, parent }: DetachCandidate): Promise<void> {
  await db.query(`alter table absurd.${quoteIdent(parent)} detach partition absurd.${quoteIdent(partition)} finalize`);
}

/** Drops a partition that is no longer attached; true when it did. */
export async function dropDetachedPartition(db: Queryable, partition: string): Promise<boolean> {
  const { rows } = await db.query<{ dropped: boolean }>('select absurd.drop_detached_partition($1) as dropped', [
    partition,
  ]);
  return rows[0]?.dropped === true;
}

/** Creates the weekly partitions of one queue, or of all (null). */
export async function ensurePartitions(db: Queryable, queueName: string | null): Promise<void> {
  await db.query('select absurd.ensure_partitions($1)', [queueName]);
}

/** How many partitions the queues' tables have, of one queue or all. */
export async function countPartitions(db: Queryable, queueName: string | null): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    `select count(*)::int as n
       from absurd.queues q
      cross join unnest(${partitionedLettersSql}) letter
       join pg_inherits i on i.inhparent = to_regclass(format('absurd.%I', letter || '_' || q.queue_name))
      where $1::text is null or q.queue_name = $1`,
    [queueName],
  );
  return rows[0]?.n ?? 0;
}

/** A partition of a queue's tables, or a former one that is still there. */
export interface PartitionRow {
  partition: string;
  queue_name: string;
  /** The table that it is, or was, a part of. */
  parent: string;
  /** The time range of its ids; null for a default partition and for a detached one. */
  from_at: Timestamp | null;
  to_at: Timestamp | null;
  is_default: boolean;
  attached: boolean;
  /** The planner's estimate; null where it was never analysed. Exact for a default partition. */
  rows: number | null;
  rows_exact: boolean;
  /** With indexes and out-of-line values. */
  bytes: number;
}

/**
 * Partitions in the order of queue, parent and week. From the catalogs alone, but for the rows of default partitions, which
 * are counted: rows there wait for their week, or have missed it. A table counts as a former partition when it bears the name
 * of one and no registered queue owns it. Needs schema 0.4.0.
 */
export async function listPartitions(db: Queryable, queueNames: readonly string[]): Promise<PartitionRow[]> {
  const { rows } = await db.query<PartitionRow>(
    `select c.relname as partition, part.queue_name, part.parent,
            absurd.uuidv7_timestamp(substring(bounds.text from 'FROM [(]''([0-9a-f-]{36})''[)]')::uuid) as from_at,
            absurd.uuidv7_timestamp(substring(bounds.text from 'TO [(]''([0-9a-f-]{36})''[)]')::uuid) as to_at,
            coalesce(bounds.text = 'DEFAULT', false) as is_default,
            i.inhrelid is not null and not i.inhdetachpending as attached,
            nullif(c.reltuples, -1)::float8 as rows,
            false as rows_exact,
            pg_total_relation_size(c.oid)::float8 as bytes
       from (
         select q.queue_name, letter || '_' || q.queue_name as parent, place
           from absurd.queues q
          cross join unnest(${partitionedLettersSql}) with ordinality as l (letter, place)
          where q.queue_name = any ($1::text[])
       ) part
       join pg_class p on p.oid = to_regclass(format('absurd.%I', part.parent)) and p.relkind = 'p'
       join pg_class c on c.relnamespace = p.relnamespace and c.relkind = 'r'
                      and left(c.relname, length(part.parent) + 1) = part.parent || '_'
       left join pg_inherits i on i.inhrelid = c.oid and i.inhparent = p.oid
      cross join lateral (select pg_get_expr(c.relpartbound, c.oid) as text) bounds
      where i.inhrelid is not null
         or (substr(c.relname, length(part.parent) + 2) ~ '^([0-9]{3}|d)$'
             and not c.relispartition
             and not exists (select from absurd.queues other where other.queue_name = substr(c.relname, 3)))
      order by part.queue_name, part.place, attached desc, is_default, from_at, c.relname`,
    [queueNames],
  );
  for (const row of rows.filter((one) => one.is_default)) {
    const counted = await db.query<{ n: number }>(`select count(*) as n from absurd.${quoteIdent(row.partition)}`);
    row.rows = counted.rows[0]?.n ?? null;
    row.rows_exact = true;
  }
  return rows;
}

/** Whether a table or partition of the schema holds a row. */
export async function holdsRows(db: Queryable, table: string): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>(
    `select exists (select from absurd.${quoteIdent(table)}) as found`,
  );
  return rows[0]?.found === true;
}
