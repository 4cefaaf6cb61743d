import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { usageError } from './errors.js';
import { home, readService } from './files.js';
import { checkEnvironment, checkParameters, followed } from './parameters.js';
import type { ConnectionFlags, EmbeddedFinder, Host, Parameters, Settings, SslMode, Environment } from './settings.js';
import { findTarget } from './target.js';
import { isUri, looksLikeUri, parseKeywords, parseUri } from './uri.js';

const osUser = (): string => {
  try {
    return userInfo().username;
  } catch {
    return 'postgres';
  }
};

function plainName(text: string): Parameters {
  if (!looksLikeUri(text)) return { dbname: text || undefined };
  throw usageError(
    'The database that was named looks like a connection URI, and is not one',
    "write it as postgresql://user@host:5432/name; a database of such a name as dbname='…'",
  );
}

/** The settings that a name, a URI or a keyword string gives. Raises a usage error for one that cannot be read. */
export function parseAddress(text: string): Parameters {
  const uri = isUri(text);
  const parameters = uri ? parseUri(text) : text.includes('=') ? parseKeywords(text) : plainName(text);
  checkParameters(parameters, uri ? 'the connection URI' : 'the connection string');
  return parameters;
}

/** A NUL would end a value early in the first message to the server, and what follows would be taken for other settings. */
function refuseNul(parameters: Parameters): void {
  const name = Object.keys(parameters).find((key) => parameters[key]?.includes('\0'));
  if (name !== undefined) throw usageError(`The setting "${name}" of the connection holds a NUL character`);
}

/** Where a client of this machine finds a server when no host is given: the usual sockets, else localhost. */
function defaultHost(port: number): string {
  const folders = ['/var/run/postgresql', '/tmp'];
  return folders.find((folder) => existsSync(join(folder, `.s.PGSQL.${port}`))) ?? 'localhost';
}

function portNumber(text: string | undefined): number {
  if (!text) return 5432;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw usageError(`"${text}" is not a port (1 to 65535)`);
  return port;
}

function hostList({ host, hostaddr, port }: Parameters, fallback: string | undefined): Host[] {
  const ports = (port ?? '').split(',');
  const addresses = hostaddr ? hostaddr.split(',') : [];
  const names = host || addresses.length === 0 ? (host ?? '').split(',') : addresses.map(() => '');
  if (addresses.length > 0 && addresses.length !== names.length) {
    throw usageError(`There are ${names.length} hosts but ${addresses.length} values of hostaddr`, 'give one for each');
  }
  if (ports.length > 1 && ports.length !== names.length) {
    throw usageError(
      `There are ${names.length} hosts but ${ports.length} ports`,
      'give one port for all, or one for each',
    );
  }
  return names.map((name, i) => {
    const number = portNumber(ports.length > 1 ? ports[i] : ports[0]);
    const address = addresses[i] || undefined;
    return {
      host: name || (address ?? fallback ?? defaultHost(number)),
      port: number,
      ...(name && address ? { address } : {}),
    };
  });
}

