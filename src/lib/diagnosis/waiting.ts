import type { QueueFlow } from '../../sql/diagnosis-queues.js';
import { inferred, known, type Cause, type Evidence, type TaskSubject } from './cause.js';
import { seconds } from './settings.js';
import { at, plural, quoted, since, span, tally } from './words.js';
import { command, type Hint } from '../cli/hint.js';

/** If work is ready and there was no claim for this long, the queue counts as not polled. */
const CLAIM_SILENCE_SECONDS = 60;

export function isSilent(flow: QueueFlow, now: number): boolean {
  const ready = flow.oldest_ready_at;
  if (flow.last_claim_at === null) return true;
  // Work that has just arrived proves nothing yet.
  const waitingSince = Math.max(flow.last_claim_at, ready ?? now);
  return now - waitingSince >= CLAIM_SILENCE_SECONDS * 1000;
}

export function claimEvidence({ flow, now }: Pick<TaskSubject, 'flow' | 'now'>): Evidence[] {
  if (!flow) return [];
  return [
    flow.last_claim_at === null
      ? inferred('claims from this queue', 'none that its rows show')
      : inferred(
          'last claim from this queue',
          `${since(flow.last_claim_at, now)} (${at(flow.last_claim_at)}), as far as the rows show`,
        ),
  ];
}

export function rate(flow: QueueFlow, windowSeconds: number): string {
  const perMinute = (flow.window_claims * 60) / windowSeconds;
  const figure = perMinute >= 10 ? Math.round(perMinute) : Math.round(perMinute * 10) / 10;
  return `about ${figure} a minute over the last ${span(windowSeconds)}`;
}

export const isReady = ({ task, run, now }: TaskSubject): boolean =>
  (task?.state === 'pending' || task?.state === 'sleeping') &&
  (run?.state === 'pending' || run?.state === 'sleeping') &&
  run.available_at <= now;

const startWorker = (queue: string): string => `start a worker on queue ${quoted(queue)}`;
const lists = (queue: string): Hint[] => [command('list-workers', { queue }), command('queue-stats', { queue })];

/** Why it is ready: distinguishes a woken task from a new one. */
export function readiness(subject: TaskSubject): Evidence[] {
  const { run, now } = subject;
  if (!run) return [];
  const timedOut = hasTimedOut(subject);
  return [
    known('ready since', `${at(run.available_at)}, ${since(run.available_at, now)}`),
    ...(timedOut ? [known('it waited for event', `${quoted(run.wake_event ?? '')}, and the timeout has passed`)] : []),
    ...(run.has_event_payload ? [known('woken by', 'the event that it waited for')] : []),
  ];
}

/** Its wait ended without the event; the next claim tells the task. */
const hasTimedOut = (subject: TaskSubject): boolean =>
  isReady(subject) && subject.run?.state === 'sleeping' && subject.run.wake_event !== null;

const isUnclaimed = ({ flow, now }: TaskSubject): boolean => flow !== null && isSilent(flow, now);

