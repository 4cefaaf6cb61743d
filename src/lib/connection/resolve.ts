import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { usageError } from '../cli/errors.js';
import { harmless } from '../cli/format/text.js';
import { startAsNeeded, type EmbeddedFinder } from './embedded.js';
import { home, readService } from './files.js';
import type { ConnectionFlags, Host, Parameters, Settings, SslMode, Surroundings } from './settings.js';
import { sslModes } from './settings.js';
import { isUri, looksLikeUri, parseKeywords, parseUri } from './uri.js';

const environmentNames: Record<string, string> = {
  host: 'PGHOST',
  hostaddr: 'PGHOSTADDR',
  port: 'PGPORT',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  passfile: 'PGPASSFILE',
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  sslnegotiation: 'PGSSLNEGOTIATION',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  application_name: 'PGAPPNAME',
  options: 'PGOPTIONS',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
};

const osUser = (): string => {
  try {
    return userInfo().username;
  } catch {
    return 'postgres';
  }
};

interface Target {
  /** A name, a URI or a keyword string. */
  text: string;
  source: string;
  advice?: string;
  /** Host to assume when nothing else names one. */
  host?: string;
}

/** The nearest folder upwards that holds an embedded server's pointer. Looking costs a stat a level, nothing is loaded. */
function hasEmbeddedFolder(cwd: string): boolean {
  for (let folder = cwd; ; folder = dirname(folder)) {
    if (existsSync(join(folder, '.absurd'))) return true;
    if (folder === dirname(folder)) return false;
  }
}

/** Decides which database is meant, in the documented order. */
async function findTarget(flags: ConnectionFlags, around: Surroundings, embedded: EmbeddedFinder): Promise<Target> {
  const { env, cwd } = around;
  if (flags.database) return embeddedOr({ text: flags.database, source: '--database' }, around, embedded);
  if (env.ABSURD_DATABASE_URL) {
    return embeddedOr({ text: env.ABSURD_DATABASE_URL, source: 'ABSURD_DATABASE_URL' }, around, embedded);
  }
  if (env.PGDATABASE) return { text: env.PGDATABASE, source: 'PGDATABASE' };
  if (env.PGSERVICE) return { text: '', source: 'PGSERVICE' };
  const elsewhere = flags.host ?? flags.port ?? flags.user ?? env.PGHOST ?? env.PGPORT;
  if (elsewhere === undefined && hasEmbeddedFolder(cwd)) {
    const server = await embedded.find(cwd);
    if (server) return { text: server.url, source: 'the embedded server of this folder' };
    const { findServerFolder } = await import('../embedded/pointer.js');
    if (findServerFolder(cwd, true) !== undefined) {
      const advice = 'the embedded server of this folder is stopped: absurdctl dev --detach starts it';
      return { text: 'absurd', source: 'the default', host: 'localhost', advice };
    }
  }
  const advice = 'start it, or one for this folder with absurdctl dev --detach';
  return { text: 'absurd', source: 'the default', host: 'localhost', ...(elsewhere === undefined ? { advice } : {}) };
}

async function embeddedOr(target: Target, around: Surroundings, embedded: EmbeddedFinder): Promise<Target> {
  if (!target.text.startsWith('embedded:')) return target;
  const server = await embedded.ensure(target.text.slice('embedded:'.length), around.cwd);
  return { text: server.url, source: `the embedded server (${target.source})` };
}

