/** Connects for a command: asks for a password on a terminal, ends at Ctrl-C, and says why no connection came about. */
import type pg from 'pg';
import {
  connect as dial,
  describeHost,
  DialError,
  isFull,
  type Caller,
  type Connected,
} from '../../connection/connect.js';
import { ConnectionError } from '../../connection/errors.js';
import type { Host, Settings } from '../../connection/settings.js';
import { CliError, errorCode, exit, interrupted, isServerError, toCliError } from '../cli/errors.js';
import { shellWord } from '../cli/format/shell.js';
import { harmless } from '../cli/format/text.js';
import type { Io } from '../cli/io.js';

/** Passwords that were typed: a command that connects again does not ask again. */
const accepted = new WeakMap<Settings, string>();

/** A command as src/connection sees it. */
function callerOf(io: Io, settings: Settings, types: pg.CustomTypesConfig | undefined): Caller {
  return {
    env: io.env,
    note: (text) => io.err(`${harmless(text)}\n`),
    ...(io.inTty && io.errTty
      ? {
          askPassword: async (user) => {
            const known = accepted.get(settings);
            if (known !== undefined) return known;
            const { askPassword } = await import('../cli/confirm.js');
            const typed = await askPassword(io, `Password for ${user}`);
            accepted.set(settings, typed);
            return typed;
          },
        }
      : {}),
    onAbort: (abort) => io.onInterrupt(() => abort(interrupted())),
    types,
  };
}

/** The program of PostgreSQL that makes that database, there. */
function createdb({ user, database }: Settings, { host, port }: Host): string {
  const words = ['-h', host, '-p', String(port), '-U', user, ...(database.startsWith('-') ? ['--'] : []), database];
  return ['createdb', ...words.map((word) => (/^--?[hpU]?$/.test(word) ? word : shellWord(word)))].join(' ');
}

/** What PostgreSQL said when it refused a connection. */
function refusedBy(error: Error & { code: string; hint?: string }, where: string, cause: unknown): CliError {
  const denied = error.code.startsWith('28');
  const role = denied ? 'check the user (-U) and password (PGPASSWORD, ~/.pgpass), and pg_hba.conf' : undefined;
  return new CliError(`The server at ${where} refused the connection: ${error.message}`, {
    exitCode: exit.unreachable,
    code: denied ? 'authentication_failed' : isFull(error) ? 'too_many_connections' : 'unreachable',
    hint: error.hint ?? role ?? (error.code === '57P03' ? 'try again in a moment, or init --wait 30' : undefined),
    cause,
  });
}

/** Says why no connection came about, with what to do. */
function unreachable({ at, cause: error }: DialError, settings: Settings): CliError {
  const where = describeHost(at);
  const code = errorCode(error);
  const options = { exitCode: exit.unreachable, cause: error };
  if (error instanceof CliError) return error;
  if (code === '3D000') {
    return new CliError(`There is no database "${settings.database}" at ${where}`, {
      ...options,
      code: 'database_missing',
      hint: `name another one with --database, or create it: ${createdb(settings, at)}`,
    });
  }
  if (isServerError(error)) return refusedBy(error, where, error);
  const reasons: Record<string, string> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'no such host',
    EAI_AGAIN: 'the name cannot be looked up now',
    ENOENT: 'there is no such socket',
    ECONNRESET: 'the server closed the connection',
  };
  const message = error instanceof Error ? error.message : String(error);
  if (code === '08004') return new CliError(message, { ...options, code: 'unreachable' });
  if (code && /^(ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code)) {
    return new CliError(`The certificate of the server at ${where} cannot be trusted: ${message}`, {
      ...options,
      code: 'untrusted_certificate',
      hint: 'name the authority that signed it with sslrootcert; sslmode=require encrypts without checking it',
    });
  }
  // The driver's own words.
  if (/does not support SSL/.test(message)) {
    return new CliError(`The server at ${where} offers no TLS, and sslmode ${settings.sslMode} requires it`, {
      ...options,
      code: 'no_tls',
      hint: 'sslmode=prefer connects without TLS if the server has none',
    });
  }
  const reason = (code && reasons[code]) ?? (message || code || 'no answer');
  return new CliError(`No server answers at ${where}: ${reason}`, {
    ...options,
    code: 'unreachable',
    hint: `${settings.advice ?? 'start it'}, or name another one with --database, ABSURD_DATABASE_URL or -h and -p; -v shows what was tried`,
  });
}

/** Connects to the first host that answers and suits. Raises CliError, with exit code 5 where none does. */
export async function connect(settings: Settings, io: Io, types?: pg.CustomTypesConfig): Promise<Connected> {
  try {
    return await dial(settings, callerOf(io, settings, types));
  } catch (error) {
    // It may have been the wrong one.
    accepted.delete(settings);
    if (!(error instanceof DialError)) throw toCliError(error);
    throw error.cause instanceof ConnectionError ? toCliError(error.cause) : unreachable(error, settings);
  }
}
