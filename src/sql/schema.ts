import type { Queryable } from './queryable.js';

/** The schema in a database, if any. */
export interface SchemaState {
  database: string;
  /** Whether the schema and its registry of queues are there. */
  installed: boolean;
  /** The contract's version; null when the schema is older than 0.2.0 or absent. */
  version: string | null;
  /** Our own revision; null when the schema is not ours. */
  revision: number | null;
  /** The server's version as a number: 180004. */
  server: number;
}

/** Reads the catalogs first, so that a missing or old schema raises no error. */
export async function inspectSchema(db: Queryable): Promise<SchemaState> {
  const { rows } = await db.query<{
    database: string;
    installed: boolean;
    versioned: boolean;
    revised: boolean;
    server: number;
  }>(
    `select current_database() as database,
            to_regclass('absurd.queues') is not null as installed,
            to_regprocedure('absurd.get_schema_version()') is not null as versioned,
            to_regprocedure('absurd.get_schema_revision()') is not null as revised,
            current_setting('server_version_num')::integer as server`,
  );
  const found = rows[0];
  if (!found) throw new Error('the server returned no row');
  const { database, installed, versioned, revised, server } = found;
  return {
    database,
    installed,
    version: versioned ? await one(db, 'select absurd.get_schema_version() as value') : null,
    revision: revised ? await one(db, 'select absurd.get_schema_revision() as value') : null,
    server,
  };
}

async function one<T>(db: Queryable, sql: string): Promise<T | null> {
  const { rows } = await db.query<{ value: T }>(sql);
  return rows[0]?.value ?? null;
}

/** All names, sorted as the registry does. */
export async function listQueueNames(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ queue_name: string }>(
    `select q.queue_name from absurd.queues q order by q.queue_name`,
  );
  return rows.map((row) => row.queue_name);
}

/** Runs the whole schema script. The caller's transaction makes it all or nothing. */
export async function runSchemaScript(db: Queryable, script: string): Promise<void> {
  await db.query(script);
}
