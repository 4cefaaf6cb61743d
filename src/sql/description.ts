/**
 * The schema as sql/absurd.sql makes it: what drift checks, doctor, migrate, grants and uninstall expect of a database. A test
 * compares all of it with an installed one. `since` is the revision of ours that added a part; parts without one are the
 * contract's.
 */

export const unfinishedStates = ['pending', 'running', 'sleeping'] as const;
export const finishedStates = ['completed', 'failed', 'cancelled'] as const;
export const taskStates = [...unfinishedStates, ...finishedStates] as const;
/** The state of a task or a run. */
export type TaskState = (typeof taskStates)[number];

export const isUnfinished = (state: string | undefined): boolean =>
  (unfinishedStates as readonly (string | undefined)[]).includes(state);

/** The letters that the names of a queue's tables begin with: `t_<queue>`. Only a partitioned queue has `i`. */
export const queueLetters = ['t', 'r', 'c', 'e', 'w', 'i'] as const;
export type QueueLetter = (typeof queueLetters)[number];
/** The tables that every queue has. */
export const requiredLetters = ['t', 'r', 'c', 'e', 'w'] as const;
/** The tables of a partitioned queue that have partitions, and the column that they are partitioned by. */
export const partitionKeys = { t: 'task_id', r: 'run_id', c: 'task_id', w: 'run_id' } as const;
export const partitionedLetters = ['t', 'r', 'c', 'w'] as const;

const sqlArray = (texts: readonly string[]): string => `array[${texts.map((text) => `'${text}'`).join(', ')}]`;
/** The same as SQL. */
export const queueLettersSql = sqlArray(queueLetters);
export const partitionedLettersSql = sqlArray(partitionedLetters);

export interface ColumnDescription {
  letter: QueueLetter;
  column: string;
  type: string;
  since?: number;
}

const time = 'timestamp with time zone';

const columnTypes: Record<QueueLetter, Record<string, string>> = {
  t: {
    task_id: 'uuid',
    task_name: 'text',
    params: 'jsonb',
    headers: 'jsonb',
    retry_strategy: 'jsonb',
    max_attempts: 'integer',
    cancellation: 'jsonb',
    enqueue_at: time,
    first_started_at: time,
    state: 'text',
    attempts: 'integer',
    last_attempt_run: 'uuid',
    completed_payload: 'jsonb',
    cancelled_at: time,
    idempotency_key: 'text',
  },
  r: {
    run_id: 'uuid',
    task_id: 'uuid',
    attempt: 'integer',
    state: 'text',
    claimed_by: 'text',
    claim_expires_at: time,
    available_at: time,
    wake_event: 'text',
    event_payload: 'jsonb',
    started_at: time,
    completed_at: time,
    failed_at: time,
    result: 'jsonb',
    failure_reason: 'jsonb',
    created_at: time,
  },
  c: {
    task_id: 'uuid',
    checkpoint_name: 'text',
    state: 'jsonb',
    status: 'text',
    owner_run_id: 'uuid',
    updated_at: time,
  },
  e: { event_name: 'text', payload: 'jsonb', emitted_at: time },
  w: { task_id: 'uuid', run_id: 'uuid', step_name: 'text', event_name: 'text', timeout_at: time, created_at: time },
  i: { idempotency_key: 'text', task_id: 'uuid' },
};

/** Columns that the script adds to older tables. */
export const addedColumns: readonly (ColumnDescription & { since: number })[] = [
  { letter: 't', column: 'cancel_due', type: time, since: 1 },
  { letter: 't', column: 'parent_task_id', type: 'uuid', since: 2 },
  { letter: 't', column: 'parent_queue', type: 'text', since: 2 },
  { letter: 't', column: 'awaited', type: 'boolean', since: 2 },
  { letter: 'c', column: 'started_at', type: time, since: 2 },
];

export const queueColumns: readonly ColumnDescription[] = [
  ...queueLetters.flatMap((letter) =>
    Object.entries(columnTypes[letter]).map(([column, type]) => ({ letter, column, type })),
  ),
  ...addedColumns,
];

export const queueTriggers: readonly { letter: QueueLetter; name: string; since: number }[] = [
  { letter: 't', name: 'set_cancel_due', since: 1 },
  { letter: 't', name: 'repair_cancel_due', since: 1 },
  { letter: 't', name: 'note_task_end', since: 2 },
];

export interface IndexDescription {
  letter: QueueLetter;
  /** The end of its name: `r_<queue>_rdy`. */
  label: string;
  on: string;
  since?: number;
}

