/** What can be looked at: each a path of the API with its parameters and the bounded reading behind it. A page follows one live. */
import { getCheckpoint } from '../../sql/checkpoints.js';
import { busiestQueues } from '../../sql/dashboard.js';
import { taskStates } from '../../sql/description.js';
import { schemaFeatures } from '../../sql/features.js';
import { listTasks, type TaskList } from '../../sql/list-tasks.js';
import { listWhere, type WhereCut } from '../../sql/list-where.js';
import { listWorkersOf } from '../../sql/list-workers.js';
import { listEventsOf, listWaitsOf } from '../../sql/lists.js';
import { listOperations } from '../../sql/operations.js';
import { listPauses } from '../../sql/pauses.js';
import type { Queryable } from '../../sql/queryable.js';
import { lastScheduledTasks, listSchedules, nextTimes } from '../../sql/schedules.js';
import { readError } from '../bulk/flags.js';
import { notFound, toCliError, usageError } from '../cli/errors.js';
import { adviceText, type Advice, type Place } from '../cli/hint.js';
import { latestFirst } from '../cli/lists.js';
import { parseWhen } from '../cli/time.js';
import type { Database } from '../connection/database.js';
import { whyId } from '../diagnosis/why.js';
import { examine } from '../doctor/index.js';
import { readStats } from '../queue/stats.js';
import { requireSchedule } from '../schedule/find.js';
import { scheduleState, timing } from '../schedule/show.js';
import { requireFeature } from '../schema/feature.js';
import { queuesToLookIn, requireId } from '../task/find-task.js';
import { queuesShown, readOverview } from '../view/overview.js';
import { parseWhere } from '../task/where.js';
import { cutNotes } from '../task/where-flags.js';
import { findingView } from '../view/findings.js';
import type { WorkerView } from '../view/rows.js';
import { readTaskPage, whyView } from '../view/task-page.js';
import { listOver, overQueues, timeoutMs } from './lists.js';
import type { Parameters, Query } from './request.js';
import type { SchemaName } from './schemas.js';

/** What a view is given besides its parameters. */
export interface Surroundings {
  now(): Date;
  /** The flags that name the database, for commands to type. */
  place: Place;
}

export interface View {
  /** Below the base path; `{name}` stands for a part. */
  path: string;
  summary: string;
  /** What the parts of the path are. */
  parts?: Readonly<Record<string, string>>;
  parameters: Parameters;
  /** Its answer, by name in the API's description. */
  answer: SchemaName;
  /** It may take long, and is read over a connection of its own. */
  slow?: true;
  /** How old an answer may be, in milliseconds. */
  maxAgeMs: number;
  read(database: Database, query: Query, parts: readonly string[], around: Surroundings): Promise<unknown>;
}

const limited = (most: number): Parameters => ({
  limit: { type: 'integer', default: 50, description: `rows at most, up to ${most}` },
});
const ofQueue: Parameters = { queue: { type: 'string', description: 'a queue; all when absent' } };
const moment = 'a time: 2h, 2026-01-02, RFC 3339';

const taskParameters: Parameters = {
  ...ofQueue,
  name: { type: 'string', description: 'tasks of this name' },
  state: { type: 'string', values: taskStates, list: true, description: 'tasks in one of these states' },
  since: { type: 'string', description: `active at or after ${moment}` },
  until: { type: 'string', description: `active at or before ${moment}` },
  around: { type: 'string', description: `active around ${moment}` },
  within: { type: 'string', default: '5m', description: 'how far around, before and after' },
  error: { type: 'string', description: 'the last error contains this text, or matches /this expression/' },
  worker: { type: 'string', description: 'tasks that this worker claimed last' },
  key: { type: 'string', description: 'the task with this idempotency key' },
  where: { type: 'string', description: 'tasks that hold this, such as params.order=42; may be repeated' },
  ...limited(1000),
};

/** A moment's answer is good enough for everybody. */
const moments = 1000;

