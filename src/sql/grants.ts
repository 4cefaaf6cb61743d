/** Rights of roles, from the catalogs, which every role may read, and the statements that change them. */
import type { BoundedReader } from './bounded.js';
import { quoteIdent } from './identifiers.js';
import { ownTables, partitionedLettersSql, policyKeys, queueLettersSql } from './description.js';
import type { Queryable } from './queryable.js';
import { sightRole } from './sessions.js';

/** The role that gets rights, and the roles that could grant them. */
export interface RoleFacts {
  /** The role that is connected. */
  me: string;
  /** Whether the role exists. */
  found: boolean;
  superuser: boolean;
  /** Roles whose objects the schema holds, the schema's own owner first. */
  owners: string[];
  /** Roles whose future tables are already opened to the role. */
  opened: string[];
  /** Functions of the schema that PUBLIC may not execute: 0 unless somebody closed them. */
  closed: number;
  /** Whether pg_cron is in this database. */
  cron: boolean;
  /** Whether the connected role may make others members of pg_read_all_stats, and whether the role is one already. */
  grants_sight: boolean;
  has_sight: boolean;
  /** Columns of the registry that a policy sets; a schema older than 0.4.0 has none. */
  policy: string[];
  /** The tables beside the registry that belong to no single queue; another's schema has none. */
  shared: string[];
}

export async function readRoleFacts(db: Queryable, role: string): Promise<RoleFacts> {
  const { rows } = await db.query<RoleFacts>(
    `select current_user::text as me,
            r.oid is not null as found,
            coalesce(r.rolsuper, false) as superuser,
            array(select pg_get_userbyid(o.owner)::text
                    from (select n.nspowner as owner, 0 as place
                          union all
                          select c.relowner, 1 from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p')) o
                   group by o.owner
                   order by min(o.place), pg_get_userbyid(o.owner)) as owners,
            array(select distinct pg_get_userbyid(d.defaclrole)::text
                    from pg_default_acl d, aclexplode(d.defaclacl) a
                   where d.defaclnamespace = n.oid and a.grantee = r.oid
                   order by 1) as opened,
            (select count(*)::int from pg_proc p
              where p.pronamespace = n.oid
                and not has_function_privilege('public', p.oid, 'execute')) as closed,
            exists (select from pg_class c join pg_namespace s on s.oid = c.relnamespace
                     where s.nspname = 'cron' and c.relname = 'job') as cron,
            pg_has_role($2, 'member with admin option')
              or current_setting('server_version_num')::int < 160000
                 and exists (select from pg_roles m where m.rolname = current_user and m.rolcreaterole) as grants_sight,
            r.oid is not null and exists (select from pg_auth_members m join pg_roles s on s.oid = m.roleid
                                           where m.member = r.oid and s.rolname = $2) as has_sight,
            array(select a.attname::text from pg_attribute a join pg_class c on c.oid = a.attrelid
                   where c.relnamespace = n.oid and c.relname = 'queues' and a.attname = any ($4) and not a.attisdropped
                   order by a.attnum) as policy,
            array(select c.relname::text from pg_class c
                   where c.relnamespace = n.oid and c.relkind = 'r' and c.relname = any ($3) and c.relname <> 'queues'
                   order by array_position($3, c.relname::text)) as shared
       from pg_namespace n
       left join pg_roles r on r.rolname = $1
      where n.nspname = 'absurd'`,
    [role, sightRole, ownTables, policyKeys],
  );
  if (!rows[0]) throw new Error('there is no schema absurd');
  return rows[0];
}

export async function listRoleNames(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    `select rolname::text as name from pg_roles where rolname !~ '^pg_' order by 1`,
  );
  return rows.map(({ name }) => name);
}

/** The tables that a queue has. */
export interface QueueTables {
  queue_name: string;
  /** Letters of the tables: t, r, c, e, w, and i in a partitioned queue. */
  letters: string[];
  /** Names of partitions, in the order of their parents. */
  partitions: string[];
}

/** The tables and partitions of each queue, sorted by name. */
export async function listQueueTables(db: Queryable): Promise<QueueTables[]> {
  const { rows } = await db.query<QueueTables>(
    `select q.queue_name,
            array(select l.letter from unnest(${queueLettersSql}) with ordinality as l (letter, place)
                   where to_regclass(format('absurd.%I', l.letter || '_' || q.queue_name)) is not null
                   order by l.place) as letters,
            array(select c.relname::text
                    from unnest(${partitionedLettersSql}) with ordinality as l (letter, place)
                    join pg_inherits h on h.inhparent = to_regclass(format('absurd.%I', l.letter || '_' || q.queue_name))
                    join pg_class c on c.oid = h.inhrelid
                   order by l.place, c.relname) as partitions
       from absurd.queues q
      order by q.queue_name`,
  );
  return rows;
}

/** Rights on one thing. */
export type Target =
  | { kind: 'schema'; name: string }
  /** A table of the schema; with columns, the rights are only on those. */
  | { kind: 'table'; name: string; columns?: string[] }
  | { kind: 'tables'; names: string[] }
  | { kind: 'functions' }
  /** Membership in a role of the server. */
  | { kind: 'role'; name: string }
  /** Tables and, where PUBLIC may not execute functions, functions that `maker` will make. */
  | { kind: 'future'; maker: string; what: 'tables' | 'functions' };

export interface Right {
  privileges: string[];
  on: Target;
}

const inSchema = (table: string): string => `absurd.${quoteIdent(table)}`;

