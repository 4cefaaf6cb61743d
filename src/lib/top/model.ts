/** What the screen of `top` asks for and is given: plain data between the side that reads and the side that draws. */
import type { QueueOverview } from '../../sql/queue-counts.js';
import type { TaskRow } from '../../sql/list-tasks.js';
import type { QueuePulse } from '../../sql/top.js';
import type { Timeline } from '../view/model.js';
import type { PauseColumns } from '../queue/pause.js';

/** A page of the screen. `why` is about a task, or about the queue where `id` is null. */
export type Level =
  | { kind: 'queues' }
  | { kind: 'tasks'; queue: string }
  | { kind: 'task'; queue: string; id: string }
  | { kind: 'step'; queue: string; id: string; step: string }
  | { kind: 'why'; queue: string; id: string | null };

/** A look at a page; the filter is what was typed after `/`. */
export interface LookRequest {
  level: Level;
  filter: string;
}

export type QueueLine = QueueOverview & PauseColumns & Partial<QueuePulse>;

export interface StepLine {
  name: string;
  attempt: number | null;
  updated_at: string;
  bytes: number | null;
  /** The beginning of its value; null where it is large. */
  value: string | null;
}

export type Looked =
  | { kind: 'queues'; queues: QueueLine[] }
  | { kind: 'tasks'; tasks: TaskRow[] }
  | { kind: 'task'; timeline: Timeline; steps: StepLine[]; failure: string | null }
  | { kind: 'text'; text: string };

export interface Look {
  data: Looked;
  /** What is missing or estimated. */
  notes: string[];
  /** The command line that shows the same. */
  command: string;
}

export type Action =
  | { kind: 'retry' | 'cancel'; queue: string; id: string }
  /** Resumes a queue that is paused. */
  | { kind: 'pause'; queue: string }
  | { kind: 'emit'; queue: string; event: string; payload: string };

/** The preview of an action. */
export interface Preview {
  title: string;
  /** False: it is refused, and `effects` say why. */
  allowed: boolean;
  effects: string[];
  /** The command line that does the same. */
  command: string;
}

/** The side that reads and writes. Errors are turned into text by it. */
export interface TopPort {
  look(request: LookRequest): Promise<Look>;
  preview(action: Action): Promise<Preview>;
  /** Does it, and says what came of it. */
  perform(action: Action): Promise<string>;
  /** An error of any of these in a user's words. */
  explain(error: unknown): Promise<string>;
}

export interface TopOptions {
  start: Level;
  intervalMs: number;
  readOnly: boolean;
  colour: boolean;
  unicode: boolean;
}

/** A page on the way down to the one that is shown. */
export interface Page {
  level: Level;
  filter: string;
  /** An index into the orders of this kind of page. */
  sort: number;
  /** The row that is selected, by its key; it keeps its place among the rows as they change. */
  selected: string | null;
  index: number;
}

export type Mode =
  | { kind: 'browse' }
  | { kind: 'help' }
  | { kind: 'command' }
  | { kind: 'input'; what: 'filter' | 'event'; text: string }
  | { kind: 'preparing'; action: Action }
  | { kind: 'confirm'; action: Action; preview: Preview }
  | { kind: 'working'; action: Action };

export interface State {
  /** From the first page to the one that is shown. */
  pages: Page[];
  /** The latest look at the page that is shown. */
  look: Look | null;
  lookedAt: Date | null;
  /** Why the latest look failed; null once one succeeds. */
  error: string | null;
  mode: Mode;
  message: { text: string; bad: boolean } | null;
  /** Completed runs a minute by queue, one number a look. */
  history: Readonly<Record<string, readonly number[]>>;
  size: { columns: number; rows: number };
  readOnly: boolean;
  unicode: boolean;
}
