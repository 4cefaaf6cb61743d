/** Operations: one row each, written in the transaction of the change. */
import { schemaFeatures } from './features.js';
import type { Moment, Timestamp } from './values.js';
import type { Queryable } from './queryable.js';

export interface Operation {
  operation_id: string;
  performed_at: Timestamp;
  database_role: string;
  os_user: string | null;
  os_host: string | null;
  command: string;
  /** As typed, with secrets masked. */
  arguments: string[];
  reason: string | null;
  /** Null where it concerns several queues, or none. */
  queue_name: string | null;
  /** The first 1,000. */
  task_ids: string[];
  task_count: number;
}

/** Whether operations can be recorded here: `missing` where the schema lacks them, `refused` where the role may not. */
export type Recording = 'possible' | 'missing' | 'refused';

export async function readRecording(db: Queryable): Promise<Recording> {
  if (!(await schemaFeatures(db)).includes('operations')) return 'missing';
  const { rows } = await db.query<{ may: boolean }>(
    `select has_table_privilege('absurd.operations', 'select')
              and has_table_privilege('absurd.operations', 'insert')
              and has_column_privilege('absurd.operations', 'queue_name', 'update')
              and has_column_privilege('absurd.operations', 'task_ids', 'update')
              and has_column_privilege('absurd.operations', 'task_count', 'update') as may`,
  );
  return rows[0]?.may === true ? 'possible' : 'refused';
}

export interface NewOperation {
  command: string;
  arguments: readonly string[];
  os_user: string | null;
  os_host: string | null;
  reason: string | null;
  queue_name: string | null;
  task_ids: readonly string[];
  task_count: number;
}

/**
 * Records an operation, or adds to the row `continued`. With `onlyIfChanged` nothing is recorded, and null returned, where
 * the transaction has written nothing so far. Requires feature `operations`.
 */
export async function recordOperation(
  db: Queryable,
  { command, ...details }: NewOperation,
  { continued, onlyIfChanged }: { continued: string | null; onlyIfChanged: boolean },
): Promise<string | null> {
  const { rows } = await db.query<{ id: string }>(
    `select absurd.record_operation($1, $2::jsonb) as id
      where not $3::boolean or pg_current_xact_id_if_assigned() is not null`,
    [command, JSON.stringify({ ...details, operation_id: continued }), onlyIfChanged],
  );
  return rows[0]?.id ?? null;
}

export interface OperationFilter {
  queueName?: string;
  taskId?: string;
  command?: string;
  since?: Moment;
  until?: Moment;
  limit: number;
}

const operationColumns = `o.operation_id, o.performed_at, o.database_role, o.os_user, o.os_host, o.command, o.arguments,
            o.reason, o.queue_name, o.task_ids, o.task_count`;

/**
 * The latest operations first. Of a queue also those that name no queue: they concern several, or all. Requires feature
 * `operations`.
 */
export async function listOperations(db: Queryable, filter: OperationFilter): Promise<Operation[]> {
  const moment = (one: Moment | undefined): (string | number | null)[] =>
    one === undefined ? [null, null] : 'at' in one ? [one.at, null] : [null, one.secondsAgo];
  const { rows } = await db.query<Operation>(
    `select ${operationColumns}
       from absurd.operations o
      cross join (select absurd.current_time() as now) c
      where ($1::text is null or o.queue_name = $1 or o.queue_name is null)
        ${filter.taskId === undefined ? 'and $2::uuid is null' : 'and o.task_ids @> array[$2::uuid]'}
        and ($3::text is null or o.command = $3)
        and o.performed_at between coalesce($4::timestamptz, c.now - make_interval(secs => $5::float8), '-infinity')
                               and coalesce($6::timestamptz, c.now - make_interval(secs => $7::float8), 'infinity')
      order by o.performed_at desc, o.operation_id desc
      limit $8`,
    [
      filter.queueName ?? null,
      filter.taskId ?? null,
      filter.command ?? null,
      ...moment(filter.since),
      ...moment(filter.until),
      filter.limit,
    ],
  );
  return rows;
}
