import { boundedCount, ms, type BoundedReader } from './bounded.js';
import { chunks } from './diagnosis-locate.js';
import { checkpoints, events, runs, tasks, waits } from './identifiers.js';

/** Everything here is read from the contract's tables alone. Times are milliseconds since 1970, `Infinity` for `infinity`. */
export interface TaskFacts {
  task_id: string;
  task_name: string;
  state: string;
  attempts: number;
  max_attempts: number | null;
  /** Undefined where the task has none. */
  retry_strategy: unknown;
  cancellation: unknown;
  enqueue_at: number;
  first_started_at: number | null;
  last_attempt_run: string | null;
  cancelled_at: number | null;
  xmax: string;
}

export interface RunFacts {
  run_id: string;
  task_id: string;
  attempt: number;
  state: string;
  claimed_by: string | null;
  claim_expires_at: number | null;
  available_at: number;
  wake_event: string | null;
  has_event_payload: boolean;
  started_at: number | null;
  completed_at: number | null;
  failed_at: number | null;
  created_at: number;
  error_name: string | null;
  /** At most 500 characters. */
  error_message: string | null;
  xmax: string;
}

export interface CheckpointFacts {
  checkpoint_name: string;
  owner_run_id: string | null;
  updated_at: number;
  /** The state where it is a short JSON string, as a sleep's wake-up time is. */
  text_state: string | null;
  /** The state as JSON text where it is a small object or array, such as that of a step that spawned a task. */
  id_state: string | null;
}

export interface WaitFacts {
  run_id: string;
  step_name: string;
  event_name: string;
  timeout_at: number | null;
  created_at: number;
}

const runColumns = `
  r.run_id, r.task_id, r.attempt, r.state, r.claimed_by, ${ms('r.claim_expires_at')} as claim_expires_at,
  ${ms('r.available_at')} as available_at, r.wake_event, r.event_payload is not null as has_event_payload,
  ${ms('r.started_at')} as started_at, ${ms('r.completed_at')} as completed_at, ${ms('r.failed_at')} as failed_at,
  ${ms('r.created_at')} as created_at, left(r.failure_reason ->> 'name', 200) as error_name,
  left(coalesce(r.failure_reason ->> 'message', r.failure_reason #>> '{}'), 500) as error_message, r.xmax::text as xmax`;

export async function readTask(reader: BoundedReader, queue: string, taskId: string): Promise<TaskFacts | null> {
  const row = await reader.row<TaskFacts & { retry_text: string | null; cancellation_text: string | null }>(
    'the task',
    `select t.task_id, t.task_name, t.state, t.attempts, t.max_attempts, t.retry_strategy::text as retry_text,
            t.cancellation::text as cancellation_text,
            ${ms('t.enqueue_at')} as enqueue_at, ${ms('t.first_started_at')} as first_started_at, t.last_attempt_run,
            ${ms('t.cancelled_at')} as cancelled_at, t.xmax::text as xmax
       from ${tasks(queue)} t where t.task_id = $1`,
    [taskId],
  );
  if (!row) return null;
  const { retry_text, cancellation_text, ...task } = row;
  return {
    ...task,
    retry_strategy: retry_text === null ? undefined : parsed(retry_text),
    cancellation: parsed(cancellation_text),
  };
}

function parsed(text: string | null): unknown {
  return text === null ? null : JSON.parse(text);
}

/** The latest 50 attempts, latest first. */
export async function readRuns(reader: BoundedReader, queue: string, taskId: string): Promise<RunFacts[] | null> {
  return reader.rows<RunFacts>(
    'its runs',
    `select ${runColumns} from ${runs(queue)} r where r.task_id = $1 order by r.attempt desc, r.run_id desc limit 50`,
    [taskId],
  );
}

/** One attempt, for one that is not among the latest. */
export async function readRun(reader: BoundedReader, queue: string, runId: string): Promise<RunFacts | null> {
  return reader.row<RunFacts>('the run', `select ${runColumns} from ${runs(queue)} r where r.run_id = $1`, [runId]);
}

