/** A task that waits for another task: the other task's cause is the answer. */
import type { Advice } from '../cli/hint.js';
import { inferred, known, type Cause, type Diagnosis, type TaskSubject } from './cause.js';
import { plural, quoted } from './words.js';

/** The other task, and its cause. */
export interface Relative {
  queue: string;
  task_id: string;
  task_name: string;
  state: string;
  /** How it was found: the step that waits for tasks, the awaited event, or a step's result. */
  by: { kind: 'wait' | 'event' | 'step'; name: string };
  /** How many more unfinished tasks it waits for. */
  others?: number;
  diagnosis: Pick<Diagnosis, 'sentence' | 'code' | 'verdict'> & { next: Advice[] };
}

const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/gi;

/** Ids in the awaited event; otherwise in the latest saved step, if only sleeps follow. */
export function relativeIds({
  run,
  task,
  checkpoints,
}: Omit<TaskSubject, 'relative'>): { id: string; by: Relative['by'] }[] {
  const of = (text: string, by: Relative['by']) =>
    [...new Set(text.match(uuid) ?? [])]
      .map((found) => ({ id: found.toLowerCase(), by }))
      .filter((found) => found.id !== task?.task_id);
  if (run?.state === 'sleeping' && run.wake_event !== null)
    return of(run.wake_event, { kind: 'event', name: run.wake_event });
  const worked = checkpoints.filter(({ text_state: text }) => text === null || !/^\d{4}-\d\d-\d\dT/.test(text));
  const last = worked.at(-1);
  const text = last?.text_state ?? last?.id_state ?? null;
  return last === undefined || text === null ? [] : of(text, { kind: 'step', name: last.checkpoint_name });
}

export const family: Cause<TaskSubject> = {
  code: 'waits_for_task',
  verdict: ({ relative }) =>
    relative?.diagnosis.verdict === 'stuck' || relative?.diagnosis.verdict === 'ended' ? 'stuck' : 'waiting',
  group: 'sleep',
  applies: ({ relative }) => relative !== null,
  explain: ({ relative }) => {
    const { by, task_id: id, task_name: name = '', queue = '', state, diagnosis, others = 0 } = relative ?? {};
    const which = `task ${id ?? ''} (${quoted(name)})`;
    if (by?.kind === 'wait') {
      const more = others > 0 ? ` and ${plural(others, 'other')}` : '';
      return {
        sentence: `it waits for ${which}${more}, and that task: ${diagnosis?.sentence ?? ''}`,
        evidence: [
          known('step', quoted(by.name)),
          known('the other task', `${id ?? ''}, ${quoted(name)} in queue ${quoted(queue)}, ${state ?? ''}`),
          known('unfinished tasks that it waits for', others + 1),
          known('why that one is where it is', diagnosis?.code ?? ''),
        ],
        next: diagnosis?.next ?? [],
      };
    }
    const first =
      by?.kind === 'event'
        ? `it waits for event ${quoted(by.name)} of ${which}`
        : `it seems to wait for ${which}, which its step ${quoted(by?.name ?? '')} named last`;
    return {
      sentence: `${first}, and that task: ${diagnosis?.sentence ?? ''}`,
      evidence: [
        known('the other task', `${id ?? ''}, ${quoted(name)} in queue ${quoted(queue)}, ${state ?? ''}`),
        by?.kind === 'event'
          ? inferred('of that task', 'the name of the event holds its id')
          : inferred('waits for it', 'no step has been saved since the one that holds its id'),
        known('why that one is where it is', diagnosis?.code ?? ''),
      ],
      next: diagnosis?.next ?? [],
    };
  },
};
