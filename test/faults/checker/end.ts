/** What must hold when all is over. */
import type { Report } from './changes.js';
import { checkEvent } from './commits.js';
import { rowKey, type QueueState } from './state.js';
import { same, unfinished, type Entry, type Facts, type HistoryRow, type TableLetter } from './types.js';

export function checkEnd(state: QueueState, entries: readonly Entry[], facts: Facts, report: Report): void {
  const inserted = new Map<string, HistoryRow>();
  const late = new Set<string>();
  for (const { seq, kind, op, new: row } of entries) {
    if (kind !== 't' || op !== 'insert' || row === null) continue;
    inserted.set(String(row['task_id']), row);
    if (seq > (facts.settledAt ?? Infinity)) late.add(String(row['task_id']));
  }
  checkSpawns(inserted, facts, report);
  checkTables(state, facts, report);
  if (!facts.settled) return;
  const clock = entries.at(-1)?.clock ?? '';
  for (const event of state.rows.e.keys()) checkEvent(event, clock, state, report);
  for (const task of state.rows.t.values()) {
    if (!unfinished(task['state']) || late.has(String(task['task_id']))) continue;
    const run = state.unfinishedRunsOf(String(task['task_id'])).at(-1);
    const columns = ['state', 'attempt', 'claimed_by', 'claim_expires_at', 'available_at', 'wake_event'];
    const facts = columns.map((column) => `${column} ${String(run?.[column])}`).join(', ');
    report('no-task-lost', `task ${String(task['task_id'])} (${String(task['task_name'])}) never ended: ${facts}`);
  }
}

function checkSpawns(inserted: Map<string, HistoryRow>, facts: Facts, report: Report): void {
  const creators = new Map<string, number>();
  for (const { taskId, key, created } of facts.spawned) {
    const task = inserted.get(taskId);
    if (task === undefined)
      report('no-task-lost', `the spawn of ${taskId} was acknowledged, and there is no such task`);
    else if (key !== undefined && task['idempotency_key'] !== key) {
      report(
        'one-task-a-key',
        `a spawn with key ${key} returned ${taskId}, which has ${String(task['idempotency_key'])}`,
      );
    }
    if (created) creators.set(taskId, (creators.get(taskId) ?? 0) + 1);
  }
  for (const [taskId, times] of creators) {
    if (times > 1) report('one-task-a-key', `${times} callers were told that they created ${taskId}`);
  }
  for (const taskId of facts.rolledBack) {
    if (inserted.has(taskId)) report('rollback-leaves-nothing', `task ${taskId} is there`);
  }
}

function checkTables(state: QueueState, facts: Facts, report: Report): void {
  for (const letter of ['t', 'r', 'c', 'e', 'w'] as TableLetter[]) {
    const actual = new Map(facts.tables[letter].map((row) => [rowKey[letter](row), row]));
    for (const [key, row] of state.rows[letter]) {
      const there = actual.get(key);
      if (there === undefined) report('nothing-vanishes', `${letter}_ has no row ${key} any more`);
      else if (!same(there['state'], row['state'])) report('nothing-vanishes', `${letter}_ has ${key} otherwise`);
    }
    for (const key of actual.keys()) {
      if (!state.rows[letter].has(key)) report('nothing-vanishes', `${letter}_ has a row ${key} that nobody committed`);
    }
  }
}
