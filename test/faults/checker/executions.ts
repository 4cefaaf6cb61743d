import type { Report } from './changes.js';
import type { QueueState } from './state.js';
import type { Entry, Note } from './types.js';

interface Execution {
  note: Note;
  /** Steps whose checkpoints were there, and visible to its run, when it began. */
  done: Set<string>;
}

/** What handlers and workers noted, beside the rows. */
export class Executions {
  private readonly begun = new Map<string, Execution>();

  constructor(private readonly state: QueueState) {}

  note(entry: Entry, report: Report): void {
    const note = entry.new as Note | null;
    if (note?.note === 'begin') this.begin(note);
    else if (note?.note === 'ran') this.ran(note, report);
    else if (note?.note === 'drained') this.drained(note, report);
  }

  private begin(note: Note): void {
    const attemptOf = (run: unknown): number => Number(this.state.run(run)?.['attempt'] ?? 0);
    const visible = this.state
      .checkpointsOf(String(note.task))
      .filter((row) => attemptOf(row['owner_run_id']) <= Number(note.attempt));
    this.begun.set(String(note.exec), { note, done: new Set(visible.map((row) => String(row['checkpoint_name']))) });
  }

  private ran({ exec, step, task, run }: Note, report: Report): void {
    if (!this.begun.get(String(exec))?.done.has(String(step))) return;
    report('checkpoint-is-seen', `task ${task}, run ${run}: step ${step} ran again, though it was done before`);
  }

  private drained({ worker }: Note, report: Report): void {
    for (const run of this.state.rows.r.values()) {
      if (run['state'] !== 'running' || run['claimed_by'] !== worker) continue;
      report('drained-worker-leaves-nothing-leased', `worker ${worker} closed with run ${String(run['run_id'])}`);
    }
  }
}
