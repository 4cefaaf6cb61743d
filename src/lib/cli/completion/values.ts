/** Values from the database, for completion: short reads that never prompt, write or start a server. */
import { checkpointNames } from '../../../sql/checkpoints.js';
import {
  suggestEvents,
  suggestIds,
  suggestQueues,
  suggestSchedules,
  suggestTaskNames,
  type Suggestion,
} from '../../../sql/completion.js';
import { findTask, readableQueues } from '../../../sql/find-task.js';
import { QueueReader } from '../../../sql/each-queue.js';
import { rangeOf, requireId } from '../../task/find-task.js';
import { listDetachCandidates } from '../../../sql/partitions.js';
import { unfinishedStates } from '../../../sql/description.js';
import type { Queryable } from '../../../sql/queryable.js';
import { Database } from '../../connection/database.js';
import { runningOnly } from '../../connection/embedded.js';
import { resolveSettings } from '../../connection/resolve.js';
import type { ConnectionFlags } from '../../../connection/settings.js';
import type { Io } from '../io.js';
import type { LookedUp } from './spec.js';

export interface Wanted {
  what: LookedUp;
  prefix: string;
  /** The queue, the flags and the arguments typed before. */
  queue: string | undefined;
  connection: ConnectionFlags;
  args: readonly string[];
}

const limits = { connectSeconds: 1, statementMs: 700, names: 200, ids: 20 };

/** Reads the values. Raises any error; the caller ignores it. */
export async function lookUp(wanted: Wanted, io: Io): Promise<Suggestion[]> {
  const settings = await resolveSettings(wanted.connection, io, runningOnly);
  const connectTimeoutSeconds = Math.min(settings.connectTimeoutSeconds || Infinity, limits.connectSeconds);
  const database = await Database.open({ ...settings, connectTimeoutSeconds }, io);
  try {
    return await database.readRanges((db) => ask(db, wanted), limits.statementMs);
  } finally {
    await database.close();
  }
}

async function ask(db: Queryable, { what, prefix, queue, args }: Wanted): Promise<Suggestion[]> {
  if (what === 'queue') return suggestQueues(db, prefix, limits.names);
  if (what === 'partition') {
    const candidates = await listDetachCandidates(db, queue ?? null);
    return candidates.map(({ partition, parent }) => ({ value: partition, about: `of ${parent}` }));
  }
  const all = await readableQueues(db);
  const queues = queue === undefined ? all : all.filter((name) => name === queue);
  if (what === 'task-name') return suggestTaskNames(db, queues, prefix, limits.names);
  if (what === 'schedule') return suggestSchedules(db, prefix, limits.names);
  if (what === 'event') return suggestEvents(db, queues, prefix, limits.names);
  if (what === 'step') return steps(db, args[0], queues);
  const states = what === 'failed-id' ? ['failed'] : what === 'open-id' ? unfinishedStates : undefined;
  return suggestIds(db, queues, states, prefix, limits.ids);
}

async function steps(db: Queryable, id: string | undefined, queues: readonly string[]): Promise<Suggestion[]> {
  const [found] = id === undefined ? [] : await findTask(new QueueReader(db), rangeOf(requireId(id)), queues);
  if (!found) return [];
  const names = await checkpointNames(db, found.queue_name, found.task_id);
  return names.map((value) => ({ value, about: `step of ${found.task_name}` }));
}
