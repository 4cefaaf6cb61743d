import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

let identity: string | undefined;

/**
 * A name that only this process has. Host and process number alone are not enough: in containers every process has number 1, and
 * hosts share names.
 */
export function processIdentity(): string {
  identity ??= `${hostname()}:${process.pid}:${randomBytes(4).toString('hex')}`;
  return identity;
}

/** PostgreSQL cuts longer names. */
const longestName = 63;

/**
 * The session's name in pg_stat_activity, which identifies the worker. The end of a long id is what makes it unique.
 */
export function applicationName(prefix: string, id: string): string {
  const room = longestName - Buffer.byteLength(prefix) - 1;
  const plain = id.replace(/[^\x20-\x7e]/g, '?');
  return `${prefix}:${plain.length > room ? plain.slice(-room) : plain}`;
}
