import { schemaFeatures } from './features.js';
import { checkpoints, runs } from './identifiers.js';
import { wideBytes } from './lists.js';
import type { Queryable } from './queryable.js';
import type { RawJson, Timestamp } from './values.js';

/** The saved result of one step. */
export interface CheckpointDetail {
  checkpoint_name: string;
  state: RawJson | null;
  status: string;
  /** The run that wrote it. */
  owner_run_id: string | null;
  updated_at: Timestamp;
  /** When the step began; null if its SDK or the schema does not record it. */
  started_at: Timestamp | null;
}

/** A screen shows only the size of larger states. */
export interface CheckpointDigest extends CheckpointDetail {
  /** Bytes of an omitted state; null if it is included. */
  left_out: number | null;
}

/** The column of the step's start, of checkpoints `c`. */
const startedAt = async (db: Queryable): Promise<string> =>
  (await schemaFeatures(db)).includes('step_times') ? 'c.started_at' : 'null::timestamptz as started_at';

/** The first `limit` checkpoints of a task, oldest first, with their states: all of them, or those of up to 10,000 bytes. */
export async function listCheckpoints(
  db: Queryable,
  queueName: string,
  taskId: string,
  limit: number,
  { wide = true }: { wide?: boolean } = {},
): Promise<CheckpointDigest[]> {
  const started = await startedAt(db);
  // The stored size of a large state can be read without the state.
  const fits = `pg_column_size(c.state) <= ${wideBytes} and octet_length(c.state::text) <= ${wideBytes}`;
  const { rows } = await db.query<CheckpointDigest>(
    `select c.checkpoint_name, c.status, c.owner_run_id, c.updated_at, ${started},
            ${wide ? 'c.state' : `case when ${fits} then c.state end as state`},
            ${wide ? 'null::int' : `case when not (${fits}) then pg_column_size(c.state) end`} as left_out
       from ${checkpoints(queueName)} c
      where c.task_id = $1
      order by c.updated_at, c.checkpoint_name
      limit $2`,
    [taskId, limit],
  );
  return rows;
}

/** A checkpoint in a list: how large its state is, and the state where it is not too large. */
export interface CheckpointRow {
  checkpoint_name: string;
  queue_name: string;
  task_id: string;
  status: string;
  /** The attempt that wrote it; null if its run no longer exists. */
  attempt: number | null;
  owner_run_id: string | null;
  updated_at: Timestamp;
  /** Bytes of the state as text. */
  bytes: number;
  /** Null also where it is larger than 10,000 bytes. */
  state: RawJson | null;
}

/** The first `limit` checkpoints of a task, oldest first, with the attempts that wrote them. */
export async function listCheckpointRows(
  db: Queryable,
  queueName: string,
  taskId: string,
  limit: number,
): Promise<CheckpointRow[]> {
  const { rows } = await db.query<CheckpointRow>(
    `select c.checkpoint_name, $2::text as queue_name, c.task_id, c.status, r.attempt, c.owner_run_id, c.updated_at,
            coalesce(octet_length(c.state::text), 0) as bytes,
            case when octet_length(c.state::text) <= ${wideBytes} then c.state end as state
       from (
         select * from ${checkpoints(queueName)} one
          where one.task_id = $1
          order by one.updated_at, one.checkpoint_name
          limit $3
       ) c
       left join ${runs(queueName)} r on r.run_id = c.owner_run_id
      order by c.updated_at, c.checkpoint_name`,
    [taskId, queueName, limit],
  );
  return rows;
}

/** One checkpoint, or undefined if the task has none of that name. */
export async function getCheckpoint(
  db: Queryable,
  queueName: string,
  taskId: string,
  name: string,
): Promise<CheckpointDetail | undefined> {
  const { rows } = await db.query<CheckpointDetail>(
    `select c.checkpoint_name, c.state, c.status, c.owner_run_id, c.updated_at, ${await startedAt(db)}
       from ${checkpoints(queueName)} c
      where c.task_id = $1 and c.checkpoint_name = $2`,
    [taskId, name],
  );
  return rows[0];
}

/** The names of a task's checkpoints, oldest first, at most 1,000. */
export async function checkpointNames(db: Queryable, queueName: string, taskId: string): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(
    `select c.checkpoint_name as name
       from ${checkpoints(queueName)} c
      where c.task_id = $1
      order by c.updated_at, c.checkpoint_name
      limit 1000`,
    [taskId],
  );
  return rows.map(({ name }) => name);
}
