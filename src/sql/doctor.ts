import { ms, type BoundedReader } from './bounded.js';
import type { ColumnDescription } from './description.js';
import { detachingPid } from './partitions.js';

/** Facts about a whole database for `doctor`. Catalogs and statistics only: nothing here depends on how much work there is. */

export interface SchemaFacts {
  database: string;
  installed: boolean;
  version: string | null;
  /** Null on a schema that is not ours. */
  revision: number | null;
  /** Whether pg_cron is in this database. */
  cron: boolean;
  /** Settings of a role or the database that stop the clock for all its sessions. */
  frozen_at: string | null;
  /** The role that it is stopped for; null for every role. */
  frozen_for: string | null;
  /** Whether in this database alone. */
  frozen_in: boolean;
}

export async function readSchema(reader: BoundedReader): Promise<SchemaFacts | null> {
  const found = await reader.row<{
    database: string;
    installed: boolean;
    cron: boolean;
    versioned: boolean;
    revised: boolean;
    frozen_at: string | null;
    frozen_for: string | null;
    frozen_in: boolean;
  }>(
    'the schema',
    `select current_database()::text as database, to_regclass('absurd.queues') is not null as installed,
            -- By the catalogs: a role without rights on the schema may not name the table.
            exists (select from pg_class j join pg_namespace n on n.oid = j.relnamespace
                     where n.nspname = 'cron' and j.relname = 'job') as cron,
            to_regprocedure('absurd.get_schema_version()') is not null as versioned,
            to_regprocedure('absurd.get_schema_revision()') is not null as revised,
            f.frozen_at, f.frozen_for, coalesce(f.frozen_in, false) as frozen_in
       from (values (1)) as always
       left join lateral (
         select substr(c.setting, length('absurd.fake_now=') + 1) as frozen_at,
                case when s.setrole <> 0 then pg_get_userbyid(s.setrole)::text end as frozen_for,
                s.setdatabase <> 0 as frozen_in
           from pg_db_role_setting s cross join lateral unnest(s.setconfig) as c (setting)
          where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
            and c.setting ~ '^absurd[.]fake_now=.'
          order by s.setrole, s.setdatabase limit 1
       ) f on true`,
  );
  if (!found) return null;
  const one = async (name: string): Promise<string | null> =>
    (await reader.row<{ value: string }>(`absurd.${name}()`, `select absurd.${name}()::text as value`))?.value ?? null;
  const revision = found.revised ? await one('get_schema_revision') : null;
  return {
    database: found.database,
    installed: found.installed,
    cron: found.cron,
    version: found.versioned ? await one('get_schema_version') : null,
    revision: revision === null ? null : Number(revision),
    frozen_at: found.frozen_at,
    frozen_for: found.frozen_for,
    frozen_in: found.frozen_in,
  };
}

/** Functions that are missing. */
export async function readDrift(reader: BoundedReader, functions: string[]): Promise<string[]> {
  const missing = await reader.catalogs<{ name: string }>(
    'the functions',
    `select f.name from unnest($1::text[]) as f (name)
      where not exists (select 1 from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                         where n.nspname = 'absurd' and p.proname = f.name)
      order by 1`,
    [functions],
  );
  return (missing ?? []).map((row) => `function ${row.name} is missing`);
}

export interface DriftedColumn {
  table_name: string;
  column_name: string;
  /** Its type; null where it is missing. */
  type: string | null;
  expected: string;
}

/** Columns of these queues' tables that are missing or have another type. */
export async function readDriftedColumns(
  reader: BoundedReader,
  queues: readonly string[],
  expected: readonly ColumnDescription[],
): Promise<DriftedColumn[] | null> {
  return reader.catalogs<DriftedColumn>(
    'the columns',
    `with expected as materialized (
       select x.letter, x.column_name, x.type, to_regtype(x.type)::oid as oid
         from unnest($2::text[], $3::text[], $4::text[]) as x (letter, column_name, type)
     )
     select c.relname::text as table_name, x.column_name, format_type(a.atttypid, a.atttypmod) as type, x.type as expected
       from unnest($1::text[]) as q (name)
      cross join expected x
       join pg_class c on c.relname = x.letter || '_' || q.name and c.relkind in ('r', 'p') and not c.relispartition
       join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'absurd'
       left join pg_attribute a
         on a.attrelid = c.oid and a.attname = x.column_name and a.attnum > 0 and not a.attisdropped
      where a.atttypid is distinct from x.oid or a.atttypmod <> -1
      order by 1, 2`,
    [
      queues,
      expected.map(({ letter }) => letter),
      expected.map(({ column }) => column),
      expected.map(({ type }) => type),
    ],
  );
}

