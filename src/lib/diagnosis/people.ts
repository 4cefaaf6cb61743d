/** Causes that come from people: pauses, retries, cancellations. */
import {
  readPauseOperation,
  readPauses,
  readTaskOperations,
  type OperationFacts,
} from '../../sql/diagnosis-operations.js';
import type { BoundedReader } from '../../sql/bounded.js';
import { command } from '../cli/hint.js';
import { actor } from '../operations/words.js';
import {
  known,
  type Cause,
  type Evidence,
  type Explanation,
  type Paused,
  type QueueSubject,
  type TaskSubject,
} from './cause.js';
import { isReady } from './waiting.js';
import { at, quoted, shown, since, until } from './words.js';

const verbs: Record<string, string> = {
  'cancel-task': 'cancelled by',
  'retry-task': 'retried by',
  'wake-task': 'woken by',
};

/** The latest operations that explain the state of a task. */
export const readOperations = (reader: BoundedReader, taskId: string): Promise<OperationFacts[]> =>
  readTaskOperations(reader, taskId, Object.keys(verbs));

/** `anna@host 12 minutes ago: wrong address`. */
export function deed(operation: OperationFacts, now: number): string {
  const reason = operation.reason === null ? '' : `: ${shown(operation.reason)}`;
  return `${shown(actor(operation))} ${since(operation.performed_at, now)}${reason}`;
}

/** Who retried and woke the task. */
export const operationEvidence = ({ operations, now }: Pick<TaskSubject, 'operations' | 'now'>): Evidence[] =>
  operations
    .filter((operation) => operation.command !== 'cancel-task')
    .slice(0, 3)
    .map((operation) => known(verbs[operation.command] ?? operation.command, deed(operation, now)));

/** The pause of a queue, or null. */
export async function readPaused(reader: BoundedReader, queue: string): Promise<Paused | null> {
  const [pause] = await readPauses(reader, queue);
  if (pause === undefined) return null;
  const operation = await readPauseOperation(reader, queue);
  // If SQL or a program created or changed the pause, the operation does not describe it.
  const same =
    operation !== null && operation.reason === pause.reason && operation.performed_at >= pause.paused_at - 1000;
  return { ...pause, operation: same ? operation : null };
}

function explainPause(pause: Paused, now: number, whose: string): Explanation {
  const { queue_name: queue, paused_until: end, reason, operation } = pause;
  const by = shown(operation === null ? pause.paused_by : actor(operation));
  const ends = end === null ? 'with no end' : `until ${at(end)}, ${until(end, now)}`;
  return {
    sentence: `${whose} ${quoted(queue)} is paused: ${by} paused it ${since(pause.paused_at, now)}, ${ends}${reason === null ? '' : `: ${shown(reason)}`}`,
    evidence: [
      known(
        'paused by',
        operation === null ? `role ${quoted(pause.paused_by)}` : `${by}, role ${quoted(pause.paused_by)}`,
      ),
      known('paused since', at(pause.paused_at)),
      known('until', end === null ? 'somebody resumes the queue' : at(end)),
      known('reason', reason === null ? 'none given' : shown(reason)),
    ],
    next: [command('resume-queue', queue)],
  };
}

const verdictOf = ({ pause }: { pause: Paused | null }) => (pause?.paused_until === null ? 'stuck' : 'waiting');

const taskPaused = (applies: (subject: TaskSubject) => boolean): Cause<TaskSubject> => ({
  code: 'queue_paused',
  verdict: verdictOf,
  group: 'line',
  applies: (subject) => subject.pause !== null && applies(subject),
  explain: ({ pause, now, run }) => {
    const { sentence, evidence, next } = explainPause(pause as Paused, now, 'its queue');
    const ready = run !== null && run.available_at <= now ? [known('ready since', at(run.available_at))] : [];
    return { sentence, evidence: [...evidence, ...ready], next };
  },
});

/** The task could be claimed if its queue were not paused. */
export const paused = taskPaused(isReady);

/** It also waits for something else: reported next to that. */
export const pausedToo = taskPaused((subject) => subject.run?.state !== 'running' && !isReady(subject));

export const queuePaused: Cause<QueueSubject> = {
  code: 'queue_paused',
  verdict: verdictOf,
  group: 'line',
  applies: ({ pause }) => pause !== null,
  explain: ({ pause, now, flow }) => {
    const explained = explainPause(pause as Paused, now, 'queue');
    const waits = flow.pending_ready + flow.sleeping_ready;
    return { ...explained, evidence: [...explained.evidence, known('ready', waits), known('running', flow.running)] };
  },
};
