import type { BoundedReader } from './bounded.js';

/** A table of the schema, according to the catalogs: what must be known before it is read. */
export interface SurveyedTable {
  table_name: string;
  partitioned: boolean;
  /** Whether this role may read it. */
  readable: boolean;
  /** Whether row-level security hides rows of it from this role. */
  filtered: boolean;
  owner: string;
  /** A session that has locked everybody out of it, or waits to; null: none. */
  locked_by: number | null;
  /** Whether a lock is held that keeps readers out, even where no session holds it (a prepared transaction). */
  locked: boolean;
  /** By the server's statistics; partitioned tables have none. */
  may_have_rows: boolean;
  /** Locks that a read of it takes: the table, its partitions and their indexes. */
  locks: number;
}

/** Every table of the schema that is not a partition. Catalogs only, so it answers even if tables are locked. */
export async function readSurvey(reader: BoundedReader): Promise<SurveyedTable[] | null> {
  return reader.catalogs<SurveyedTable>(
    'the tables of the schema',
    `with exclusive as materialized (
       select coalesce(pg_partition_root(c.oid), c.oid) as root, min(l.pid) as pid
         from pg_locks l
         join pg_class c on c.oid = l.relation
        where l.mode = 'AccessExclusiveLock' and l.locktype = 'relation'
          and l.database = (select d.oid from pg_database d where d.datname = current_database())
          and l.pid is distinct from pg_backend_pid()
        group by 1
     ),
     parts as materialized (select i.inhparent, count(*) as n from pg_inherits i group by 1),
     indexes as materialized (select x.indrelid, count(*) as n from pg_index x group by 1)
     select c.relname::text as table_name, c.relkind = 'p' as partitioned,
            has_table_privilege(c.oid, 'select') as readable, row_security_active(c.oid) as filtered,
            pg_get_userbyid(c.relowner)::text as owner,
            c.relkind = 'p' or pg_stat_get_live_tuples(c.oid) > 0 or c.reltuples > 0 as may_have_rows,
            e.pid as locked_by, e.root is not null as locked,
            ((1 + coalesce(p.n, 0)) * (1 + coalesce(x.n, 0)))::int as locks
       from pg_class c
       join pg_namespace n on n.oid = c.relnamespace
       left join exclusive e on e.root = c.oid
       left join parts p on p.inhparent = c.oid
       left join indexes x on x.indrelid = c.oid
      where n.nspname = 'absurd' and c.relkind in ('r', 'p') and not c.relispartition`,
  );
}
