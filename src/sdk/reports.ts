import { toError } from './errors.js';
import type { Log } from './types.js';

type Level = keyof Log;
const levels: readonly Level[] = ['log', 'info', 'warn', 'error'];

/** Calls a function of the program; neither an error nor a rejected promise of it reaches the caller. */
function quietly(call: () => unknown): void {
  try {
    const returned = call();
    if (returned instanceof Promise) returned.catch(() => undefined);
  } catch {
    // A log that does not work must not stop a worker.
  }
}

const guarded = new WeakMap<Log, Log>();

/** The program's log; an error in it has no consequences. */
export function guardedLog(log: Log): Log {
  const known = guarded.get(log) ?? guard(log);
  guarded.set(log, known);
  return known;
}

function guard(log: Log): Log {
  const entries = levels.map((level) => [level, (...args: unknown[]) => quietly(() => log[level](...args))] as const);
  return Object.fromEntries(entries) as Record<Level, Log['log']>;
}

const repeatAfterMs = 60_000;
const mostKinds = 20;

/** Whether an error is new, or repeats at each poll and should be logged only from time to time. */
export class Repeats {
  private readonly kinds = new Map<string, { times: number; saidAtMs: number }>();

  /** Returns undefined where nothing is to be said, 0 for a new error, else how often it came since it was last said. */
  note(error: Error): number | undefined {
    const kind = `${String((error as { code?: unknown }).code)} ${error.message}`;
    const seen = this.kinds.get(kind);
    if (seen === undefined) {
      // Messages may hold numbers that never repeat.
      if (this.kinds.size >= mostKinds) this.kinds.clear();
      this.kinds.set(kind, { times: 0, saidAtMs: Date.now() });
      return 0;
    }
    seen.times++;
    if (Date.now() - seen.saidAtMs < repeatAfterMs) return undefined;
    const { times } = seen;
    this.kinds.set(kind, { times: 0, saidAtMs: Date.now() });
    return times;
  }

  /** A success: the next error is a new one. */
  clear(): void {
    if (this.kinds.size > 0) this.kinds.clear();
  }
}

/** Where a worker's errors go: to `onError`, else to the log. */
export class ErrorReports {
  private readonly repeats = new Repeats();

  constructor(
    private readonly log: Log,
    private readonly onError: ((error: Error) => void) | undefined,
  ) {}

  /** An error that came once: the end of a run could not be stored. */
  report(reason: unknown): void {
    const error = toError(reason);
    if (this.onError === undefined) this.log.error('Worker error:', error);
    else this.handOver(error);
  }

  /** An error of a claim, which the next claim may well meet again. The log has it once, then once a minute in one line. */
  reportPoll(reason: unknown): void {
    const error = toError(reason);
    if (this.onError !== undefined) return this.handOver(error);
    const times = this.repeats.note(error);
    if (times === 0) this.log.error('Worker error:', error);
    else if (times !== undefined) this.log.error(`Worker error, ${times} more times: ${error.message}`);
  }

  /** A claim succeeded. */
  clear(): void {
    this.repeats.clear();
  }

  private handOver(error: Error): void {
    try {
      const returned: unknown = this.onError?.(error);
      if (returned instanceof Promise) returned.catch((failure: unknown) => this.blameHandler(failure));
    } catch (failure) {
      this.blameHandler(failure);
    }
  }

  private blameHandler(failure: unknown): void {
    this.log.error('onError of the worker threw:', failure);
  }
}
