/** Rows of a task as the database returns them, for tests that need no database. */
import type { TimelineRun, TimelineStep, TimelineTask, TimelineWait } from '../../src/sql/timeline.js';
import type { TimelineRows } from '../../src/lib/view/timeline.js';

const noon = Date.UTC(2026, 2, 4, 12);

/** A moment so many seconds after noon, as a row holds it. */
export const at = (seconds: number): string => new Date(noon + seconds * 1000).toISOString().replace('Z', '000Z');

const taskId = '019cb8a5-1400-7aaa-8aaa-aaaaaaaaaaaa';
export const runId = (attempt: number): string => `019cb8a5-1400-7bbb-8bbb-${String(attempt).padStart(12, '0')}`;

export const taskRow = (over: Partial<TimelineTask> = {}): TimelineTask => ({
  ...{ task_id: taskId, queue_name: 'q', task_name: 'charge', state: 'completed', attempts: 1, max_attempts: null },
  ...{ enqueue_at: at(0), first_started_at: at(2), cancelled_at: null, retry_strategy: null, parent_task_id: null },
  ...over,
});

export const runRow = (over: Partial<TimelineRun> = {}): TimelineRun => ({
  ...{ run_id: runId(over.attempt ?? 1), task_id: taskId, attempt: 1, state: 'completed', claimed_by: 'w1' },
  ...{ claim_expires_at: null, available_at: at(2), wake_event: null, created_at: at(0), started_at: at(2) },
  ...{ completed_at: at(10), failed_at: null, error: null },
  ...over,
});

export const stepRow = (over: Partial<TimelineStep> = {}): TimelineStep => ({
  ...{ checkpoint_name: 'reserve', owner_run_id: runId(1), updated_at: at(5), started_at: null },
  ...{ sleep_until: null, children: null, event_name: null },
  ...over,
});

export const waitRow = (over: Partial<TimelineWait> = {}): TimelineWait => ({
  ...{ run_id: runId(1), step_name: 'wait', event_name: 'paid', children: null, timeout_at: null, created_at: at(4) },
  ...over,
});

export const rowsOf = (over: Partial<TimelineRows> = {}): TimelineRows => {
  const steps = over.steps ?? [stepRow()];
  return {
    ...{
      now: at(60),
      task: taskRow(),
      runs: [runRow()],
      steps_total: steps.length,
      waits: [],
      family: [],
      family_cut: false,
    },
    ...over,
    steps,
  };
};

/** Text that could end a string, a tag, a line, or a terminal's patience. */
export const hostile = '"><script>&]]>\u0000\u001b[2J\u009b\r\n\u202e\ufffe\ud800\'`</svg>--';
