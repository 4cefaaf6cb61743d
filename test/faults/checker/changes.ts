/** What a single change of a row must satisfy, beside the state of the queue before it. */
import type { Invariant } from './invariants.js';
import { emitted, type QueueState } from './state.js';
import { moment, same, unfinished, type Entry, type HistoryRow } from './types.js';

export type Report = (invariant: Invariant, words: string) => void;

const name = (row: HistoryRow | undefined): string =>
  row === undefined
    ? 'none'
    : `${row['run_id'] === undefined ? 'task' : 'run'} ${String(row['run_id'] ?? row['task_id'])}`;

export function checkChange(entry: Entry, before: QueueState, report: Report): void {
  if (entry.kind === 't') taskChange(entry, before, report);
  else if (entry.kind === 'r') runChange(entry, before, report);
  else if (entry.kind === 'c') checkpointChange(entry, before, report);
  else if (entry.kind === 'e') eventChange(entry, report);
  else if (entry.kind === 'w') waitChange(entry, before, report);
}

function taskChange(entry: Entry, before: QueueState, report: Report): void {
  const { old, new: now } = entry;
  if (old === null && now !== null) {
    const key = now['idempotency_key'];
    if (key === null) return;
    for (const other of before.rows.t.values()) {
      if (other['idempotency_key'] === key)
        report('one-task-a-key', `key ${String(key)}: ${name(other)}, and ${name(now)}`);
    }
  } else if (old !== null && now === null) {
    if (unfinished(old['state'])) {
      report('cleanup-takes-only-what-is-finished', `${name(old)} was deleted while ${String(old['state'])}`);
    }
  } else if (old !== null && now !== null && !unfinished(old['state'])) {
    const reopened = old['state'] === 'failed' && Number(now['attempts']) === Number(old['attempts']) + 1;
    const changed = ['state', 'completed_payload', 'cancelled_at'].filter((column) => !same(old[column], now[column]));
    if (changed.length > 0 && !reopened) {
      report('terminal-is-final', `${name(old)}, ${String(old['state'])}: ${changed.join(', ')} changed`);
    }
  }
}

function runChange(entry: Entry, before: QueueState, report: Report): void {
  const { old, new: now } = entry;
  if (old === null && now !== null) return runMade(now, before, report);
  if (old === null || now === null) return;
  if (!same(old['attempt'], now['attempt']) || !same(old['task_id'], now['task_id'])) {
    report('attempts-rise-by-one', `${name(old)} changed its task or its attempt`);
  }
  if (!unfinished(old['state'])) {
    const changed = ['state', 'result', 'failure_reason'].filter((column) => !same(old[column], now[column]));
    if (changed.length > 0) {
      report('terminal-is-final', `${name(old)}, ${String(old['state'])}: ${changed.join(', ')} changed`);
    }
    return;
  }
  if (now['state'] === 'running' && (old['state'] !== 'running' || !same(old['started_at'], now['started_at']))) {
    claimed(entry, old, now, before, report);
  }
  if (now['state'] === 'completed') resultChecked(now, before, report);
  const expired = (now['failure_reason'] as { name?: string } | null)?.name === '$ClaimTimeout';
  if (now['state'] === 'failed' && expired && !(moment(old['claim_expires_at']) <= moment(entry.clock))) {
    const times = `${String(old['claim_expires_at'])}, by ${entry.clock}`;
    report(
      'one-live-lease',
      `${name(old)} was taken from ${String(old['claimed_by'])} before its lease ended: ${times}`,
    );
  }
}

/** What a handler was given by its steps and waits, as it says in its result, is what was committed. */
function resultChecked(now: HistoryRow, before: QueueState, report: Report): void {
  const given = (now['result'] as { steps?: Record<string, unknown> } | null)?.steps;
  if (given === undefined) return;
  const committed = new Map(
    before.checkpointsOf(String(now['task_id'])).map((row) => [String(row['checkpoint_name']), row['state']]),
  );
  for (const [step, value] of Object.entries(given)) {
    if (committed.has(step) && same(committed.get(step), value)) continue;
    // The contract's own oddity: after a timeout, the next await of that event in the same execution is null, and leaves nothing.
    if (value === null && step.startsWith('$awaitEvent:') && !committed.has(step)) continue;
    const both = `${JSON.stringify(value)}, committed is ${JSON.stringify(committed.get(step))}`;
    report('checkpoint-is-seen', `${name(now)} completed with ${both} of step ${step}`);
  }
}

