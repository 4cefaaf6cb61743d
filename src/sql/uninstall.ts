import { ownTables, queueLetters } from './description.js';
import type { Queryable } from './queryable.js';

/** What hangs on the schema, beside the tasks in its queues. */
export interface SchemaHoldings {
  bytes: number;
  /** Tables and views in the schema that belong to no registered queue: `absurd.notes`. */
  strangers: string[];
  /** What stands in other schemas and would go with it, as PostgreSQL names it: `view public.report`. */
  dependents: string[];
  /** Jobs of pg_cron in this database that call it. */
  cron_jobs: string[];
}

/** Looks in the catalogs only, whatever the schema's version. */
export async function readHoldings(db: Queryable): Promise<SchemaHoldings> {
  const { rows } = await db.query<SchemaHoldings>(
    `with ours as materialized (select to_regnamespace('absurd')::oid as id),
          member as materialized (
            select 'pg_class'::regclass as kind, c.oid as id from pg_class c, ours where c.relnamespace = ours.id
            union all
            select 'pg_proc'::regclass, p.oid from pg_proc p, ours where p.pronamespace = ours.id
            union all
            select 'pg_type'::regclass, t.oid from pg_type t, ours where t.typnamespace = ours.id
          ),
          dependent as (
            -- What the tables of a view, constraint, default or trigger belong to says where it stands.
            select 'pg_class'::regclass as kind, v.ev_class as id
              from pg_depend d join member m on m.kind = d.refclassid and m.id = d.refobjid
              join pg_rewrite v on d.classid = 'pg_rewrite'::regclass and v.oid = d.objid
            union
            select d.classid, d.objid
              from pg_depend d join member m on m.kind = d.refclassid and m.id = d.refobjid
             where d.deptype in ('n', 'a')
               and d.classid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_constraint'::regclass, 'pg_trigger'::regclass,
                                 'pg_attrdef'::regclass, 'pg_policy'::regclass)
          ),
          outside as (
            select pg_describe_object(d.kind, d.id, 0) as what
              from dependent d
              left join pg_constraint k on d.kind = 'pg_constraint'::regclass and k.oid = d.id
              left join pg_trigger g on d.kind = 'pg_trigger'::regclass and g.oid = d.id
              left join pg_attrdef a on d.kind = 'pg_attrdef'::regclass and a.oid = d.id
              left join pg_policy y on d.kind = 'pg_policy'::regclass and y.oid = d.id
              left join pg_proc p on d.kind = 'pg_proc'::regclass and p.oid = d.id
              left join pg_class c on c.oid = case when d.kind = 'pg_class'::regclass then d.id
                                                   else coalesce(k.conrelid, g.tgrelid, a.adrelid, y.polrelid) end
             where coalesce(p.pronamespace, c.relnamespace) <> (select ours.id from ours)
               and c.relkind is distinct from 't'
          )
     select (select coalesce(sum(pg_total_relation_size(c.oid)), 0)::float8
               from pg_class c, ours where c.relnamespace = ours.id and c.relkind in ('r', 'm')) as bytes,
            array(
              select format('%I.%I', 'absurd', c.relname)
                from pg_class c, ours
               where c.relnamespace = ours.id and c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relname <> all ($1)
                 and not exists (select from absurd.queues q
                                  where substr(c.relname, 3) = q.queue_name and left(c.relname, 1) = any ($2) and substr(c.relname, 2, 1) = '_'
                                     or substr(c.relname, 3) ~ '_([0-9]{3}|d)$'
                                        and regexp_replace(substr(c.relname, 3), '_([0-9]{3}|d)$', '') = q.queue_name)
               order by c.relname
            ) as strangers,
            array(select distinct o.what from outside o order by o.what) as dependents,
            array[]::text[] as cron_jobs`,
    [ownTables, queueLetters],
  );
  const holdings = rows[0] ?? { bytes: 0, strangers: [], dependents: [], cron_jobs: [] };
  const cron = await db.query<{ there: boolean }>(
    // A name lookup would raise where the role may not use the schema.
    `select exists (
              select from pg_class c
                join pg_namespace n on n.oid = c.relnamespace
               where n.nspname = 'cron' and c.relname = 'job'
                 and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
            ) and to_regprocedure('absurd.disable_cron(text)') is not null as there`,
  );
  if (cron.rows[0]?.there !== true) return holdings;
  const jobs = await db.query<{ jobname: string }>(
    `select j.jobname from cron.job j where starts_with(j.jobname::text, 'absurd_') order by j.jobname`,
  );
  return { ...holdings, cron_jobs: jobs.rows.map((job) => job.jobname) };
}

/** Drops the schema with all in it and all that hangs on it. With `cron`, its jobs go first. Raises 55P03 where it is in use. */
export async function dropSchema(db: Queryable, cron: boolean): Promise<void> {
  if (cron) {
    await db.query(
      `select absurd.disable_cron(scope.queue_name)
         from (select null::text as queue_name union all select q.queue_name from absurd.queues q) scope`,
    );
  }
  await db.query('drop schema absurd cascade');
}
