/** The API's answers, from the view models that the server sends. Times and ids are texts; JSON of the database is of any kind. */
import type { FindingView } from '../../lib/view/findings.js';
import type { Timeline } from '../../lib/view/model.js';
import type { Overview, QueueView } from '../../lib/view/overview.js';
import type { EventView, OperationView, ScheduleView, TaskView, WorkerView } from '../../lib/view/rows.js';
import type { TaskPage, WhyView } from '../../lib/view/task-page.js';

export type { FindingView, Overview, QueueView, Timeline, WhyView };
export type { EventView, OperationView, ScheduleView, TaskView, WorkerView };

export interface Session {
  version: string;
  database: string;
  allow_actions: boolean;
}

export interface List<Row> {
  rows: Row[];
  more: boolean;
  skipped?: { queue_name: string; reason: string }[];
  /** Reading stopped before all of it was seen. */
  stopped?: boolean;
  /** How far back a search looked. */
  notes?: string[];
  /** False where the schema has no such thing. */
  available?: boolean;
}

export type TaskAnswer = TaskPage & { why: WhyView | null; why_error: string | null };

export interface DoctorAnswer {
  findings: FindingView[];
  counts: Record<'critical' | 'warning' | 'info', number>;
}

export interface Preview {
  allowed: boolean;
  effects: string[];
  command: string;
}