/** Up to 1000 checkpoints, oldest first; payloads stay where they are. */
export async function readCheckpoints(
  reader: BoundedReader,
  queue: string,
  taskId: string,
): Promise<CheckpointFacts[]> {
  const found = await reader.rows<CheckpointFacts>(
    'its checkpoints',
    `select c.checkpoint_name, c.owner_run_id, ${ms('c.updated_at')} as updated_at,
            case when pg_column_size(c.state) < 100 and jsonb_typeof(c.state) = 'string'
                 then c.state #>> '{}' end as text_state,
            case when pg_column_size(c.state) < 300 and jsonb_typeof(c.state) in ('object', 'array')
                 then c.state::text end as id_state
       from (select * from ${checkpoints(queue)} k where k.task_id = $1 and k.status = 'committed' limit 1000) as c
      order by c.updated_at`,
    [taskId],
  );
  return found ?? [];
}

export async function readWaits(reader: BoundedReader, queue: string, taskId: string): Promise<WaitFacts[]> {
  const found = await reader.rows<WaitFacts>(
    'its waits',
    `select w.run_id, w.step_name, w.event_name, ${ms('w.timeout_at')} as timeout_at, ${ms('w.created_at')} as created_at
       from ${waits(queue)} w where w.task_id = $1 order by w.created_at limit 50`,
    [taskId],
  );
  return found ?? [];
}

/** How many runs a worker claims before this one: `r_<queue>_sai` up to its place, bounded. */
export async function readPlaceInLine(reader: BoundedReader, queue: string, runId: string): Promise<number | null> {
  const before = (state: string): string =>
    boundedCount(
      `from ${runs(queue)} o, mine where o.state = '${state}' and o.available_at <= mine.available_at
          and (o.available_at, o.run_id) < (mine.available_at, mine.run_id)`,
    );
  const place = await reader.row<{ ahead: number }>(
    'its place in line',
    `with mine as materialized (select r.available_at, r.run_id from ${runs(queue)} r where r.run_id = $1)
     select ${before('pending')} + ${before('sleeping')} as ahead`,
    [runId],
  );
  return place?.ahead ?? null;
}

/** What the latest 300 finished runs say about a task name: does any worker take it? */
export interface NameActivity {
  sampled: number;
  of_this_name: number;
  last_at: number | null;
}

export async function readNameActivity(
  reader: BoundedReader,
  queue: string,
  taskName: string,
  nowText: string,
): Promise<NameActivity | null> {
  const latest = (state: string): string =>
    `(select r.task_id, r.available_at from ${runs(queue)} r where r.state = '${state}'
         and r.available_at <= $2::timestamptz order by r.available_at desc limit 150)`;
  return reader.row<NameActivity>(
    'the latest work by name',
    `select count(*)::int as sampled, (count(*) filter (where t.task_name = $1))::int as of_this_name,
            ${ms('max(s.available_at) filter (where t.task_name = $1)')} as last_at
       from (${latest('completed')} union all ${latest('failed')}) as s
      cross join lateral (
        select k.task_name from ${tasks(queue)} k where k.task_id = s.task_id offset 0
      ) t`,
    [taskName, nowText],
  );
}

export interface EventFacts {
  /** Null where the event is only awaited. */
  emitted_at: number | null;
  /** Other queues where an event of this name was emitted. */
  elsewhere: { queue: string; emitted_at: number; payload: string | null }[];
  /** The latest 500 emitted names, to suggest a similar one. */
  recent_names: string[];
}

/** A payload as it can be typed again: an object, and not long. */
const shortPayload = `case when jsonb_typeof(e.payload) = 'object' and pg_column_size(e.payload) < 1000 and length(e.payload::text) <= 500
                            then e.payload::text end`;

