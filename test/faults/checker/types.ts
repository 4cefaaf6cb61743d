import type { Violation } from './invariants.js';

/** A row of a queue's table as JSON; moments are RFC 3339 text in UTC, or `infinity`. */
export type HistoryRow = Record<string, unknown>;

/** The letter of a queue's table: tasks, runs, checkpoints, events, waits. */
export type TableLetter = 't' | 'r' | 'c' | 'e' | 'w';

/**
 * One committed change of a row, or one note by a worker or by the runner, in the order in which they were made. `commit` tells
 * when a transaction that emitted an event was about to end, `new` being the event: it may have waited for others since it wrote it.
 */
export interface Entry {
  seq: number;
  /** The transaction. */
  xid: string;
  /** The time of the database as that session saw it. */
  clock: string;
  kind: TableLetter | 'note';
  op: 'insert' | 'update' | 'delete' | 'commit' | 'note';
  old: HistoryRow | null;
  new: HistoryRow | null;
}

/**
 * A note: `begin` an execution of a handler begins, `ran` the function of a step runs, `drained` a worker has closed in
 * good order.
 */
export interface Note {
  note: 'begin' | 'ran' | 'drained' | 'paused' | 'resuming';
  exec?: string;
  task?: string;
  run?: string;
  attempt?: number;
  step?: string;
  worker?: string;
}

export interface Spawn {
  taskId: string;
  created: boolean;
  key?: string | undefined;
  /** When it was to start, RFC 3339. */
  startAt?: string | undefined;
}

/** A run that waits for tasks of the queue; it may be of another queue. */
export interface TaskWait {
  task_id: string;
  mode: 'all' | 'any';
  children: string[];
}

/** What the runner knows beside the history. */
export interface Facts {
  /** Spawns that were acknowledged, and committed where they had a transaction. */
  spawned: Spawn[];
  /** Tasks whose spawn was rolled back. */
  rolledBack: string[];
  /** The queue's rows at the end. */
  tables: Record<TableLetter, HistoryRow[]>;
  /** Waits for tasks that are there at the end. */
  taskWaits: TaskWait[];
  /** Whether all faults are mended and everybody had time to finish: then every task must have ended. */
  settled: boolean;
  /**
   * When they had ended, by `seq`: what a handler of a cancelled task spawned after that, nobody was there to run any more.
   * Undefined: all had time.
   */
  settledAt?: number;
  /** What was seen to go wrong while it happened. */
  seen: { invariant: Violation['invariant']; words: string }[];
}

/** The bare facts of a history that nobody spawned into. */
export function noFacts(): Facts {
  const tables = { t: [], r: [], c: [], e: [], w: [] };
  return { spawned: [], rolledBack: [], tables, taskWaits: [], settled: true, seen: [] };
}

export const unfinished = (state: unknown): boolean =>
  state === 'pending' || state === 'running' || state === 'sleeping';

/** Milliseconds since 1970; `infinity` is infinite, nothing is NaN. */
export function moment(value: unknown): number {
  if (value === 'infinity') return Infinity;
  return typeof value === 'string' ? Date.parse(value) : Number.NaN;
}

export const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
