import { inferred, known, type Cause, type Evidence, type TaskSubject } from './cause.js';
import { failureEvidence, errorLine } from './finished.js';
import { nearestPattern } from '../cli/nearest.js';
import { stepsSaved } from './running.js';
import { isPutBackPattern, strategyWords } from './settings.js';
import { isDelayedStart } from '../task/delayed.js';
import { at, dumpTask, quoted, since, span, until } from './words.js';
import { command, hint, type Advice, type Hint } from '../cli/hint.js';

const isAsleep = ({ task, run, now }: TaskSubject): boolean =>
  task?.state === 'sleeping' && run?.state === 'sleeping' && run.available_at > now;

const awaits = (subject: TaskSubject): boolean => isAsleep(subject) && subject.run?.wake_event != null;
const nearName = ({ event, run }: TaskSubject): string | null =>
  (event && run?.wake_event ? nearestPattern(run.wake_event, event.recent_names) : null) ?? null;

function waitEvidence({ run, waits, now }: TaskSubject): Evidence[] {
  const wait = waits.find((candidate) => candidate.run_id === run?.run_id);
  return [
    ...(wait
      ? [
          known('step', quoted(wait.step_name)),
          known('waiting since', `${at(wait.created_at)}, ${since(wait.created_at, now)}`),
        ]
      : []),
    known(
      'timeout',
      run && Number.isFinite(run.available_at)
        ? `${at(run.available_at)}, ${until(run.available_at, now)}`
        : 'none: it waits indefinitely',
    ),
  ];
}

/** The payload is unknown: PAYLOAD is not JSON, so the command is refused until somebody replaces it. */
const emit = ({ run, queue }: TaskSubject): Advice =>
  hint`with the payload (JSON) in place of PAYLOAD: ${command('emit-event', run?.wake_event ?? '', { queue, payload: 'PAYLOAD' })}`;
/** The payload of an event that was emitted under another name or in another queue. */
function emitAgain({ run, queue }: TaskSubject, from: { name: string; queue: string; payload: string | null }): Advice {
  const name = run?.wake_event ?? '';
  if (from.payload !== null) return command('emit-event', name, { queue, payload: from.payload });
  return hint`with that payload: ${command('show-event', from.name, { queue: from.queue })} | ${command('emit-event', name, { queue, payload: '-' })}`;
}
/** Its payload, to emit again: the first emission is final, so an empty payload would not help. */
const showEvent = (name: string, queue: string): Hint => command('show-event', name, { queue });
const listEvents = ({ queue }: TaskSubject): Hint => command('list-events', { queue });

/** Ends the sleep or the backoff now, if the schema supports it. */
const wakeNow = ({ task, queue, canWake }: TaskSubject): Advice[] =>
  canWake && task ? [hint`to run it now: ${command('wake-task', task.task_id, { queue })}`] : [];

/** The sleeping step: its checkpoint holds the wake-up time, or was saved after the claim. */
function sleepingStep({ run, checkpoints }: TaskSubject): { name: string; certain: boolean } | null {
  if (!run || run.started_at === null) return null;
  const exact = checkpoints.find(
    ({ text_state }) => text_state !== null && Math.abs(Date.parse(text_state) - run.available_at) < 5000,
  );
  if (exact) return { name: exact.checkpoint_name, certain: true };
  const latest = checkpoints.at(-1);
  return latest && latest.updated_at >= run.started_at ? { name: latest.checkpoint_name, certain: false } : null;
}

/**
 * Matches how an SDK's worker puts back a task with an unknown name; settings.ts has the pattern, which doctor shares.
 */
export function isPutBack(subject: TaskSubject): boolean {
  const { run, checkpoints, now, gaps } = subject;
  if (!run || gaps.has('checkpoints') || sleepingStep(subject)) return false;
  return isPutBackPattern({ ...run, checkpoint_at: checkpoints.at(-1)?.updated_at ?? null }, now);
}

const event = (
  code: string,
  verdict: 'waiting' | 'stuck',
  applies: (subject: TaskSubject) => boolean,
  found: (subject: TaskSubject) => { clause: string; evidence: Evidence[]; next: Advice[] },
): Cause<TaskSubject> => ({
  code,
  verdict,
  group: 'sleep',
  applies: (subject) => awaits(subject) && applies(subject),
  explain: (subject) => {
    const { clause, evidence, next } = found(subject);
    return {
      sentence: `it waits for event ${quoted(subject.run?.wake_event ?? '')}, ${clause}`,
      evidence: [...evidence, ...waitEvidence(subject)],
      next,
    };
  },
});

