/** What a page can do: each with a preview, which changes nothing and says what would happen, and the command that does the same. */
import { readServerNow } from '../../sql/dashboard.js';
import { emitEvent } from '../../sql/events.js';
import { listEventsOf, listWaitsOf } from '../../sql/lists.js';
import { readRecording } from '../../sql/operations.js';
import { listPauses, pauseQueue, resumeQueue } from '../../sql/pauses.js';
import type { Queryable } from '../../sql/queryable.js';
import { getAttempt, type RunDetail } from '../../sql/runs.js';
import { triggerSchedule } from '../../sql/schedules.js';
import { cancelTask, getTask, retryTask } from '../../sql/tasks.js';
import { wakeTasks } from '../../sql/wake-task.js';
import { notFound, refused, usageError } from '../cli/errors.js';
import { counted } from '../cli/format/text.js';
import { command, type Hint } from '../cli/hint.js';
import type { Database } from '../connection/database.js';
import { OperationLog } from '../operations/log.js';
import { pauseEnd } from '../queue/pause.js';
import { requireSchedule } from '../schedule/find.js';
import { requireFeature } from '../schema/feature.js';
import { locateTask, queuesToLookIn } from '../task/find-task.js';
import type { Body } from './request.js';
import type { SchemaName } from './schemas.js';

/** What would happen. */
export interface Plan {
  /** False: it is refused, and `effects` say why. */
  allowed: boolean;
  /** One sentence each. */
  effects: string[];
  /** The command that does the same. */
  command: Hint;
  queue: string | undefined;
  taskIds: string[];
  /** Does it, in a transaction, and returns what came of it. */
  perform(db: Queryable): Promise<Record<string, unknown>>;
}

export interface Action {
  path: string;
  summary: string;
  parts?: Readonly<Record<string, string>>;
  /** Members of the body besides `dry_run` and `reason`. */
  members: Readonly<Record<string, { description: string; type: string }>>;
  /** The command whose name goes into the record of operations. */
  name: string;
  answer: SchemaName;
  /** Looks, inside a read-only transaction. */
  plan(db: Queryable, body: Body, parts: readonly string[]): Promise<Plan>;
}

const ofTask = { queue: 'the queue', id: 'the id of the task' };

interface Target {
  queue: string;
  id: string;
  name: string;
  state: string;
  attempts: number;
  run: RunDetail | undefined;
}

async function target(db: Queryable, [queue = '', id = '']: readonly string[]): Promise<Target> {
  const found = await locateTask(db, id, queue);
  const task = await getTask(db, queue, found.task_id);
  if (task === undefined) throw notFound(`Task ${id} no longer exists`, undefined, 'task_not_found');
  const run = await getAttempt(db, queue, task.task_id, task.attempts);
  const { task_id, task_name: name, state, attempts } = task;
  return { queue, id: task_id, name, state, attempts, run };
}

const retry: Action = {
  path: '/api/tasks/{queue}/{id}/retry',
  summary: 'Give a failed task another attempt',
  parts: ofTask,
  name: 'retry-task',
  members: {
    max_attempts: { type: 'integer', description: 'new limit of attempts, the past ones included' },
    spawn_new: { type: 'boolean', description: 'start a new task from the same inputs instead' },
  },
  answer: 'Done',
  async plan(db, body, parts) {
    const { queue, id, state, attempts } = await target(db, parts);
    const [maxAttempts, spawnNew] = [body.integer('max_attempts'), body.flag('spawn_new')];
    const allowed = state === 'failed';
    return {
      allowed,
      effects: !allowed
        ? [`The task is ${state}: only a failed task can be retried`]
        : spawnNew
          ? ['A new task starts from the same inputs, without the finished steps']
          : [`Attempt ${attempts + 1} will wait for a worker of queue "${queue}"`, 'Finished steps are kept'],
      command: command('retry-task', id, { queue, 'max-attempts': maxAttempts, 'spawn-new': spawnNew || undefined }),
      queue,
      taskIds: [id],
      perform: async (tx) => ({ ...(await retryTask(tx, { queueName: queue, taskId: id, maxAttempts, spawnNew })) }),
    };
  },
};

