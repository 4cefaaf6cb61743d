/** What a session is told by its server. */
import type { Queryable } from './queryable.js';

export interface ServerKind {
  /** It follows another server. */
  standby: boolean;
  /** New transactions may only read. */
  readOnly: boolean;
}

/** What target_session_attrs asks for. */
export async function readServerKind(db: Queryable): Promise<ServerKind> {
  const { rows } = await db.query<ServerKind>(
    `select pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as "readOnly"`,
  );
  return rows[0] ?? { standby: false, readOnly: false };
}

export interface TimeoutSetting {
  /** With its unit: `50ms`. */
  value: string;
  /** Where it was set, in words. */
  origin: string;
}

/** The limit of time that the role, the database, or the connection brought with it; undefined where there is none. */
export async function readStatementTimeout(db: Queryable): Promise<TimeoutSetting | undefined> {
  const { rows } = await db.query<TimeoutSetting>(
    `select s.reset_val || s.unit as value,
            case
              when s.source = 'client' then 'from this connection, such as PGOPTIONS'
              when exists (select from pg_db_role_setting d
                            where d.setrole = (select r.oid from pg_roles r where r.rolname = session_user)
                              and d.setdatabase in (0, (select b.oid from pg_database b where b.datname = current_database()))
                              and exists (select from unnest(d.setconfig) c where c like 'statement_timeout=%'))
                then 'set for the role ' || quote_ident(session_user)
              when exists (select from pg_db_role_setting d
                            where d.setrole = 0
                              and d.setdatabase = (select b.oid from pg_database b where b.datname = current_database())
                              and exists (select from unnest(d.setconfig) c where c like 'statement_timeout=%'))
                then 'set for the database ' || quote_ident(current_database())
              else 'set for the server'
            end as origin
       from pg_settings s
      where s.name = 'statement_timeout' and s.reset_val <> '0'`,
  );
  return rows[0];
}