const stats: View = {
  path: '/api/queues',
  summary: 'Queues: counts by state, flow since a time, pauses',
  parameters: {
    ...ofQueue,
    since: { type: 'string', default: '1h', description: `count runs claimed since ${moment}` },
  },
  answer: 'Queues',
  maxAgeMs: 2 * moments,
  async read(database, query, _parts, { now }) {
    const { at, secondsAgo } = parseWhen(query.text('since') ?? '1h', 'since');
    const sinceMs = at === null ? now().getTime() - (secondsAgo ?? 0) * 1000 : Date.parse(at);
    const queue = query.text('queue');
    const { names, total, pauses } = await database.readRanges(async (db) => {
      const features = await schemaFeatures(db);
      const pauses = features.includes('pause') ? await listPauses(db) : [];
      if (queue !== undefined) return { names: await queuesToLookIn(db, queue), total: 1, pauses };
      return { ...(await busiestQueues(db, queuesShown)), pauses };
    }, timeoutMs);
    const read = <T>(work: (db: Queryable) => Promise<T>): Promise<T> => database.readRanges(work, timeoutMs);
    const { stats, skipped } = await readStats(read, names, { by: 'queue', sinceMs, taskName: null });
    const paused = new Map(pauses.map((pause) => [pause.queue_name, pause]));
    return {
      queues: stats.map((row) => ({ ...row, pause: paused.get(row.queue_name) ?? null })),
      queues_total: total,
      skipped: skipped.map(({ queue_name, reason }) => ({ queue_name, reason })),
    };
  },
};

const overview: View = {
  path: '/api/overview',
  summary: 'All queues at a glance: counts, throughput of the last 15 minutes, pauses',
  parameters: {},
  answer: 'Overview',
  maxAgeMs: moments,
  read: (database) => readOverview((work) => database.readRanges(work, timeoutMs)),
};

/** Newest tasks of each queue that a search looks at: a page repeats it while it is open. */
const lookBack = 20_000;

const tasks: View = {
  path: '/api/tasks',
  summary: 'Tasks, the latest activity first',
  parameters: taskParameters,
  answer: 'Tasks',
  maxAgeMs: moments,
  async read(database, query) {
    const error = query.text('error');
    const filter = {
      states: query.list('state', taskStates),
      taskName: query.text('name'),
      ...query.span(),
      error: error === undefined ? undefined : readError(error),
      worker: query.text('worker'),
      key: query.text('key'),
      limit: query.limit(1000),
    };
    const where = query.all('where').map((typed) => parseWhere(typed, 'where'));
    if (where.length > 0 && filter.key !== undefined) throw usageError('Use either where or key, not both');
    const list = await overQueues<TaskList & { cut?: WhereCut[] }>(database, query.text('queue'), (reader, queues) =>
      where.length === 0
        ? listTasks(reader, queues, filter)
        : listWhere(reader, queues, { ...filter, where }, lookBack).then((found) => ({ ...found, stopped: false })),
    );
    const { cut = [], ...rest } = list;
    return { ...rest, notes: cutNotes(cut, lookBack) };
  },
};

const task: View = {
  path: '/api/tasks/{queue}/{id}',
  summary: 'One task: its attempts, steps, waits, family, and why it is where it is',
  parts: { queue: 'the queue', id: 'the id of the task or of one of its runs, or a unique beginning of it' },
  parameters: {},
  answer: 'Task',
  maxAgeMs: moments,
  async read(database, _query, [queue = '', id = ''], { place }) {
    const page = await database.read((db) => readTaskPage(db, queue, id), timeoutMs);
    const text = (advice: Advice): string => adviceText(advice, place);
    const options = { windowSeconds: 300, timeoutMs: 5000 };
    try {
      const why = await whyId(database, requireId(page.task.task_id), queue, options);
      return { ...page, why: whyView(why, text), why_error: null };
    } catch (error) {
      return { ...page, why: null, why_error: toCliError(error).message };
    }
  },
};

const step: View = {
  path: '/api/tasks/{queue}/{id}/steps/{step}',
  summary: 'One step of a task with its whole result',
  parts: { queue: 'the queue', id: 'the id of the task', step: 'the name of the step' },
  parameters: {},
  answer: 'Step',
  maxAgeMs: moments,
  async read(database, _query, [queue = '', id = '', name = '']) {
    return database.read(async (db) => {
      await queuesToLookIn(db, queue);
      const found = await getCheckpoint(db, queue, requireId(id), name);
      if (found === undefined) throw notFound(`Task ${id} has no step "${name}"`, undefined, 'step_not_found');
      return found;
    }, timeoutMs);
  },
};

const events: View = {
  path: '/api/events',
  summary: 'Events, the latest emission first',
  parameters: { ...ofQueue, event: { type: 'string', description: 'the event of this name' }, ...limited(1000) },
  answer: 'Events',
  maxAgeMs: moments,
  read: (database, query) =>
    listOver(
      database,
      { queue: query.text('queue'), limit: query.limit(1000) },
      (reader, queue, limit) => listEventsOf(reader.db, queue, query.text('event') ?? null, limit, { whole: false }),
      (a, b) => latestFirst(a.emitted_at, b.emitted_at),
    ),
};