export const waiting: Cause<TaskSubject>[] = [
  {
    code: 'cancellation_due',
    verdict: 'waiting',
    group: 'line',
    applies: (subject) => isReady(subject) && dueLimit(subject) !== null,
    explain: (subject) => ({
      sentence: `its ${dueLimit(subject) ?? ''} has passed: the next claim from the queue cancels it instead of running it`,
      evidence: [...readiness(subject), ...claimEvidence(subject)],
      next: [startWorker(subject.queue), command('cancel-task', subject.task?.task_id ?? '', { queue: subject.queue })],
    }),
  },
  {
    code: 'event_timeout_passed',
    verdict: (subject) => (isUnclaimed(subject) ? 'stuck' : 'waiting'),
    group: 'sleep',
    applies: (subject) => hasTimedOut(subject),
    explain: (subject) => {
      const { run, waits, flow, now } = subject;
      const wait = waits.find((candidate) => candidate.run_id === run?.run_id);
      const passed = run?.available_at ?? now;
      return {
        sentence: `it waited for event ${quoted(run?.wake_event ?? '')}, the timeout passed ${since(passed, now)}, and no claim has taken it up since`,
        evidence: [
          known('timeout', at(passed)),
          ...(wait ? [known('step', quoted(wait.step_name)), known('waiting since', at(wait.created_at))] : []),
          ...(subject.event
            ? [known('emitted', subject.event.emitted_at === null ? 'never' : at(subject.event.emitted_at))]
            : []),
          ...claimEvidence({ flow, now }),
        ],
        next: [...(isUnclaimed(subject) ? [startWorker(subject.queue)] : []), ...lists(subject.queue)],
      };
    },
  },
  {
    code: 'never_claimed',
    verdict: 'stuck',
    group: 'line',
    applies: (subject) => isReady(subject) && subject.flow?.last_claim_at === null,
    explain: (subject) => ({
      sentence: `it waits for a worker, and no worker has claimed from queue ${quoted(subject.queue)}, as far as its rows show`,
      evidence: [...readiness(subject), ...claimEvidence(subject), ...inLine(subject)],
      next: [startWorker(subject.queue), ...lists(subject.queue)],
    }),
  },
  {
    code: 'not_claimed_since',
    verdict: 'stuck',
    group: 'line',
    applies: (subject) => isReady(subject) && subject.flow !== null && isSilent(subject.flow, subject.now),
    explain: (subject) => ({
      sentence: `it waits for a worker, and no worker has claimed from queue ${quoted(subject.queue)} since ${at(subject.flow?.last_claim_at ?? null)}`,
      evidence: [...readiness(subject), ...claimEvidence(subject), ...inLine(subject)],
      next: [startWorker(subject.queue), ...lists(subject.queue)],
    }),
  },
  {
    code: 'behind_others',
    verdict: 'waiting',
    group: 'line',
    applies: (subject) => isReady(subject) && (subject.ahead ?? 0) > 0,
    explain: (subject) => ({
      sentence: `it waits behind ${plural(subject.ahead ?? 0, 'older run')}; they are claimed at ${subject.flow ? rate(subject.flow, subject.windowSeconds) : 'an unknown rate'}`,
      evidence: [...readiness(subject), ...inLine(subject), ...pace(subject), ...claimEvidence(subject)],
      next: ['run more workers, or raise their concurrency', ...lists(subject.queue)],
    }),
  },
  {
    code: 'next_in_line',
    verdict: 'fine',
    group: 'line',
    applies: (subject) => isReady(subject) && subject.ahead !== null && subject.flow !== null,
    explain: (subject) => ({
      sentence: 'it is next in line, and workers claim from the queue',
      evidence: [...readiness(subject), ...claimEvidence(subject)],
      next: [command('why', subject.task?.task_id ?? '', { queue: subject.queue })],
    }),
  },
];

function inLine({ ahead }: TaskSubject): Evidence[] {
  return ahead === null ? [] : [known('older runs ahead of it', tally(ahead))];
}

function pace({ flow, ahead, windowSeconds }: TaskSubject): Evidence[] {
  if (!flow) return [];
  const perSecond = flow.window_claims / windowSeconds;
  return [
    inferred('rate of claims', rate(flow, windowSeconds)),
    ...(perSecond > 0 && ahead ? [inferred('its turn comes', `in about ${span(ahead / perSecond)} at that rate`)] : []),
  ];
}

function dueLimit({ task, now }: TaskSubject): string | null {
  if (!task) return null;
  const delay = seconds(task.cancellation, 'max_delay');
  const duration = seconds(task.cancellation, 'max_duration');
  if (task.first_started_at === null)
    return delay !== null && now - task.enqueue_at >= delay * 1000 ? `max_delay of ${span(delay)}` : null;
  return duration !== null && now - task.first_started_at >= duration * 1000
    ? `max_duration of ${span(duration)}`
    : null;
}