/** In the order in which `migrate` builds them. `due` says that `cancel_due` is filled: nothing builds it before that. */
export const queueIndexes: readonly IndexDescription[] = [
  { letter: 't', label: 'can', on: '(cancelled_at) where cancelled_at is not null', since: 1 },
  { letter: 't', label: 'due', on: '(cancel_due) where cancel_due is not null', since: 1 },
  { letter: 'r', label: 'cei', on: `(claim_expires_at) where state = 'running' and claim_expires_at is not null` },
  { letter: 't', label: 'par', on: '(parent_task_id) where parent_task_id is not null', since: 2 },
  {
    letter: 'r',
    label: 'end',
    on: `((coalesce(completed_at, failed_at))) where state in ('completed', 'failed')`,
    since: 1,
  },
  { letter: 'r', label: 'rdy', on: `(available_at, run_id) where state in ('pending', 'sleeping')`, since: 1 },
  { letter: 'r', label: 'sai', on: '(state, available_at)' },
  { letter: 'r', label: 'ti', on: '(task_id)' },
  { letter: 'e', label: 'eai', on: '(emitted_at)' },
  { letter: 'w', label: 'eni', on: '(event_name)' },
  { letter: 'w', label: 'ti', on: '(task_id)' },
  { letter: 'i', label: 'ti', on: '(task_id)' },
];

/** The table of queues, and those of ours that belong to no single queue. */
export const ownTables = [
  'queues',
  'claim_gates',
  'queue_pauses',
  'schedules',
  'task_waits',
  'awaited_tasks',
  'workers',
  'operations',
] as const;
export type OwnTable = (typeof ownTables)[number];

/** What a queue's policy sets, columns of `absurd.queues`. */
export const policyKeys = [
  'default_partition',
  'partition_lookahead',
  'partition_lookback',
  'cleanup_ttl',
  'cleanup_limit',
  'detach_mode',
  'detach_min_age',
] as const;
export type PolicyKey = (typeof policyKeys)[number];

/** The columns of `absurd.queues` that the script adds where they are missing: schemas before 0.4.0 have none of them. */
export const addedRegistryColumns: readonly string[] = ['storage_mode', ...policyKeys];

const names = (text: string): string[] => text.trim().split(/\s+/);

/** The contract's functions by the version that brought them. */
export const functionsByVersion: Readonly<Record<string, string[]>> = {
  '0.2.0': names(`
    await_event cancel_task claim_task cleanup_events cleanup_tasks complete_run create_queue current_time drop_queue emit_event
    ensure_queue_tables extend_claim fail_run get_schema_version get_task_checkpoint_state get_task_checkpoint_states list_queues
    portable_uuidv7 retry_task schedule_run set_task_checkpoint_state spawn_task validate_queue_name`),
  '0.3.0': names('get_task_result'),
  '0.4.0': names(`
    cleanup_all_queues disable_cron drop_detached_partition enable_cron ensure_partitions get_queue_policy
    list_detach_candidates partition_week_tag schedule_detach_jobs set_queue_policy uuidv7_floor uuidv7_timestamp
    week_bucket_utc`),
  // The release of 0.5.0 alone: neither a development tree of that version nor our revision 1 has it.
  '0.5.0': names('retry_delay_seconds'),
};

/** Our additions to the contract by the revision that brought them. */
export const functionsByRevision: Readonly<Record<number, string[]>> = {
  1: names(`
    complete_runs get_queue_wakeup get_run_checkpoints get_schema_revision set_queue_wakeup set_task_checkpoint_states
    spawn_tasks`),
  2: names(`
    await_events await_tasks backfill_schedule cancel_task_tree drop_schedule fire_schedules forget_worker get_queue_pauses
    get_schema_features heartbeat_worker next_times pause_queue pause_schedule record_operation resume_queue resume_schedule
    set_schedule trigger_schedule wake_task`),
};

/** The functions that each queue has, `"claim:<queue>"`, by what stands before the colon. */
export const queueFunctionKinds = ['spawn', 'claim', 'done', 'ends', 'save', 'keep', 'load', 'emit'] as const;

/** The channel on which a queue with wake-ups on announces that a run became pending; the payload is the queue's name. */
export const wakeupChannel = 'absurd_wakeup';
/** A channel for a listener's self-test, on which no other worker wakes up. */
export const wakeupCheckChannel = 'absurd_wakeup_check';

/** Keys of advisory locks. */
export const installLock = 'absurd.install';
export const functionsLock = 'absurd.functions:';
export const partitionsLock = 'absurd.partitions:';
