import { boundedCount, ms, type BoundedReader, type Readable } from './bounded.js';
import { checkpoints, events, quoteIdent, runs, tasks, waits } from './identifiers.js';

/**
 * Facts about queues for `doctor`, each from a bounded sample of an index's end: the first 1000 runs of every unfinished
 * state, the latest finished ones, both ends of the tasks. Many queues are asked about in one statement; each arm of it says
 * in `at` which one it is about. Times are milliseconds since 1970.
 */
const SAMPLE = 1000;

/** A queue to ask about. */
export interface QueueTarget extends Readable {
  queue: string;
  /** How long finished work may be kept; null where no policy says so. */
  keptSeconds: number | null;
}

/** Reads rows about each queue; returns the targets that could not be read. */
function collect<T extends object>(
  reader: BoundedReader,
  targets: readonly QueueTarget[],
  arm: (queue: string, at: number) => string,
  values: (some: readonly QueueTarget[]) => unknown[],
  add: (target: QueueTarget, row: T) => void,
  atOnce?: number,
): Promise<QueueTarget[]> {
  return reader.batch<QueueTarget, T & { at: number }>(
    targets,
    (some) => ({
      text: some.map(({ queue }, at) => `(${arm(queue, at)})`).join(' union all '),
      values: values(some),
    }),
    (target, { at: _at, ...row }) => add(target, row as unknown as T),
    atOnce,
  );
}

export interface SampledRun {
  run_id: string;
  task_id: string;
  state: string;
  attempt: number;
  claimed_by: string | null;
  started_at: number | null;
  available_at: number;
  claim_expires_at: number | null;
  wake_event: string | null;
  /** Null where the task is missing. */
  task_name: string | null;
  task_state: string | null;
  last_attempt_run: string | null;
  max_attempts: number | null;
  /** Latest checkpoint of the run; only for running and sleeping ones. */
  checkpoint_at: number | null;
  /** The xmax values of the two rows; "0" if no session has locked them. */
  xmax: string;
  task_xmax: string | null;
  /** Of the task's first 200 checkpoints: how many there are, and their bytes. */
  checkpoints: number;
  checkpoint_bytes: number;
  /** JSON text. */
  cancellation: string | null;
  retry_strategy: string | null;
}

/**
 * Unfinished runs, with their tasks: all of a small queue. Of a large one the first of each state in line, and those that start
 * last: one that starts centuries from now is at the end of the line.
 */
export function readUnfinished(
  reader: BoundedReader,
  targets: readonly QueueTarget[],
  nowText: string,
  farSeconds: number,
  size: 'small' | 'large',
  add: (target: QueueTarget, run: SampledRun) => void,
): Promise<QueueTarget[]> {
  const arm = (queue: string, at: number): string => {
    const columns = 'r.*, r.xmax';
    const line = (state: string): string =>
      `(select ${columns} from ${runs(queue)} r where r.state = '${state}' order by r.available_at limit ${SAMPLE})`;
    const last = (state: string): string =>
      `(select ${columns} from ${runs(queue)} r where r.state = '${state}' and r.available_at < 'infinity'
           and r.available_at > $1::timestamptz + make_interval(secs => $2) order by r.available_at desc limit 5)`;
    const arms =
      size === 'small'
        ? [`select ${columns} from ${runs(queue)} r where r.state = any ('{pending,sleeping,running}') limit ${SAMPLE}`]
        : [...['pending', 'sleeping', 'running'].map(line), ...['pending', 'sleeping'].map(last)];
    return `
     select ${at} as at, r.run_id, r.task_id, r.state, r.attempt, r.claimed_by, ${ms('r.started_at')} as started_at,
            ${ms('r.available_at')} as available_at, ${ms('r.claim_expires_at')} as claim_expires_at, r.wake_event,
            t.task_name, t.state as task_state, t.last_attempt_run, t.max_attempts,
            t.cancellation::text as cancellation, t.retry_strategy::text as retry_strategy,
            r.xmax::text as xmax, t.xmax::text as task_xmax,
            c.checkpoint_at, coalesce(c.checkpoints, 0) as checkpoints, coalesce(c.bytes, 0)::float8 as checkpoint_bytes
       from (${arms.join(' union all ')}) as r
       left join ${tasks(queue)} t on t.task_id = r.task_id
       left join lateral (
         select ${ms('max(k.updated_at)')} as checkpoint_at, count(*)::int as checkpoints,
                sum(pg_column_size(k.state)) as bytes
           from (select x.updated_at, x.state from ${checkpoints(queue)} x where x.task_id = r.task_id limit 200) as k
       ) c on r.state in ('running', 'sleeping')`;
  };
  // A statement without parameters must be sent without values.
  return collect<SampledRun>(reader, targets, arm, () => (size === 'small' ? [] : [nowText, farSeconds]), add);
}