export interface IndexFacts {
  index_name: string;
  table_name: string;
  /** Null: the index does not exist. */
  valid: boolean | null;
}

/** Indexes that are not valid, and those that queues should have and lack. */
export async function readIndexes(
  reader: BoundedReader,
  queues: readonly string[],
  expected: readonly { letter: string; label: string }[],
): Promise<IndexFacts[] | null> {
  return reader.catalogs<IndexFacts>(
    'the indexes',
    `select i.relname::text as index_name, c.relname::text as table_name, false as valid
       from pg_index x
       join pg_class i on i.oid = x.indexrelid
       join pg_class c on c.oid = x.indrelid
       join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'absurd' and not (x.indisvalid and x.indisready)
     union all
     select c.relname || '_' || e.label, c.relname::text, null
       from unnest($1::text[]) as q (name)
      cross join unnest($2::text[], $3::text[]) as e (letter, label)
       join pg_class c on c.relname = e.letter || '_' || q.name and c.relkind in ('r', 'p') and not c.relispartition
       join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'absurd'
      where not exists (select from pg_class i
                         where i.relnamespace = n.oid and i.relname = c.relname || '_' || e.label and i.relkind in ('i', 'I'))
      order by 1`,
    [queues, expected.map(({ letter }) => letter), expected.map(({ label }) => label)],
  );
}

export interface TableHealth {
  table_name: string;
  live: number;
  dead: number;
  /** Dead rows at which autovacuum would start. */
  vacuum_at: number;
  /** By the table's own option. */
  autovacuum_enabled: boolean;
  /** Whether the server runs autovacuum at all. */
  autovacuum_runs: boolean;
  /** Milliseconds since 1970; the later of a manual and an automatic one. */
  vacuumed_at: number | null;
  /** Transactions since the oldest unfrozen row, and where the server forces a freeze. */
  frozen_age: number;
  freeze_max_age: number;
}

/** The tables that any rule could name: those with `minDead` dead rows or, where autovacuum is off, rows at all, and old ones. */
export async function readTableHealth(reader: BoundedReader, minDead: number): Promise<TableHealth[] | null> {
  return reader.catalogs<TableHealth>(
    'the tables',
    `select c.relname::text as table_name, s.live, s.dead,
            (coalesce(option.threshold, current_setting('autovacuum_vacuum_threshold'))::float8
              + coalesce(option.scale, current_setting('autovacuum_vacuum_scale_factor'))::float8
              * greatest(c.reltuples, 0))::float8 as vacuum_at,
            coalesce(option.enabled::bool, true) as autovacuum_enabled,
            current_setting('autovacuum')::bool and current_setting('track_counts')::bool as autovacuum_runs,
            ${ms('greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid))')} as vacuumed_at,
            age(c.relfrozenxid)::float8 as frozen_age,
            current_setting('autovacuum_freeze_max_age')::float8 as freeze_max_age
       from pg_class c
       join pg_namespace n on n.oid = c.relnamespace
      cross join lateral (
         select pg_stat_get_live_tuples(c.oid)::float8 as live, pg_stat_get_dead_tuples(c.oid)::float8 as dead) as s
      cross join lateral (
         select max(o.option_value) filter (where o.option_name = 'autovacuum_vacuum_threshold') as threshold,
                max(o.option_value) filter (where o.option_name = 'autovacuum_vacuum_scale_factor') as scale,
                max(o.option_value) filter (where o.option_name = 'autovacuum_enabled') as enabled
           from pg_options_to_table(c.reloptions) as o) as option
      where n.nspname = 'absurd' and c.relkind = 'r'
        and (s.live + s.dead >= $1 or age(c.relfrozenxid) > current_setting('autovacuum_freeze_max_age')::float8)
      order by 1`,
    [minDead],
  );
}

export interface SessionFacts {
  pid: number | null;
  application: string | null;
  user_name: string | null;
  state: string | null;
  query: string | null;
  transaction_seconds: number | null;
  /** How long it has been in its present state. */
  state_seconds: number | null;
  /** True where it holds back the removal of dead rows. */
  holds_snapshot: boolean;
  prepared: string | null;
}