export const sleeping: Cause<TaskSubject>[] = [
  {
    code: 'put_back',
    verdict: 'stuck',
    group: 'sleep',
    applies: (subject) =>
      (subject.task?.state === 'sleeping' || subject.task?.state === 'pending') && isPutBack(subject),
    explain: (subject) => {
      const { task, run, nameActivity, now } = subject;
      const again = task?.first_started_at != null && run?.started_at != null && task.first_started_at < run.started_at;
      return {
        sentence: `workers claim it and put it back${again ? ' again and again' : ''}: none seems to know the name ${quoted(task?.task_name ?? '')}`,
        evidence: [
          known('last claimed', `${at(run?.started_at ?? null)}, ${since(run?.started_at ?? now, now)}`),
          known('first claimed', at(task?.first_started_at ?? null)),
          known('put back for', span(((run?.available_at ?? 0) - (run?.started_at ?? 0)) / 1000)),
          known('checkpoints since that claim', 'none'),
          ...(nameActivity
            ? [
                known(
                  'finished runs of this name',
                  `${nameActivity.of_this_name} of the latest ${nameActivity.sampled}`,
                ),
              ]
            : []),
          inferred('no worker knows the name', 'the pattern is that of an unregistered task'),
        ],
        next: [
          `register ${quoted(task?.task_name ?? '')} in a worker of queue ${quoted(subject.queue)}, or start the worker that has it`,
          command('cancel-task', task?.task_id ?? '', { queue: subject.queue }),
        ],
      };
    },
  },
  event(
    'event_in_other_queue',
    'stuck',
    (subject) => (subject.event?.elsewhere.length ?? 0) > 0,
    (subject) => ({
      clause: `which was emitted in queue ${quoted(subject.event?.elsewhere[0]?.queue ?? '')} and not in its own, ${quoted(subject.queue)}`,
      evidence: (subject.event?.elsewhere ?? [])
        .slice(0, 5)
        .map((other) => known(`emitted in ${quoted(other.queue)}`, at(other.emitted_at))),
      next: [
        showEvent(subject.run?.wake_event ?? '', subject.event?.elsewhere[0]?.queue ?? ''),
        emitAgain(subject, {
          name: subject.run?.wake_event ?? '',
          queue: subject.event?.elsewhere[0]?.queue ?? '',
          payload: subject.event?.elsewhere[0]?.payload ?? null,
        }),
        listEvents(subject),
      ],
    }),
  ),
  event(
    'event_name_close',
    'stuck',
    (subject) => nearName(subject) !== null,
    (subject) => ({
      clause: `which was never emitted; ${quoted(nearName(subject) ?? '')} was, in the same queue`,
      evidence: [
        known('emitted', 'never'),
        inferred('a misspelling', `of ${quoted(nearName(subject) ?? '')}, or the other way round`),
      ],
      next: [
        showEvent(nearName(subject) ?? '', subject.queue),
        emitAgain(subject, { name: nearName(subject) ?? '', queue: subject.queue, payload: null }),
        listEvents(subject),
      ],
    }),
  ),
  event(
    'event_never_emitted',
    'waiting',
    () => true,
    (subject) => ({
      clause: subject.event ? 'which has not been emitted' : 'and whether it was emitted could not be read',
      evidence: subject.event ? [known('emitted', 'never, in any queue that could be read')] : [],
      next: [emit(subject), command('list-waits', { queue: subject.queue })],
    }),
  ),
  {
    code: 'retry_backoff',
    verdict: 'waiting',
    group: 'sleep',
    applies: (subject) => isAsleep(subject) && (subject.run?.attempt ?? 0) > 1 && subject.run?.started_at === null,
    explain: (subject) => {
      const { task, run, runs, now } = subject;
      const last = runs.find((candidate) => candidate.state === 'failed');
      return {
        sentence: `it waits for its backoff: attempt ${run?.attempt ?? '?'} of ${task?.max_attempts ?? 'unlimited'} starts ${until(run?.available_at ?? Infinity, now)}: the one before failed with ${last ? errorLine(last) : 'an unknown error'}`,
        evidence: [
          known('next try', at(run?.available_at ?? null)),
          known('retry strategy', strategyWords(task?.retry_strategy)),
          ...failureEvidence(subject),
        ],
        next: [
          ...wakeNow(subject),
          dumpTask(task?.task_id ?? ''),
          command('cancel-task', task?.task_id ?? '', { queue: subject.queue }),
        ],
      };
    },
  },
  {
    code: 'starts_later',
    verdict: 'waiting',
    group: 'sleep',
    applies: (subject) => isAsleep(subject) && isDelayedStart(subject.run),
    explain: ({ task, run, now, queue }) => ({
      sentence: `it starts ${until(run?.available_at ?? Infinity, now)}, ${at(run?.available_at ?? null)}, as its spawn asked`,
      evidence: [known('spawned', at(run?.created_at ?? null)), known('starts', at(run?.available_at ?? null))],
      next: [hint`now instead: ${command('wake-task', task?.task_id ?? '', { queue })}`, dumpTask(task?.task_id ?? '')],
    }),
  },
  {
    code: 'sleeping',
    verdict: 'waiting',
    group: 'sleep',
    applies: (subject) => isAsleep(subject),
    explain: (subject) => {
      const step = sleepingStep(subject);
      const { run, now, gaps } = subject;
      const by = step ? `, by its own step ${quoted(step.name)}` : ', as scheduled';
      return {
        sentence: `it sleeps until ${at(run?.available_at ?? null)}, ${until(run?.available_at ?? Infinity, now)}${gaps.has('checkpoints') ? '' : by}`,
        evidence: [
          ...(step
            ? [
                step.certain
                  ? known('step', quoted(step.name))
                  : inferred('step', `${quoted(step.name)}, the last one saved`),
              ]
            : []),
          known('asleep since a claim at', run?.started_at == null ? 'none' : at(run.started_at)),
          ...stepsSaved(subject),
        ],
        next: [...wakeNow(subject), dumpTask(subject.task?.task_id ?? '')],
      };
    },
  },
];
