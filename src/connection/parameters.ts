/** libpq's connection parameters: those that we follow, and what the others may say. */
import { usageError } from './errors.js';
import { nearest } from './nearest.js';
import type { Parameters } from './settings.js';

/** Parameters that we follow, with the environment variable of each. */
export const followed: Record<string, string | undefined> = {
  application_name: 'PGAPPNAME',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  dbname: undefined,
  fallback_application_name: undefined,
  host: 'PGHOST',
  hostaddr: 'PGHOSTADDR',
  load_balance_hosts: 'PGLOADBALANCEHOSTS',
  options: 'PGOPTIONS',
  passfile: 'PGPASSFILE',
  password: 'PGPASSWORD',
  port: 'PGPORT',
  service: undefined,
  sslcert: 'PGSSLCERT',
  sslcrl: 'PGSSLCRL',
  sslkey: 'PGSSLKEY',
  ssl_max_protocol_version: 'PGSSLMAXPROTOCOLVERSION',
  ssl_min_protocol_version: 'PGSSLMINPROTOCOLVERSION',
  sslmode: 'PGSSLMODE',
  sslnegotiation: 'PGSSLNEGOTIATION',
  sslpassword: undefined,
  sslrootcert: 'PGSSLROOTCERT',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
  user: 'PGUSER',
};

interface Limited {
  /** The values that ask for no more than we do. */
  allowed: RegExp;
  /** A variable that asks for security: a value that we cannot honour is refused there too. */
  env?: string;
}

const any = /^/;
const none = /^(?!)/;
const off = /^(0|false|off|no)$/i;

/** Parameters that we do not follow. Ignoring one that asks for more would connect with less than was asked for. */
const limited: Record<string, Limited> = {
  channel_binding: { allowed: /^(disable|prefer)$/, env: 'PGCHANNELBINDING' },
  client_encoding: { allowed: /^(auto|utf-?8|unicode)$/i },
  gssdelegation: { allowed: off },
  gssencmode: { allowed: /^(disable|prefer)$/, env: 'PGGSSENCMODE' },
  gsslib: { allowed: any },
  keepalives: { allowed: any },
  keepalives_count: { allowed: any },
  keepalives_idle: { allowed: any },
  keepalives_interval: { allowed: any },
  krbsrvname: { allowed: any },
  max_protocol_version: { allowed: any },
  min_protocol_version: { allowed: /^3\.0$/, env: 'PGMINPROTOCOLVERSION' },
  oauth_client_id: { allowed: none },
  oauth_client_secret: { allowed: none },
  oauth_issuer: { allowed: none },
  oauth_scope: { allowed: none },
  replication: { allowed: off },
  require_auth: { allowed: none, env: 'PGREQUIREAUTH' },
  requirepeer: { allowed: none, env: 'PGREQUIREPEER' },
  scram_client_key: { allowed: none },
  scram_server_key: { allowed: none },
  servicefile: { allowed: none },
  sslcertmode: { allowed: /^allow$/, env: 'PGSSLCERTMODE' },
  sslcompression: { allowed: any },
  sslcrldir: { allowed: none, env: 'PGSSLCRLDIR' },
  sslkeylogfile: { allowed: none },
  sslsni: { allowed: /^1$/ },
  tcp_user_timeout: { allowed: any },
  // The Node driver's own switch to libpq's meaning of sslmode, which is ours anyway.
  uselibpqcompat: { allowed: /^true$/ },
};

const advice: Record<string, string> = {
  sslcrldir: 'name the file with sslcrl',
  servicefile: 'set PGSERVICEFILE',
};

/** Raises a usage error for a name that is not a connection parameter, and for a value that we cannot honour. */
export function checkParameters(parameters: Parameters, where: string): void {
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined || Object.hasOwn(followed, name)) continue;
    const rule = Object.hasOwn(limited, name) ? limited[name] : undefined;
    if (rule === undefined) {
      const suggestion = nearest(name, [...Object.keys(followed), ...Object.keys(limited)]);
      const hint =
        suggestion === undefined
          ? 'the names are those of libpq: host, sslmode, options…'
          : `did you mean ${suggestion}?`;
      throw usageError(`"${name}" in ${where} is not a connection parameter`, hint);
    }
    if (value !== '' && !rule.allowed.test(value)) throw unsupported(name, value, where);
  }
}

/** Raises a usage error for variables that ask for a protection which we cannot give. */
export function checkEnvironment(env: Record<string, string | undefined>): void {
  for (const [name, { allowed, env: variable }] of Object.entries(limited)) {
    const value = variable === undefined ? undefined : env[variable];
    if (value && !allowed.test(value)) throw unsupported(name, value, `the environment (${variable})`);
  }
}

function unsupported(name: string, value: string, where: string): Error {
  // The other values are secrets, or may lead to one.
  const shown = /^(channel_binding|client_encoding|gss|min_|replication|require|sslcertmode|sslsni|use)/.test(name)
    ? `${name}=${value}`
    : name;
  return usageError(
    `The connection parameter ${shown} in ${where} is not supported`,
    advice[name] ?? 'remove it; sslmode=verify-full protects a connection here',
  );
}
