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
  /** Tasks with many checkpoints, at a closer look. */
  loads: { run: SampledRun; load: CheckpointLoad }[];
  locks: LockHolder[];
}

/** All that doctor knows, read once. */
export interface Facts {
  now: number;
  thresholds: Thresholds;
  schema: SchemaFacts;
  /** Revision of the schema that this program would install; null where its file does not say. */
  shippedRevision: number | null;
  /** Registered queues, also those with tables missing. */
  known: KnownQueue[];
  /** False where the registry could not be read, or hides rows: a queue that is not known may be registered. */
  knowsAll: boolean;
  /** Tables of the schema that are not partitions. */
  survey: SurveyedTable[];
  queues: QueueFacts[];
  /** Rows of the registry; none where the schema has no registry, or it could not be read. */
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
  /** What this role may see of sessions; null: not asked. */
  sight: Sight | null;
  partitions: PartitionFacts[];
  defaultRows: { partition: string; rows: number }[];
  /** Rows of tables that were partitions once. */
  detachedRows: { partition: string; rows: number }[];
  unread: Unread[];
  /** Who is connected; only read where a right was missing. */
  standing: Standing | null;
}

export interface Finding {
  severity: Severity;
  queue: string | null;
  /** What was seen, fit for a terminal. */
  seen: string;
  /** Commands or advice that fix it, in order. */
  mend: Advice[];
  /** The session that is to blame: its process id, or the name of its prepared transaction. */
  session?: number | string;
  /** Queues whose work it stops, for a finding that is of no single queue. */
  queues?: string[];
  /** Whether it keeps vacuum from removing rows. */
  snapshot?: boolean;
}

export interface DoctorFinding extends Finding {
  check: string;
  why: string;
  /** What follows from it: gone with the cause. */
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

/** In front of a count that comes from a sample which was full. */
export const atLeast = (cut: boolean): string => (cut ? 'at least ' : '');

/** A finding for a queue, in the order that reads best in a check. */
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
