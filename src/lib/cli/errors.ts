import { ConnectionError, errorCode, isServerError, type ServerError } from '../../connection/errors.js';
import { command, hint as advise, type Advice } from './hint.js';

export { errorCode, isServerError };

/** Exit codes of the program; scripts rely on them. */
export const exit = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  refused: 4,
  unreachable: 5,
  taskFailed: 6,
  waitTimedOut: 7,
  interrupted: 130,
} as const;

export interface CliErrorOptions {
  exitCode?: number;
  /** Stable, for scripts: `queue_not_found`. */
  code?: string;
  /** The suggested next step. */
  hint?: Advice;
  /** The message has several lines, none of which can come from a name in the database. */
  lines?: boolean;
  cause?: unknown;
}

/**
 * An error for the user: `message` says what was asked and what was found, `hint` what to run next. Commands and lib
 * throw it; only the base command turns it into an exit code.
 */
export class CliError extends Error {
  readonly exitCode: number;
  readonly code: string;
  readonly hint: Advice | undefined;
  readonly lines: boolean;

  constructor(message: string, options: CliErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CliError';
    this.exitCode = options.exitCode ?? exit.failed;
    this.code = options.code ?? 'failed';
    this.hint = options.hint;
    this.lines = options.lines ?? false;
  }
}

export const usageError = (message: string, hint?: Advice): CliError =>
  new CliError(message, { exitCode: exit.usage, code: 'usage', hint });

export const notFound = (message: string, hint?: Advice, code = 'not_found'): CliError =>
  new CliError(message, { exitCode: exit.notFound, code, hint });

export const refused = (message: string, hint?: Advice, code = 'refused'): CliError =>
  new CliError(message, { exitCode: exit.refused, code, hint });

export const interrupted = (): CliError =>
  new CliError('Interrupted', { exitCode: exit.interrupted, code: 'interrupted' });

/** A missing right: the base command adds the hint that names it. */
export const notPermitted = (message: string, cause?: unknown): CliError =>
  new CliError(message, { code: 'not_permitted', cause });

interface Rule {
  test: RegExp;
  exitCode: number;
  code: string;
  hint?: Advice;
}

/** The first rule whose pattern the SQLSTATE matches. */
const rules: Rule[] = [
  { test: /^P0002$/, exitCode: exit.notFound, code: 'not_found' },
  { test: /^AB001$/, exitCode: exit.refused, code: 'task_cancelled' },
  { test: /^AB002$/, exitCode: exit.refused, code: 'run_failed' },
  { test: /^AB003$/, exitCode: exit.usage, code: 'bad_value' },
  { test: /^55000$/, exitCode: exit.refused, code: 'wrong_state' },
  { test: /^(22|23502|23514|54)/, exitCode: exit.usage, code: 'bad_value' },
  { test: /^3D000$/, exitCode: exit.unreachable, code: 'database_missing' },
  {
    test: /^28/,
    exitCode: exit.unreachable,
    code: 'authentication_failed',
    hint: 'check the user and password (-U, PGPASSWORD, ~/.pgpass) and the pg_hba.conf of the server',
  },
  { test: /^53300$/, exitCode: exit.unreachable, code: 'too_many_connections', hint: 'try again in a moment' },
  { test: /^(08|57P0[1235])/, exitCode: exit.unreachable, code: 'unreachable' },
  { test: /^3F000$/, exitCode: exit.unreachable, code: 'schema_missing', hint: command('init') },
  // explain.ts names the missing right.
  { test: /^42501$/, exitCode: exit.failed, code: 'not_permitted' },
  { test: /^25006$/, exitCode: exit.refused, code: 'read_only' },
  {
    test: /^55P03$/,
    exitCode: exit.failed,
    code: 'lock_timeout',
    hint: advise`${command('doctor', { 'idle-age': 1, 'transaction-age': 5 })} names sessions that may hold a lock (pg_locks has them all); then try again`,
  },
  {
    test: /^57014$/,
    exitCode: exit.failed,
    code: 'statement_timeout',
    hint: advise`${command('doctor', { only: 'blocked,unread' })} says whether a lock blocks it`,
  },
  { test: /^40/, exitCode: exit.failed, code: 'retry', hint: 'try again' },
];

/** A row without a partition raises a check violation that names no constraint. */
const isOutsidePartitions = ({ code, table, constraint }: ServerError): boolean =>
  code === '23514' && constraint === undefined && /^[trcw]_./.test(table ?? '');

const outsidePartitions = (error: ServerError): CliError =>
  new CliError(error.message, {
    exitCode: exit.refused,
    code: 'partition_missing',
    hint: advise`${command('ensure-partitions', { queue: (error.table ?? '').slice(2) })} creates the missing partitions`,
    cause: error,
  });

const networkCodes =
  /^(ECONN|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EPIPE|ENOENT|EACCES|ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/;

/** Turns any error into one for the user. Errors of the server keep their message; their hint comes first. */
export function toCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (error instanceof ConnectionError) {
    const { message, usage, code, hint, lines, cause } = error;
    const exitCode = usage ? exit.usage : exit.unreachable;
    return new CliError(message, { exitCode, code, hint, lines, cause });
  }
  if (isServerError(error)) {
    if (isOutsidePartitions(error)) return outsidePartitions(error);
    const rule = rules.find(({ test }) => test.test(error.code));
    const detail = error.detail ? ` (${error.detail})` : '';
    return new CliError(error.message + detail, {
      exitCode: rule?.exitCode ?? exit.failed,
      code: rule?.code ?? `sqlstate_${error.code}`,
      hint: error.hint ?? rule?.hint,
      cause: error,
    });
  }
  const code = errorCode(error);
  const message = error instanceof Error ? error.message : String(error);
  // The driver reports the last two for a session that was ended while idle.
  const ended = /^(Connection terminated|Client has encountered a connection error|Client was closed)/;
  if ((code && networkCodes.test(code)) || ended.test(message)) {
    return new CliError(`The connection to the server was lost: ${message || code}`, {
      exitCode: exit.unreachable,
      code: 'unreachable',
      hint: 'the server stopped or restarted, or the session was ended; a write may have been committed: check before you repeat it',
      cause: error,
    });
  }
  return new CliError(message || code || 'unknown error', { cause: error });
}
