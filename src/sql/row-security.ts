import type { Queryable } from './queryable.js';

/** Tables of the schema of which row-level security hides rows from this role. */
export interface Filtered {
  me: string;
  owner: string;
  tables: string[];
}

/** Null if no table is filtered, or the schema does not exist. Catalogs only. */
export async function readFiltered(db: Queryable): Promise<Filtered | null> {
  const { rows } = await db.query<Filtered>(
    `select current_user::text as me, pg_get_userbyid(min(c.relowner::int8)::oid)::text as owner,
            array_agg(c.relname::text order by c.relname) as tables
       from pg_class c
       join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'absurd' and c.relkind in ('r', 'p') and row_security_active(c.oid)
     having count(*) > 0`,
  );
  return rows[0] ?? null;
}