const cancel: Action = {
  path: '/api/tasks/{queue}/{id}/cancel',
  summary: 'Cancel a task',
  parts: ofTask,
  name: 'cancel-task',
  members: {},
  answer: 'Done',
  async plan(db, _body, parts) {
    const { queue, id, state, run } = await target(db, parts);
    const allowed = ['pending', 'running', 'sleeping'].includes(state);
    const running = run?.state === 'running' && run.claimed_by !== null;
    return {
      allowed,
      effects: allowed
        ? [
            'The task will not run again; its waits are forgotten',
            ...(running ? [`Worker "${run.claimed_by}" learns of it at its next checkpoint or heartbeat`] : []),
          ]
        : [`The task is ${state}: it has ended already`],
      command: command('cancel-task', id, { queue }),
      queue,
      taskIds: [id],
      perform: async (tx) => ({ queue_name: queue, task_id: id, state: await cancelTask(tx, queue, id) }),
    };
  },
};

const wake: Action = {
  path: '/api/tasks/{queue}/{id}/wake',
  summary: 'Let a sleeping task run now',
  parts: ofTask,
  name: 'wake-task',
  members: { as_timeout: { type: 'boolean', description: 'also end a wait for an event, as its timeout would' } },
  answer: 'Done',
  async plan(db, body, parts) {
    await requireFeature(db, 'wake_task', 'wake tasks');
    const { queue, id, state, run } = await target(db, parts);
    const asTimeout = body.flag('as_timeout');
    const event = run?.wake_event ?? null;
    const awaits = state === 'sleeping' && event !== null;
    const allowed = state === 'sleeping' && (!awaits || asTimeout);
    return {
      allowed,
      effects: allowed
        ? awaits
          ? [`Its wait for event "${event}" ends as its timeout would end it`]
          : ['Its sleep ends: a worker can claim it at once']
        : awaits
          ? [`It waits for event "${event}": emit that event, or end the wait as its timeout would`]
          : [`The task is ${state}: it does not sleep`],
      command: command('wake-task', id, { queue, 'as-timeout': asTimeout || undefined }),
      queue,
      taskIds: [id],
      async perform(tx) {
        const [outcome] = await wakeTasks(tx, queue, [id], asTimeout);
        if (outcome === undefined || !['woken', 'due'].includes(outcome.state))
          throw refused(`Task ${id} was not woken: it is ${outcome?.state ?? 'gone'}`, undefined, 'wrong_state');
        return { queue_name: queue, task_id: id, state: outcome.state };
      },
    };
  },
};

const pause: Action = {
  path: '/api/queues/{queue}/pause',
  summary: 'Pause a queue: its workers get no new work',
  parts: { queue: 'the queue' },
  name: 'pause-queue',
  members: {
    for: { type: 'string', description: 'end the pause after this time, such as 2h' },
    until: { type: 'string', description: 'end the pause at this time, RFC 3339' },
  },
  answer: 'Done',
  async plan(db, body, [queue = '']) {
    await requireFeature(db, 'pause', 'pause a queue');
    await queuesToLookIn(db, queue);
    const span = { for: body.text('for'), until: body.text('until') };
    const until = pauseEnd(span);
    const reason = body.text('reason');
    const [known] = await listPauses(db, queue);
    const end =
      until === null ? 'until somebody resumes it' : 'at' in until ? `until ${until.at}` : `for ${span.for ?? ''}`;
    return {
      allowed: true,
      effects: [
        `Workers of queue "${queue}" get no new work ${end}`,
        'Runs in progress continue; spawns, events and retries are accepted and wait',
        ...(known === undefined ? [] : [`It replaces the pause that ${known.paused_by} set at ${known.paused_at}`]),
      ],
      command: command('pause-queue', queue, { ...span, reason }),
      queue,
      taskIds: [],
      async perform(tx) {
        await pauseQueue(tx, { queueName: queue, until, reason });
        return { ...(await listPauses(tx, queue))[0] };
      },
    };
  },
};

const resume: Action = {
  path: '/api/queues/{queue}/resume',
  summary: 'Resume a paused queue',
  parts: { queue: 'the queue' },
  name: 'resume-queue',
  members: {},
  answer: 'Done',
  async plan(db, _body, [queue = '']) {
    await requireFeature(db, 'pause', 'resume a queue');
    await queuesToLookIn(db, queue);
    const [known] = await listPauses(db, queue);
    return {
      allowed: known !== undefined,
      effects:
        known === undefined
          ? [`Queue "${queue}" is not paused`]
          : [
              `Workers claim from queue "${queue}" at their next poll`,
              `It ends the pause that ${known.paused_by} set at ${known.paused_at}`,
            ],
      command: command('resume-queue', queue),
      queue,
      taskIds: [],
      perform: async (tx) => ({ queue_name: queue, resumed: await resumeQueue(tx, queue) }),
    };
  },
};