/** Figures of a task's checkpoints; counted up to 10,001. */
export interface CheckpointLoad {
  checkpoints: number;
  bytes: number;
  /** Sleeps that ended or began within the window, and since when: a sleep saves the time at which it ends. */
  naps: number;
  first_nap_at: number | null;
}

/** Examines one task with many checkpoints. */
export async function readCheckpointLoad(
  reader: BoundedReader,
  queue: string,
  taskId: string,
  nowText: string,
  windowSeconds: number,
): Promise<CheckpointLoad | null> {
  const nap = `k.updated_at > $2::timestamptz - make_interval(secs => $3) and pg_column_size(k.state) < 100
                 and case when pg_column_size(k.state) < 100 then k.state #>> '{}' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T' end`;
  return reader.row<CheckpointLoad>(
    `the checkpoints of task ${taskId}`,
    `select count(*)::int as checkpoints, coalesce(sum(pg_column_size(k.state)), 0)::float8 as bytes,
            (count(*) filter (where ${nap}))::int as naps, ${ms(`min(k.updated_at) filter (where ${nap})`)} as first_nap_at
       from (select x.updated_at, x.state from ${checkpoints(queue)} x where x.task_id = $1 limit 10001) as k`,
    [taskId, nowText, windowSeconds],
  );
}

export interface DeadEnd {
  task_id: string;
  state: string;
  /** Null where the run is missing. */
  run_state: string | null;
}

/** How much finished work is older than it may be: tasks among the oldest, events from `e_<queue>_eai`, bounded. */
export interface Leftovers {
  tasks: number;
  events: number;
  oldest_at: number | null;
}

/** What the oldest and newest tasks of a queue show. */
export interface TaskEnds {
  /** Unfinished tasks whose last run has ended or is missing: they can never continue. */
  deadEnds: DeadEnd[];
  leftovers: Leftovers | null;
}

/** Reads the oldest and the newest tasks of each queue; fewer if there are many queues. */
export function readTaskEnds(
  reader: BoundedReader,
  targets: readonly QueueTarget[],
  nowText: string,
  set: (target: QueueTarget, ends: TaskEnds) => void,
): Promise<QueueTarget[]> {
  const sample = Math.max(100, Math.min(SAMPLE, Math.ceil((50 * SAMPLE) / Math.max(1, targets.length))));
  const arm = (queue: string, at: number): string => {
    const border = `$1::timestamptz - make_interval(secs => ($2::float8[])[${at + 1}])`;
    const end = (order: string, place: number): string =>
      `(select t.task_id, t.state, t.last_attempt_run, t.cancelled_at, ${place} as place
          from ${tasks(queue)} t order by t.task_id ${order} limit ${sample})`;
    const over = `x.place = 1 and x.state in ('completed', 'failed', 'cancelled')`;
    const ended = 'coalesce(x.cancelled_at, r.completed_at, r.failed_at)';
    const dead = `x.state in ('pending', 'running', 'sleeping')
                  and (r.run_id is null or r.state in ('completed', 'failed', 'cancelled'))`;
    return `
     select ${at} as at, count(*) filter (where ${over} and ${ended} < ${border})::int as tasks,
            ${boundedCount(`from ${events(queue)} e where e.emitted_at < ${border} and e.emitted_at > 'epoch'`)} as events,
            ${ms(`min(${ended}) filter (where ${over})`)} as oldest_at,
            coalesce(jsonb_agg(distinct jsonb_build_object('task_id', x.task_id, 'state', x.state, 'run_state', r.state))
                     filter (where ${dead}), '[]')::text as dead
       from (${end('asc', 1)} union all ${end('desc', 2)}) as x
       left join ${runs(queue)} r on r.run_id = x.last_attempt_run`;
  };
  return collect<Leftovers & { dead: string }>(
    reader,
    targets,
    arm,
    (some) => [nowText, some.map(({ keptSeconds }) => keptSeconds)],
    (target, { dead, ...left }) =>
      set(target, {
        deadEnds: JSON.parse(dead) as DeadEnd[],
        leftovers: target.keptSeconds === null ? null : left,
      }),
  );
}

export interface ErrorCount {
  /** One of the errors, as it was recorded. */
  error: string;
  /** Number of errors in the sample that differ only in addresses, ids and numbers. */
  failures: number;
  /** How many different texts these are. */
  variants: number;
  task_name: string | null;
  task_id: string;
}

/** Parts of an error that differ from one occurrence to the next: ids, hexadecimal and other numbers. */
const varying = String.raw`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|0x[0-9a-f]+|[0-9a-f]*[0-9][0-9a-f]*([.:][0-9a-f:.]*[0-9a-f])?`;

