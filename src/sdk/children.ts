/** Children of a task: tasks that a handler spawns and waits for without holding its slot. */
import type { TaskContext } from './context.js';
import { ChildFailedError } from './errors.js';
import type { PreparedSpawn } from './spawn-many.js';
import type { JsonValue, ParsedJson, SpawnOptions, SpawnResult, TaskResultSnapshot } from './types.js';
import { wholeSeconds, type TaskRow, type TaskToAwait } from './wait-for.js';

/** A task to wait for: only its id if it is in the waiting task's own queue. */
export type TaskRef = string | { taskID: string; queue?: string };

/** A child as `ctx.spawn` returns it; it can be handed to `ctx.awaitTasks`. */
export interface ChildTask extends SpawnResult {
  queue: string;
}

/** The state of a task; `unknown` if it does not exist, or no longer exists. */
export type TaskOutcome = { taskID: string; queue: string } & (TaskResultSnapshot | { state: 'unknown' });

/** Options of a child: those of a spawn, and the name of its step. */
export interface ChildOptions extends Omit<SpawnOptions, 'parent'> {
  /** The checkpoint's name; default `$spawn:<task>` or `$call:<task>`. */
  stepName?: string;
}

export interface CallOptions extends ChildOptions {
  /** Seconds, rounded up to whole ones; none: no limit. The child continues after a timeout. */
  timeout?: number;
}

export interface AwaitTasksOptions {
  /** `all` waits for every task, `any` for the first that ends; default `all`. */
  mode?: 'all' | 'any';
  /** Seconds, rounded up to whole ones; none: no limit. */
  timeout?: number;
  /** The checkpoint's name, default `$awaitTasks`. */
  stepName?: string;
}

/** @internal Decides the queue and the options of a spawn, as the client does. */
export type PrepareSpawn = (name: string, params: unknown, options: SpawnOptions) => Promise<PreparedSpawn>;

/** @internal */
export const requireAwaitTasks = (context: TaskContext): Promise<void> =>
  context.write(() => context.parts.store.requireFeature('await_tasks', 'wait for tasks'));

/** @internal */
export function toTaskRow(ref: TaskRef, what: string): TaskToAwait {
  const { taskID, queue } = typeof ref === 'string' ? { taskID: ref } : ref;
  if (typeof taskID !== 'string' || taskID === '') throw new Error(`${what} needs the ids of tasks`);
  return queue === undefined ? { task_id: taskID } : { task_id: taskID, queue };
}

/** @internal */
export function toOutcome(row: TaskRow): TaskOutcome {
  const { task_id: taskID, queue, state } = row;
  if (state === 'completed') return { taskID, queue, state, result: (row.result ?? null) as JsonValue };
  if (state === 'failed') return { taskID, queue, state, failure: (row.failure_reason ?? null) as JsonValue };
  return { taskID, queue, state };
}

/** Spawns a child as the step of that name: a later attempt gets the same child. */
async function spawnAs(
  context: TaskContext,
  step: string,
  taskName: string,
  params: unknown,
  options: Omit<SpawnOptions, 'parent'>,
): Promise<ChildTask> {
  const { parts, taskID, queueName } = context;
  if (parts.prepareSpawn === undefined) {
    throw new Error('This context was made without a client, so it cannot spawn tasks');
  }
  const memory = await context.recall();
  if (memory.has(step)) return memory.get(step) as ChildTask;
  const { store } = parts;
  const startedAtMs = memory.serverNowMs();
  await context.write(() => store.requireFeature('task_tree', 'spawn children'));
  await context.reassureLease();
  const prepared = await parts.prepareSpawn(taskName, params, {
    ...options,
    parent: { queue: queueName, taskID },
    // The spawn may be done and its checkpoint lost: the next attempt finds the same child by its key.
    idempotencyKey: options.idempotencyKey ?? `${taskID}:${step}`,
  });
  const row = await context.write(() => store.spawn(prepared));
  if (row === undefined) throw new Error('Failed to spawn task');
  const child: ChildTask = {
    taskID: row.task_id,
    runID: row.run_id,
    attempt: row.attempt,
    created: row.created,
    queue: prepared.queue,
  };
  await context.saveCheckpoint(step, JSON.stringify(child), child, startedAtMs);
  return child;
}

/** @internal */
export function spawnChild(
  context: TaskContext,
  taskName: string,
  params: unknown,
  { stepName, ...options }: ChildOptions,
): Promise<ChildTask> {
  const step = context.names.next(stepName || `$spawn:${taskName}`);
  return context.room.activities.during(() => spawnAs(context, step, taskName, params, options));
}

/** @internal */
export async function callChild(
  context: TaskContext,
  taskName: string,
  params: unknown,
  { stepName, timeout, ...options }: CallOptions,
): Promise<ParsedJson> {
  const timeoutSeconds = wholeSeconds(timeout, `call of "${taskName}"`);
  const step = context.names.next(stepName || `$call:${taskName}`);
  const child = await context.room.activities.during(async () => {
    await requireAwaitTasks(context);
    return spawnAs(context, `${step}:spawn`, taskName, params, options);
  });
  const tasks = [{ task_id: child.taskID, queue: child.queue }];
  const rows = (await context.room.wait({ step, tasks, mode: 'all', timeoutSeconds })) as TaskRow[];
  const [row] = rows;
  if (row === undefined) throw new Error(`The wait for task "${taskName}" (${child.taskID}) has no result`);
  if (row.state === 'completed') return row.result as ParsedJson;
  throw new ChildFailedError(
    { taskName, ...child },
    row.state as ChildFailedError['state'],
    (row.failure_reason ?? null) as JsonValue,
  );
}

/** @internal */
export async function awaitTasks(
  context: TaskContext,
  refs: readonly TaskRef[],
  { mode = 'all', timeout, stepName }: AwaitTasksOptions,
): Promise<TaskOutcome[]> {
  if (mode !== 'all' && mode !== 'any') {
    throw new Error(`awaitTasks: mode must be "all" or "any", not ${JSON.stringify(mode)}`);
  }
  const tasks = refs.map((ref) => toTaskRow(ref, 'awaitTasks'));
  const timeoutSeconds = wholeSeconds(timeout, 'awaitTasks');
  const step = context.names.next(stepName || '$awaitTasks');
  await context.room.activities.during(() => requireAwaitTasks(context));
  const rows = (await context.room.wait({ step, tasks, mode, timeoutSeconds })) as TaskRow[];
  return rows.map(toOutcome);
}
