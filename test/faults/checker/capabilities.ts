/** What must hold of pauses, delays, schedules and families. */
import type { Report } from './changes.js';
import type { QueueState } from './state.js';
import { moment, unfinished, type Entry, type Facts, type HistoryRow, type TaskWait } from './types.js';

export class Capabilities {
  private paused = false;
  private readonly fired = new Map<string, string>();
  private readonly starts = new Map<string, string>();

  constructor({ spawned }: Facts) {
    for (const { taskId, startAt } of spawned) if (startAt !== undefined) this.starts.set(taskId, startAt);
  }

  /** `paused` is noted when every claim that could not see the pause is over, `resuming` before the pause ends. */
  note(entry: Entry): void {
    const note = entry.new?.['note'];
    if (note === 'paused') this.paused = true;
    else if (note === 'resuming') this.paused = false;
  }

  change({ kind, op, old, new: now, clock }: Entry, report: Report): void {
    if (now === null) return;
    if (kind === 't' && op === 'insert') this.spawned(now, report);
    if (kind !== 'r' || now['state'] !== 'running' || old === null || old['state'] === 'running') return;
    const run = `run ${String(now['run_id'])}`;
    if (this.paused)
      report('paused-queue-hands-out-nothing', `${run} was claimed at ${clock} while its queue was paused`);
    const start = this.starts.get(String(now['task_id']));
    if (start !== undefined && !(moment(start) <= moment(clock))) {
      report('delay-is-not-cut-short', `${run} was claimed at ${clock}, its task was to start at ${start}`);
    }
  }

  private spawned(task: HistoryRow, report: Report): void {
    const headers = task['headers'] as Record<string, unknown> | null;
    const [schedule, time] = [headers?.['absurd.schedule'], headers?.['absurd.scheduled_for']];
    if (schedule === undefined) return;
    const what = `${String(schedule)} at ${String(time)}`;
    const earlier = this.fired.get(what);
    const id = String(task['task_id']);
    if (earlier !== undefined) report('time-fires-once', `schedule ${what} made task ${earlier}, and task ${id}`);
    this.fired.set(what, id);
  }
}

/** Waits that are there when all children have had time to end. */
export function checkTaskWaits(waits: readonly TaskWait[], state: QueueState, report: Report): void {
  for (const { task_id: parent, mode, children } of waits) {
    const hasEnded = (child: string): boolean => !unfinished(state.task(child)?.['state']);
    const ended = children.filter(hasEnded);
    if (mode === 'any' ? ended.length === 0 : ended.length < children.length) continue;
    report('no-parent-waits-for-ended-child', `task ${parent} waits for ${mode} of ${ended.join(', ')}, which ended`);
  }
}
