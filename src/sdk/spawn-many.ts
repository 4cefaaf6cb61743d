import { spawnTasks } from '../sql/sdk-batch.js';
import { spawnTask, type SpawnedRow } from '../sql/sdk.js';
import type { Queryable } from './types.js';

const tasksPerStatement = 1000;

/** A spawn ready to be sent: its queue decided, its values as JSON text. */
export interface PreparedSpawn {
  queue: string;
  name: string;
  paramsJson: string | undefined;
  optionsJson: string;
}

/** Sends many spawns, and returns their rows in the order in which they were given. */
export async function spawnInBatches(
  db: Queryable,
  tasks: readonly PreparedSpawn[],
  manyAtOnce: boolean,
): Promise<(SpawnedRow | undefined)[]> {
  const rows: (SpawnedRow | undefined)[] = new Array<SpawnedRow | undefined>(tasks.length).fill(undefined);
  if (!manyAtOnce) {
    for (const [index, task] of tasks.entries()) {
      rows[index] = await spawnTask(db, task.queue, task.name, task.paramsJson, task.optionsJson);
    }
    return rows;
  }
  for (const [queue, indexes] of indexesByQueue(tasks)) {
    for (let start = 0; start < indexes.length; start += tasksPerStatement) {
      const chunk = indexes.slice(start, start + tasksPerStatement);
      const chosen = chunk.flatMap((index) => tasks[index] ?? []);
      const spawned = await spawnTasks(db, queue, chosen);
      chunk.forEach((index, position) => (rows[index] = spawned[position]));
    }
  }
  return rows;
}

function indexesByQueue(tasks: readonly PreparedSpawn[]): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  tasks.forEach((task, index) => {
    const indexes = groups.get(task.queue);
    if (indexes === undefined) groups.set(task.queue, [index]);
    else indexes.push(index);
  });
  return groups;
}
