/** The indexes of queues: finds missing ones, and builds one while workers run. */
import { createHash } from 'node:crypto';
import { queueIndexes, type IndexDescription } from './description.js';
import { quoteIdent } from './identifiers.js';
import type { Queryable } from './queryable.js';

/** An index that a queue lacks. */
export interface MissingIndex {
  queue_name: string;
  table_name: string;
  index_name: string;
  /** True if an invalid one exists: its build was interrupted, is in progress, or lacks partitions. */
  broken: boolean;
  partitioned: boolean;
  /** The planner's estimate; of a table that was never analysed, by its size. */
  rows: number;
  bytes: number;
}

/** Rows and bytes of table `t` with all its partitions, as a lateral subquery `size`. */
export const sizeOfTable = `
  lateral (
    select coalesce(sum(case when leaf.reltuples < 0 then pg_relation_size(leaf.oid) / 200 else leaf.reltuples end), 0)::float8 as rows,
           coalesce(sum(pg_relation_size(leaf.oid)), 0)::float8 as bytes
      from pg_class leaf
     where leaf.relkind = 'r'
       -- By an array, so that the catalog is looked up and not read from end to end for each table.
       and leaf.oid = any (t.oid || array(select tree.relid::oid from pg_partition_tree(t.oid) tree))
  ) size`;

/** Reads the catalogs only. Missing tables are ignored. */
export async function listMissingIndexes(db: Queryable): Promise<MissingIndex[]> {
  const { rows } = await db.query<MissingIndex>(
    `select q.queue_name, part.letter || '_' || q.queue_name as table_name,
            part.letter || '_' || q.queue_name || '_' || part.label as index_name,
            i.indexrelid is not null as broken, t.relkind = 'p' as partitioned, size.rows, size.bytes
       from absurd.queues q
      cross join unnest($1::text[], $2::text[]) with ordinality part (letter, label, position)
       join pg_class t on t.oid = to_regclass(format('absurd.%I', part.letter || '_' || q.queue_name))
       left join pg_class x on x.relnamespace = t.relnamespace
                           and x.relname = part.letter || '_' || q.queue_name || '_' || part.label
       left join pg_index i on i.indexrelid = x.oid
      cross join ${sizeOfTable}
      where i.indexrelid is null or not i.indisvalid
      order by q.queue_name, part.position`,
    [queueIndexes.map(({ letter }) => letter), queueIndexes.map(({ label }) => label)],
  );
  return rows;
}

const table = (name: string): string => `absurd.${quoteIdent(name)}`;

/** What an index is on: `(task_id)`. Raises for a name that is none of a queue's. */
function definitionOf({ index_name: index, queue_name: queue }: MissingIndex): IndexDescription {
  const definition = queueIndexes.find(({ letter, label }) => index === `${letter}_${queue}_${label}`);
  if (definition === undefined) throw new Error(`there is no definition of index ${index}`);
  return definition;
}

/**
 * The name of a partition's index, the same at every try, so that a broken one is found. Where the plain name would be too
 * long for the server it is a digest, which no part of a queue is named like.
 */
export function partitionIndexName(index: MissingIndex, partition: string): string {
  const { label } = definitionOf(index);
  const plain = `${partition}_${label}`;
  if (Buffer.byteLength(plain) <= 63) return plain;
  return `absurd_${createHash('md5').update(plain).digest('hex')}_${label}`;
}

/** Builds an index without blocking writers, in its own transaction, which lasts as long as the build. */
export async function createConcurrently(
  db: Queryable,
  index: MissingIndex,
  on: string,
  indexName: string,
): Promise<void> {
  const { on: columns } = definitionOf(index);
  await db.query(`create index concurrently ${quoteIdent(indexName)} on ${table(on)} ${columns}`);
}

/** The index of a partitioned table itself, not valid until every partition's is attached. */
export async function createOnParent(db: Queryable, index: MissingIndex): Promise<void> {
  const { on: columns } = definitionOf(index);
  await db.query(
    `create index if not exists ${quoteIdent(index.index_name)} on only ${table(index.table_name)} ${columns}`,
  );
}

export async function attachIndex(db: Queryable, index: MissingIndex, partitionIndex: string): Promise<void> {
  await db.query(`alter index ${table(index.index_name)} attach partition ${table(partitionIndex)}`);
}

/** A session that builds an index on a table; null figures where this role may not see them. */
export interface Builder {
  pid: number;
  application: string | null;
  phase: string | null;
  /** Parts done and parts there are in this phase, of whatever is counted in it. */
  done: number | null;
  total: number | null;
  /** The session that the build waits for, unless it is the one that asks. */
  waits_for: number | null;
}

