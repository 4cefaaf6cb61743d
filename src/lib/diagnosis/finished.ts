import type { OperationFacts } from '../../sql/diagnosis-operations.js';
import type { RunFacts } from '../../sql/diagnosis.js';
import { retryStrategyFault } from '../task/retry-strategy.js';
import { inferred, known, type Cause, type Evidence, type TaskSubject } from './cause.js';
import { deed } from './people.js';
import { seconds } from './settings.js';
import { at, dumpTask, forkWithOther, plural, quoted, shown } from './words.js';
import { command } from '../cli/hint.js';
import { actor } from '../operations/words.js';

/** An error in one line. */
export function errorLine(run: RunFacts): string {
  const name = run.error_name === null ? '' : `${shown(run.error_name)}: `;
  return run.error_name === null && run.error_message === null
    ? 'no reason given'
    : `${name}${shown(run.error_message ?? '')}`;
}

export const isTimeout = (run: RunFacts): boolean => run.error_name === '$ClaimTimeout';

/** What failed attempts have in common: their error, and the last step that each saved. */
export function failureEvidence(subject: TaskSubject): Evidence[] {
  const failed = subject.runs.filter((run) => run.state === 'failed');
  const [latest] = failed;
  if (!latest) return [];
  const same = failed.filter((run) =>
    isTimeout(latest) ? isTimeout(run) : errorLine(run) === errorLine(latest),
  ).length;
  const cut = subject.runs.length >= 50 ? ' of the latest 50' : '';
  const evidence: Evidence[] = [known('last error', errorLine(latest)), known('it failed', at(latest.failed_at))];
  if (failed.length > 1) evidence.push(known('same error', `${same} of ${failed.length} failed attempts${cut}`));
  if (subject.gaps.has('checkpoints')) return evidence;
  const steps = subject.checkpoints.filter((checkpoint) => !checkpoint.checkpoint_name.startsWith('$'));
  const step = steps.at(-1);
  evidence.push(
    step
      ? inferred('it fails after step', `${quoted(step.checkpoint_name)}, the last one saved (${at(step.updated_at)})`)
      : known('steps', 'none was ever saved'),
  );
  return evidence;
}

/** At least two attempts, and all failed in the same way: perhaps the parameters are wrong. */
const isPoison = ({ past: { streak } }: TaskSubject): boolean =>
  streak !== null && streak.alike >= 2 && streak.alike === streak.looked_at;

const completed: Cause<TaskSubject> = {
  code: 'completed',
  verdict: 'fine',
  group: 'end',
  applies: ({ task }) => task?.state === 'completed',
  explain: ({ task, run }) => ({
    sentence: `it is completed: attempt ${run?.attempt ?? task?.attempts ?? '?'} finished ${at(run?.completed_at ?? null)}`,
    evidence: [known('attempts', task?.attempts ?? 0), known('worker', shown(run?.claimed_by ?? 'unknown'))],
    next: [dumpTask(task?.task_id ?? '')],
  }),
};

function cancellation(code: string, key: 'max_delay' | 'max_duration' | null): Cause<TaskSubject> {
  return {
    code,
    verdict: 'ended',
    group: 'end',
    applies: (subject) => subject.task?.state === 'cancelled' && cancelledBy(subject) === key,
    explain: ({ task, queue, operations, now }) => {
      const limit = key && seconds(task?.cancellation, key);
      const [by] = cancellations(operations);
      const next = [dumpTask(task?.task_id ?? ''), command('fork-task', task?.task_id ?? '', { queue })];
      if (by !== undefined) {
        return {
          sentence: `it was cancelled by ${deed(by, now)}`,
          evidence: [
            known('cancelled at', at(task?.cancelled_at ?? null)),
            known('cancelled by', `${shown(actor(by))}, role ${quoted(by.database_role)}`),
            known('reason', by.reason === null ? 'none given' : shown(by.reason)),
            known('enqueued', at(task?.enqueue_at ?? null)),
            known('first started', task?.first_started_at == null ? 'never' : at(task.first_started_at)),
          ],
          next: [...next, command('list-operations', { task: task?.task_id })],
        };
      }
      const why = key === null ? 'by hand' : `by its ${key} of ${plural(limit ?? 0, 'second')}`;
      return {
        sentence: `it was cancelled ${why}, ${at(task?.cancelled_at ?? null)}`,
        evidence: [
          known('cancelled at', at(task?.cancelled_at ?? null)),
          inferred(
            'cause',
            key === null ? 'no limit of the task explains it, so somebody cancelled it' : `${key} had passed by then`,
          ),
          known('enqueued', at(task?.enqueue_at ?? null)),
          known('first started', task?.first_started_at == null ? 'never' : at(task.first_started_at)),
        ],
        next,
      };
    },
  };
}

