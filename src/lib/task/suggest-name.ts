/** What was probably meant by a name that a filter found nothing for: a note, or undefined where the name is known or nothing is near. */
import { QueueReader } from '../../sql/each-queue.js';
import { suggestEvents, suggestTaskNames } from '../../sql/completion.js';
import { waitingElsewhere } from '../../sql/events.js';
import { eventNames } from '../../sql/lists.js';
import type { Queryable } from '../../sql/queryable.js';
import { nearest, nearestPattern } from '../cli/nearest.js';
import { queuesToLookIn } from './find-task.js';

const namesRead = 1000;

function note(kind: string, name: string, known: readonly string[], near = nearest): string | undefined {
  const suggestion = known.includes(name) ? undefined : near(name, known);
  return suggestion === undefined ? undefined : `There is no ${kind} "${name}" here: did you mean "${suggestion}"?`;
}

/** Compares with the names of the latest tasks. Runs inside a read-only transaction. */
export async function suggestTask(db: Queryable, queue: string | undefined, name: string): Promise<string | undefined> {
  const reader = new QueueReader(db);
  const read = (some: string[]) => suggestTaskNames(db, some, '', namesRead);
  const names = (await reader.some(await queuesToLookIn(db, queue), read)).flat();
  return note(
    'task',
    name,
    names.map(({ value }) => value),
  );
}

/** Compares with the events that are awaited or were emitted. Runs inside a read-only transaction. */
export async function suggestEvent(
  db: Queryable,
  queue: string | undefined,
  name: string,
): Promise<string | undefined> {
  const queues = await queuesToLookIn(db, queue);
  const reader = new QueueReader(db);
  const waited = (await reader.some(queues, (some) => suggestEvents(db, some, '', namesRead))).flat();
  const known = waited.map(({ value }) => value);
  known.push(...(await reader.each(queues, (one) => eventNames(db, one, name))).flat());
  return note('event', name, known, nearestPattern);
}

/** After an emission that woke nobody: other queues where runs wait for that very name. */
export async function waitedElsewhere(
  db: Queryable,
  queue: string,
  name: string,
): Promise<{ queue_name: string; waiting: number }[]> {
  const others = (await queuesToLookIn(db, undefined)).filter((other) => other !== queue);
  return (await new QueueReader(db).some(others, (some) => waitingElsewhere(db, some, name))).flat();
}

/** After an emission that woke nobody: a name near it that somebody waits for. */
export async function waitedNear(db: Queryable, queue: string, name: string): Promise<string | undefined> {
  const waited = (await suggestEvents(db, [queue], '', namesRead)).filter(({ about }) => about === 'waited for');
  return nearestPattern(
    name,
    waited.map(({ value }) => value).filter((value) => value !== name),
  );
}
