/** Diagnoses one task: reads its facts and finds the first cause that applies. */
import { isUnfinished, requiredLetters } from '../../sql/description.js';
import type { BoundedReader, Unread } from '../../sql/bounded.js';
import {
  readCheckpoints,
  readEvent,
  readNameActivity,
  readPlaceInLine,
  readRun,
  readRuns,
  readTask,
  readWaits,
} from '../../sql/diagnosis.js';
import { locate } from '../../sql/diagnosis-locate.js';
import { readRowLockHolders, readTableLockHolders, type LockHolder } from '../../sql/diagnosis-locks.js';
import { readAttempts, readCheckpointFigures, readFailureStreak, readPeers } from '../../sql/diagnosis-past.js';
import { isWhole, readQueueFlow, readQueues, type QueueList } from '../../sql/diagnosis-queues.js';
import { readWorkforce } from '../../sql/diagnosis-workers.js';
import { diagnose, type Diagnosis, type Gap, type PastFacts, type TaskSubject, type WhyThresholds } from './cause.js';
import { relativeIds, type Relative } from './family.js';
import { operationEvidence, readOperations, readPaused } from './people.js';
import { taskCauses } from './index.js';
import { isUnregistered } from './registry.js';
import { readAwaitedTasks } from '../../sql/diagnosis-families.js';
import { defaultThresholds } from './thresholds.js';

export interface WhyResult extends Diagnosis {
  /** The subject of the question; members that do not apply are null. */
  queue: string | null;
  task_id: string | null;
  run_id: string | null;
  task_name: string | null;
  /** Questions without an answer: they timed out, or a right is missing. */
  unread: Unread[];
  /** The stopped clock's time, RFC 3339: then ages and future times are unreliable. Null where the clock runs. */
  clock_stopped_at: string | null;
  /** False if the role cannot see what other sessions do: then the holder of a lock is at most a process id. */
  sees_sessions: boolean;
}

/** An answer, without the facts about the read itself. */
export type Answer = Omit<WhyResult, 'clock_stopped_at' | 'sees_sessions'>;

export interface WhyOptions {
  /** Seconds over which claims are counted. */
  windowSeconds: number;
  /** Longest time for one statement. */
  timeoutMs: number;
  thresholds?: Partial<WhyThresholds>;
}

export const tablesOf = (queue: string): string[] => requiredLetters.map((prefix) => `${prefix}_${queue}`);

export async function readLocks(reader: BoundedReader, queue: string, xmaxes: string[]): Promise<LockHolder[]> {
  const rows = await readRowLockHolders(reader, xmaxes);
  const tables = await readTableLockHolders(reader, tablesOf(queue));
  return [...rows, ...tables.filter((holder) => holder.mode !== 'row' && !rows.some((row) => row.pid === holder.pid))];
}

export async function whyFound(
  reader: BoundedReader,
  list: QueueList,
  queue: string,
  taskId: string,
  runId: string | null,
  options: WhyOptions,
  seen: readonly string[] = [],
): Promise<Answer> {
  const subject = await readSubject(reader, list, { queue, taskId, runId, seen }, options);
  const diagnosis = diagnose(taskCauses, subject);
  return {
    ...diagnosis,
    evidence: [...diagnosis.evidence, ...operationEvidence(subject)],
    queue,
    task_id: taskId,
    run_id: subject.run?.run_id ?? null,
    task_name: subject.task?.task_name ?? null,
    unread: reader.unread,
  };
}

/** The task in question, and the tasks that wait for it. */
interface Asked {
  queue: string;
  taskId: string;
  runId: string | null;
  seen: readonly string[];
}

async function readSubject(
  reader: BoundedReader,
  list: QueueList,
  asked: Asked,
  options: WhyOptions,
): Promise<TaskSubject> {
  const { windowSeconds } = options;
  const { queue, taskId, runId } = asked;
  const gaps = new Set<Gap>();
  const answer = async <T>(gap: Gap, question: Promise<T>): Promise<T> => {
    const unread = reader.unread.length;
    const found = await question;
    if (reader.unread.length > unread) gaps.add(gap);
    return found;
  };
  const task = await answer('task', readTask(reader, queue, taskId));
  const runs = (await answer('runs', readRuns(reader, queue, taskId))) ?? [];
  const wanted = runs.find((candidate) => candidate.run_id === (runId ?? task?.last_attempt_run));
  const older = runId !== null && !wanted ? await readRun(reader, queue, runId) : null;
  const run = wanted ?? older ?? runs[0] ?? null;
  const open = task !== null && isUnfinished(task.state);
  const flow = open ? await answer('flow', readQueueFlow(reader, queue, list.now_text, windowSeconds)) : null;
  const asleep = run?.state === 'sleeping' && run.wake_event !== null;
  const ready = open && run !== null && run.state !== 'running' && run.available_at <= list.now;
  // The event may be in any queue of the database, even if --queue narrows the search for the id.
  const everyQueue = asleep ? ((await readQueues(reader))?.queues.filter(isWhole) ?? []) : [];
  const checkpoints = await answer('checkpoints', readCheckpoints(reader, queue, taskId));
  const workforce = open ? await readWorkforce(reader, queue, list) : null;
  const subject: TaskSubject = {
    queue,
    now: list.now,
    task,
    run,
    runs,
    checkpoints,
    past: await readPast(reader, list, { queue, task, runs, checkpoints }),
    thresholds: { ...defaultThresholds, ...options.thresholds },
    canWake: list.can_wake,
    relative: null,
    pause: open ? await readPaused(reader, queue) : null,
    operations: await readOperations(reader, taskId),
    waits: asleep || run?.available_at === Infinity ? await answer('waits', readWaits(reader, queue, taskId)) : [],
    locks: open || gaps.has('task') ? await readLocks(reader, queue, [task?.xmax ?? '0', run?.xmax ?? '0']) : [],
    flow,
    windowSeconds,
    ahead: ready ? await answer('line', readPlaceInLine(reader, queue, run.run_id)) : null,
    event:
      asleep && run.wake_event !== null
        ? await readEvent(
            reader,
            queue,
            everyQueue.map((known) => known.queue_name),
            run.wake_event,
          )
        : null,
    workforce,
    nameActivity:
      open && ((run?.state === 'sleeping' && !asleep) || isUnregistered(workforce, task.task_name))
        ? await readNameActivity(reader, queue, task.task_name, list.now_text)
        : null,
    gaps,
  };
  return open && gaps.size === 0
    ? { ...subject, relative: await readRelative(reader, list, subject, asked, options) }
    : subject;
}