function plainName(text: string): Parameters {
  if (!looksLikeUri(text)) return { dbname: text || undefined };
  throw usageError(
    'The database that was named looks like a connection URI, and is none',
    "write it as postgresql://user@host:5432/name; a database of such a name as dbname='…'",
  );
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

function hostList(parameters: Parameters, fallback: string | undefined): Host[] {
  const ports = (parameters.port ?? '').split(',');
  const names = (parameters.hostaddr || parameters.host || '').split(',');
  if (ports.length > 1 && ports.length !== names.length) {
    throw usageError(
      `There are ${names.length} hosts but ${ports.length} ports`,
      'give one port for all, or one for each',
    );
  }
  return names.map((name, i) => {
    const port = portNumber(ports.length > 1 ? ports[i] : ports[0]);
    return { host: name || (fallback ?? defaultHost(port)), port };
  });
}

function sslMode(text: string | undefined): SslMode {
  const mode = text || 'prefer';
  if (!sslModes.includes(mode)) throw usageError(`"${mode}" is not an sslmode`, `one of ${sslModes.join(', ')}`);
  return mode as SslMode;
}

function timeout(text: string | undefined): number {
  const seconds = Number(text ?? 10);
  if (text !== undefined && (text.trim() === '' || !Number.isSafeInteger(seconds))) {
    throw usageError(`"${text}" is not a connect timeout`, 'a whole number of seconds; 0 waits without limit');
  }
  // Longer than a timer can run is as good as the longest.
  return Math.min(Math.max(0, seconds), 2_147_483);
}

/**
 * Decides all settings of a connection: flags over the URI over the service over the environment over the defaults, as
 * libpq does. Raises a usage error for what cannot be read; connects to nothing (but may start an embedded server, unless
 * `embedded` is `runningOnly`).
 */
export async function resolveSettings(
  flags: ConnectionFlags,
  around: Surroundings,
  embedded = startAsNeeded,
): Promise<Settings> {
  const { env } = around;
  const target = await findTarget(flags, around, embedded);
  const named = isUri(target.text)
    ? parseUri(target.text)
    : target.text.includes('=')
      ? parseKeywords(target.text)
      : plainName(target.text);
  const given: Parameters = { ...named };
  if (flags.host !== undefined) Object.assign(given, { host: flags.host, hostaddr: undefined, port: undefined });
  if (flags.port !== undefined) given.port = String(flags.port);
  if (flags.user !== undefined) {
    // A password that stands beside a role is that role's.
    if (given.user !== undefined && given.user !== flags.user) given.password = undefined;
    given.user = flags.user;
  }

  const service = given.service ?? env.PGSERVICE;
  const fromService = service ? readService(service, env) : {};
  refuseNul({ ...fromService, ...given });
  const pick = (name: string): string | undefined => {
    const variable = environmentNames[name];
    return given[name] ?? fromService[name] ?? ((variable && env[variable]) || undefined);
  };
  // A host that is named outranks an address that only the environment holds.
  const host = pick('host');
  const hostaddr = given.host === undefined ? pick('hostaddr') : given.hostaddr;
  const user = pick('user') ?? osUser();
  return {
    source: target.source,
    advice: target.advice,
    hosts: hostList({ host, hostaddr, port: pick('port') }, target.host),
    database: given.dbname ?? fromService.dbname ?? (service ? env.PGDATABASE || user : user),
    user,
    password: pick('password'),
    passfile: pick('passfile') ?? join(home(env), '.pgpass'),
    sslMode: sslMode(pick('sslmode')),
    sslRootCert: pick('sslrootcert'),
    sslCert: pick('sslcert'),
    sslKey: pick('sslkey'),
    directSsl: pick('sslnegotiation') === 'direct',
    connectTimeoutSeconds: timeout(pick('connect_timeout')),
    applicationName: pick('application_name') ?? 'absurdctl',
    options: pick('options'),
    sessionAttributes: pick('target_session_attrs') ?? 'any',
  };
}

/** The settings as -v shows them; a password is never part of it. */
export function describeSettings(settings: Settings): string {
  const hosts = settings.hosts.map(({ host, port }) => `${host}:${port}`).join(', ');
  const password = settings.password === undefined ? 'from the password file, or asked for' : '********';
  const lines = [
    `database: ${settings.database} (from ${settings.source})`,
    `host: ${hosts}`,
    `user: ${settings.user}`,
    `password: ${password}`,
    `sslmode: ${settings.sslMode}`,
    `connect timeout: ${settings.connectTimeoutSeconds} s`,
    ...(settings.options ? [`options: ${settings.options}`] : []),
  ];
  return lines.map((line) => harmless(line)).join('\n');
}
