import type {
  CheckpointFacts,
  EventFacts,
  NameActivity,
  NameSample,
  RunFacts,
  TaskFacts,
  WaitFacts,
} from '../../sql/diagnosis.js';
import type { OperationFacts, PauseFacts } from '../../sql/diagnosis-operations.js';
import type { LockHolder } from '../../sql/diagnosis-locks.js';
import type { QueueFlow } from '../../sql/diagnosis-queues.js';
import type { Workforce } from '../../sql/diagnosis-workers.js';
import type { CheckpointFigures, FailureStreak, Peer } from '../../sql/diagnosis-past.js';
import type { Relative } from './family.js';
import { type Advice } from '../cli/hint.js';

/** `known`: a row says so. `inferred`: rows fit it, and something else could too. */
export interface Evidence {
  certainty: 'known' | 'inferred';
  what: string;
  value: string;
}

export interface Explanation {
  sentence: string;
  evidence: Evidence[];
  /** Commands, or plain advice, in the order to try them. */
  next: Advice[];
}

/**
 * `fine`: nothing to do. `waiting`: it continues after a time or an event. `stuck`: somebody must act. `ended`: it
 * will not continue.
 */
export type Verdict = 'fine' | 'waiting' | 'stuck' | 'ended';

/**
 * A question about a task that may get no answer, because a table is locked or may not be read. The fact is then
 * unknown.
 */
export type Gap = 'task' | 'runs' | 'checkpoints' | 'waits' | 'flow' | 'line';

/** The past of a task. */
export interface PastFacts {
  /** Null if nothing failed. */
  streak: FailureStreak | null;
  figures: CheckpointFigures | null;
  /** The attempts of the runs that saved checkpoints. */
  owners: ReadonlyMap<string, number>;
  /** Tasks of the same name that ended recently; read if attempts of this one have failed. */
  peers: Peer[];
}

/** Thresholds above which a figure is unusual. */
export interface WhyThresholds {
  /** Consecutive failures with the same error. */
  retries: number;
  /** Sleeps a minute. */
  polling: number;
  /** Bytes of all checkpoints. */
  largeBytes: number;
}

/** A pause, and the operation that created it, if recorded. */
export interface Paused extends PauseFacts {
  operation: OperationFacts | null;
}

/** The facts about one task, fetched once. Times are milliseconds since 1970. */
export interface TaskSubject {
  queue: string;
  now: number;
  task: TaskFacts | null;
  /** The run in question: the task's last one, or the one whose id was given. */
  run: RunFacts | null;
  /** The latest attempts, latest first. */
  runs: RunFacts[];
  checkpoints: CheckpointFacts[];
  waits: WaitFacts[];
  locks: LockHolder[];
  /** Present for unfinished tasks. */
  flow: QueueFlow | null;
  windowSeconds: number;
  ahead: number | null;
  event: EventFacts | null;
  nameActivity: NameActivity | null;
  /** Null if the registry has no live worker of the queue. */
  workforce: Workforce | null;
  past: PastFacts;
  thresholds: WhyThresholds;
  /** Whether the schema can end a sleep before its time (`wake_task`). */
  canWake: boolean;
  /** The pause of its queue; null where it has none, or the task has ended. */
  pause: Paused | null;
  /** Operations on the task, latest first. */
  operations: OperationFacts[];
  /** The task that this one waits for, if any. */
  relative: Relative | null;
  /** Unanswered questions: an empty list above then proves nothing. */
  gaps: ReadonlySet<Gap>;
}

export interface QueueSubject {
  queue: string;
  now: number;
  flow: QueueFlow;
  windowSeconds: number;
  locks: LockHolder[];
  awaited: { event_name: string; waiting: number }[];
  pause: Paused | null;
}

export interface NameSubject {
  taskName: string;
  now: number;
  samples: NameSample[];
}

export interface Cause<Subject> {
  /** Stable: scripts match on it; docs/why.md explains it. */
  code: string;
  verdict: Verdict | ((subject: Subject) => Verdict);
  /** Causes of one group answer the same question: only the first that applies is reported. */
  group: string;
  applies(subject: Subject): boolean;
  explain(subject: Subject): Explanation;
}

export interface Diagnosis extends Explanation {
  code: string;
  verdict: Verdict;
  /** Other causes that apply at the same time, most important first. */
  also: { code: string; sentence: string }[];
}

export const known = (what: string, value: string | number): Evidence => ({
  certainty: 'known',
  what,
  value: String(value),
});
export const inferred = (what: string, value: string | number): Evidence => ({
  certainty: 'inferred',
  what,
  value: String(value),
});

/**
 * The first cause that applies is the answer, followed by the first of each other group. The last cause of a list must
 * always apply, and is reported only if no other does.
 */
export function diagnose<Subject>(causes: Cause<Subject>[], subject: Subject): Diagnosis {
  const [first, ...others] = causes.filter((cause) => cause.applies(subject));
  if (!first) throw new Error('a list of causes must end with one that always applies');
  const told = new Set([first.group]);
  const also = others.filter((cause) => {
    const isNew = !told.has(cause.group) && cause !== causes.at(-1);
    told.add(cause.group);
    return isNew;
  });
  return {
    code: first.code,
    verdict: typeof first.verdict === 'function' ? first.verdict(subject) : first.verdict,
    ...first.explain(subject),
    also: also.map((cause) => ({ code: cause.code, sentence: cause.explain(subject).sentence })),
  };
}
