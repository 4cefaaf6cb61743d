import { unfinished, type Entry, type HistoryRow, type TableLetter } from './types.js';

export const rowKey: Record<TableLetter, (row: HistoryRow) => string> = {
  t: (row) => String(row['task_id']),
  r: (row) => String(row['run_id']),
  c: (row) => `${String(row['task_id'])} ${String(row['checkpoint_name'])}`,
  e: (row) => String(row['event_name']),
  w: (row) => `${String(row['run_id'])} ${String(row['step_name'])}`,
};

/** The queue's tables as they were at a point of the history. */
export class QueueState {
  readonly rows: Record<TableLetter, Map<string, HistoryRow>> = {
    t: new Map(),
    r: new Map(),
    c: new Map(),
    e: new Map(),
    w: new Map(),
  };
  private readonly runIds = new Map<string, Set<string>>();
  private readonly waitKeys = new Map<string, Set<string>>();
  private readonly stepNames = new Map<string, Set<string>>();

  apply(entry: Entry): void {
    if (entry.kind === 'note') return;
    const row = entry.new ?? entry.old;
    if (row === null) return;
    const key = rowKey[entry.kind](row);
    if (entry.op === 'delete') this.rows[entry.kind].delete(key);
    else this.rows[entry.kind].set(key, row);
    const task = String(row['task_id']);
    if (entry.kind === 'r') index(this.runIds, task, key);
    if (entry.kind === 'w') index(this.waitKeys, String(row['event_name']), key);
    if (entry.kind === 'c') index(this.stepNames, task, key);
  }

  task(taskId: string): HistoryRow | undefined {
    return this.rows.t.get(taskId);
  }

  run(runId: unknown): HistoryRow | undefined {
    return this.rows.r.get(String(runId));
  }

  /** A task's runs by attempt. */
  runsOf(taskId: string): HistoryRow[] {
    return this.listed(this.runIds, taskId, 'r').sort((a, b) => Number(a['attempt']) - Number(b['attempt']));
  }

  unfinishedRunsOf(taskId: string): HistoryRow[] {
    return this.runsOf(taskId).filter((run) => unfinished(run['state']));
  }

  checkpointsOf(taskId: string): HistoryRow[] {
    return this.listed(this.stepNames, taskId, 'c');
  }

  waitsFor(event: string): HistoryRow[] {
    return this.listed(this.waitKeys, event, 'w').filter((wait) => wait['event_name'] === event);
  }

  isEmitted(event: unknown): boolean {
    const row = this.rows.e.get(String(event));
    return row !== undefined && emitted(row);
  }

  private listed(lists: Map<string, Set<string>>, of: string, letter: TableLetter): HistoryRow[] {
    return [...(lists.get(of) ?? [])].flatMap((key) => {
      const row = this.rows[letter].get(key);
      return row === undefined ? [] : [row];
    });
  }
}

/** An event that is awaited only bears the time of the epoch; its payload is no JSON at all, which JSON cannot tell from null. */
export function emitted(row: HistoryRow): boolean {
  return Date.parse(String(row['emitted_at'])) > 0;
}

function index(lists: Map<string, Set<string>>, of: string, key: string): void {
  const list = lists.get(of) ?? new Set();
  list.add(key);
  lists.set(of, list);
}
