import type { Queryable } from '../../sql/queryable.js';
import { hasSpawnTasks, spawnMany, type ManySpawned } from '../../sql/spawn-many.js';
import { CliError, exit, toCliError } from '../cli/errors.js';
import type { SpawnLine } from './spawn-lines.js';
import { counted } from '../cli/format/text.js';
import { command, hint } from '../cli/hint.js';

/** Tasks a statement: enough to hide the round trips, few enough to lose little when one is refused. */
const batchSize = 500;

/** A task with the line that asked for it. */
export interface SpawnedLine extends ManySpawned {
  line: number;
  task_name: string;
}

/**
 * Spawns line by line in batches on one connection, each batch a transaction of its own. `tell` hears how many are done.
 * An error says which lines are done and how to go on with the rest.
 */
export async function spawnInBatches(
  db: Queryable,
  queueName: string,
  lines: readonly SpawnLine[],
  tell: (done: number) => void,
): Promise<SpawnedLine[]> {
  const done: SpawnedLine[] = [];
  const together = await hasSpawnTasks(db);
  for (let start = 0; start < lines.length; start += batchSize) {
    const batch = lines.slice(start, start + batchSize);
    try {
      const spawned = await spawnMany(db, queueName, batch, together);
      spawned.forEach((task, i) => {
        const { line = 0, name = '' } = batch[i] ?? {};
        done.push({ line, task_name: name, ...task });
      });
    } catch (error) {
      throw broken(error, batch, done.length, lines.length);
    }
    tell(done.length);
  }
  return done;
}

function broken(error: unknown, batch: readonly SpawnLine[], done: number, total: number): CliError {
  const cause = toCliError(error);
  const [first, last] = [batch[0]?.line ?? 1, batch.at(-1)?.line ?? 1];
  const what =
    cause.exitCode === exit.interrupted ? 'Interrupted' : `Lines ${first} to ${last} were refused: ${cause.message}`;
  const next = hint`tail -n +${first} FILE | ${command('spawn-tasks', '-')} continues; with idempotency keys you can send the whole file again`;
  return new CliError(`${what}; ${done} of ${counted(total, 'task')} are spawned`, {
    exitCode: cause.exitCode,
    code: cause.code,
    hint: done === 0 && cause.hint !== undefined ? cause.hint : next,
    cause: error,
  });
}
