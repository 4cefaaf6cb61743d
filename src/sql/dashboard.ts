/** Questions that only the dashboard asks: which queues to show, what belongs to a task, what the optional tables hold. */
import { tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';

export interface ServerNow {
  now: Timestamp;
  database: string;
  role: string;
  version: string | null;
  revision: number | null;
}

/** The server's clock, and where this is. */
export async function readServerNow(db: Queryable): Promise<ServerNow> {
  const { rows } = await db.query<ServerNow & { exists: boolean }>(
    `select absurd.current_time() as now, current_database()::text as database, current_user::text as role`,
  );
  const [first] = rows;
  if (first === undefined) throw new Error('the server returned no time');
  const { rows: functions } = await db.query<{ version: boolean; revision: boolean }>(
    `select to_regprocedure('absurd.get_schema_version()') is not null as version,
            to_regprocedure('absurd.get_schema_revision()') is not null as revision`,
  );
  const { rows: said } = await db.query<{ version: string | null; revision: number | null }>(
    `select ${functions[0]?.version === true ? 'absurd.get_schema_version()' : 'null::text'} as version,
            ${functions[0]?.revision === true ? 'absurd.get_schema_revision()::int' : 'null::int'} as revision`,
  );
  return { ...first, version: said[0]?.version ?? null, revision: said[0]?.revision ?? null };
}

/** The number of queues, and of them those with the most writes by the server's counters: these alone where there are many. */
export async function busiestQueues(db: Queryable, limit: number): Promise<{ names: string[]; total: number }> {
  const { rows } = await db.query<{ total: number }>('select count(*)::int as total from absurd.queues q');
  const total = rows[0]?.total ?? 0;
  const order =
    total <= limit
      ? ''
      : `(select sum(coalesce(pg_stat_get_tuples_inserted(part.oid), 0) + coalesce(pg_stat_get_tuples_updated(part.oid), 0))
            from (select r.oid union all select i.inhrelid from pg_inherits i where i.inhparent = r.oid) part) desc nulls last,`;
  const { rows: found } = await db.query<{ queue_name: string }>(
    `select q.queue_name
       from absurd.queues q
      cross join lateral (select to_regclass(format('absurd.%I', 'r_' || q.queue_name))::oid as oid offset 0) r
      order by ${order} q.queue_name
      limit $1`,
    [limit],
  );
  return { names: found.map(({ queue_name }) => queue_name).sort(), total };
}

/** A task of the same family. */
export interface FamilyMember {
  queue_name: string;
  task_id: string;
  task_name: string;
  state: string;
  enqueue_at: Timestamp;
}

export interface TaskFamily {
  parent: FamilyMember | null;
  children: FamilyMember[];
  /** More children exist than are listed, or queues that were not looked through. */
  more: boolean;
}

/** Queues that are looked through for children. */
const familyQueues = 50;

const member = (alias: string): string => `${alias}.task_id, ${alias}.task_name, ${alias}.state, ${alias}.enqueue_at`;

/** The parent of a task, and its first `limit` children of each queue. Requires feature `task_tree`. */
export async function readFamily(
  db: Queryable,
  { queueName, taskId }: { queueName: string; taskId: string },
  queues: readonly string[],
  limit = 100,
): Promise<TaskFamily> {
  const { rows } = await db.query<{ parent_task_id: string | null; parent_queue: string | null }>(
    `select t.parent_task_id, t.parent_queue from ${tasks(queueName)} t where t.task_id = $1`,
    [taskId],
  );
  const { parent_task_id: parentId = null, parent_queue: parentQueue = null } = rows[0] ?? {};
  let parent: FamilyMember | null = null;
  if (parentId !== null && parentQueue !== null && queues.includes(parentQueue)) {
    const { rows: found } = await db.query<FamilyMember>(
      `select $2::text as queue_name, ${member('t')} from ${tasks(parentQueue)} t where t.task_id = $1`,
      [parentId, parentQueue],
    );
    parent = found[0] ?? null;
  }
  const others = queues.filter((name) => name !== queueName);
  const looked = [queueName, ...others].slice(0, familyQueues);
  const part = (queue: string, index: number): string =>
    `(select ($2::text[])[${index + 1}] as queue_name, ${member('t')}
        from ${tasks(queue)} t where t.parent_task_id = $1 and t.parent_queue = $3 order by t.task_id limit ${limit + 1})`;
  const { rows: children } = await db.query<FamilyMember>(looked.map(part).join(' union all '), [
    taskId,
    looked,
    queueName,
  ]);
  children.sort((a, b) => (a.task_id < b.task_id ? -1 : 1));
  return {
    parent,
    children: children.slice(0, limit),
    more: children.length > limit || looked.length <= others.length,
  };
}
