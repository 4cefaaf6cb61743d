/**
 * What an upgrade would build in the tables of existing queues, and how to build it beforehand without holding up workers.
 * The definitions are those of `_queue_parts` in sql/absurd.sql, which finds them done; a test compares the two.
 */
import { quoteIdent } from './identifiers.js';
import type { Queryable } from './queryable.js';

interface IndexDefinition {
  letter: 't' | 'r' | 'w' | 'e';
  label: string;
  on: string;
}

const definitions: IndexDefinition[] = [
  { letter: 't', label: 'due', on: '(cancel_due) where cancel_due is not null' },
  { letter: 't', label: 'can', on: '(cancelled_at) where cancelled_at is not null' },
  { letter: 'r', label: 'sai', on: '(state, available_at)' },
  { letter: 'r', label: 'ti', on: '(task_id)' },
  { letter: 'r', label: 'cei', on: `(claim_expires_at) where state = 'running' and claim_expires_at is not null` },
  { letter: 'r', label: 'rdy', on: `(available_at, run_id) where state in ('pending', 'sleeping')` },
  { letter: 'r', label: 'end', on: `((coalesce(completed_at, failed_at))) where state in ('completed', 'failed')` },
  { letter: 'e', label: 'eai', on: '(emitted_at)' },
  { letter: 'w', label: 'eni', on: '(event_name)' },
  { letter: 'w', label: 'ti', on: '(task_id)' },
];

/** An index that a queue lacks. */
export interface MissingIndex {
  queue_name: string;
  table_name: string;
  index_name: string;
  /** True when a build broke off and left it invalid. */
  broken: boolean;
  partitioned: boolean;
  /** The planner's estimate; of a table that was never analysed, by its size. */
  rows: number;
  bytes: number;
}

/** Looks in the catalogs only. Tables that are missing are no business of an index. */
export async function listMissingIndexes(db: Queryable): Promise<MissingIndex[]> {
  const { rows } = await db.query<MissingIndex>(
    `select q.queue_name, part.letter || '_' || q.queue_name as table_name,
            part.letter || '_' || q.queue_name || '_' || part.label as index_name,
            i.indexrelid is not null as broken, t.relkind = 'p' as partitioned,
            size.rows::float8 as rows, size.bytes::float8 as bytes
       from absurd.queues q
      cross join unnest($1::text[], $2::text[]) part (letter, label)
       join pg_class t on t.oid = to_regclass(format('absurd.%I', part.letter || '_' || q.queue_name))
       left join pg_class x on x.relnamespace = t.relnamespace
                           and x.relname = part.letter || '_' || q.queue_name || '_' || part.label
       left join pg_index i on i.indexrelid = x.oid
      cross join lateral (
        select coalesce(sum(case when leaf.reltuples < 0 then pg_relation_size(leaf.oid) / 200 else leaf.reltuples end), 0) as rows, coalesce(sum(pg_relation_size(leaf.oid)), 0) as bytes
          from pg_class leaf
         where leaf.relkind = 'r'
           and (leaf.oid = t.oid or leaf.oid in (select tree.relid from pg_partition_tree(t.oid) tree))
      ) size
      where i.indexrelid is null or not i.indisvalid
      order by q.queue_name, part.letter, part.label`,
    [definitions.map(({ letter }) => letter), definitions.map(({ label }) => label)],
  );
  return rows;
}

const indexName = (name: string): string => `absurd.${quoteIdent(name)}`;

/**
 * The statements that build one index beside working workers, each to be run by itself: a broken one goes first, and the
 * column that one of them is on comes before it. Partitioned tables are left to the upgrade, which builds partition by
 * partition.
 */
export function buildStatements({
  table_name: table,
  index_name: index,
  broken,
  queue_name: queue,
}: MissingIndex): string[] {
  const definition = definitions.find(({ letter, label }) => index === `${letter}_${queue}_${label}`);
  if (definition === undefined) return [];
  const column =
    definition.label === 'due'
      ? [`alter table absurd.${quoteIdent(table)} add column if not exists cancel_due timestamptz`]
      : [];
  return [
    ...(broken ? [`drop index concurrently if exists ${indexName(index)}`] : []),
    ...column,
    `create index concurrently ${quoteIdent(index)} on absurd.${quoteIdent(table)} ${definition.on}`,
  ];
}

export async function runStatement(db: Queryable, statement: string): Promise<void> {
  await db.query(statement);
}

/** Everything in the schema that an upgrade could change, one line a thing: what it is, and a digest of how it is. */
export async function describeSchema(db: Queryable): Promise<Map<string, string>> {
  const { rows } = await db.query<{ what: string; how: string }>(
    `select 'function ' || p.oid::regprocedure as what, md5(pg_get_functiondef(p.oid)) as how
       from pg_proc p where p.pronamespace = to_regnamespace('absurd') and p.prokind = 'f'
     union all
     select format('column %s.%s', a.attrelid::regclass, a.attname), format_type(a.atttypid, a.atttypmod) || a.attnotnull
       from pg_attribute a join pg_class c on c.oid = a.attrelid
      where c.relnamespace = to_regnamespace('absurd') and c.relkind in ('r', 'p') and not c.relispartition
        and a.attnum > 0 and not a.attisdropped
     union all
     select 'index ' || i.indexrelid::regclass, pg_get_indexdef(i.indexrelid) || i.indisvalid
       from pg_index i join pg_class c on c.oid = i.indrelid
      where c.relnamespace = to_regnamespace('absurd') and not c.relispartition
     union all
     select format('trigger %s on %s', g.tgname, g.tgrelid::regclass), md5(pg_get_triggerdef(g.oid))
       from pg_trigger g join pg_class c on c.oid = g.tgrelid
      where c.relnamespace = to_regnamespace('absurd') and not g.tgisinternal and not c.relispartition`,
  );
  return new Map(rows.map(({ what, how }) => [what, how]));
}
