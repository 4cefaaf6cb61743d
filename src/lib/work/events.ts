/** What a worker says of itself: one line an event on standard error, or one JSON object a line for machines. */
import { format } from 'node:util';
import {
  CancelledTask,
  FailedTask,
  SuspendTask,
  type AbsurdHooks,
  type Log,
  type TaskContext,
} from '../../sdk/index.js';
import { attempt } from '../../sdk/attempt.js';
import { toJson } from '../cli/format/json.js';
import { harmless, harmlessJson } from '../cli/format/text.js';
import type { Io } from '../cli/io.js';

export type EventName =
  | 'worker_started'
  | 'worker_stopping'
  | 'worker_stopped'
  | 'worker_reloading'
  | 'worker_error'
  | 'run_started'
  | 'run_completed'
  | 'run_suspended'
  | 'run_cancelled'
  | 'run_lost'
  | 'run_failed'
  | 'log';

/** The fields of an event beside its name and time, in the order in which they are shown. */
export type EventFields = Record<string, string | number | undefined>;

export type Report = (event: EventName, text: string, fields?: EventFields) => void;

const colours: Partial<Record<EventName, number>> = {
  run_completed: 32,
  run_failed: 31,
  run_suspended: 36,
  run_cancelled: 33,
  run_lost: 33,
  worker_error: 31,
};

/** A reporter: `asJson` writes NDJSON (event, time, fields), else a line for people. */
export function reporter(io: Io, asJson: boolean): Report {
  return (event, text, fields = {}) => {
    const at = io.now().toISOString();
    if (asJson) {
      const json = toJson({ time: at, event, ...fields });
      io.err(`${io.errTty ? harmlessJson(json) : json}\n`);
      return;
    }
    const word = event.replace(/^(run|worker)_/, '').padEnd(10);
    const colour = io.errTty && io.colour ? colours[event] : undefined;
    const shown = colour === undefined ? word : `\u001b[${colour}m${word}\u001b[39m`;
    io.err(`${at.slice(11, 19)}Z ${shown} ${harmless(text)}\n`);
  };
}

/** Failures that `runHooks` has reported. What is not an object cannot be held weakly: it goes when the log has said it. */
const known = new WeakSet<object>();
const knownValues = new Set<unknown>();

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

function remember(failure: unknown): void {
  if (isObject(failure)) known.add(failure);
  else knownValues.add(failure);
}

const wasReported = (value: unknown): boolean => (isObject(value) ? known.has(value) : knownValues.delete(value));

/** The client's log as events; a run's failure, which `runHooks` reports, is not said twice. */
export function eventLog(report: Report): Log {
  const say =
    (level: string) =>
    (...args: unknown[]): void => {
      if (args.some(wasReported)) return;
      const message = format(...args);
      report('log', message, { level, message });
    };
  return { log: say('info'), info: say('info'), warn: say('warn'), error: say('error') };
}

/** Reports the start and the end of every run. */
export function runHooks(report: Report, now: () => Date): AbsurdHooks {
  return {
    async wrapTaskExecution<T>(ctx: TaskContext, execute: () => Promise<T>): Promise<T> {
      const name = taskName(ctx);
      const since = now().getTime();
      const about = {
        queue: ctx.queueName,
        task_name: name,
        task_id: ctx.taskID,
        run_id: ctx.runID,
        attempt: ctx.attempt,
      };
      const title = `${name} ${ctx.taskID}`;
      const attempt = ctx.attempt > 1 ? ` attempt ${ctx.attempt}` : '';
      report('run_started', title + attempt, about);
      const waits = openWaits(ctx);
      try {
        const result = await execute();
        const ms = now().getTime() - since;
        report('run_completed', `${title}${attempt} in ${ms} ms`, { ...about, duration_ms: ms });
        return result;
      } catch (error) {
        const ms = now().getTime() - since;
        remember(error);
        reportEnd(report, error, title + attempt, { ...about, duration_ms: ms }, waits());
        throw error;
      }
    },
  };
}

/**
 * Keeps an account of the sleeps and waits that a handler opens: the SDK ends a run that waits by an error that does not say what
 * for. Returns what tells those that are open.
 */
function openWaits(ctx: TaskContext): () => string[] {
  const open = new Map<object, string>();
  let inside = false;
  const noted = <Args extends unknown[], R extends Promise<unknown>>(
    call: (...args: Args) => R,
    words: (...args: Args) => string,
  ) => {
    return (...args: Args): R => {
      // One of them may call another: the outer one is what the handler asked for.
      if (inside) return call.apply(ctx, args);
      inside = true;
      try {
        const promise = call.apply(ctx, args);
        // What cannot be said (a date that is none) was refused just now.
        open.set(promise, attempt(() => words(...args)) ?? 'waits');
        const ended = (error?: unknown): void => {
          if (!(error instanceof SuspendTask)) open.delete(promise);
        };
        // The promise's own `then` may count as an answer to it.
        void Promise.prototype.then.call(promise, () => ended(), ended);
        return promise;
      } finally {
        inside = false;
      }
    };
  };
  ctx.sleepFor = noted(ctx.sleepFor, (step, seconds) => `step "${step}" sleeps for ${seconds} s`);
  ctx.sleepUntil = noted(ctx.sleepUntil, (step, at) => `step "${step}" sleeps until ${at.toISOString()}`);
  ctx.awaitEvent = noted(ctx.awaitEvent, (event, options) => {
    const limit = options?.timeout === undefined ? '' : ` for at most ${options.timeout} s`;
    return `waits for event "${event}"${limit}`;
  }) as typeof ctx.awaitEvent;
  return () => [...open.values()];
}

function reportEnd(report: Report, error: unknown, title: string, about: EventFields, waits: string[]): void {
  if (error instanceof SuspendTask) {
    const why = waits.length === 0 ? 'waits without a worker' : waits.join('; ');
    report('run_suspended', `${title} ${why}`, { ...about, waits_for: waits.join('; ') || undefined });
  } else if (error instanceof CancelledTask) report('run_cancelled', `${title} was cancelled`, about);
  else if (error instanceof FailedTask) report('run_lost', `${title} lost its lease; another run continues`, about);
  else {
    const said = attempt(() => (error instanceof Error ? `${error.name}: ${error.message}` : format(error)));
    const message = said ?? 'what was thrown cannot be shown';
    report('run_failed', `${title} ${message}`, { ...about, error: message });
  }
}

/** The context knows its claimed row; programs see the name where they registered it. */
function taskName(ctx: TaskContext): string {
  return ctx.parts.task.task_name;
}
