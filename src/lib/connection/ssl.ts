import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { usageError } from '../cli/errors.js';
import { home, readSettings } from './files.js';
import type { Settings, SslMode, Surroundings } from './settings.js';

function fileOr(path: string | undefined, fallback: string, what: string): string | undefined {
  if (path) {
    if (!existsSync(path)) throw usageError(`The ${what} "${path}" does not exist`);
    return readSettings(path, what);
  }
  return existsSync(fallback) ? readSettings(fallback, what) : undefined;
}

/**
 * What TLS has to check, as libpq means sslmode: `allow`, `prefer` and `require` encrypt without looking at the
 * certificate (`require` with an explicit root certificate acts as `verify-ca`, as there); `verify-ca` checks its chain,
 * `verify-full` also the name. Raises a usage error for a file that is not there.
 */
export function tlsOptions(settings: Settings, env: Surroundings['env']): ConnectionOptions {
  const folder = join(home(env), '.postgresql');
  const cert = fileOr(settings.sslCert, join(folder, 'postgresql.crt'), 'client certificate');
  const key = fileOr(settings.sslKey, join(folder, 'postgresql.key'), 'client key');
  const client = cert !== undefined && key !== undefined ? { cert, key } : {};
  const system = settings.sslRootCert === 'system';
  const mode: SslMode =
    settings.sslMode === 'require' && settings.sslRootCert ? (system ? 'verify-full' : 'verify-ca') : settings.sslMode;
  if (mode !== 'verify-ca' && mode !== 'verify-full') return { ...client, rejectUnauthorized: false };
  if (system) return { ...client, rejectUnauthorized: true };
  const ca = fileOr(settings.sslRootCert, join(folder, 'root.crt'), 'root certificate');
  if (ca === undefined) {
    throw usageError(
      `sslmode ${mode} needs a root certificate, and there is none at ${join(folder, 'root.crt')}`,
      'name one with sslrootcert (or PGSSLROOTCERT); sslrootcert=system takes those of this machine',
    );
  }
  const anyName = mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {};
  return { ...client, ca, rejectUnauthorized: true, ...anyName };
}

/** Whether to use TLS, attempt by attempt: the next one is made when the server will not have the one before. */
export function tlsAttempts(mode: SslMode, socket: boolean): boolean[] {
  if (socket || mode === 'disable') return [false];
  if (mode === 'allow') return [false, true];
  return mode === 'prefer' ? [true, false] : [true];
}
