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

/** A worker that keeps a row of itself. */
export interface RegisteredWorker {
  queue_name: string;
  worker_id: string;
  host: string | null;
  pid: number | null;
  sdk_name: string | null;
  sdk_version: string | null;
  program_version: string | null;
  task_names: string[];
  concurrency: number | null;
  running: number;
  state: string;
  started_at: Timestamp;
  heartbeat_at: Timestamp;
  /** No heartbeat for a minute. */
  stale: boolean;
}

/** Workers that registered themselves, the latest heartbeat first. Requires feature `worker_registry`. */
export async function registeredWorkers(
  db: Queryable,
  { queueName, limit }: { queueName: string | undefined; limit: number },
): Promise<RegisteredWorker[]> {
  const { rows } = await db.query<RegisteredWorker>(
    `select w.queue_name, w.worker_id, w.host, w.pid, w.sdk_name, w.sdk_version, w.program_version, w.task_names,
            w.concurrency, w.running, w.state, w.started_at, w.heartbeat_at,
            w.heartbeat_at < absurd.current_time() - interval '60 seconds' as stale
       from absurd.workers w
      where $1::text is null or w.queue_name = $1
      order by w.heartbeat_at desc, w.worker_id
      limit $2`,
    [queueName ?? null, limit],
  );
  return rows;
}

/** What an operator did. */
export interface OperationRow {
  operation_id: string;
  performed_at: Timestamp;
  database_role: string;
  os_user: string | null;
  os_host: string | null;
  command: string;
  arguments: string[];
  reason: string | null;
  queue_name: string | null;
  /** The first ten. */
  task_ids: string[];
  task_count: number;
}

export interface OperationFilter {
  queueName?: string;
  command?: string;
  taskId?: string;
  limit: number;
}

/** Operations, the latest first. Requires feature `operations`. */
export async function operationsOf(db: Queryable, filter: OperationFilter): Promise<OperationRow[]> {
  const { rows } = await db.query<OperationRow>(
    `select o.operation_id, o.performed_at, o.database_role, o.os_user, o.os_host, o.command, o.arguments, o.reason,
            o.queue_name, o.task_ids[:10] as task_ids, o.task_count
       from absurd.operations o
      where ($1::text is null or o.queue_name = $1)
        and ($2::text is null or o.command = $2)
        and ${filter.taskId === undefined ? '$3::uuid is null' : 'o.task_ids @> array[$3::uuid]'}
      order by o.performed_at desc
      limit $4`,
    [filter.queueName ?? null, filter.command ?? null, filter.taskId ?? null, filter.limit],
  );
  return rows;
}

export interface OperationToRecord {
  command: string;
  arguments: string[];
  reason: string | undefined;
  queueName: string | undefined;
  taskIds: string[];
  osUser: string | undefined;
  osHost: string | undefined;
}

/**
 * Records what was done, in the transaction of the change. False where the schema keeps no operations, or this role may not
 * write them.
 */
export async function recordDone(db: Queryable, operation: OperationToRecord): Promise<boolean> {
  const { rows } = await db.query<{ may: boolean }>(
    `select coalesce(has_table_privilege(to_regclass('absurd.operations')::oid, 'insert, select'), false)
            and to_regprocedure('absurd.record_operation(text, jsonb)') is not null as may`,
  );
  if (rows[0]?.may !== true) return false;
  await db.query('select absurd.record_operation($1, $2::jsonb)', [
    operation.command,
    JSON.stringify({
      arguments: operation.arguments,
      reason: operation.reason,
      queue_name: operation.queueName,
      task_ids: operation.taskIds,
      os_user: operation.osUser,
      os_host: operation.osHost,
    }),
  ]);
  return true;
}

/** What an emission of an event would meet. */
export interface EventOutlook {
  /** Null where it was never emitted. */
  emitted_at: Timestamp | null;
  /** Runs that wait for it, counted up to 1,000. */
  waiting: number;
}
