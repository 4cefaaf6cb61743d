/** What `top` can change: each change with a preview, which changes nothing, and the command that does the same. */
import { isUnfinished } from '../../sql/description.js';
import { emitEvent } from '../../sql/events.js';
import { listEventsOf, listWaitsOf } from '../../sql/lists.js';
import { findPauses, pauseQueue, resumeQueue } from '../../sql/pauses.js';
import type { Queryable } from '../../sql/queryable.js';
import { cancelTask, getTask, retryTask } from '../../sql/tasks.js';
import { notFound, usageError } from '../cli/errors.js';
import { counted } from '../cli/format/text.js';
import { command, type CommandLine, type Hint } from '../cli/hint.js';
import type { Touched } from '../connection/database.js';
import { requireFeature } from '../schema/feature.js';
import type { Action } from './model.js';

/** An action that was looked at. */
export interface Plan {
  title: string;
  /** False: it is refused, and `effects` say why. */
  allowed: boolean;
  effects: string[];
  /** The command that does the same. */
  command: Hint;
  touched: Touched;
  /** Does it, in a transaction, and says what came of it. */
  perform(db: Queryable): Promise<string>;
}

/** Waits that are counted for a preview. */
const waitsCounted = 1000;

/** Looks, inside a transaction that only reads. */
export function planOf(db: Queryable, action: Action): Promise<Plan> {
  switch (action.kind) {
    case 'retry':
      return retry(db, action.queue, action.id);
    case 'cancel':
      return cancel(db, action.queue, action.id);
    case 'pause':
      return pauseOrResume(db, action.queue);
    case 'emit':
      return emit(db, action);
  }
}

/** The words of a plan's command, as the record of operations keeps them. */
export function wordsOf({ command: { parts } }: Plan): CommandLine {
  const line = parts.find((part) => typeof part !== 'string');
  return line ?? { id: 'top', args: [] };
}

async function target(db: Queryable, queue: string, id: string) {
  const task = await getTask(db, queue, id);
  if (task === undefined) throw notFound(`Task ${id} no longer exists in queue "${queue}"`);
  return task;
}

async function retry(db: Queryable, queue: string, id: string): Promise<Plan> {
  const { task_name: name, state, attempts } = await target(db, queue, id);
  const allowed = state === 'failed';
  return {
    title: `Retry ${name}`,
    allowed,
    effects: allowed
      ? [`Attempt ${attempts + 1} will wait for a worker of queue "${queue}"`, 'Finished steps are kept']
      : [`The task is ${state}: only a failed task can be retried`],
    command: command('retry-task', id, { queue }),
    touched: { queue, tasks: [id], count: 1 },
    perform: async (tx) => {
      const { attempt } = await retryTask(tx, { queueName: queue, taskId: id });
      return `Attempt ${attempt} is waiting for a worker of queue "${queue}"`;
    },
  };
}

async function cancel(db: Queryable, queue: string, id: string): Promise<Plan> {
  const { task_name: name, state } = await target(db, queue, id);
  const allowed = isUnfinished(state);
  return {
    title: `Cancel ${name}`,
    allowed,
    effects: allowed
      ? [
          'The task will not run again, and its waits end',
          ...(state === 'running' ? ['Its worker learns of it at its next checkpoint or heartbeat'] : []),
        ]
      : [`The task is ${state}: it has ended already`],
    command: command('cancel-task', id, { queue }),
    touched: { queue, tasks: [id], count: 1 },
    perform: async (tx) => {
      const now = await cancelTask(tx, queue, id);
      return now === 'cancelled' ? `Cancelled ${name}` : `Nothing to cancel: ${name} is ${now}`;
    },
  };
}

async function pauseOrResume(db: Queryable, queue: string): Promise<Plan> {
  await requireFeature(db, 'pause', 'pause a queue');
  const known = (await findPauses(db)).get(queue);
  if (known === undefined) {
    return {
      title: `Pause queue "${queue}"`,
      allowed: true,
      effects: [
        'Its workers get no new work until the queue is resumed',
        'Runs in progress continue; spawns, events and retries are accepted and wait',
      ],
      command: command('pause-queue', queue),
      touched: { queue },
      perform: async (tx) => {
        await pauseQueue(tx, { queueName: queue, until: null });
        return `Paused queue "${queue}"; p resumes it`;
      },
    };
  }
  return {
    title: `Resume queue "${queue}"`,
    allowed: true,
    effects: [
      'Workers claim from it at their next poll',
      `It ends the pause that ${known.paused_by} set at ${known.paused_at}${known.reason === null ? '' : `: ${known.reason}`}`,
    ],
    command: command('resume-queue', queue),
    touched: { queue },
    perform: async (tx) =>
      (await resumeQueue(tx, queue)) ? `Resumed queue "${queue}"` : `Queue "${queue}" is not paused`,
  };
}

function requireObject(text: string): void {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw usageError('The payload must be a JSON object');
}

async function emit(db: Queryable, { queue, event, payload }: Extract<Action, { kind: 'emit' }>): Promise<Plan> {
  requireObject(payload);
  const known = (await listEventsOf(db, queue, event, 1, { whole: false })).find((one) => one.event_name === event);
  const emitted = known?.emitted_at ?? null;
  const { rows: waiting } = await listWaitsOf(db, queue, event, waitsCounted);
  const many = `${waiting.length >= waitsCounted ? 'at least ' : ''}${counted(waiting.length, 'run')}`;
  return {
    title: `Emit event "${event}" in queue "${queue}"`,
    allowed: emitted === null,
    effects:
      emitted === null
        ? [
            waiting.length === 0 ? 'No run waits for it now' : `It wakes ${many}`,
            'The first emission of a name is final: its payload stays',
          ]
        : [`It was emitted at ${emitted}: its first payload stays, and another emission wakes no task`],
    command: command('emit-event', event, { queue, payload }),
    touched: { queue, tasks: [...new Set(waiting.map(({ task_id: id }) => id))] },
    perform: async (tx) => {
      const { first, waiting: woken } = await emitEvent(tx, { queueName: queue, eventName: event, payload });
      return first ? `Emitted "${event}"; ${counted(woken, 'run')} waited for it` : `"${event}" was emitted before`;
    },
  };
}
