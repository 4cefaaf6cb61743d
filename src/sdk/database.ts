import pg from 'pg';
import { toError } from './errors.js';
import type { Log, Queryable } from './types.js';

/** The connection string in effect: given, or from the environment, or the local database `absurd`. */
export function databaseUrl(given: string | undefined): string {
  return given || process.env['ABSURD_DATABASE_URL'] || process.env['PGDATABASE'] || 'postgresql://localhost/absurd';
}

/** What the driver connects with: a URL, or a plain database name with the rest from the environment (PGHOST and its kin). */
export function connectionConfig(url: string): { connectionString: string } | { database: string } {
  // As a name it would stand in the server's error, its password too.
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(url) && /:.*@/s.test(url)) {
    throw new Error('The database that was named looks like a connection string, and is none: write postgresql://…');
  }
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(url) || url.startsWith('/') ? { connectionString: url } : { database: url };
}

export interface OwnPool extends Queryable {
  end(): Promise<void>;
  /** What connections made from now on are called. */
  options: { fallback_application_name?: string };
}

/**
 * A pool that survives the loss of idle connections: the next query makes a new one.
 * @param name what its sessions are called, unless the address or PGAPPNAME says otherwise
 */
export function openPool(url: string, log: Log, name: string): OwnPool {
  const pool = new pg.Pool({ ...connectionConfig(url), keepAlive: true, fallback_application_name: name });
  pool.on('error', (error) => log.warn(`lost an idle database connection: ${toError(error).message}`));
  return pool;
}