/** Null if it could not be read whether the event was emitted. */
export async function readEvent(
  reader: BoundedReader,
  queue: string,
  queues: string[],
  eventName: string,
): Promise<EventFacts | null> {
  const emitted = (name: string, at: number): string =>
    `select ${at} as at, ${ms('e.emitted_at')} as emitted_at, ${shortPayload} as payload from ${events(name)} e
      where e.event_name = $1 and e.payload is not null`;
  const unread = reader.unread.length;
  const own = await reader.row<{ emitted_at: number }>('the awaited event', emitted(queue, 0), [eventName]);
  if (reader.unread.length > unread) return null;
  const elsewhere: EventFacts['elsewhere'] = [];
  for (const part of chunks(queues.filter((name) => name !== queue))) {
    const found = await reader.rows<{ at: number; emitted_at: number; payload: string | null }>(
      'the event in other queues',
      part.map(emitted).join(' union all '),
      [eventName],
    );
    for (const row of found ?? []) {
      const name = part[row.at];
      if (name !== undefined) elsewhere.push({ queue: name, emitted_at: row.emitted_at, payload: row.payload });
    }
  }
  const names = await reader.rows<{ event_name: string }>(
    'the latest events',
    `select e.event_name
       from (select n.event_name, n.payload from ${events(queue)} n order by n.emitted_at desc limit 500) as e
      where e.payload is not null`,
  );
  return { emitted_at: own?.emitted_at ?? null, elsewhere, recent_names: (names ?? []).map((row) => row.event_name) };
}

/** What a bounded sample says about a task name in one queue. */
export interface NameSample {
  queue: string;
  /** The oldest unfinished task of the name within the sample. */
  task_id: string | null;
  /** When that task's run became, or becomes, available. */
  available_at: number | null;
  pending: number;
  sleeping: number;
  running: number;
  /** True where a state held more runs than were looked at. */
  cut: boolean;
  /** Finished ones among the latest 300. */
  completed: number;
  failed: number;
}

const NAME_SAMPLE = 5000;

/**
 * No index finds tasks by name, so only the first 5000 runs of each unfinished state are read, each with its task. For
 * a rare name the planner would read all tasks instead; `offset 0` prevents that.
 */
export async function readNameSample(
  reader: BoundedReader,
  queue: string,
  taskName: string,
  nowText: string,
): Promise<NameSample | null> {
  const first = (state: string): string =>
    `(select r.task_id, r.state, r.available_at from ${runs(queue)} r where r.state = '${state}'
       order by r.available_at limit ${NAME_SAMPLE})`;
  const latest = (state: string): string =>
    `(select r.task_id, r.state, r.available_at from ${runs(queue)} r where r.state = '${state}'
         and r.available_at <= $2::timestamptz order by r.available_at desc limit 150)`;
  const found = await reader.row<Omit<NameSample, 'queue'>>(
    `the tasks named so in queue ${queue}`,
    `with sample as materialized (
       ${['pending', 'sleeping', 'running'].map(first).join(' union all ')}
       union all ${latest('completed')} union all ${latest('failed')}
     ),
     named as materialized (
       select s.*
         from sample s
        cross join lateral (
          select k.task_name from ${tasks(queue)} k where k.task_id = s.task_id offset 0
        ) t
        where t.task_name = $1
     )
     select (select n.task_id from named n where n.state in ('pending', 'sleeping', 'running')
              order by n.available_at limit 1) as task_id,
            (select ${ms('min(n.available_at)')} from named n
              where n.state in ('pending', 'sleeping', 'running')) as available_at,
            ${['pending', 'sleeping', 'running', 'completed', 'failed']
              .map((state) => `(select count(*)::int from named n where n.state = '${state}') as ${state}`)
              .join(', ')},
            exists (select 1 from sample s where s.state in ('pending', 'sleeping', 'running')
                     group by s.state having count(*) >= ${NAME_SAMPLE}) as cut`,
    [taskName, nowText],
  );
  return found && { ...found, queue };
}

/** Task names of the latest 1000 tasks of a queue, to suggest a similar one. */
export async function readRecentNames(reader: BoundedReader, queue: string): Promise<string[]> {
  const found = await reader.rows<{ task_name: string }>(
    `the task names of queue ${queue}`,
    `select distinct n.task_name from (select t.task_name from ${tasks(queue)} t order by t.task_id desc limit 1000) as n`,
  );
  return (found ?? []).map((row) => row.task_name);
}
