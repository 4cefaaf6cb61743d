import { toJson } from './json.js';
import type { CancellationPolicy, RetryStrategy, SpawnOptions, TaskHandler, TaskRegistrationOptions } from './types.js';

const maxQueueNameBytes = 57;

/** Returns the name unchanged (whitespace is legal) or throws before any query is made. */
export function checkQueueName(name: string): string {
  if (!name) throw new Error('Queue name must be provided');
  if (Buffer.byteLength(name) > maxQueueNameBytes) {
    throw new Error(`Queue name "${name}" is too long (max ${maxQueueNameBytes} bytes).`);
  }
  return name;
}

export interface Registration {
  name: string;
  queue: string;
  defaultMaxAttempts?: number;
  defaultCancellation?: CancellationPolicy;
  defaultRetryStrategy?: RetryStrategy;
  handler: TaskHandler;
}

export type Registry = Map<string, Registration>;

export function toRegistration(
  options: TaskRegistrationOptions,
  handler: TaskHandler,
  clientQueue: string,
): Registration {
  if (!options?.name) throw new Error('Task registration requires a name');
  if (typeof handler !== 'function') throw new Error(`Task "${options.name}" requires a handler function`);
  if (options.defaultMaxAttempts !== undefined && options.defaultMaxAttempts < 1) {
    throw new Error('defaultMaxAttempts must be at least 1');
  }
  return { ...options, queue: checkQueueName(options.queue ?? clientQueue), handler };
}

/** The queue of a task name: its registration decides, and no option can change that. */
export function queueForSpawn(name: string, requested: string | undefined, registration?: Registration): string {
  if (registration === undefined) {
    if (requested === undefined) {
      throw new Error(`Task "${name}" is not registered. Provide options.queue when spawning unregistered tasks.`);
    }
    return checkQueueName(requested);
  }
  if (requested !== undefined && checkQueueName(requested) !== registration.queue) {
    throw new Error(
      `Task "${name}" is registered for queue "${registration.queue}" but spawn requested queue "${requested}".`,
    );
  }
  return registration.queue;
}

/** The options of a spawn with the registration's and the client's defaults filled in. A null is a value: no limit, no policy. */
export function withDefaults(
  options: SpawnOptions,
  registration: Registration | undefined,
  client: { defaultMaxAttempts: number; defaultRetryStrategy?: RetryStrategy | undefined },
): SpawnOptions {
  const effective: SpawnOptions = { ...options };
  if (options.maxAttempts === undefined) {
    effective.maxAttempts = registration?.defaultMaxAttempts ?? client.defaultMaxAttempts;
  }
  if (options.retryStrategy === undefined) {
    const strategy = registration?.defaultRetryStrategy ?? client.defaultRetryStrategy;
    if (strategy !== undefined) effective.retryStrategy = strategy;
  }
  const cancellation = options.cancellation === undefined ? registration?.defaultCancellation : options.cancellation;
  if (cancellation !== undefined) effective.cancellation = cancellation;
  return effective;
}

/** Omits members without a value; undefined if none is left. */
function present(members: Record<string, unknown>): Record<string, unknown> | undefined {
  const kept = Object.entries(members).filter(([, value]) => value !== undefined);
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

export const retryStrategyOptions = (strategy: RetryStrategy | null | undefined): object | undefined =>
  strategy
    ? {
        kind: strategy.kind,
        base_seconds: strategy.baseSeconds,
        factor: strategy.factor,
        max_seconds: strategy.maxSeconds,
      }
    : undefined;

export const cancellationOptions = (policy: CancellationPolicy | null | undefined): object | undefined =>
  policy ? present({ max_duration: policy.maxDuration, max_delay: policy.maxDelay }) : undefined;

/**
 * The options as spawn_task reads them, as JSON text.
 * @throws where the idempotency key is empty: that is a variable without a value, and one key would make one task of all spawns
 */
export function spawnOptionsJson(taskName: string, options: SpawnOptions): string {
  if (options.idempotencyKey === '') {
    throw new Error(`The spawn of "${taskName}" has an empty idempotencyKey: omit it, or give each task its own`);
  }
  const { startAt, delay, parent } = options;
  const spawnOptions = {
    headers: options.headers,
    max_attempts: options.maxAttempts,
    retry_strategy: retryStrategyOptions(options.retryStrategy),
    cancellation: cancellationOptions(options.cancellation),
    idempotency_key: options.idempotencyKey,
    start_at: startAt === undefined ? undefined : startText(startAt, delay),
    delay_seconds: delay === undefined ? undefined : delayNumber(delay),
    parent: parent === undefined ? undefined : { task_id: parent.taskID, queue: parent.queue },
  };
  return toJson(spawnOptions, `The options of "${taskName}"`) ?? '{}';
}

function startText(startAt: Date, delay: number | undefined): string {
  if (delay !== undefined) throw new Error('A spawn takes either startAt or delay, not both');
  if (Number.isNaN(startAt.getTime())) throw new Error('startAt must be a valid date');
  return startAt.toISOString();
}

/** JSON would make null of a number that is not finite, and the task would start at once. */
function delayNumber(delay: number): number {
  if (Number.isFinite(delay) && delay >= 0) return delay;
  throw new Error(`delay must be a number of seconds and not negative, not ${String(delay)}`);
}
