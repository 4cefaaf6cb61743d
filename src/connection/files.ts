/** The files that libpq's programs share: the service file and the password file. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ConnectionError, usageError } from './errors.js';
import type { Host, Parameters, Settings, Environment } from './settings.js';

/** The home folder: HOME where it is set, as a shell sees it. */
export const home = (env: Environment['env']): string => env.HOME || homedir();

function serviceFiles(env: Environment['env']): string[] {
  const own = env.PGSERVICEFILE || join(home(env), '.pg_service.conf');
  return [own, join(env.PGSYSCONFDIR || '/etc/postgresql-common', 'pg_service.conf')];
}

/** Reads a file of settings; from a pipe or a device, reading might never end. Raises a usage error. */
export function readSettings(file: string, what: string): string {
  let reason = 'it is not an ordinary file';
  try {
    if (statSync(file).isFile()) return readFileSync(file, 'utf8');
  } catch (error) {
    reason = error instanceof Error ? error.message : String(error);
  }
  throw usageError(`The ${what} "${file}" cannot be read: ${reason}`);
}

/** The settings of a service in one file, or undefined. A line of it that is not `name=value` is an error, as in libpq. */
function serviceIn(file: string, name: string): Parameters | undefined {
  let found: Parameters | undefined;
  const lines = readSettings(file, 'service file').split(/\r?\n/);
  for (const [i, text] of lines.entries()) {
    const line = text.trim();
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('[')) {
      if (found) break;
      if (line === `[${name}]`) found = {};
    } else if (found) {
      const equals = line.indexOf('=');
      // The line itself may hold a password.
      if (equals < 1) throw usageError(`Line ${i + 1} of the service file "${file}" is not name=value`);
      const key = line.slice(0, equals).trim();
      if (key === 'service') throw usageError(`Line ${i + 1} of the service file "${file}" names another service`);
      found[key] ??= line.slice(equals + 1).trim();
    }
  }
  return found;
}

/** The settings of a named service: the first file that has it counts. An unknown service is an error. */
export function readService(name: string, env: Environment['env']): Parameters {
  const files = serviceFiles(env);
  for (const file of files.filter((path) => existsSync(path))) {
    const found = serviceIn(file, name);
    if (found) return found;
  }
  throw new ConnectionError(`There is no service "${name}"`, {
    usage: true,
    code: 'unknown_service',
    hint: `looked in ${files.join(' and ')}; PGSERVICEFILE names another file`,
  });
}

/** Splits a line of the password file at its colons; a backslash takes the next character as it is. */
function fields(line: string): string[] {
  const result = [''];
  for (let i = 0; i < line.length; i++) {
    if (line[i] === '\\' && i + 1 < line.length) result[result.length - 1] += line[++i] ?? '';
    else if (line[i] === ':' && result.length < 5) result.push('');
    else result[result.length - 1] += line[i] ?? '';
  }
  return result;
}

/** The password for one host from .pgpass, or undefined. A file that others may read is not used, and a note says so. */
export function readPassfile(settings: Settings, at: Host, note: (text: string) => void): string | undefined {
  const file = settings.passfile;
  if (!existsSync(file) || !statSync(file).isFile()) return undefined;
  if (process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0) {
    note(`Password file ${file} is not used: others may read it (chmod 600 it)`);
    return undefined;
  }
  const wanted = [at.host.startsWith('/') ? 'localhost' : at.host, String(at.port), settings.database, settings.user];
  for (const line of readSettings(file, 'password file').split(/\r?\n/)) {
    if (line.startsWith('#')) continue;
    const entry = fields(line);
    if (entry.length === 5 && wanted.every((value, i) => entry[i] === '*' || entry[i] === value)) return entry[4];
  }
  return undefined;
}
