export interface ConnectionErrorOptions {
  /** The address or a setting is wrong; otherwise the server cannot be reached. */
  usage?: boolean;
  /** Stable, for scripts: `unknown_service`. */
  code?: string;
  /** What to do next. */
  hint?: string;
  /** The message has lines of its own, none of which somebody else's name can make. */
  lines?: boolean;
  cause?: unknown;
}

/** Why there is no connection, in words for the caller. The command line makes exit code 2 or 5 of it. */
export class ConnectionError extends Error {
  readonly usage: boolean;
  readonly code: string;
  readonly hint: string | undefined;
  readonly lines: boolean;

  constructor(message: string, { usage = false, code, hint, lines = false, cause }: ConnectionErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'ConnectionError';
    this.usage = usage;
    this.code = code ?? (usage ? 'usage' : 'unreachable');
    this.hint = hint;
    this.lines = lines;
  }
}

/** An address or a setting that cannot be used as it stands. */
export const usageError = (message: string, hint?: string): ConnectionError =>
  new ConnectionError(message, { usage: true, hint });

/** The SQLSTATE or the system's error code (`ECONNREFUSED`), where there is one. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** The fields of an error that PostgreSQL sent. Messages are in the server's language: decide by the other fields. */
export interface ServerError extends Error {
  code: string;
  severity: string;
  detail?: string;
  hint?: string;
  schema?: string;
  table?: string;
  constraint?: string;
  /** The function of the server that raised it. */
  routine?: string;
}

export function isServerError(error: unknown): error is ServerError {
  return error instanceof Error && 'severity' in error && 'code' in error && typeof error.code === 'string';
}
