/** Everything about one task, as one model: what the dashboard's page of a task shows. */
import { readFamily, type TaskFamily } from '../../sql/dashboard.js';
import { schemaFeatures } from '../../sql/features.js';
import type { Queryable } from '../../sql/queryable.js';
import { readableQueues } from '../../sql/find-task.js';
import { listRunSpans, type RunSpan } from '../../sql/runs.js';
import type { Advice } from '../cli/hint.js';
import type { WhyResult } from '../diagnosis/why.js';
import { readTask, type TaskDump } from '../task/dump.js';
import { locateTask } from '../task/find-task.js';
import { readTimeline } from '../task/timeline.js';
import type { Timeline } from './model.js';

/** The answer of `why`, with what to type next as text. */
export interface WhyView extends Omit<WhyResult, 'next'> {
  next: string[];
}

export interface TaskPage {
  task: TaskDump;
  /** Attempts in a row that ended alike, the latest first. */
  spans: RunSpan[];
  timeline: Timeline;
  /** Null where the schema keeps no families. */
  family: TaskFamily | null;
}

/** Spans of attempts that are laid out. */
const spansShown = 50;

/** One task of a queue, by its id, that of one of its runs, or a unique beginning of either. Runs inside a transaction. */
export async function readTaskPage(db: Queryable, queue: string, id: string): Promise<TaskPage> {
  const found = await locateTask(db, id, queue);
  const task = await readTask(db, found, { wide: false });
  const spans = await listRunSpans(db, queue, task.task_id, spansShown);
  const { timeline } = await readTimeline(db, { queue_name: queue, task_id: task.task_id }, { children: true });
  const tree = (await schemaFeatures(db)).includes('task_tree');
  const family = tree
    ? await readFamily(db, { queueName: queue, taskId: task.task_id }, await readableQueues(db))
    : null;
  return { task, spans, timeline, family };
}

export const whyView = (result: WhyResult, text: (advice: Advice) => string): WhyView => ({
  ...result,
  next: result.next.map(text),
});
