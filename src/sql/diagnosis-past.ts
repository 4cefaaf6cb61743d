/** The past of a task: how its attempts failed, its checkpoints, and how other tasks of its name fared. */
import { ms, type BoundedReader } from './bounded.js';
import { checkpoints, runs, tasks } from './identifiers.js';

/** The latest failures, and how many of them in a row are like the last. */
export interface FailureStreak {
  looked_at: number;
  alike: number;
}

/** Failed attempts that are compared. */
const streakOf = 200;

/** An error without ids and numbers, which differ between attempts. */
const kind = `regexp_replace(left(r.failure_reason::text, 2000), '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+', '#', 'g')`;

export async function readFailureStreak(
  reader: BoundedReader,
  queue: string,
  taskId: string,
): Promise<FailureStreak | null> {
  return reader.row<FailureStreak>(
    'its failed attempts',
    `with failed as materialized (
       select r.attempt, coalesce(${kind}, '') as kind
         from (select * from ${runs(queue)} k
                where k.task_id = $1 and k.state = 'failed' order by k.attempt desc limit ${streakOf}) r
     ),
     last as (select f.kind from failed f order by f.attempt desc limit 1)
     select count(*)::int as looked_at,
            count(*) filter (where f.attempt > coalesce(
              (select max(o.attempt) from failed o cross join last l where o.kind <> l.kind), 0))::int as alike
       from failed f`,
    [taskId],
  );
}

export interface CheckpointFigures {
  /** Counted up to 10,000. */
  count: number;
  /** As stored. */
  bytes: number;
  last_minute: number;
  /** Of those of the last minute: a sleep saves the time at which it ends. */
  sleeps_last_minute: number;
}

export async function readCheckpointFigures(
  reader: BoundedReader,
  queue: string,
  taskId: string,
  nowText: string,
): Promise<CheckpointFigures | null> {
  return reader.row<CheckpointFigures>(
    'the size of its checkpoints',
    `select count(*)::int as count, coalesce(sum(pg_column_size(c.state)), 0)::float8 as bytes,
            count(*) filter (where c.recent)::int as last_minute,
            count(*) filter (where c.recent and pg_column_size(c.state) < 100 and jsonb_typeof(c.state) = 'string'
                               and c.state #>> '{}' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T')::int as sleeps_last_minute
       from (select k.state, k.updated_at > $2::timestamptz - interval '1 minute' and k.updated_at <= $2::timestamptz as recent
               from ${checkpoints(queue)} k where k.task_id = $1 limit 10000) c`,
    [taskId, nowText],
  );
}

/** The attempt numbers of these runs. */
export async function readAttempts(
  reader: BoundedReader,
  queue: string,
  runIds: string[],
): Promise<Map<string, number>> {
  const rows = await reader.rows<{ run_id: string; attempt: number }>(
    'the attempts behind its checkpoints',
    `select r.run_id, r.attempt from ${runs(queue)} r where r.run_id = any ($1::uuid[])`,
    [runIds],
  );
  return new Map((rows ?? []).map(({ run_id, attempt }) => [run_id, attempt]));
}

/** Another task of the same name that ended recently, with its steps in the order in which they were saved. */
export interface Peer {
  steps: string[];
  first_step_at: number | null;
  /** Longest time from one sign of life to the next: claim, checkpoint, end. */
  longest_seconds: number | null;
}

/** The latest five others of a name, among the 300 runs that ended last. */
export async function readPeers(
  reader: BoundedReader,
  queue: string,
  { taskId, taskName, nowText }: { taskId: string; taskName: string; nowText: string },
): Promise<Peer[]> {
  const latest = (state: string): string =>
    `(select r.task_id, r.run_id, r.started_at, r.completed_at, r.available_at from ${runs(queue)} r
       where r.state = '${state}' and r.available_at <= $3::timestamptz order by r.available_at desc limit 150)`;
  const rows = await reader.rows<Peer>(
    'other tasks of its name',
    `with peer as materialized (
       select s.*
         from (${latest('completed')} union all ${latest('failed')}) s
        cross join lateral (select k.task_name from ${tasks(queue)} k where k.task_id = s.task_id offset 0) t
        where t.task_name = $2 and s.task_id <> $1
        order by s.available_at desc
        limit 5
     )
     select x.steps, x.first_step_at,
            (select extract(epoch from max(g.gap))::float8
               from (select e.at - lag(e.at) over (order by e.at) as gap
                       from (select p.started_at as at union all select p.completed_at
                             union all select k.updated_at from ${checkpoints(queue)} k
                                        where k.task_id = p.task_id and k.owner_run_id = p.run_id
                                          and k.updated_at >= p.started_at) e
                      where e.at is not null) g) as longest_seconds
       from peer p
      cross join lateral (
        select coalesce(array_agg(c.checkpoint_name order by c.updated_at, c.checkpoint_name), '{}') as steps,
               ${ms('min(c.updated_at)')} as first_step_at
          from (select * from ${checkpoints(queue)} k where k.task_id = p.task_id limit 200) c
      ) x`,
    [taskId, taskName, nowText],
  );
  return rows ?? [];
}
