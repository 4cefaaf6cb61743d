/** Reads one task, with its family where that is asked for, as a timeline. */
import { QueueReader, type SkippedQueue } from '../../sql/each-queue.js';
import { readableQueues, type FoundTask } from '../../sql/find-task.js';
import type { Queryable } from '../../sql/queryable.js';
import {
  listTimelineChildren,
  listTimelineRuns,
  listTimelineSteps,
  listTimelineWaits,
  readClock,
  readTimelineColumns,
  readTimelineTask,
  type TimelineTask,
} from '../../sql/timeline.js';
import { notFound } from '../cli/errors.js';
import { timelineOf, type TimelineRows } from '../view/timeline.js';
import type { Timeline } from '../view/model.js';

export interface TimelineScope {
  /** Steps that are read, the latest ones; 200 unless given. */
  steps?: number;
  /** Read children, their children, and so on. */
  children?: boolean;
}

export const stepsShown = 200;
const attemptsShown = 200;
/** Of a child. */
const attemptsOfChild = 20;
const familyShown = 100;
/** Queues asked for children in one statement. */
const queuesAtOnce = 40;

export interface ReadTimeline {
  timeline: Timeline;
  /** Queues that could not be asked for children. */
  skipped: SkippedQueue[];
}

/** Must run inside a transaction. Raises exit 3 when the task no longer exists. */
export async function readTimeline(
  db: Queryable,
  found: Pick<FoundTask, 'queue_name' | 'task_id'>,
  { steps: limit = stepsShown, children = false }: TimelineScope = {},
): Promise<ReadTimeline> {
  const { queue_name: queue, task_id: id } = found;
  const columns = await readTimelineColumns(db, queue);
  const task = await readTimelineTask(db, queue, id, columns);
  if (!task) throw notFound(`Task ${id} no longer exists in queue "${queue}"`, 'it was just cleaned up');
  const runs = await listTimelineRuns(db, queue, [id], attemptsShown);
  const { steps, total } = await listTimelineSteps(db, queue, id, limit, columns);
  const waits = await listTimelineWaits(db, queue, [id], columns);
  const { family, cut, skipped } = children ? await readFamily(db, id) : { family: [], cut: false, skipped: [] };
  const clock = await readClock(db);
  const timeline = timelineOf({ ...clock, task, runs, steps, steps_total: total, waits, family, family_cut: cut });
  return { timeline, skipped };
}

type Member = TimelineRows['family'][number];

/** The children, generation by generation, each parent's directly below it. */
async function readFamily(
  db: Queryable,
  rootId: string,
): Promise<{ family: Member[]; cut: boolean; skipped: SkippedQueue[] }> {
  const reader = new QueueReader(db);
  const queues = await readableQueues(db);
  const tasks: TimelineTask[] = [];
  const seen = new Set([rootId]);
  let parents = [rootId];
  while (parents.length > 0 && tasks.length <= familyShown) {
    const generation: TimelineTask[] = [];
    for (let first = 0; first < queues.length; first += queuesAtOnce) {
      const some = queues.slice(first, first + queuesAtOnce);
      const found = await reader.some(some, (names) => listTimelineChildren(db, names, parents, familyShown + 1));
      generation.push(...found.flat().filter(({ task_id: id }) => !seen.has(id)));
    }
    for (const { task_id: id } of generation) seen.add(id);
    tasks.push(...generation);
    parents = generation.map(({ task_id: id }) => id);
  }
  const shown = tasks.slice(0, familyShown);
  return { family: await withRuns(db, rootId, shown), cut: tasks.length > shown.length, skipped: reader.skipped };
}

async function withRuns(db: Queryable, rootId: string, tasks: readonly TimelineTask[]): Promise<Member[]> {
  const members = new Map<string, Member>();
  for (const queue of new Set(tasks.map(({ queue_name: name }) => name))) {
    const own = tasks.filter(({ queue_name: name }) => name === queue);
    const ids = own.map(({ task_id: id }) => id);
    const columns = await readTimelineColumns(db, queue);
    const runs = await listTimelineRuns(db, queue, ids, attemptsOfChild);
    const waits = await listTimelineWaits(db, queue, ids, columns);
    for (const task of own) {
      const ofTask = runs.filter(({ task_id: id }) => id === task.task_id);
      const runIds = new Set(ofTask.map(({ run_id: id }) => id));
      const waiting = waits.filter(({ run_id: id }) => runIds.has(id));
      members.set(task.task_id, { task, depth: 0, runs: ofTask, waits: waiting });
    }
  }
  const ordered: Member[] = [];
  const place = (parentId: string, depth: number): void => {
    for (const { task_id: id, parent_task_id: parent } of tasks) {
      const member = members.get(id);
      if (parent !== parentId || member === undefined) continue;
      members.delete(id);
      ordered.push({ ...member, depth });
      place(id, depth + 1);
    }
  };
  place(rootId, 1);
  return ordered;
}