const waits: View = {
  path: '/api/waits',
  summary: 'Runs that wait for an event, the longest waiting first',
  parameters: { ...ofQueue, event: { type: 'string', description: 'waits for this event' }, ...limited(1000) },
  answer: 'Waits',
  maxAgeMs: moments,
  read: (database, query) =>
    listOver(
      database,
      { queue: query.text('queue'), limit: query.limit(1000) },
      async (reader, queue, limit) => (await listWaitsOf(reader.db, queue, query.text('event') ?? null, limit)).rows,
      (a, b) => latestFirst(b.created_at, a.created_at),
    ),
};

const schedules: View = {
  path: '/api/schedules',
  summary: 'Schedules, the next to fire first',
  parameters: { ...ofQueue, ...limited(1000) },
  answer: 'Schedules',
  maxAgeMs: moments,
  async read(database, query) {
    const limit = query.limit(1000);
    return database.read(async (db) => {
      if (!(await schemaFeatures(db)).includes('schedules')) return { rows: [], more: false, available: false };
      const queueName = query.text('queue');
      if (queueName !== undefined) await queuesToLookIn(db, queueName);
      const rows = await listSchedules(db, { queueName, limit: limit + 1 });
      const shown = rows.slice(0, limit).map((row) => ({ ...row, times: timing(row), state: scheduleState(row) }));
      return { rows: shown, more: rows.length > limit, available: true };
    }, timeoutMs);
  },
};

const schedule: View = {
  path: '/api/schedules/{name}',
  summary: 'One schedule with its next five times and its last five tasks',
  parts: { name: 'the name of the schedule' },
  parameters: {},
  answer: 'Schedule',
  maxAgeMs: moments,
  async read(database, _query, [name = '']) {
    return database.read(async (db) => {
      await requireFeature(db, 'schedules', 'keep schedules');
      const found = await requireSchedule(db, name);
      return {
        schedule: { ...found, times: timing(found), state: scheduleState(found) },
        next: await nextTimes(db, name, 5),
        tasks: await lastScheduledTasks(db, found, 5),
      };
    }, timeoutMs);
  },
};

const workers: View = {
  path: '/api/workers',
  summary: 'Workers: those that registered themselves, and those that are inferred from claims',
  parameters: { ...ofQueue, ...limited(1000) },
  answer: 'Workers',
  maxAgeMs: moments,
  async read(database, query) {
    const registry = (await database.read(schemaFeatures, timeoutMs)).includes('worker_registry');
    const life = ({ last_heartbeat: beat, last_claim: claim }: WorkerView): string =>
      [beat ?? '', claim ?? ''].sort().at(-1) ?? '';
    return listOver(
      database,
      { queue: query.text('queue'), limit: query.limit(1000) },
      (reader, queue) => listWorkersOf(reader.db, queue, registry),
      (a, b) => latestFirst(life(a), life(b)),
    );
  },
};

/** Ids of an operation that a list carries. */
const idsShown = 10;

const operations: View = {
  path: '/api/operations',
  summary: 'What operators did, the latest first',
  parameters: {
    ...ofQueue,
    command: { type: 'string', description: 'operations by this command' },
    task: { type: 'string', description: 'operations on the task with this id' },
    since: { type: 'string', description: `at or after ${moment}` },
    until: { type: 'string', description: `at or before ${moment}` },
    ...limited(1000),
  },
  answer: 'Operations',
  maxAgeMs: moments,
  async read(database, query) {
    const limit = query.limit(1000);
    const taskId = query.text('task');
    return database.read(async (db) => {
      if (!(await schemaFeatures(db)).includes('operations')) return { rows: [], more: false, available: false };
      const rows = await listOperations(db, {
        queueName: query.text('queue'),
        command: query.text('command'),
        taskId: taskId === undefined ? undefined : requireId(taskId),
        since: query.moment('since'),
        until: query.moment('until'),
        limit: limit + 1,
      });
      const shown = rows.slice(0, limit).map((row) => ({ ...row, task_ids: row.task_ids.slice(0, idsShown) }));
      return { rows: shown, more: rows.length > limit, available: true };
    }, timeoutMs);
  },
};

const doctor: View = {
  path: '/api/doctor',
  summary: 'Findings of doctor, the most critical first',
  parameters: {},
  answer: 'Doctor',
  slow: true,
  maxAgeMs: 15_000,
  async read(database, _query, _parts, { place }) {
    const { result } = await examine(database, { timeoutMs: 5000 });
    const text = (advice: Advice): string => adviceText(advice, place);
    return {
      ...result,
      hidden_sessions: result.hidden_sessions.map(text),
      findings: result.findings.map((finding) => findingView(finding, text)),
    };
  },
};

export const views: readonly View[] = [
  overview,
  stats,
  tasks,
  task,
  step,
  events,
  waits,
  schedules,
  schedule,
  workers,
  operations,
  doctor,
];
