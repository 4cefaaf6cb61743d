/**
 * One run from claim to end, as a pipeline: find the handler → open the context → perform under the lease's watch → settle.
 */
import type { PrepareSpawn } from './children.js';
import { openContext, type TaskContext } from './context.js';
import { asRunEnding, endsQuietly, isValueRefused } from './errors.js';
import { describeFailure, describeFailureBriefly } from './failure.js';
import type { RunGuard } from './guard.js';
import { toJson } from './json.js';
import { Lease } from './lease.js';
import type { Registration } from './registry.js';
import type { RunStore } from './store.js';
import type { AbsurdHooks, ClaimedTask, Log } from './types.js';

export interface Execution {
  task: ClaimedTask;
  queueName: string;
  workerID: string;
  claimTimeoutSeconds: number;
  fatalOnLeaseTimeout: boolean;
  registration: Registration | undefined;
  store: RunStore;
  guard: RunGuard;
  log: Log;
  hooks: AbsurdHooks;
  /** Decides the queue and the options of the children that the handler spawns. */
  prepareSpawn: PrepareSpawn;
  /** Called when the handler has returned and only the end of the run is to be stored. */
  onHandled?: () => void;
}

/** Rejects only where the end of the run could not be stored. */
export async function executeRun(execution: Execution): Promise<void> {
  const { registration } = execution;
  if (registration === undefined) return deferUnknownTask(execution);
  if (registration.queue !== execution.queueName) {
    return settleFailure(execution, new Error('Misconfigured task (queue mismatch)'));
  }
  const lease = new Lease(execution.claimTimeoutSeconds);
  lease.startWatching({
    label: label(execution),
    log: execution.log,
    fatal: execution.fatalOnLeaseTimeout,
    serverAway: () => execution.store.serverAway,
  });
  try {
    const context = await openContext({ ...execution, lease });
    await performAndSettle(execution, context, registration);
  } finally {
    lease.stopWatching();
  }
}

function label({ task }: Execution): string {
  return `${task.task_name} (${task.task_id})`;
}

/** 15 to 30 seconds, spread by the run's id, so that runs put back together do not all return together. */
function deferralSeconds(runId: string): number {
  let hash = 0;
  for (const char of runId) hash = (hash * 31 + char.charCodeAt(0)) % 65_521;
  return 15 + (hash % 16);
}

/** This worker does not know the task; another one may (a deployment under way). So it goes back, and does not fail. */
async function deferUnknownTask(execution: Execution): Promise<void> {
  const { task, store, log } = execution;
  const seconds = deferralSeconds(task.run_id);
  try {
    await store.scheduleAfter(task.run_id, seconds);
    log.warn(`claimed unknown task ${label(execution)}: put run ${task.run_id} back for ${seconds} seconds`);
  } catch (error) {
    await settleFailure(execution, error);
  }
}

/** Runs the handler and stores its end, or abandons it shortly after it has lost its run. */
async function performAndSettle(execution: Execution, context: TaskContext, registration: Registration): Promise<void> {
  const performed = perform(execution, context, registration).catch((error: unknown) =>
    settleFailure(execution, error),
  );
  await execution.guard.untilReleased(performed);
  context.finish();
}

/** Calls the handler inside the program's hook and completes the run; rejects with any error. */
async function perform(execution: Execution, context: TaskContext, registration: Registration): Promise<void> {
  const { task, hooks } = execution;
  let failure: { error: unknown } | undefined;
  const execute = async (): Promise<unknown> => {
    try {
      const result: unknown = await context.room.activities.handler(() => registration.handler(task.params, context));
      // Waits that lost a race are not registered any more; one that is being registered puts the run to sleep.
      await context.room.close();
      await complete(execution, result);
      return result;
    } catch (error) {
      failure = { error };
      throw error;
    }
  };
  await (hooks.wrapTaskExecution === undefined ? execute() : hooks.wrapTaskExecution(context, execute));
  // A hook that swallowed the error does not make the run a success: it has no result.
  if (failure !== undefined) throw failure.error;
}

async function complete(execution: Execution, result: unknown): Promise<void> {
  const { task, store, guard, hooks } = execution;
  guard.check();
  const stateJson = toJson(result ?? null, `The result of task "${task.task_name}"`);
  guard.outcome = 'completed';
  // A hook around the execution may hold what there is only one of for each slot, and has not returned.
  if (hooks.wrapTaskExecution === undefined) execution.onHandled?.();
  try {
    await store.complete(task.run_id, stateJson);
  } catch (error) {
    throw asRunEnding(error);
  }
}

/** Stores why a run failed, unless it ended in a way that the server knows of already. */
async function settleFailure(execution: Execution, error: unknown): Promise<void> {
  const { task, guard, log } = execution;
  if (guard.ended || endsQuietly(error)) return;
  guard.outcome = 'failed';
  log.error(`[absurd] task execution failed: ${label(execution)}:`, error);
  try {
    await storeFailure(execution, task.run_id, error);
  } catch (refusal) {
    if (guard.ended || endsQuietly(asRunEnding(refusal))) return;
    throw refusal;
  }
}

/**
 * If the server refuses the failure reason, store a brief one, so that the run need not wait for its lease to expire.
 */
async function storeFailure({ store }: Execution, runId: string, error: unknown): Promise<void> {
  try {
    await store.fail(runId, describeFailure(error));
  } catch (refusal) {
    if (!isValueRefused(refusal)) throw refusal;
    await store.fail(runId, describeFailureBriefly(error));
  }
}
