import { getTaskResult, type ResultRow } from '../sql/sdk.js';
import type { TaskContext } from './context.js';
import { TimeoutError } from './errors.js';
import { checkQueueName } from './registry.js';
import { pause } from './timing.js';
import type { JsonValue, Queryable, TaskResultSnapshot } from './types.js';

const firstDelayMs = 50;
const longestDelayMs = 1000;

function toSnapshot(row: ResultRow): TaskResultSnapshot {
  switch (row.state) {
    case 'completed':
      return { state: 'completed', result: (row.result ?? null) as JsonValue | null };
    case 'failed':
      return { state: 'failed', failure: (row.failure_reason ?? null) as JsonValue | null };
    default:
      return { state: row.state as 'pending' | 'running' | 'sleeping' | 'cancelled' };
  }
}

export async function fetchTaskResult(
  db: Queryable,
  queue: string,
  taskID: string,
): Promise<TaskResultSnapshot | null> {
  const row = await getTaskResult(db, queue, taskID);
  return row === undefined ? null : toSnapshot(row);
}

function deadlineAfter(timeoutSeconds: number | undefined): number {
  if (timeoutSeconds === undefined || timeoutSeconds === Infinity) return Infinity;
  if (!Number.isFinite(timeoutSeconds) || timeoutSeconds < 0) {
    throw new Error('timeout must be a finite non-negative number');
  }
  return Date.now() + timeoutSeconds * 1000;
}

export interface AwaitResultOptions {
  /** Seconds; none or `Infinity`: no limit. */
  timeout?: number;
  /** Called before every pause between two looks. */
  onPause?: () => Promise<void>;
  signal?: AbortSignal;
}

/** Looks at a task's result, less and less often, until it is final. */
export async function pollTaskResult(
  fetch: () => Promise<TaskResultSnapshot | null>,
  taskID: string,
  options: AwaitResultOptions = {},
): Promise<TaskResultSnapshot> {
  const deadline = deadlineAfter(options.timeout);
  let delayMs = firstDelayMs;
  for (;;) {
    const snapshot = await fetch();
    if (snapshot === null) throw new Error(`Task "${taskID}" not found`);
    if (snapshot.state === 'completed' || snapshot.state === 'failed' || snapshot.state === 'cancelled') {
      return snapshot;
    }
    const leftMs = deadline - Date.now();
    if (leftMs <= 0) throw new TimeoutError(`Timed out waiting for task "${taskID}"`);
    await options.onPause?.();
    await pause(Math.min(delayMs, leftMs), options.signal);
    delayMs = Math.min(delayMs * 2, longestDelayMs);
  }
}

/** What `ctx.awaitTaskResult` does: it polls for a task of another queue, and keeps the lease alive meanwhile. */
export async function awaitTaskResult(
  context: TaskContext,
  taskID: string,
  options: { queue?: string; timeout?: number; stepName?: string },
): Promise<TaskResultSnapshot> {
  const queue = checkQueueName(options.queue ?? context.queueName);
  if (queue === context.queueName) {
    throw new Error(
      `TaskContext.awaitTaskResult cannot wait on tasks in the same queue ("${queue}"): workers that wait for each other ` +
        'never finish. Spawn the task in another queue and name that in options.queue.',
    );
  }
  return context.step(options.stepName || `$awaitTaskResult:${taskID}`, () =>
    pollTaskResult(() => context.write(() => context.parts.store.fetchResult(queue, taskID)), taskID, {
      timeout: options.timeout,
      onPause: leaseKeeper(context),
      signal: context.signal,
    }),
  );
}

/** Extends the lease each time half of it has passed. */
function leaseKeeper(context: TaskContext): () => Promise<void> {
  const { lease, store } = context.parts;
  let extendedAtMs = Date.now();
  return async () => {
    const seconds = lease.automaticExtension();
    if (seconds === null || seconds <= 0 || Date.now() - extendedAtMs < seconds * 500) return;
    await context.write(() => store.extend(context.runID, seconds));
    lease.extended(seconds);
    extendedAtMs = Date.now();
  };
}