/** Runs that wait are counted up to this. */
const waitsCounted = 1000;

const emit: Action = {
  path: '/api/events',
  summary: 'Emit an event, which wakes the tasks that wait for it',
  name: 'emit-event',
  members: {
    queue: { type: 'string', description: 'the queue of the event' },
    event: { type: 'string', description: "the event's name" },
    payload: { type: 'object', description: 'the payload; {} when absent' },
  },
  answer: 'Done',
  async plan(db, body) {
    const [queue, event] = [body.requireText('queue'), body.requireText('event')];
    const payload = body.json('payload') ?? '{}';
    if (!payload.startsWith('{')) throw usageError('payload must be a JSON object');
    await queuesToLookIn(db, queue);
    const [known] = await listEventsOf(db, queue, event, 1, { whole: false });
    const { rows: waiting } = await listWaitsOf(db, queue, event, waitsCounted);
    const emitted = known?.emitted_at ?? null;
    const many = waiting.length >= waitsCounted ? `at least ${waitsCounted} runs` : counted(waiting.length, 'run');
    return {
      allowed: emitted === null,
      effects:
        emitted === null
          ? [
              waiting.length === 0 ? 'No run waits for it now' : `It wakes ${many}`,
              'The first emission wins: its payload stays',
            ]
          : [`It was emitted at ${emitted}: its first payload stays, and another emission wakes no task`],
      command: command('emit-event', event, { queue, payload }),
      queue,
      taskIds: [...new Set(waiting.map((row) => row.task_id))].slice(0, 1000),
      perform: async (tx) => ({ ...(await emitEvent(tx, { queueName: queue, eventName: event, payload })) }),
    };
  },
};

const trigger: Action = {
  path: '/api/schedules/{name}/trigger',
  summary: 'Spawn the task of a schedule once, now',
  parts: { name: 'the name of the schedule' },
  name: 'trigger-schedule',
  members: {},
  answer: 'Done',
  async plan(db, _body, [name = '']) {
    await requireFeature(db, 'schedules', 'keep schedules');
    const { queue_name: queue, task_name: task } = await requireSchedule(db, name);
    return {
      allowed: true,
      effects: [
        `Task "${task}" is spawned in queue "${queue}" once, now`,
        'The next times of the schedule stay as they are',
      ],
      command: command('trigger-schedule', name),
      queue,
      taskIds: [],
      perform: async (tx) => ({ schedule_name: name, queue_name: queue, ...(await triggerSchedule(tx, name)) }),
    };
  },
};

/** How long an action waits for a lock. */
const lockTimeoutMs = 10_000;

export const actions: readonly Action[] = [retry, cancel, wake, pause, resume, emit, trigger];

export interface Done {
  result: Record<string, unknown>;
  /** Whether the operation was recorded. */
  recorded: boolean;
  at: string;
}

/** Does what was planned, and records it with its reason, in one transaction. */
export async function perform(
  database: Database,
  action: Action,
  plan: Plan,
  { reason, env }: { reason: string | undefined; env: NodeJS.ProcessEnv },
): Promise<Done> {
  if (!plan.allowed) throw refused(plan.effects[0] ?? 'It is refused', undefined, 'wrong_state');
  const [line] = plan.command.parts;
  const argv = typeof line === 'object' ? line.args : [];
  const log = new OperationLog({ command: action.name, argv, reason, queue: plan.queue, env, bringsSchema: false });
  await log.check(database);
  database.recorder = log;
  return database.transaction(
    async (db) => ({
      result: await plan.perform(db),
      recorded: (await readRecording(db)) === 'possible',
      at: (await readServerNow(db)).now,
    }),
    {
      lockTimeoutMs,
      touched: ({ result }) => {
        const made = typeof result.task_id === 'string' ? [result.task_id] : [];
        return { queue: plan.queue ?? '', tasks: [...new Set([...plan.taskIds, ...made])] };
      },
    },
  );
}
