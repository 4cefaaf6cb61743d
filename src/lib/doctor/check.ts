import type { Unread } from '../../sql/bounded.js';
import type { LockHolder } from '../../sql/diagnosis-locks.js';
import type { PauseFacts } from '../../sql/diagnosis-operations.js';
import type { KnownQueue, QueueFlow } from '../../sql/diagnosis-queues.js';
import type {
  CheckpointLoad,
  DeadEnd,
  EndedEarly,
  ErrorCount,
  Leftovers,
  SampledRun,
  WaitSample,
} from '../../sql/doctor-queue.js';
import type { RegisteredWorker } from '../../sql/diagnosis-workers.js';
import type { SurveyedTable } from '../../sql/doctor-survey.js';
import type {
  IndexFacts,
  PartitionFacts,
  SchemaFacts,
  ServerFacts,
  SessionFacts,
  DriftedColumn,
  TableHealth,
} from '../../sql/doctor.js';
import type { Standing } from '../../sql/grants.js';
import type { Sight } from '../../sql/sessions.js';
import type { Thresholds } from './thresholds.js';
import { type Advice } from '../cli/hint.js';

export const severities = ['info', 'warning', 'critical'] as const;
export type Severity = (typeof severities)[number];

/** A group of facts that is only read when a selected check needs it. */
export type Need = 'queues' | 'catalog' | 'sessions' | 'partitions' | 'workers';

/** Facts of one queue. Null: could not be read; an empty list: there is nothing. Times are milliseconds since 1970. */
export interface QueueFacts {
  queue: KnownQueue;
  flow: QueueFlow | null;
  unfinished: SampledRun[];
  deadEnds: DeadEnd[];
  errors: ErrorCount[];
  endedEarly: EndedEarly[];
  waits: WaitSample[];
  leftovers: Leftovers | null;
  /** Tasks with many checkpoints, examined one by one. */
  loads: { run: SampledRun; load: CheckpointLoad }[];
  locks: LockHolder[];
}

/** All facts of doctor, read once. */
export interface Facts {
  now: number;
  thresholds: Thresholds;
  schema: SchemaFacts;
  /** Revision of the schema that this program installs; null if its file has none. */
  shippedRevision: number | null;
  /** Registered queues, also those with tables missing. */
  known: KnownQueue[];
  /** False if the registry could not be read or hides rows: an unknown queue may be registered. */
  knowsAll: boolean;
  /** Tables of the schema that are not partitions. */
  survey: SurveyedTable[];
  queues: QueueFacts[];
  /** Rows of the worker registry; empty if the schema has none, or it could not be read. */
  workers: RegisteredWorker[];
  missingFunctions: string[];
  columns: DriftedColumn[];
  indexes: IndexFacts[];
  tables: TableHealth[];
  transactions: SessionFacts[];
  server: ServerFacts | null;
  tableLocks: LockHolder[];
  /** Pauses in force, of all queues. */
  pauses: PauseFacts[];
  /** What this role can see of sessions; null: not asked. */
  sight: Sight | null;
  partitions: PartitionFacts[];
  defaultRows: { partition: string; rows: number }[];
  /** Rows of former partitions. */
  detachedRows: { partition: string; rows: number }[];
  unread: Unread[];
  /** The connected role; read only if a right was missing. */
  standing: Standing | null;
}

export interface Finding {
  severity: Severity;
  queue: string | null;
  /** What was seen, safe for a terminal. */
  seen: string;
  /** Commands or advice that fix it, in order. */
  mend: Advice[];
  /** The session that causes it: its process id, or the name of its prepared transaction. */
  session?: number | string;
  /** Queues whose work it stops, for a finding about no single queue. */
  queues?: string[];
  /** Whether it keeps vacuum from removing rows. */
  snapshot?: boolean;
}

export interface DoctorFinding extends Finding {
  check: string;
  why: string;
  /** Its consequences, which disappear with it. */
  leads_to: DoctorFinding[];
}

export interface Check {
  /** Stable; docs/doctor.md explains it. */
  id: string;
  /** Why it matters, one sentence. */
  why: string;
  needs: Need[];
  find(facts: Facts): Finding[];
}

/** Prefix for a count from a full sample. */
export const atLeast = (cut: boolean): string => (cut ? 'at least ' : '');

/** Creates a finding for a queue. */
export const inQueue = (severity: Severity, { queue }: QueueFacts, seen: string, ...mend: Advice[]): Finding => ({
  severity,
  queue: queue.queue_name,
  seen,
  mend,
});

export const overall = (severity: Severity, seen: string, ...mend: Advice[]): Finding => ({
  severity,
  queue: null,
  seen,
  mend,
});