/** The commonest errors of the runs that failed within the window, at most the latest 500. */
export function readErrors(
  reader: BoundedReader,
  targets: readonly QueueTarget[],
  nowText: string,
  windowSeconds: number,
  add: (target: QueueTarget, error: ErrorCount) => void,
): Promise<QueueTarget[]> {
  const arm = (queue: string, at: number): string => `
    select ${at} as at, min(f.error) as error, count(*)::int as failures, count(distinct f.error)::int as variants,
           max(t.task_name) as task_name, (array_agg(f.task_id))[1] as task_id
      from (select r.task_id, left(coalesce(r.failure_reason ->> 'name' || ': ', '')
                     || coalesce(r.failure_reason ->> 'message', r.failure_reason #>> '{}', ''), 200) as error
              from ${runs(queue)} r
             where r.state = 'failed' and r.available_at <= $1::timestamptz
               and r.available_at > $1::timestamptz - make_interval(secs => $2)
             order by r.available_at desc limit 500) as f
      left join ${tasks(queue)} t on t.task_id = f.task_id
     group by regexp_replace(f.error, $3, '#', 'gi') order by 3 desc, 2 limit 5`;
  return collect<ErrorCount>(reader, targets, arm, () => [nowText, windowSeconds, varying], add);
}

export interface EndedEarly {
  task_id: string;
  /** JSON text. */
  retry_strategy: string;
}

/** Tasks with a retry strategy that failed for good within the window and had attempts left, of the latest 500 failures. */
export function readEndedEarly(
  reader: BoundedReader,
  targets: readonly QueueTarget[],
  nowText: string,
  windowSeconds: number,
  add: (target: QueueTarget, task: EndedEarly) => void,
): Promise<QueueTarget[]> {
  const arm = (queue: string, at: number): string => `
    select ${at} as at, t.task_id, t.retry_strategy::text as retry_strategy
      from (select r.run_id, r.task_id
              from ${runs(queue)} r
             where r.state = 'failed' and r.available_at <= $1::timestamptz
               and r.available_at > $1::timestamptz - make_interval(secs => $2)
             order by r.available_at desc limit 500) as f
      join ${tasks(queue)} t on t.task_id = f.task_id and t.last_attempt_run = f.run_id
     where t.state = 'failed' and t.retry_strategy is not null
       and (t.max_attempts is null or t.attempts < t.max_attempts)`;
  return collect<EndedEarly>(reader, targets, arm, () => [nowText, windowSeconds], add);
}

export interface WaitSample {
  event_name: string;
  waiting: number;
  oldest_at: number;
  with_timeout: number;
  /** When the awaited event was emitted although the wait still exists; null if all is well. */
  emitted_at: number | null;
  task_id: string;
}

/** Waits of the longest sleepers, by event, and whether that event exists. */
export function readWaitSample(
  reader: BoundedReader,
  targets: readonly QueueTarget[],
  add: (target: QueueTarget, wait: WaitSample) => void,
): Promise<QueueTarget[]> {
  const arm = (queue: string, at: number): string => `
    select ${at} as at, w.event_name, count(*)::int as waiting, ${ms('min(w.created_at)')} as oldest_at,
           (count(*) filter (where w.timeout_at is not null))::int as with_timeout,
           ${ms('max(e.emitted_at) filter (where e.payload is not null)')} as emitted_at,
           (array_agg(w.task_id))[1] as task_id
      from (select r.run_id from ${runs(queue)} r
             where r.state = 'sleeping' order by r.available_at desc limit ${SAMPLE}) as r
     cross join lateral (
       select x.event_name, x.created_at, x.timeout_at, x.task_id from ${waits(queue)} x where x.run_id = r.run_id offset 0
     ) w
      left join ${events(queue)} e on e.event_name = w.event_name
     group by w.event_name order by 4 limit 1000`;
  return collect<WaitSample>(reader, targets, arm, () => [], add);
}

/** How many rows these partitions hold, bounded each. */
export async function readPartitionRows(
  reader: BoundedReader,
  partitions: string[],
): Promise<{ partition: string; rows: number }[]> {
  const counted: { partition: string; rows: number }[] = [];
  await reader.batch<Readable & { partition: string }, { at: number; rows: number }>(
    partitions.map((partition) => ({ partition, what: `the rows of ${partition}`, locks: 7 })),
    (some) => ({
      text: some
        .map(
          ({ partition }, at) => `select ${at} as at, ${boundedCount(`from absurd.${quoteIdent(partition)}`)} as rows`,
        )
        .join(' union all '),
      values: [],
    }),
    ({ partition }, { rows }) => void counted.push({ partition, rows }),
  );
  return counted;
}

/** The id below which a moment's ids lie, as uuidv7_floor gives it; computed here since schemas before 0.4.0 lack it. */
export function uuidFloor(moment: number): string {
  const hex = Math.max(0, Math.floor(moment)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}
