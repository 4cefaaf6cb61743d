import { checkpoints } from './identifiers.js';
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
}

/** The first `limit` checkpoints of a task, oldest first, with their states. */
export async function listCheckpoints(
  db: Queryable,
  queueName: string,
  taskId: string,
  limit: number,
): Promise<CheckpointDetail[]> {
  const { rows } = await db.query<CheckpointDetail>(
    `select c.checkpoint_name, c.state, c.status, c.owner_run_id, c.updated_at
       from ${checkpoints(queueName)} c
      where c.task_id = $1
      order by c.updated_at, c.checkpoint_name
      limit $2`,
    [taskId, limit],
  );
  return rows;
}
