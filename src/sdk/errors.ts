import { attempt } from './attempt.js';
import { brand } from './brand.js';
import type { JsonValue } from './types.js';

/** Thrown inside a handler to suspend its run, which resumes later from its checkpoints. Rethrow it. */
export class SuspendTask extends Error {
  constructor() {
    super('Task suspended');
    this.name = 'SuspendTask';
  }
}

/** Thrown inside a handler whose task has been cancelled. Let it pass: the run has ended. */
export class CancelledTask extends Error {
  constructor() {
    super('Task cancelled');
    this.name = 'CancelledTask';
  }
}

/**
 * Thrown inside a handler whose run has already failed, usually because its lease expired. Rethrow it: another run
 * continues.
 */
export class FailedTask extends Error {
  constructor() {
    super('Task already failed');
    this.name = 'FailedTask';
  }
}

/** An event or a task's result did not come in time. */
export class TimeoutError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TimeoutError';
  }
}

/** Thrown by `ctx.call` if its child did not complete. Its `cause` is the child's own error, if it failed with one. */
export class ChildFailedError extends Error {
  readonly taskName: string;
  readonly taskID: string;
  readonly queue: string;
  /** How the child ended; `unknown` where its task no longer exists. */
  readonly state: 'failed' | 'cancelled' | 'unknown';
  /** The reason that is stored with the child's last run; null where it did not fail. */
  readonly failure: JsonValue;

  constructor(
    child: { taskName: string; taskID: string; queue: string },
    state: 'failed' | 'cancelled' | 'unknown',
    failure: JsonValue,
  ) {
    const { name, message, stack } = (failure ?? {}) as { name?: unknown; message?: unknown; stack?: unknown };
    const words = typeof message === 'string' ? `failed: ${message}` : 'failed';
    const ends = { failed: words, cancelled: 'was cancelled', unknown: 'no longer exists' };
    const cause = typeof message === 'string' ? new Error(message) : undefined;
    if (cause !== undefined && typeof name === 'string') cause.name = name;
    if (cause !== undefined && typeof stack === 'string') cause.stack = stack;
    super(`Child task "${child.taskName}" (${child.taskID}) ${ends[state]}`, cause && { cause });
    this.name = 'ChildFailedError';
    this.taskName = child.taskName;
    this.taskID = child.taskID;
    this.queue = child.queue;
    this.state = state;
    this.failure = failure;
  }
}

brand(ChildFailedError, 'ChildFailedError');
brand(SuspendTask, 'SuspendTask');
brand(CancelledTask, 'CancelledTask');
brand(FailedTask, 'FailedTask');
brand(TimeoutError, 'TimeoutError');

/** The three that end a run without a word: the server knows already. */
export function endsQuietly(error: unknown): boolean {
  return error instanceof SuspendTask || error instanceof CancelledTask || error instanceof FailedTask;
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const code = attempt(() => (error as { code?: unknown }).code);
  return typeof code === 'string' ? code : undefined;
}

function messageOf(error: unknown): string {
  return attempt(() => String(error instanceof Error ? error.message : error)) ?? '';
}

/**
 * Turns the server's two verdicts on a run (AB001, AB002) into the errors that end it; returns any other error
 * unchanged.
 */
export function asRunEnding(error: unknown): unknown {
  const code = codeOf(error);
  if (code === 'AB001') return new CancelledTask();
  if (code === 'AB002') return new FailedTask();
  return error;
}

/**
 * Whether a write was refused because its run is in another state, including by schemas without an error code for it.
 */
export function isNotRunning(error: unknown): boolean {
  return codeOf(error) === '55000' || /not currently running/i.test(messageOf(error));
}

/** Whether the server refused a value that was sent (class 22, data; class 54, too large or too deep for the server). */
export function isValueRefused(error: unknown): error is Error {
  return error instanceof Error && /^(22|54)/.test(codeOf(error) ?? '');
}

/**
 * The server says what it cannot store, but not which value: too large, too deep, invalid characters. Returns an error
 * that names the value, and any other error unchanged.
 */
export function asRefusedValue(what: string, error: unknown): unknown {
  if (!isValueRefused(error)) return error;
  const { code, detail } = error as { code?: string; detail?: string };
  // Raised by the schema itself, about another argument.
  if (code === '22023') return error;
  const reason = detail ? `${error.message} (${detail})` : error.message;
  return Object.assign(new Error(`${what} cannot be stored: ${reason}`, { cause: error }), { code });
}

const lostCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  '57P01',
  '57P02',
  '57P03',
  '57P05',
  '53300',
  '25006',
]);

/** The driver's own words for a connection that broke or never came; they carry no code. */
const lostWords =
  /connection terminated|connection ended|client has encountered a connection error|connection timeout|server closed the connection|server_login_retry|server conn crashed/i;

/**
 * Whether the server could not be reached, went away, or takes no writes on this connection (25006: a standby, or a primary that
 * became one). Worth another try on another connection, once the server is back.
 */
export function isConnectionLoss(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isConnectionLoss);
  const code = codeOf(error);
  if (code !== undefined && (lostCodes.has(code) || code.startsWith('08'))) return true;
  return error instanceof Error && lostWords.test(error.message);
}

/** Whether the statement failed because of another transaction: the same statement may succeed at once. */
export function isConflict(error: unknown): boolean {
  const code = codeOf(error);
  return code === '40001' || code === '40P01';
}

/** Whether the caller's transaction has failed: the server refuses every statement until it ends. */
export const isAbortedTransaction = (error: unknown): boolean => codeOf(error) === '25P02';

/** Whether all connections of the pool were in use until the timeout. The server received nothing and may be fine. */
export function isCheckoutTimeout(error: unknown): boolean {
  return error instanceof Error && /timeout exceeded when trying to connect|timeout acquiring/i.test(error.message);
}

const neverArrivedCodes = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  '57P03',
  '53300',
  '25006',
  '08001',
  '08004',
]);

/** Whether the server may have executed a call before the connection was lost. It cannot have without a connection. */
export function mayBeDone(loss: unknown): boolean {
  if (loss instanceof AggregateError) return loss.errors.some(mayBeDone);
  const { syscall } = loss as { syscall?: unknown };
  if (syscall === 'connect' || syscall === 'getaddrinfo') return false;
  return !neverArrivedCodes.has(codeOf(loss) ?? '') && !/connection timeout/i.test(messageOf(loss));
}

/** An error as the server sends it, made from the verdict of a batch call. */
export function serverError(code: string, message: string | null): Error {
  return Object.assign(new Error(message ?? `error ${code}`), { code });
}

export function toError(error: unknown): Error {
  if (attempt(() => error instanceof Error) === true) return error as Error;
  return new Error(attempt(() => String(error)) ?? `a ${typeof error} that has no text`);
}
