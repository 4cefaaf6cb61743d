import pg from 'pg';
import { CliError, errorCode, exit, interrupted, isServerError } from '../cli/errors.js';
import { shellWord } from '../cli/format/shell.js';
import type { Io } from '../cli/io.js';
import { readPassfile } from './files.js';
import type { Host, Settings } from './settings.js';
import { tlsAttempts, tlsOptions } from './ssl.js';
import { losslessTypes } from './types.js';

const where = ({ host, port }: Host): string =>
  host.startsWith('/') ? `socket ${host}, port ${port}` : `${host}:${port}`;

/** The server said no to TLS, or to a connection without it: libpq then tries the other way where the mode allows it. */
function wantsOtherWay(error: unknown): boolean {
  if (isServerError(error)) return error.code === '28000';
  return error instanceof Error && /does not support SSL|establishing an SSL/.test(error.message);
}

interface Attempt {
  settings: Settings;
  at: Host;
  tls: boolean;
  io: Io;
  /** A password that was typed for an attempt before. */
  typed: { password?: string };
}

/** The password, when the server asks for it: given, from the password file, or typed at a terminal. */
async function password({ settings, at, io, typed }: Attempt, pause: () => () => void): Promise<string> {
  const known = settings.password ?? readPassfile(settings, at, (text) => io.err(text)) ?? typed.password;
  if (known !== undefined) return known;
  if (!io.inTty || !io.errTty) {
    throw new CliError(`The server at ${where(at)} asks for the password of "${settings.user}"`, {
      exitCode: exit.unreachable,
      code: 'authentication_failed',
      hint: 'set PGPASSWORD, or add a line to ~/.pgpass: host:port:database:user:password',
    });
  }
  const resume = pause();
  const { askPassword } = await import('../cli/confirm.js');
  typed.password = await askPassword(io, `Password for ${settings.user}`);
  resume();
  return typed.password;
}

/** One attempt at one host. The time limit does not run while a password is typed. */
async function attempt(one: Attempt): Promise<pg.Client> {
  const { settings, at, io } = one;
  let timer: NodeJS.Timeout | undefined;
  let expire: (error: Error) => void = () => undefined;
  const limit = settings.connectTimeoutSeconds * 1000;
  const start = (): void => {
    if (limit > 0) timer = setTimeout(() => expire(new Error(`no answer within ${limit / 1000} s`)), limit);
  };
  const client = new pg.Client({
    host: at.host,
    port: at.port,
    database: settings.database,
    user: settings.user,
    password: () =>
      password(one, () => {
        clearTimeout(timer);
        return start;
      }),
    ssl: one.tls ? tlsOptions(settings, io.env) : false,
    ...(settings.directSsl && one.tls ? { sslnegotiation: 'direct' } : {}),
    application_name: settings.applicationName,
    options: settings.options,
    types: losslessTypes,
  });
  // After connecting, errors come through the queries; one that comes between two must not end the process.
  client.on('error', () => undefined);
  const expired = new Promise<never>((_, reject) => (expire = reject));
  const stop = io.onInterrupt(() => expire(interrupted()));
  start();
  try {
    await Promise.race([client.connect(), expired]);
    return client;
  } catch (error) {
    client.end().catch(() => undefined);
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    stop();
  }
}

async function attemptHost(settings: Settings, at: Host, io: Io, typed: Attempt['typed']): Promise<pg.Client> {
  let refusal: Error | undefined;
  for (const tls of tlsAttempts(settings.sslMode, at.host.startsWith('/'))) {
    try {
      return await attempt({ settings, at, tls, io, typed });
    } catch (error) {
      // When the other way fails too, the first refusal tells more than "no encryption".
      refusal ??= error as Error;
      if (!wantsOtherWay(error)) throw error;
      if (!isServerError(error)) refusal = undefined;
    }
  }
  throw refusal ?? new Error('The server does not support SSL connections');
}