/** In an order of chance, for load_balance_hosts=random. */
function shuffled<T>(list: readonly T[]): T[] {
  return list
    .map((value) => ({ value, key: Math.random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value);
}

const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
const sessionAttributes = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;
const tlsVersions = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;

function oneOf<T extends string>(name: string, text: string | undefined, values: readonly T[]): T | undefined {
  if (!text) return undefined;
  const found = values.find((value) => value.toLowerCase() === text.toLowerCase());
  if (found === undefined) throw usageError(`"${text}" is not a value of ${name}`, `one of ${values.join(', ')}`);
  return found;
}

function timeout(text: string | undefined): number {
  const seconds = Number(text ?? 10);
  if (text !== undefined && (text.trim() === '' || !Number.isSafeInteger(seconds))) {
    throw usageError(`"${text}" is not a connect timeout`, 'a whole number of seconds; 0 waits without limit');
  }
  // Longer than a timer can run is as good as the longest.
  return Math.min(Math.max(0, seconds), 2_147_483);
}

type Pick = (name: string) => string | undefined;

function sslMode(pick: Pick, env: Environment['env']): SslMode {
  const mode = oneOf('sslmode', pick('sslmode'), sslModes);
  const asked = mode ?? (env.PGREQUIRESSL?.startsWith('1') ? 'require' : undefined);
  if (pick('sslrootcert') !== 'system') return asked ?? 'prefer';
  if (asked !== undefined && asked !== 'verify-full') {
    throw usageError(`sslmode ${asked} is too weak for sslrootcert=system`, 'use sslmode=verify-full');
  }
  return 'verify-full';
}

function directSsl(pick: Pick, mode: SslMode): boolean {
  const direct = oneOf('sslnegotiation', pick('sslnegotiation'), ['postgres', 'direct']) === 'direct';
  if (direct && ['disable', 'allow', 'prefer'].includes(mode)) {
    throw usageError(`sslmode ${mode} is too weak for sslnegotiation=direct`, 'use sslmode=require or stronger');
  }
  return direct;
}

function tlsSettings(pick: Pick, env: Environment['env']) {
  const mode = sslMode(pick, env);
  return {
    sslMode: mode,
    sslRootCert: pick('sslrootcert') || undefined,
    sslCert: pick('sslcert') || undefined,
    sslKey: pick('sslkey') || undefined,
    sslPassword: pick('sslpassword'),
    sslCrl: pick('sslcrl') || undefined,
    sslMinVersion: oneOf('ssl_min_protocol_version', pick('ssl_min_protocol_version'), tlsVersions),
    sslMaxVersion: oneOf('ssl_max_protocol_version', pick('ssl_max_protocol_version'), tlsVersions),
    directSsl: directSsl(pick, mode),
  };
}

/** The flags, over what the address says. */
function withFlags(address: Parameters, flags: ConnectionFlags): Parameters {
  const given = { ...address };
  if (flags.host !== undefined) Object.assign(given, { host: flags.host, hostaddr: undefined, port: undefined });
  if (flags.port !== undefined) given.port = String(flags.port);
  if (flags.user !== undefined) {
    // A password that stands next to a role is that role's.
    if (given.user !== undefined && given.user !== flags.user) given.password = undefined;
    given.user = flags.user;
  }
  return given;
}

/**
 * Decides all settings of a connection: flags over the URI over the service over the environment over the defaults, as
 * libpq does. Raises a usage error for what cannot be read; connects to nothing, but `embedded` may start a server.
 */
export async function resolveSettings(
  flags: ConnectionFlags,
  environment: Environment,
  embedded: EmbeddedFinder,
): Promise<Settings> {
  const target = await findTarget(flags, environment, embedded);
  // What the environment says about other servers must not reach one of ours, whose address is complete.
  const { env } = target.ours
    ? { env: { HOME: environment.env.HOME, PGAPPNAME: environment.env.PGAPPNAME } as Environment['env'] }
    : environment;
  const given = withFlags(parseAddress(target.text), flags);
  const service = given.service ?? env.PGSERVICE;
  const fromService = service ? readService(service, env) : {};
  if (service) checkParameters(fromService, `the service "${service}"`);
  checkEnvironment(env);
  refuseNul({ ...fromService, ...given });
  const pick: Pick = (name) => {
    const variable = followed[name];
    return given[name] ?? fromService[name] ?? ((variable && env[variable]) || undefined);
  };
  // A host that is named outranks an address that only the environment holds.
  const host = pick('host');
  const hostaddr = given.host === undefined ? pick('hostaddr') : given.hostaddr;
  const hosts = hostList({ host, hostaddr, port: pick('port') }, target.host);
  const balanced = oneOf('load_balance_hosts', pick('load_balance_hosts'), ['disable', 'random']) === 'random';
  const user = pick('user') ?? osUser();
  return {
    source: target.source,
    advice: target.advice,
    hosts: balanced ? shuffled(hosts) : hosts,
    database: given.dbname ?? fromService.dbname ?? (service ? env.PGDATABASE || user : user),
    user,
    password: pick('password'),
    passfile: pick('passfile') ?? join(home(env), '.pgpass'),
    ...tlsSettings(pick, env),
    connectTimeoutSeconds: timeout(pick('connect_timeout')),
    applicationName:
      pick('application_name') || pick('fallback_application_name') || (environment.applicationName ?? 'absurdctl'),
    options: pick('options'),
    sessionAttributes: oneOf('target_session_attrs', pick('target_session_attrs'), sessionAttributes) ?? 'any',
  };
}
