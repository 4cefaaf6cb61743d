/** The SDK of Absurd: durable tasks on nothing but PostgreSQL. */
export { Absurd } from './client.js';
export type { AnyResult, AnyWait, AnyWaits } from './await-any.js';
export type { AwaitTasksOptions, CallOptions, ChildOptions, ChildTask, TaskOutcome, TaskRef } from './children.js';
export { TaskContext } from './context.js';
export { CancelledTask, ChildFailedError, FailedTask, SuspendTask, TimeoutError } from './errors.js';
export type { BackfilledTask, PauseOptions, QueuePause, Schedule, ScheduleOptions } from './schedules.js';
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
