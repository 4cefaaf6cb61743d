/** Where the command line connects: the resolver that programs use too, with embedded servers started as needed. */
import { resolveSettings as resolve } from '../../connection/resolve.js';
import type { ConnectionFlags, EmbeddedFinder, Settings, Environment } from '../../connection/settings.js';
import { toCliError } from '../cli/errors.js';
import { harmless } from '../cli/format/text.js';
import { startAsNeeded } from './embedded.js';

/** As in src/connection, with errors as a user reads them: exit code 2 for a wrong address or setting. */
export async function resolveSettings(
  flags: ConnectionFlags,
  environment: Environment,
  embedded: EmbeddedFinder = startAsNeeded,
): Promise<Settings> {
  try {
    return await resolve(flags, environment, embedded);
  } catch (error) {
    throw toCliError(error);
  }
}

/** The settings as -v shows them; a password is never part of it. */
export function describeSettings(settings: Settings): string {
  const hosts = settings.hosts.map(({ host, port, address }) => `${host}:${port}${address ? ` (${address})` : ''}`);
  const password = settings.password === undefined ? 'from the password file, or asked for' : '********';
  const lines = [
    `database: ${settings.database} (from ${settings.source})`,
    `host: ${hosts.join(', ')}`,
    `user: ${settings.user}`,
    `password: ${password}`,
    `sslmode: ${settings.sslMode}`,
    `connect timeout: ${settings.connectTimeoutSeconds} s`,
    ...(settings.options ? [`options: ${settings.options}`] : []),
  ];
  return lines.map((line) => harmless(line)).join('\n');
}
