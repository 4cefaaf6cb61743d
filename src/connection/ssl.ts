import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { ConnectionOptions, SecureVersion } from 'node:tls';
import { usageError } from './errors.js';
import { home, readSettings } from './files.js';
import type { Host, Settings, SslMode, Environment } from './settings.js';

function fileOr(path: string | undefined, fallback: string, what: string): string | undefined {
  if (path) {
    if (!existsSync(path)) throw usageError(`The ${what} "${path}" does not exist`);
    return readSettings(path, what);
  }
  return existsSync(fallback) ? readSettings(fallback, what) : undefined;
}

/** The certificate by which this client identifies itself, where there is one. */
function clientCertificate(settings: Settings, folder: string): ConnectionOptions {
  const cert = fileOr(settings.sslCert, join(folder, 'postgresql.crt'), 'client certificate');
  if (cert === undefined) return {};
  const key = fileOr(settings.sslKey, join(folder, 'postgresql.key'), 'client key');
  if (key === undefined) {
    throw usageError(
      'There is a client certificate but no private key for it',
      'name the key with sslkey (or PGSSLKEY)',
    );
  }
  return { cert, key, ...(settings.sslPassword ? { passphrase: settings.sslPassword } : {}) };
}

/**
 * What TLS has to check, as libpq means sslmode: `allow`, `prefer` and `require` encrypt without looking at the
 * certificate (`require` acts as `verify-ca` where there is a root certificate, as there); `verify-ca` checks its chain,
 * `verify-full` also the name. Raises a usage error for a file that does not exist.
 */
export function tlsOptions(settings: Settings, env: Environment['env'], at?: Host): ConnectionOptions {
  const folder = join(home(env), '.postgresql');
  const common: ConnectionOptions = {
    ...clientCertificate(settings, folder),
    ...(settings.sslMinVersion ? { minVersion: settings.sslMinVersion as SecureVersion } : {}),
    ...(settings.sslMaxVersion ? { maxVersion: settings.sslMaxVersion as SecureVersion } : {}),
    // The driver names the server by what it connects to; an address of hostaddr is not in the certificate.
    ...(at?.address !== undefined && isIP(at.host) === 0 ? { servername: at.host } : {}),
  };
  if (settings.sslRootCert === 'system') return { ...common, rejectUnauthorized: true };
  const usual = join(folder, 'root.crt');
  const trusts = settings.sslRootCert !== undefined || existsSync(usual);
  const mode: SslMode = settings.sslMode === 'require' && trusts ? 'verify-ca' : settings.sslMode;
  if (mode !== 'verify-ca' && mode !== 'verify-full') return { ...common, rejectUnauthorized: false };
  const ca = fileOr(settings.sslRootCert, usual, 'root certificate');
  if (ca === undefined) {
    throw usageError(
      `sslmode ${mode} needs a root certificate, and there is none at ${usual}`,
      'name one with sslrootcert (or PGSSLROOTCERT); sslrootcert=system takes those of this machine',
    );
  }
  const crl = fileOr(settings.sslCrl, join(folder, 'root.crl'), 'list of revoked certificates');
  const anyName = mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {};
  return { ...common, ca, ...(crl === undefined ? {} : { crl }), rejectUnauthorized: true, ...anyName };
}

/** Whether to use TLS, attempt by attempt: the next one is made when the server refuses the one before. */
export function tlsAttempts(mode: SslMode, socket: boolean): boolean[] {
  if (socket || mode === 'disable') return [false];
  if (mode === 'allow') return [false, true];
  return mode === 'prefer' ? [true, false] : [true];
}
