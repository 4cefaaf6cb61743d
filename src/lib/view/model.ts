/**
 * What the terminal, the browser and the exports draw of a task: lanes and spans, JSON as they stand. Types alone, so that any build can
 * import them.
 */

/**
 * delay: before the start that a spawn asked for · queued: ready, and no worker has claimed it · running: a worker holds it · step:
 * one step of an attempt · sleep · event: waits for an event · children: waits for tasks to end · backoff: before a retry
 */
export type SpanKind = 'delay' | 'queued' | 'running' | 'step' | 'sleep' | 'event' | 'children' | 'backoff';

/**
 * known: recorded · estimated: follows from other rows · unknown: the start of a step, not recorded and drawn from the moment before it
 * in the attempt · open: not over, and drawn up to now
 */
export type Certainty = 'known' | 'estimated' | 'unknown' | 'open';

export type Outcome = 'completed' | 'failed' | 'cancelled' | 'timed_out' | 'woken' | 'lease_expired';

export interface Span {
  kind: SpanKind;
  /** RFC 3339 in UTC; never after `to`. */
  from: string;
  to: string;
  from_is: Exclude<Certainty, 'open'>;
  to_is: Certainty;
  /** Null where `from` is unknown. */
  seconds: number | null;
  /** Of one that is open: when it ends by itself; null: never, or it is not known. */
  until: string | null;
  outcome: Outcome | null;
  /** The worker, the event, the error: what a reader wants to know of it. */
  detail: string | null;
}

export interface Lane {
  /** attempt: one run, from its creation to its end · step: one checkpoint or wait of the attempt above · child: a task of the family */
  kind: 'attempt' | 'step' | 'child';
  /** The attempt's number, the step's name, the child's task name: stored text, not made harmless. */
  name: string;
  depth: number;
  task_id: string;
  queue_name: string;
  /** Null for a child, and for steps whose attempt is not shown. */
  attempt: number | null;
  /** State of the run or of the child; of a step whether it is over. */
  state: string;
  spans: Span[];
}

/** A stretch in which nothing runs; what a picture may shorten. */
export interface Idle {
  from: string;
  to: string;
  seconds: number;
}

export type NoteCode =
  'steps_cut' | 'attempts_cut' | 'children_cut' | 'starts_unknown' | 'estimated' | 'contradiction' | 'clock_stopped';

export interface Note {
  code: NoteCode;
  text: string;
}

export interface Timeline {
  task_id: string;
  task_name: string;
  queue_name: string;
  state: string;
  attempts: number;
  max_attempts: number | null;
  parent_task_id: string | null;
  /** The server's present, to which open spans are drawn. */
  now: string;
  from: string;
  to: string;
  seconds: number;
  /** Whether the task is over. */
  ended: boolean;
  lanes: Lane[];
  idle: Idle[];
  /** Seconds of the task's own attempts by kind of span; steps are within them. */
  totals: Partial<Record<SpanKind, number>>;
  /** What is missing, estimated or contradictory. */
  notes: Note[];
}
