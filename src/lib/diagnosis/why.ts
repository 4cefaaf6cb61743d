/** Answers the questions of `why`: about an id, a queue, a task name. */
import { readBounded, type BoundedReader, type Unread } from '../../sql/bounded.js';
import { readNameSample, readRecentNames, type NameSample } from '../../sql/diagnosis.js';
import { locate, locateStart, type Located } from '../../sql/diagnosis-locate.js';
import { readSight, readTableLockHolders } from '../../sql/diagnosis-locks.js';
import {
  isWhole,
  readAwaitedEvents,
  readClock,
  readHeadOfLine,
  readQueueFlow,
  readQueues,
  type QueueList,
} from '../../sql/diagnosis-queues.js';
import { readStandingIn } from '../../sql/grants.js';
import type { Queryable } from '../../sql/queryable.js';
import { CliError, exit, notFound, notPermitted } from '../cli/errors.js';
import { unknownQueue } from '../cli/explain.js';
import { command, hint } from '../cli/hint.js';
import { nearest } from '../cli/nearest.js';
import { grantCommand } from '../grants/hint.js';
import { ambiguous, isWholeId, rangeOf } from '../task/find-task.js';
import { readLocks, tablesOf, whyFound, type Answer, type WhyOptions, type WhyResult } from './ask-task.js';
import { diagnose, type Diagnosis } from './cause.js';
import { queueLocked } from './locks.js';
import { nameCauses } from './name.js';
import { readPaused } from './people.js';
import { queueCauses } from './queue.js';
import { plural, quoted, shown } from './words.js';

export type { WhyOptions, WhyResult } from './ask-task.js';

/** Diagnoses; if a right is missing, the last advice says how to grant it. */
function ask(db: Queryable, options: WhyOptions, work: (reader: BoundedReader) => Promise<Answer>): Promise<WhyResult> {
  return readBounded(db, options, async (reader) => {
    const clock = await readClock(reader);
    const sees = await readSight(reader);
    const answer = await work(reader);
    const result = {
      ...answer,
      clock_stopped_at: clock?.clock_stopped ? new Date(clock.now).toISOString() : null,
      sees_sessions: sees,
    };
    const standing = refusedFor(reader) === undefined ? null : await readStandingIn(reader);
    return standing === null ? result : { ...result, next: [...result.next, grantCommand(standing, 'reader')] };
  });
}

const refusedFor = (reader: BoundedReader): Unread | undefined => reader.unread.find(({ code }) => code === '42501');

/** Diagnoses a task or a run. Raises a not-found error if no queue has the id. */
export function whyId(db: Queryable, id: string, queue: string | undefined, options: WhyOptions): Promise<WhyResult> {
  return ask(db, options, async (reader) => {
    const list = await queuesOf(reader, queue);
    const names = list.queues.map((known) => known.queue_name);
    const find = isWholeId(id)
      ? (some: string[]) => locate(reader, some, id)
      : (some: string[]) => locateByStart(reader, some, id);
    const found = (await find(names)) ?? (await oneByOne(reader, names, find));
    if (!found) {
      const locked = await lockedOut(reader, names);
      if (locked) return { ...locked, queue: queue ?? null, task_id: null, run_id: null, task_name: null };
      if (refusedFor(reader)) throw unreadable(reader);
      const where = queue === undefined ? `any of ${plural(names.length, 'queue')}` : `queue ${quoted(queue)}`;
      throw notFound(`No task or run ${id} in ${where}`, command('list-tasks'));
    }
    return whyFound(reader, list, found.queue, found.task_id, found.run_id, options);
  });
}

/** If one question about all queues failed because of a lock or a missing right, ask each queue. */
async function oneByOne(
  reader: BoundedReader,
  names: string[],
  find: (some: string[]) => Promise<Located | null>,
): Promise<Located | null> {
  if (reader.unread.length === 0 || names.length < 2) return null;
  for (const name of names) {
    const found = await find([name]);
    if (found) return found;
  }
  return null;
}

/** Raises a usage error if the prefix of an id matches several tasks. */
async function locateByStart(reader: BoundedReader, names: string[], id: string): Promise<Located | null> {
  const found = (await locateStart(reader, names, rangeOf(id))) ?? [];
  if (found.length > 1) throw ambiguous(id, found);
  const [task] = found;
  return task === undefined ? null : { queue: task.queue_name, task_id: task.task_id, run_id: task.run_id };
}

/** Diagnoses a queue. */
export function whyQueue(db: Queryable, queue: string, options: WhyOptions): Promise<WhyResult> {
  return ask(db, options, async (reader) => {
    const list = await queuesOf(reader, queue);
    const flow = await readQueueFlow(reader, queue, list.now_text, options.windowSeconds);
    const asked = { queue, task_id: null, run_id: null, task_name: null };
    if (!flow) {
      const locked = await lockedOut(reader, [queue]);
      if (locked) return { ...locked, ...asked };
      throw unreadable(reader);
    }
    const head = await readHeadOfLine(reader, queue, list.now_text);
    const locks = await readLocks(
      reader,
      queue,
      head.flatMap((run) => [run.xmax, run.task_xmax ?? '0']),
    );
    const awaited = flow.sleeping > 0 ? await readAwaitedEvents(reader, queue) : [];
    const pause = await readPaused(reader, queue);
    const subject = { queue, now: list.now, flow, windowSeconds: options.windowSeconds, locks, awaited, pause };
    return { ...diagnose(queueCauses, subject), ...asked, unread: reader.unread };
  });
}

