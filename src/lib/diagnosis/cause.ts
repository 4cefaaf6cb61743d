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

/** `fine`: nothing to do. `waiting`: time or an event will move it. `stuck`: somebody must act. `ended`: it will not go on. */
export type Verdict = 'fine' | 'waiting' | 'stuck' | 'ended';

/** A question about a task that may get no answer: a table is locked, or may not be read. What it would say is then not known. */
export type Gap = 'task' | 'runs' | 'checkpoints' | 'waits' | 'flow' | 'line';

/** What a task has been through. */
export interface PastFacts {
  /** Null where nothing failed. */
  streak: FailureStreak | null;
  figures: CheckpointFigures | null;
  /** The attempts of the runs that saved checkpoints. */
  owners: ReadonlyMap<string, number>;
  /** Others of its name that ended of late; read where attempts of this one have failed. */
  peers: Peer[];
}

/** From where on a figure is out of the ordinary. */
export interface WhyThresholds {
  /** Failures in a row, alike. */
  retries: number;
  /** Sleeps a minute. */
  polling: number;
  /** Bytes of all checkpoints. */
  largeBytes: number;
}

/** A pause, and the operation that made it where that was recorded. */
export interface Paused extends PauseFacts {
  operation: OperationFacts | null;
}

/** All that is known of one task, fetched once. Times are milliseconds since 1970. */
export interface TaskSubject {
  queue: string;
  now: number;
  task: TaskFacts | null;
  /** The run that is asked about: the task's last one, or the one whose id was given. */
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
  /** Null where no worker of the registry is alive on the queue. */
  workforce: Workforce | null;
  past: PastFacts;
  thresholds: WhyThresholds;
  /** Whether the schema can end a sleep before its time (`wake_task`). */
  canWake: boolean;
  /** The pause of its queue; null where it has none, or the task has ended. */
  pause: Paused | null;
  /** What people did to it, the latest first. */
  operations: OperationFacts[];
  /** The task that this one waits for, if it does. */
  relative: Relative | null;
  /** What got no answer: an empty list above then means nothing. */
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
  /** Causes of one group answer the same question: only the first of them that applies is told. */
  group: string;
  applies(subject: Subject): boolean;
  explain(subject: Subject): Explanation;
}

export interface Diagnosis extends Explanation {
  code: string;
  verdict: Verdict;
  /** Other causes that hold at the same time, in order of weight. */
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
 * The first cause that applies is the answer; beside it stands the first that applies of each other group. The last cause of
 * a list must always apply, and is only told when nothing else is.
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
