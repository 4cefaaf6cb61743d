/** The SDK of Absurd: durable tasks on nothing but PostgreSQL. */
export { Absurd } from './client.js';
export type { AnyResult, AnyWait, AnyWaits } from './await-any.js';
export { TaskContext } from './context.js';
export { CancelledTask, FailedTask, SuspendTask, TimeoutError } from './errors.js';
export type {
  AbsurdHooks,
  AbsurdOptions,
  CancellationPolicy,
  ClaimedTask,
  CreateQueueOptions,
  ExecuteOptions,
  JsonObject,
  JsonValue,
  Log,
  ParsedJson,
  Queryable,
  QueueDetachMode,
  QueuePolicy,
  QueuePolicyOptions,
  QueueStorageMode,
  RetryStrategy,
  RetryTaskOptions,
  SpawnOptions,
  SpawnRequest,
  SpawnResult,
  StepHandle,
  TaskDefinition,
  TaskHandler,
  TaskRegistrationOptions,
  TaskResultSnapshot,
  TaskResultState,
  Worker,
  WorkerCloseOptions,
  WorkerOptions,
} from './types.js';
