import { hasSpawnTasks, spawnMany, type ManySpawned } from '../../sql/spawn-many.js';
import type { Queryable } from '../../sql/queryable.js';
import { CliError, exit, refused, toCliError } from '../cli/errors.js';
import { counted } from '../cli/format/text.js';
import { command, hint } from '../cli/hint.js';
import { lineBatches, type BatchLimits, type LineBatch } from './line-batches.js';
import { checkSpawnLine, toSpawnLine, type SpawnLine } from './spawn-lines.js';
import type { ReadTwice } from './spool.js';

/** A statement has enough tasks to hide the round trips, and few enough to lose little when one is refused. */
const limits: BatchLimits = { lines: 500, bytes: 4 * 1024 * 1024, lineBytes: 16 * 1024 * 1024 };

/** A task with the line that asked for it. */
export interface SpawnedLine extends ManySpawned {
  line: number;
  task_name: string;
}

/** The result of the first reading. */
export interface CheckedLines {
  total: number;
  /** Whether a line asks for a later start. */
  delayed: boolean;
  /** A hash for each batch: the second reading must find the same. */
  digests: string[];
}

/** Checks every line, holding one batch at a time. Raises a usage error for the first that is wrong. */
export async function checkLines(chunks: AsyncIterable<Buffer>): Promise<CheckedLines> {
  const checked: CheckedLines = { total: 0, delayed: false, digests: [] };
  for await (const { lines, digest } of lineBatches(chunks, limits)) {
    for (const line of lines) if (checkSpawnLine(line).delayed) checked.delayed = true;
    checked.total += lines.length;
    checked.digests.push(digest);
  }
  return checked;
}

/**
 * Spawns the lines of `input` that `checkLines` has checked, in batches on one connection, each a transaction of its own. The
 * next batch is read while the server spawns. `tell` gets the tasks of a batch and how many are done.
 * An error says which lines are done and how to go on with the rest.
 */
export async function spawnInBatches(
  db: Queryable,
  queueName: string,
  input: ReadTwice,
  { total, digests }: CheckedLines,
  tell: (tasks: SpawnedLine[], done: number) => void,
): Promise<void> {
  const together = await hasSpawnTasks(db);
  const batches = sameBatches(lineBatches(input.again(), limits), digests);
  let done = 0;
  let next = await take(batches);
  while (next !== undefined) {
    if (next instanceof Error) throw broken(next, undefined, done, total);
    const lines = next;
    // A batch that cannot be read is an error after the one before it is stored.
    const following = take(batches);
    try {
      const spawned = await spawnMany(db, queueName, lines, together);
      done += spawned.length;
      tell(
        spawned.map((task, i) => ({ line: lines[i]?.line ?? 0, task_name: lines[i]?.name ?? '', ...task })),
        done,
      );
    } catch (error) {
      await following;
      throw broken(error, lines, done, total);
    }
    next = await following;
  }
}

/** The next batch, undefined at the end, or the error of reading it. */
async function take(batches: AsyncGenerator<SpawnLine[]>): Promise<SpawnLine[] | Error | undefined> {
  try {
    const step = await batches.next();
    return step.done === true ? undefined : step.value;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

async function* sameBatches(batches: AsyncIterable<LineBatch>, digests: string[]): AsyncGenerator<SpawnLine[]> {
  let count = 0;
  const changed = (from: number): Error =>
    refused(`The file changed after its lines were checked, from line ${from} on`, undefined, 'file_changed');
  let following = 1;
  for await (const { lines, digest, from } of batches) {
    if (digest !== digests[count]) throw changed(from);
    count += 1;
    following = (lines.at(-1)?.line ?? from) + 1;
    if (lines.length > 0) yield lines.map(toSpawnLine);
  }
  if (count < digests.length) throw changed(following);
}

/** `batch` is the batch that was sent; undefined if reading the next one failed. */
function broken(error: unknown, batch: readonly SpawnLine[] | undefined, done: number, total: number): CliError {
  const cause = toCliError(error);
  const sofar = `${done} of ${counted(total, 'task')} are spawned`;
  const { exitCode, code } = cause;
  if (batch === undefined)
    return new CliError(`${cause.message}; ${sofar}`, {
      exitCode,
      code,
      hint: hint`with idempotency keys you can send the whole file again: ${command('spawn-tasks', 'FILE')}`,
      cause: error,
    });
  const [first, last] = [batch[0]?.line ?? 1, batch.at(-1)?.line ?? 1];
  const what =
    exitCode === exit.interrupted ? 'Interrupted' : `Lines ${first} to ${last} were refused: ${cause.message}`;
  const next = hint`tail -n +${first} FILE | ${command('spawn-tasks', '-')} continues; with idempotency keys you can send the whole file again`;
  return new CliError(`${what}; ${sofar}`, {
    exitCode,
    code,
    hint: done === 0 && cause.hint !== undefined ? cause.hint : next,
    cause: error,
  });
}
