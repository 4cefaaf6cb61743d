/** What must hold for a task, or an event, whenever a transaction that touched it is over. */
import type { Report } from './changes.js';
import type { QueueState } from './state.js';
import { moment, same, unfinished, type HistoryRow } from './types.js';

export function checkTask(taskId: string, now: QueueState, report: Report): void {
  const task = now.task(taskId);
  const runs = now.runsOf(taskId);
  if (task === undefined) return checkGone(taskId, now, runs, report);
  const open = runs.filter((run) => unfinished(run['state']));
  const states = open.map((run) => `${String(run['run_id'])} ${String(run['state'])}`).join(', ');
  if (open.length > 1) report('one-unfinished-run', `task ${taskId}: ${states}`);
  if (task['max_attempts'] !== null && Number(task['attempts']) > Number(task['max_attempts'])) {
    report(
      'attempts-rise-by-one',
      `task ${taskId}: ${String(task['attempts'])} attempts of ${String(task['max_attempts'])}`,
    );
  }
  checkAgreement(task, runs, report);
  for (const run of open) checkReclaimable(run, now, report);
  if (unfinished(task['state']) && open.length === 0) {
    report('every-run-can-be-reclaimed', `task ${taskId} is ${String(task['state'])} without an unfinished run`);
  }
}

function checkAgreement(task: HistoryRow, runs: HistoryRow[], report: Report): void {
  const last = runs.at(-1);
  const words = `task ${String(task['task_id'])} is ${String(task['state'])}, its last run ${String(last?.['state'])}`;
  // A cancellation can find a task between two attempts, and so beside a failed run.
  const agree = task['state'] === last?.['state'] || (task['state'] === 'cancelled' && last?.['state'] === 'failed');
  if (!agree) report('rows-agree', words);
  else if (!same(task['attempts'], last?.['attempt']) || !same(task['last_attempt_run'], last?.['run_id'])) {
    const told = `${String(task['attempts'])} (${String(task['last_attempt_run'])})`;
    report('rows-agree', `${words}: attempt ${told} beside ${String(last?.['attempt'])} (${String(last?.['run_id'])})`);
  } else if (task['state'] === 'completed' && !same(task['completed_payload'], last?.['result'])) {
    report('rows-agree', `${words}, with another result`);
  }
}

function checkReclaimable(run: HistoryRow, now: QueueState, report: Report): void {
  const words = `run ${String(run['run_id'])} is ${String(run['state'])}`;
  if (run['state'] === 'running' && !Number.isFinite(moment(run['claim_expires_at']))) {
    report('every-run-can-be-reclaimed', `${words} without an end of its lease`);
  }
  if (run['state'] === 'running' || moment(run['available_at']) !== Infinity) return;
  const waits = now.waitsFor(String(run['wake_event'])).filter((wait) => wait['run_id'] === run['run_id']);
  if (waits.length === 0) report('every-run-can-be-reclaimed', `${words} for ever, and waits for nothing`);
}

function checkGone(taskId: string, now: QueueState, runs: HistoryRow[], report: Report): void {
  const rest = runs.length + now.checkpointsOf(taskId).length;
  if (rest > 0) report('cleanup-takes-only-what-is-finished', `of task ${taskId}, ${rest} rows stayed`);
}

/** @param clock when it was emitted: a wait that had timed out by then is left to time out */
export function checkEvent(event: string, clock: string, now: QueueState, report: Report): void {
  if (!now.isEmitted(event)) return;
  for (const wait of now.waitsFor(event)) {
    const run = now.run(wait['run_id']);
    const timedOut = moment(wait['timeout_at']) <= moment(clock);
    if (run?.['state'] !== 'sleeping' || run['wake_event'] !== event || timedOut) continue;
    report('no-wakeup-lost', `run ${String(run['run_id'])} sleeps on for ${event}, which was emitted`);
  }
}
