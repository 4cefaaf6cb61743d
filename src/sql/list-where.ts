/** Finds tasks by conditions on their JSON: newest first, among a bounded number of the newest. */
import type { QueueReader } from './each-queue.js';
import { taskStates } from './description.js';
import { readTasks, type TaskFilter, type TaskRow } from './list-tasks.js';
import { keys } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';
import { findWhere, whereIndex, type WhereCondition } from './where.js';

export interface WhereList {
  /** The newest first, by when they were spawned. */
  rows: TaskRow[];
  /** Whether more tasks match than `limit`. */
  more: boolean;
  /** The queues of which not every task was looked at. */
  cut: WhereCut[];
}

export interface WhereCut {
  queue_name: string;
  /** When the oldest task that was looked at was spawned. */
  back_to: Timestamp;
  /** Statements that create indexes which make it fast to look further back. */
  indexes: string[];
}

/** Ids found in one statement, before the other filters. */
const page = 500;

export async function listWhere(
  reader: QueueReader,
  queues: readonly string[],
  filter: TaskFilter & { where: readonly WhereCondition[] },
  lookBack: number,
): Promise<WhereList> {
  const cut: WhereCut[] = [];
  const found = await reader.each(queues, async (queue) => {
    const { rows, backTo } = await ofQueue(reader.db, queue, filter, lookBack);
    if (backTo !== null) {
      const partitioned = await isPartitioned(reader.db, queue);
      const indexes = filter.where.flatMap((condition) => whereIndex(queue, condition, partitioned) ?? []);
      cut.push({ queue_name: queue, back_to: backTo, indexes });
    }
    return rows;
  });
  const rows = found.flat().sort((a, b) => (a.task_id < b.task_id ? 1 : a.task_id > b.task_id ? -1 : 0));
  return { rows: rows.slice(0, filter.limit), more: rows.length > filter.limit, cut };
}

async function ofQueue(
  db: Queryable,
  queue: string,
  filter: TaskFilter & { where: readonly WhereCondition[] },
  lookBack: number,
): Promise<{ rows: TaskRow[]; backTo: Timestamp | null }> {
  const states = filter.states.length === 0 ? taskStates : filter.states;
  const rows: TaskRow[] = [];
  let before: string | null = null;
  for (;;) {
    const limit = Math.max(page, filter.limit + 1);
    const conditions = { where: filter.where, states, taskName: filter.taskName };
    const some = await findWhere(db, queue, conditions, { lookBack, limit, before });
    if (some.task_ids.length > 0) rows.push(...(await readTasks(db, queue, filter, some.task_ids)));
    before = some.task_ids.at(-1) ?? null;
    // With more matches than are shown, older tasks change nothing.
    if (rows.length > filter.limit) return { rows, backTo: null };
    if (some.task_ids.length < limit) return { rows, backTo: some.back_to };
  }
}

async function isPartitioned(db: Queryable, queue: string): Promise<boolean> {
  const { rows } = await db.query<{ partitioned: boolean }>('select to_regclass($1) is not null as partitioned', [
    keys(queue),
  ]);
  return rows[0]?.partitioned === true;
}