/** Transactions of this database that have been open for at least `minSeconds`, prepared ones too; the oldest 20. */
export async function readOldTransactions(reader: BoundedReader, minSeconds: number): Promise<SessionFacts[] | null> {
  return reader.catalogs<SessionFacts>(
    'the sessions',
    `select * from (
       select a.pid, a.application_name as application, a.usename::text as user_name, a.state, left(a.query, 200) as query,
              extract(epoch from clock_timestamp() - a.xact_start)::float8 as transaction_seconds,
              extract(epoch from clock_timestamp() - a.state_change)::float8 as state_seconds,
              a.backend_xmin is not null or a.backend_xid is not null as holds_snapshot, null as prepared
         from pg_stat_activity a
        where a.datname = current_database() and a.pid <> pg_backend_pid() and a.xact_start is not null
          and a.backend_type = 'client backend'
       union all
       select null, null, p.owner::text, 'prepared', null,
              extract(epoch from clock_timestamp() - p.prepared)::float8, null, true, p.gid
         from pg_prepared_xacts p where p.database = current_database()) as s
      where s.transaction_seconds >= $1
      order by s.transaction_seconds desc
      limit 20`,
    [minSeconds],
  );
}

/** A connection limit, and the programs that use it. */
export interface ConnectionLimit {
  of: 'server' | 'role' | 'database';
  /** The role or the database; null for the server. */
  name: string | null;
  limit: number;
  used: number;
  /** Programs with the most of them, at most three. */
  holders: { application: string; user_name: string; connections: number; idle: number }[];
}

export interface ServerFacts {
  limits: ConnectionLimit[];
  /** Replication slots that hold back the removal of dead rows, with their distance in transactions. */
  slots: { slot_name: string; active: boolean; xmin_age: number }[];
}

export async function readServer(reader: BoundedReader): Promise<ServerFacts | null> {
  const limits = await reader.catalogs<Omit<ConnectionLimit, 'holders'> & { holders: string }>(
    'the connections',
    // The kind of a hidden session is unknown; only client sessions have a database, and a few others that are not
    // hidden.
    `with client as materialized (
       select a.usename::text as user_name, a.datname::text as database, coalesce(a.application_name, '') as application, a.state
         from pg_stat_activity a
        where a.datid is not null and a.usename is not null and coalesce(a.backend_type, 'client backend') = 'client backend'
     ),
     one as (
       select 'server' as of, null::text as name,
              current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                -- From PostgreSQL 16 on, some can be kept for the roles of pg_use_reserved_connections.
                - coalesce(current_setting('reserved_connections', true)::int, 0) as "limit"
       union all
       select 'role', r.rolname::text, r.rolconnlimit from pg_roles r where r.rolconnlimit >= 0 and not r.rolsuper
       union all
       select 'database', d.datname::text, d.datconnlimit from pg_database d
        where d.datconnlimit >= 0 and d.datname = current_database()
     )
     select one.of, one.name, one."limit",
            (select count(*)::int from client c where one.of = 'server' or one.name = case one.of when 'role' then c.user_name else c.database end) as used,
            (select coalesce(jsonb_agg(h order by h.connections desc, h.application, h.user_name), '[]')::text
               from (select c.application, c.user_name, count(*)::int as connections,
                            (count(*) filter (where c.state = 'idle'))::int as idle
                       from client c
                      where one.of = 'server' or one.name = case one.of when 'role' then c.user_name else c.database end
                      group by 1, 2 order by 3 desc, 1, 2 limit 3) as h) as holders
       from one`,
  );
  const slots = await reader.catalogs<ServerFacts['slots'][number]>(
    'the replication slots',
    `select s.slot_name::text as slot_name, s.active,
            greatest(age(s.xmin), age(s.catalog_xmin))::float8 as xmin_age
       from pg_replication_slots s where s.xmin is not null`,
  );
  return (
    limits && {
      limits: limits.map((limit) => ({ ...limit, holders: JSON.parse(limit.holders) as ConnectionLimit['holders'] })),
      slots: slots ?? [],
    }
  );
}

export interface PartitionFacts {
  parent: string;
  partition: string;
  is_default: boolean;
  /** Upper bound as the server writes it. */
  bound: string;
  /** A concurrent detach was interrupted, and no process is completing it, as far as this role can see. */
  half_detached: boolean;
}

export async function readPartitions(reader: BoundedReader): Promise<PartitionFacts[] | null> {
  return reader.catalogs<PartitionFacts>(
    'the partitions',
    `select p.relname::text as parent, c.relname::text as partition,
            pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' as is_default, pg_get_expr(c.relpartbound, c.oid) as bound,
            i.inhdetachpending and ${detachingPid} is null as half_detached
       from pg_inherits i
       join pg_class p on p.oid = i.inhparent
       join pg_class c on c.oid = i.inhrelid
       join pg_namespace n on n.oid = p.relnamespace
      where n.nspname = 'absurd' and p.relkind = 'p'`,
  );
}
