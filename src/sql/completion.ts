/** Reads for completion. Each reads an index up to a limit; names come from the latest rows only. */
import { events, runs, tasks, waits } from './identifiers.js';
import type { Queryable } from './queryable.js';

export interface Suggestion {
  value: string;
  about: string;
}

/** Queues that are read for names and ids, and rows of each. */
const queuesRead = 20;
const rowsRead = 1000;

/** Queues, those that begin with `prefix` first. */
export async function suggestQueues(db: Queryable, prefix: string, limit: number): Promise<Suggestion[]> {
  const { rows } = await db.query<Suggestion>(
    `select q.queue_name as value, 'queue' as about
       from absurd.queues q
      order by starts_with(q.queue_name, $1) desc, q.queue_name
      limit $2`,
    [prefix, limit],
  );
  return rows;
}

/** Schedules, those that begin with `prefix` first. Raises 42P01 where the schema has none. */
export async function suggestSchedules(db: Queryable, prefix: string, limit: number): Promise<Suggestion[]> {
  const { rows } = await db.query<Suggestion>(
    `select s.schedule_name as value, 'spawns ' || s.task_name as about
       from absurd.schedules s
      order by starts_with(s.schedule_name, $1) desc, s.schedule_name
      limit $2`,
    [prefix, limit],
  );
  return rows;
}

const together = (queues: readonly string[], part: (queue: string, index: number) => string): string =>
  queues
    .slice(0, queuesRead)
    .map((queue, index) => `(${part(queue, index)})`)
    .join('\nunion all\n');

/** Names of the latest tasks, the most frequent first. */
export async function suggestTaskNames(
  db: Queryable,
  queues: readonly string[],
  prefix: string,
  limit: number,
): Promise<Suggestion[]> {
  if (queues.length === 0) return [];
  const latest = (queue: string): string =>
    `select t.task_name from ${tasks(queue)} t order by t.task_id desc limit ${rowsRead}`;
  const { rows } = await db.query<Suggestion>(
    `select seen.task_name as value, 'task' as about
       from (${together(queues, latest)}) seen
      group by seen.task_name
      order by starts_with(seen.task_name, $1) desc, count(*) desc, seen.task_name
      limit $2`,
    [prefix, limit],
  );
  return rows;
}

/** Names of events that are waited for, then of those that were emitted. */
export async function suggestEvents(
  db: Queryable,
  queues: readonly string[],
  prefix: string,
  limit: number,
): Promise<Suggestion[]> {
  if (queues.length === 0) return [];
  const names = (queue: string): string =>
    `(select w.event_name, true as waited from ${waits(queue)} w limit ${rowsRead})
      union all
     (select e.event_name, false from ${events(queue)} e
       where e.event_name >= $1 and e.payload is not null
       order by e.event_name limit $2)`;
  const { rows } = await db.query<Suggestion>(
    `select seen.event_name as value,
            case when bool_or(seen.waited) then 'waited for' else 'emitted' end as about
       from (${together(queues, names)}) seen
      group by seen.event_name
      order by starts_with(seen.event_name, $1) desc, bool_or(seen.waited) desc, seen.event_name
      limit $2`,
    [prefix, limit],
  );
  return rows;
}

/** The first and last id with this prefix; undefined if there can be none. */
function idRange(prefix: string): [string, string] | undefined {
  const shape = '00000000-0000-0000-0000-000000000000';
  const fits = [...prefix.toLowerCase()].every((char, i) => (shape[i] === '-' ? char === '-' : /[0-9a-f]/.test(char)));
  if (!fits || prefix.length > shape.length) return undefined;
  const rest = shape.slice(prefix.length);
  return [prefix + rest, prefix + rest.replaceAll('0', 'f')];
}

/** Ids of the latest tasks, or of the latest in these states, with what they are. */
export async function suggestIds(
  db: Queryable,
  queues: readonly string[],
  states: readonly string[] | undefined,
  prefix: string,
  limit: number,
): Promise<Suggestion[]> {
  const range = idRange(prefix);
  if (range === undefined || queues.length === 0) return [];
  const fields = (index: number): string =>
    `t.task_id::text as value, t.state || ' ' || t.task_name || ', queue ' || ($5::text[])[${index + 1}] as about, t.task_id`;
  const latest = (queue: string, index: number): string =>
    `select ${fields(index)} from ${tasks(queue)} t
      where t.task_id between $1::uuid and $2::uuid and ($3::text[] is null or t.state = any ($3::text[]))
      order by t.task_id desc limit $4`;
  const inState = (queue: string, index: number): string =>
    `select ${fields(index)}
       from unnest($3::text[]) s (state)
      cross join lateral (
              select r.task_id, r.run_id from ${runs(queue)} r where r.state = s.state
               order by r.available_at desc limit 100) r
       join ${tasks(queue)} t on t.task_id = r.task_id and t.last_attempt_run = r.run_id and t.state = any ($3::text[])
      where t.task_id between $1::uuid and $2::uuid
      limit $4`;
  const { rows } = await db.query<Suggestion>(
    `select found.value, found.about
       from (${together(queues, states ? inState : latest)}) found
      order by found.task_id desc
      limit $4`,
    [...range, states ?? null, limit, queues.slice(0, queuesRead)],
  );
  return rows;
}
