import type { Queryable } from '../../sql/queryable.js';
import { CliError, exit } from '../cli/errors.js';
import { isWholeId, locateTask, requireId } from '../task/find-task.js';

/** The id of a task by its own id, a run's or the beginning of one. A whole id of a task that no longer exists is taken as it is. */
export async function taskOfOperation(db: Queryable, typed: string): Promise<string> {
  const id = requireId(typed);
  try {
    return (await locateTask(db, id, undefined)).task_id;
  } catch (error) {
    if (isWholeId(id) && error instanceof CliError && error.exitCode === exit.notFound) return id;
    throw error;
  }
}