function object(on: Target): string {
  switch (on.kind) {
    case 'schema':
      return `schema ${quoteIdent(on.name)}`;
    case 'table':
      return inSchema(on.name);
    case 'tables':
      return on.names.map(inSchema).join(', ');
    case 'functions':
      return 'all functions in schema absurd';
    case 'role':
      return quoteIdent(on.name);
    case 'future':
      return on.what;
  }
}

/** The statement that grants a right, or takes it away; no semicolon. */
export function rightStatement({ privileges, on }: Right, role: string, revoke: boolean): string {
  if (on.kind === 'role')
    return revoke
      ? `revoke ${quoteIdent(on.name)} from ${quoteIdent(role)}`
      : `grant ${quoteIdent(on.name)} to ${quoteIdent(role)}`;
  const columns = on.kind === 'table' && on.columns ? ` (${on.columns.map(quoteIdent).join(', ')})` : '';
  const what = `${privileges.map((privilege) => `${privilege}${columns}`).join(', ')} on ${object(on)}`;
  const change = revoke ? `revoke ${what} from ${quoteIdent(role)}` : `grant ${what} to ${quoteIdent(role)}`;
  return on.kind === 'future'
    ? `alter default privileges for role ${quoteIdent(on.maker)} in schema absurd ${change}`
    : change;
}

export async function runRightStatement(db: Queryable, statement: string): Promise<void> {
  await db.query(statement);
}

/** Each privilege on each schema, table and column by itself; what PUBLIC holds, or is yet to be made, is not among them. */
const single = (rights: readonly Right[]): string =>
  JSON.stringify(
    rights.flatMap(({ privileges, on }) =>
      privileges.flatMap((privilege) => {
        if (on.kind === 'schema') return [{ privilege, kind: 'schema', name: on.name, column: null }];
        const names = on.kind === 'table' ? [on.name] : on.kind === 'tables' ? on.names : [];
        const columns = on.kind === 'table' && on.columns ? on.columns : [null];
        return names.flatMap((name) => columns.map((column) => ({ privilege, kind: 'table', name, column })));
      }),
    ),
  );

/**
 * Describes the first right that the role lacks; null if it has all. GRANT by a role without grant option only warns
 * if that role holds other rights, so the result is checked.
 */
export async function findMissingRight(db: Queryable, role: string, rights: readonly Right[]): Promise<string | null> {
  const { rows } = await db.query<{ missing: string }>(
    `select w.privilege || ' on ' || w.kind || ' ' || w.name as missing
       from jsonb_to_recordset($2) as w (privilege text, kind text, name text, "column" text)
      where not case
              when w.kind = 'schema' then has_schema_privilege($1, w.name, w.privilege)
              when w."column" is not null
                then has_column_privilege($1, format('absurd.%I', w.name), w."column", w.privilege)
              else has_table_privilege($1, format('absurd.%I', w.name), w.privilege)
            end
      limit 1`,
    [role, single(rights)],
  );
  return rows[0]?.missing ?? null;
}

/** A right that a role holds by itself, not through another role or PUBLIC. */
export interface HeldRight {
  right: string;
  grantor: string;
}

/**
 * The first of the rights that was granted to the role and still is; null when none is. A REVOKE takes away what its own
 * role granted and, by somebody who may not, only warns: what it did is looked at, too.
 */
export async function findHeldRight(db: Queryable, role: string, rights: readonly Right[]): Promise<HeldRight | null> {
  const { rows } = await db.query<HeldRight>(
    `select w.privilege || ' on ' || w.kind || ' ' || w.name as "right", pg_get_userbyid(a.grantor)::text as grantor
       from jsonb_to_recordset($2) as w (privilege text, kind text, name text, "column" text)
      cross join lateral (
             select n.nspacl as acl from pg_namespace n where w.kind = 'schema' and n.nspname = w.name
             union all
             select case when w."column" is null then c.relacl else t.attacl end
               from pg_class c
               left join pg_attribute t on t.attrelid = c.oid and t.attname = w."column"
              where w.kind = 'table' and c.relnamespace = to_regnamespace('absurd') and c.relname = w.name) o
      cross join lateral aclexplode(o.acl) a
       join pg_roles r on r.oid = a.grantee
      where r.rolname = $1 and lower(a.privilege_type) = w.privilege
      limit 1`,
    [role, single(rights)],
  );
  return rows[0] ?? null;
}

/** The connected role, and the owner of the schema: for errors about a missing right. */
export interface Standing {
  me: string;
  /** The owner of the schema; null where there is none. */
  owner: string | null;
  /** Whether the role may use the schema and read its list of queues: what every kind may. */
  enters: boolean;
  /** Whether this server is a standby, and so accepts no writes. */
  standby: boolean;
}

const standing = `
  select current_user::text as me,
         (select pg_get_userbyid(n.nspowner)::text from pg_namespace n where n.nspname = 'absurd') as owner,
         exists (select from pg_namespace n join pg_class c on c.relnamespace = n.oid and c.relname = 'queues'
                  where n.nspname = 'absurd' and has_schema_privilege(n.oid, 'usage')
                    and has_table_privilege(c.oid, 'select')) as enters,
         pg_is_in_recovery() as standby`;

export async function readStanding(db: Queryable): Promise<Standing> {
  const { rows } = await db.query<Standing>(standing);
  return rows[0] ?? { me: '', owner: null, enters: false, standby: false };
}

/** The same through a BoundedReader; null if it got no answer. */
export const readStandingIn = (reader: BoundedReader): Promise<Standing | null> =>
  reader.row<Standing>('the role', standing);