const cancellations = (operations: readonly OperationFacts[]): OperationFacts[] =>
  operations.filter((operation) => operation.command === 'cancel-task');

function cancelledBy({ task, run, operations }: TaskSubject): 'max_delay' | 'max_duration' | null {
  if (!task || task.cancelled_at === null || cancellations(operations).length > 0) return null;
  const delay = seconds(task.cancellation, 'max_delay');
  const duration = seconds(task.cancellation, 'max_duration');
  if (task.first_started_at === null)
    return delay !== null && task.cancelled_at - task.enqueue_at >= delay * 1000 ? 'max_delay' : null;
  if (duration === null) return null;
  // If the last run failed, its retry would have come too late, at any time.
  const late = task.cancelled_at - task.first_started_at >= duration * 1000;
  return late || run?.state === 'failed' ? 'max_duration' : null;
}

function failure(code: string, silent: boolean): Cause<TaskSubject> {
  return {
    code,
    verdict: 'ended',
    group: 'end',
    applies: ({ task, runs }) => {
      if (task?.state !== 'failed') return false;
      const failed = runs.filter((run) => run.state === 'failed');
      return silent === (failed.length > 0 && failed.every(isTimeout));
    },
    explain: (subject) => {
      const { task, queue } = subject;
      const id = task?.task_id ?? '';
      const last = subject.runs.find((run) => run.state === 'failed');
      const used = `${task?.attempts ?? 0} of ${task?.max_attempts ?? 'unlimited'} attempts are used`;
      return {
        sentence: silent
          ? `it failed permanently: ${used}, and each lease expired without a result from its worker`
          : `it failed permanently: ${used}, and the last failed with ${last ? errorLine(last) : 'an unknown error'}`,
        evidence: [
          known('attempts', used),
          ...failureEvidence(subject),
          ...(silent
            ? [inferred('the worker', 'crashed, was killed, or works longer than its lease without a checkpoint')]
            : []),
        ],
        next: [
          dumpTask(id),
          command('retry-task', id, { queue }),
          ...(!silent && isPoison(subject) ? [forkWithOther(id, queue)] : []),
          ...(silent ? ['extend the lease in long steps (heartbeat), or give workers a longer claim timeout'] : []),
        ],
      };
    },
  };
}

/** Why the schema ended a task that had attempts left: its stored strategy cannot be read. */
const strategyFault = ({ task }: TaskSubject): string | null =>
  task?.state !== 'failed' ||
  task.retry_strategy === undefined ||
  (task.max_attempts !== null && task.attempts >= task.max_attempts)
    ? null
    : retryStrategyFault(task.retry_strategy);

const unusableStrategy: Cause<TaskSubject> = {
  code: 'failed_retry_strategy',
  verdict: 'ended',
  group: 'end',
  applies: (subject) => strategyFault(subject) !== null,
  explain: (subject) => {
    const { task, queue } = subject;
    const id = task?.task_id ?? '';
    return {
      sentence: `it failed permanently: its stored retry_strategy cannot be used: ${shown(strategyFault(subject) ?? '')}`,
      evidence: [
        known('attempts', `${task?.attempts ?? 0} of ${task?.max_attempts ?? 'unlimited'} attempts are used`),
        known('retry_strategy', shown(JSON.stringify(task?.retry_strategy))),
        ...failureEvidence(subject),
      ],
      next: [command('retry-task', id, { queue }), command('fork-task', id, { queue }), dumpTask(id)],
    };
  },
};

export const finished: Cause<TaskSubject>[] = [
  completed,
  cancellation('cancelled_max_delay', 'max_delay'),
  cancellation('cancelled_max_duration', 'max_duration'),
  cancellation('cancelled_by_hand', null),
  unusableStrategy,
  failure('failed_leases_expired', true),
  failure('failed', false),
];