/** Ask only what can have an answer: a task that never failed has no streak, and needs no others to compare with. */
async function readPast(
  reader: BoundedReader,
  list: QueueList,
  { queue, task, runs, checkpoints }: Pick<TaskSubject, 'queue' | 'task' | 'runs' | 'checkpoints'>,
): Promise<PastFacts> {
  const failed = runs.filter((run) => run.state === 'failed').length;
  const taskId = task?.task_id ?? '';
  const owners = new Map(runs.map((run) => [run.run_id, run.attempt]));
  const older = [...new Set(checkpoints.map((one) => one.owner_run_id))].filter((id) => id !== null && !owners.has(id));
  const asks = failed >= 1 && task !== null && task.state !== 'completed';
  const early =
    asks && older.length > 0 ? await readAttempts(reader, queue, older as string[]) : new Map<string, number>();
  return {
    streak: failed > 0 && task ? await readFailureStreak(reader, queue, taskId) : null,
    figures: checkpoints.length > 0 ? await readCheckpointFigures(reader, queue, taskId, list.now_text) : null,
    owners: new Map([...owners, ...early]),
    peers: asks ? await readPeers(reader, queue, { taskId, taskName: task.task_name, nowText: list.now_text }) : [],
  };
}

/** How many levels of waiting tasks are followed. */
const longestFamily = 4;

/** The task that this one waits for, and its cause. */
async function readRelative(
  reader: BoundedReader,
  list: QueueList,
  subject: TaskSubject,
  { taskId, seen }: Asked,
  options: WhyOptions,
): Promise<Relative | null> {
  if (seen.length >= longestFamily) return null;
  if (subject.run?.state === 'sleeping') {
    const awaited = await readAwaitedRelative(reader, list, subject.run, { taskId, seen }, options);
    if (awaited) return awaited;
  }
  const names = ((await readQueues(reader))?.queues ?? []).filter(isWhole).map((one) => one.queue_name);
  for (const { id, by } of relativeIds(subject).slice(0, 5)) {
    if (seen.includes(id)) continue;
    const found = await locate(reader, names, id);
    if (!found || found.task_id === taskId) continue;
    const task = await readTask(reader, found.queue, found.task_id);
    if (!task) continue;
    const open = isUnfinished(task.state);
    if (by.kind === 'step' && !open) continue;
    const answer = await whyFound(reader, list, found.queue, found.task_id, null, options, [...seen, taskId]);
    // A running run may not depend on the task that it spawned.
    if (by.kind === 'step' && subject.run?.state !== 'sleeping' && answer.verdict !== 'stuck') continue;
    return {
      queue: found.queue,
      task_id: task.task_id,
      task_name: task.task_name,
      state: task.state,
      by,
      diagnosis: answer,
    };
  }
  return null;
}

/** Unfinished tasks of a wait that are diagnosed: the first stuck one is the answer. */
const awaitedAsked = 5;

/** One of the tasks that a sleeping run waits for. */
async function readAwaitedRelative(
  reader: BoundedReader,
  list: QueueList,
  run: { run_id: string },
  { taskId, seen }: Pick<Asked, 'taskId' | 'seen'>,
  options: WhyOptions,
): Promise<Relative | null> {
  const { step, tasks, unfinished } = await readAwaitedTasks(reader, run.run_id, awaitedAsked);
  let first: Relative | null = null;
  for (const { queue, task_id: id, task_name: name, state } of tasks) {
    if (id === taskId || seen.includes(id)) continue;
    const diagnosis = await whyFound(reader, list, queue, id, null, options, [...seen, taskId]);
    const by = { kind: 'wait', name: step } as const;
    const relative = { queue, task_id: id, task_name: name, state, by, others: unfinished - 1, diagnosis };
    if (diagnosis.verdict === 'stuck') return relative;
    first ??= relative;
  }
  return first;
}