/** Whether a server is of the kind that target_session_attrs asks for. */
async function suits(client: pg.Client, wanted: string): Promise<boolean> {
  if (wanted === 'any' || wanted === 'prefer-standby') return true;
  const { rows } = await client.query<{ standby: boolean; read_only: string }>(
    `select pg_is_in_recovery() as standby, current_setting('transaction_read_only') as read_only`,
  );
  const { standby = false, read_only: readOnly = 'off' } = rows[0] ?? {};
  if (wanted === 'primary') return !standby;
  if (wanted === 'standby') return standby;
  return wanted === 'read-write' ? readOnly === 'off' : readOnly === 'on';
}

/** The program of PostgreSQL that makes that database, there. */
function createdb({ user, database }: Settings, { host, port }: Host): string {
  const words = ['-h', host, '-p', String(port), '-U', user, ...(database.startsWith('-') ? ['--'] : []), database];
  return ['createdb', ...words.map((word) => (/^--?[hpU]?$/.test(word) ? word : shellWord(word)))].join(' ');
}

/** Says why no connection came about, with what to do. */
function unreachable(error: unknown, settings: Settings, at: Host): CliError {
  if (error instanceof CliError) return error;
  const code = errorCode(error);
  const options = { exitCode: exit.unreachable, cause: error };
  if (code === '3D000') {
    return new CliError(`There is no database "${settings.database}" at ${where(at)}`, {
      ...options,
      code: 'database_missing',
      hint: `name another one with --database, or make it: ${createdb(settings, at)}`,
    });
  }
  if (isServerError(error)) {
    const denied = error.code.startsWith('28');
    const role = denied ? 'check the user (-U) and password (PGPASSWORD, ~/.pgpass), and pg_hba.conf' : undefined;
    return new CliError(`The server at ${where(at)} refused the connection: ${error.message}`, {
      ...options,
      code: denied ? 'authentication_failed' : 'unreachable',
      hint: error.hint ?? role ?? (error.code === '57P03' ? 'try again in a moment, or init --wait 30' : undefined),
    });
  }
  const reasons: Record<string, string> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'no such host',
    EAI_AGAIN: 'the name cannot be looked up now',
    ENOENT: 'there is no such socket',
    ECONNRESET: 'the server closed the connection',
  };
  const message = error instanceof Error ? error.message : String(error);
  if (code && /^(ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code)) {
    return new CliError(`The certificate of the server at ${where(at)} cannot be trusted: ${message}`, {
      ...options,
      code: 'untrusted_certificate',
      hint: 'name the authority that signed it with sslrootcert; sslmode=require encrypts without looking at it',
    });
  }
  if (/does not support SSL/.test(message)) {
    return new CliError(`The server at ${where(at)} offers no TLS, and sslmode ${settings.sslMode} demands it`, {
      ...options,
      code: 'no_tls',
      hint: 'sslmode=prefer goes without where there is none',
    });
  }
  const reason = (code && reasons[code]) ?? (message || code || 'no answer');
  return new CliError(`No server answers at ${where(at)}: ${reason}`, {
    ...options,
    code: 'unreachable',
    hint: `${settings.advice ?? 'start it'}, or name another one with --database, ABSURD_DATABASE_URL or -h and -p; -v shows what was tried`,
  });
}

/**
 * Connects to the first host that answers and suits. Raises CliError with exit code 5; authentication that fails ends the
 * search, as in libpq.
 */
export async function connect(settings: Settings, io: Io): Promise<{ client: pg.Client; at: Host }> {
  const typed = {};
  let failure: CliError | undefined;
  for (const at of settings.hosts) {
    try {
      const client = await attemptHost(settings, at, io, typed);
      if (await suits(client, settings.sessionAttributes)) return { client, at };
      await client.end();
      failure = new CliError(`The server at ${where(at)} is not ${settings.sessionAttributes}`, {
        exitCode: exit.unreachable,
        code: 'unreachable',
      });
    } catch (error) {
      failure = unreachable(error, settings, at);
      if (['authentication_failed', 'database_missing', 'interrupted', 'usage'].includes(failure.code)) throw failure;
    }
  }
  throw failure ?? new CliError('No host was given', { exitCode: exit.usage, code: 'usage' });
}