/** Diagnoses the oldest unfinished task of a name, and counts the others by state. */
export function whyTaskName(
  db: Queryable,
  taskName: string,
  queue: string | undefined,
  options: WhyOptions,
): Promise<WhyResult> {
  return ask(db, options, async (reader) => {
    const list = await queuesOf(reader, queue);
    const samples: NameSample[] = [];
    for (const { queue_name } of list.queues) {
      const sample = await readNameSample(reader, queue_name, taskName, list.now_text);
      if (sample) samples.push(sample);
    }
    const found = samples.filter(
      ({ pending, sleeping, running, completed, failed }) => pending + sleeping + running + completed + failed > 0,
    );
    const [open] = found
      .filter((sample) => sample.task_id !== null)
      .sort((left, right) => (left.available_at ?? 0) - (right.available_at ?? 0) || 0);
    const overall = diagnose(nameCauses, { taskName, now: list.now, samples: found });
    if (!open) {
      const asked = { queue: queue ?? null, task_id: null, run_id: null, task_name: taskName };
      const locked = await lockedOut(
        reader,
        list.queues
          .map(({ queue_name }) => queue_name)
          .filter((name) => !samples.some((sample) => sample.queue === name)),
      );
      if (locked) return { ...locked, ...asked };
      if (found.length === 0 && !samples.some((sample) => sample.cut)) await refuseUnknownName(reader, list, taskName);
      return {
        ...overall,
        ...asked,
        unread: reader.unread,
      };
    }
    const result = await whyFound(reader, list, open.queue, open.task_id ?? '', null, options);
    return { ...result, evidence: [...overall.evidence, ...result.evidence] };
  });
}

async function refuseUnknownName(reader: BoundedReader, list: QueueList, taskName: string): Promise<void> {
  const names: string[] = [];
  for (const { queue_name } of list.queues) names.push(...(await readRecentNames(reader, queue_name)));
  if (names.includes(taskName)) return;
  if (refusedFor(reader)) throw unreadable(reader);
  const near = nearest(taskName, names);
  throw notFound(
    `No task named ${quoted(taskName)} among the latest of ${plural(list.queues.length, 'queue')}`,
    near === undefined ? command('list-tasks') : `did you mean ${quoted(near)}?`,
  );
}

async function queuesOf(reader: BoundedReader, queue: string | undefined): Promise<QueueList> {
  const list = await readQueues(reader);
  if (!list) throw unreadable(reader);
  if (queue === undefined) return { ...list, queues: list.queues.filter(isWhole) };
  const known = list.queues.find((candidate) => candidate.queue_name === queue);
  if (!known)
    throw unknownQueue(
      queue,
      list.queues.map((candidate) => candidate.queue_name),
    );
  if (!isWhole(known))
    throw new CliError(`Queue ${quoted(queue)} is registered, but has lost tables`, {
      code: 'tables_missing',
      hint: command('doctor', { only: 'tables-missing' }),
    });
  return { ...list, queues: [known] };
}

/** The first question that failed, as the error that the user reads. */
function unreadable(reader: BoundedReader): CliError {
  const refused = refusedFor(reader);
  const first = refused ?? reader.unread[0];
  if (refused) return notPermitted(`Could not read ${refused.what}: ${shown(refused.reason)}`);
  const missing = first && ['42P01', '42883', '3F000'].includes(first.code);
  return new CliError(`Could not read ${first?.what ?? 'the database'}: ${shown(first?.reason ?? 'unknown')}`, {
    exitCode: missing ? exit.unreachable : exit.failed,
    code: missing ? 'schema_missing' : 'unreadable',
    hint: missing ? hint`${command('init')} installs the schema; --database names another database` : command('doctor'),
  });
}

/** The answer if a table could not be read because a session has locked it. */
async function lockedOut(reader: BoundedReader, queues: string[]): Promise<(Diagnosis & { unread: Unread[] }) | null> {
  if (!reader.unread.some((unread) => unread.code === '55P03' || unread.code === '57014')) return null;
  const holders = await readTableLockHolders(reader, queues.flatMap(tablesOf));
  const locks = holders.filter((holder) => holder.mode !== 'row');
  if (locks.length === 0) return null;
  // Find the queue one by one, and only if there is something to find.
  for (const queue of queues.length > 1 ? queues : []) {
    const found = await lockedOut(reader, [queue]);
    if (found) return found;
  }
  const subject = { queue: queues[0] ?? '', now: 0, flow: noFlow, windowSeconds: 1, locks, awaited: [], pause: null };
  return { ...diagnose([queueLocked], subject), unread: reader.unread };
}

/** A placeholder for a flow that could not be read, for causes that do not use it. */
const noFlow = {
  pending_ready: 0,
  sleeping_ready: 0,
  oldest_ready_at: null,
  running: 0,
  expired: 0,
  oldest_expired_at: null,
  without_lease: 0,
  sleeping: 0,
  sleeping_forever: 0,
  next_wake_at: null,
  last_claim_at: null,
  window_claims: 0,
  window_created: 0,
  window_failed: 0,
  window_completed: 0,
};