function runMade(now: HistoryRow, before: QueueState, report: Report): void {
  const earlier = before.runsOf(String(now['task_id'])).at(-1);
  const expected = Number(earlier?.['attempt'] ?? 0) + 1;
  if (Number(now['attempt']) !== expected) {
    report('attempts-rise-by-one', `${name(now)} is attempt ${String(now['attempt'])} after ${expected - 1}`);
  }
  if (earlier !== undefined && earlier['state'] !== 'failed') {
    report('attempts-rise-by-one', `${name(now)} follows ${name(earlier)}, which is ${String(earlier['state'])}`);
  }
}

function claimed(entry: Entry, old: HistoryRow, now: HistoryRow, before: QueueState, report: Report): void {
  if (old['state'] === 'running') {
    const both = `${String(old['claimed_by'])} and ${String(now['claimed_by'])}`;
    report('one-live-lease', `${name(old)} was claimed by ${both}`);
  }
  if (!(moment(old['available_at']) <= moment(entry.clock))) {
    report(
      'sleep-is-not-cut-short',
      `${name(old)} was claimed at ${entry.clock}, due at ${String(old['available_at'])}`,
    );
  }
  const task = before.task(String(now['task_id']));
  if (task !== undefined && !unfinished(task['state'])) {
    report('terminal-is-final', `${name(old)} was claimed, its task is ${String(task['state'])}`);
  }
}

function checkpointChange(entry: Entry, before: QueueState, report: Report): void {
  const { old, new: now } = entry;
  if (now === null) return;
  const what = `step ${String(now['checkpoint_name'])} of ${name(now)}`;
  if (old !== null && !same(old['state'], now['state'])) {
    report('checkpoint-is-final', `${what}: ${JSON.stringify(old['state'])} became ${JSON.stringify(now['state'])}`);
  }
  const event = /^\$awaitEvent:(.*?)(?:#\d+)?$/.exec(String(now['checkpoint_name']))?.[1];
  const emission = before.rows.e.get(String(event));
  if (event !== undefined && emission !== undefined && !same(emission['payload'], now['state'])) {
    const both = `${JSON.stringify(now['state'])}, emitted was ${JSON.stringify(emission['payload'])}`;
    report('first-emit-wins', `${what} received ${both}`);
  }
  const owner = before.run(now['owner_run_id']);
  const last = before.runsOf(String(now['task_id'])).at(-1);
  const superseded = owner === undefined || !unfinished(owner['state']) || owner['run_id'] !== last?.['run_id'];
  if (superseded) {
    const state = `${String(owner?.['state'] ?? 'unknown')}, attempt ${String(owner?.['attempt'])}`;
    report('superseded-run-is-fenced', `${what} was written by ${name(owner)}: ${state}`);
  }
}

function eventChange(entry: Entry, report: Report): void {
  const { old, new: now } = entry;
  if (old === null) return;
  if (now === null) {
    if (!emitted(old)) {
      report('cleanup-takes-only-what-is-finished', `event ${String(old['event_name'])} was deleted while awaited`);
    }
  } else if (emitted(old) && (!same(old['payload'], now['payload']) || !same(old['emitted_at'], now['emitted_at']))) {
    const both = `${JSON.stringify(old['payload'])}, then ${JSON.stringify(now['payload'])}`;
    report('first-emit-wins', `event ${String(old['event_name'])}: ${both}`);
  }
}

function waitChange(entry: Entry, before: QueueState, report: Report): void {
  const event = entry.new?.['event_name'];
  if (entry.new !== null && before.isEmitted(event)) {
    report('no-wakeup-lost', `${name(entry.new)} began to wait for ${String(event)}, which was emitted already`);
  }
}