const builderColumns = `p.pid, a.application_name as application, p.phase,
  case when p.blocks_total > 0 then p.blocks_done when p.tuples_total > 0 then p.tuples_done
       when p.lockers_total > 0 then p.lockers_done end::float8 as done,
  case when p.blocks_total > 0 then p.blocks_total when p.tuples_total > 0 then p.tuples_total
       when p.lockers_total > 0 then p.lockers_total end::float8 as total,
  nullif(nullif(p.current_locker_pid, 0), pg_backend_pid())::int as waits_for`;

/** The session that answers, as in pg_stat_activity. */
export async function readBackendPid(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ pid: number }>('select pg_backend_pid() as pid');
  return rows[0]?.pid ?? 0;
}

/** The progress of a session's build; null if it builds nothing. */
export async function readProgress(db: Queryable, pid: number): Promise<Builder | null> {
  const { rows } = await db.query<Builder>(
    `select ${builderColumns} from pg_stat_progress_create_index p left join pg_stat_activity a on a.pid = p.pid where p.pid = $1`,
    [pid],
  );
  return rows[0] ?? null;
}

export interface IndexState {
  there: boolean;
  valid: boolean;
  /**
   * The session that builds it, or may build it: the server shows which index a session builds only to its own role.
   */
  builder: Builder | null;
}

/**
 * Reads an index by name. A running build and an interrupted one look the same, except for the lock that every
 * concurrent build holds on its table.
 */
export async function readIndexState(db: Queryable, tableName: string, indexName: string): Promise<IndexState> {
  const { rows } = await db.query<{ there: boolean; valid: boolean } & Partial<Builder>>(
    `select x.oid is not null as there, coalesce(i.indisvalid, false) as valid, b.*
       from (select to_regclass($1) as oid) t
       left join pg_class x on x.oid = to_regclass($2)
       left join pg_index i on i.indexrelid = x.oid
       left join lateral (
         select ${builderColumns}
           from pg_stat_progress_create_index p
           join pg_locks l on l.pid = p.pid and l.locktype = 'relation' and l.relation = t.oid and l.granted
                          and l.mode = 'ShareUpdateExclusiveLock'
           left join pg_stat_activity a on a.pid = p.pid
          where p.datid = (select d.oid from pg_database d where d.datname = current_database())
            and (p.index_relid is null or p.index_relid in (0, x.oid))
          limit 1
       ) b on x.oid is not null and not i.indisvalid`,
    [table(tableName), table(indexName)],
  );
  const found = rows[0];
  if (!found) return { there: false, valid: false, builder: null };
  const { there, valid, pid, application = null, phase = null, done = null, total = null, waits_for = null } = found;
  return {
    there,
    valid,
    builder: typeof pid === 'number' ? { pid, application, phase, done, total, waits_for } : null,
  };
}

/**
 * Drops an index that is still not valid once no build can be under way: the lock is the one that a build holds.
 * The caller's transaction has a lock timeout. Locks the table, for a moment.
 */
export async function dropInvalidIndex(db: Queryable, tableName: string, indexName: string): Promise<void> {
  await db.query(`lock table only ${table(tableName)} in share update exclusive mode`);
  const { rows } = await db.query<{ valid: boolean }>(
    `select i.indisvalid as valid from pg_index i where i.indexrelid = to_regclass($1)`,
    [table(indexName)],
  );
  if (rows[0]?.valid === false) await db.query(`drop index ${table(indexName)}`);
}

export interface PartitionIndex {
  partition: string;
  /** The partition's index that is attached; null where there is none. */
  attached: string | null;
  rows: number;
  bytes: number;
}

/** The partitions of an index's table, those that it lacks first in order of their names. */
export async function listPartitionIndexes(db: Queryable, index: MissingIndex): Promise<PartitionIndex[]> {
  const { rows } = await db.query<PartitionIndex>(
    `select t.relname::text as partition, attached.name as attached, size.rows, size.bytes
       from pg_inherits h
       join pg_class t on t.oid = h.inhrelid
       left join lateral (
         select x.relname::text as name
           from pg_inherits k
           join pg_index i on i.indexrelid = k.inhrelid and i.indrelid = t.oid
           join pg_class x on x.oid = i.indexrelid
          where k.inhparent = to_regclass($2)
       ) attached on true
      cross join ${sizeOfTable}
      where h.inhparent = to_regclass($1)
      order by 1`,
    [table(index.table_name), table(index.index_name)],
  );
  return rows;
}
