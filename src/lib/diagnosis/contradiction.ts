import { isUnfinished } from '../../sql/description.js';
import { known, type Cause, type TaskSubject } from './cause.js';
import { dumpTask, quoted } from './words.js';
import { command } from '../cli/hint.js';

/**
 * Every way in which the rows of one task can contradict each other. They come from one snapshot, so timing cannot
 * explain a contradiction. Facts that could not be read, or were read later, count as unknown.
 */
function contradictions(subject: TaskSubject): string[] {
  const { task, runs, run, waits, event, gaps } = subject;
  if (gaps.has('task') || gaps.has('runs')) return [];
  if (!task) return run ? [`run ${run.run_id} belongs to a task ${run.task_id} that does not exist`] : [];
  const found: string[] = [];
  const last = runs.find((candidate) => candidate.run_id === task.last_attempt_run);
  if (task.last_attempt_run === null && runs.length > 0) found.push('the task names no last run, and it has runs');
  if (task.last_attempt_run !== null && !last && runs.length < 50)
    found.push(`the task's last run ${task.last_attempt_run} does not exist`);
  if (runs.length === 0 && isUnfinished(task.state)) found.push(`the task is ${task.state}, and it has no run`);
  // If a retry would come after max_duration, the task is cancelled and the run stays failed.
  const cancelledAfterFailure = task.state === 'cancelled' && last?.state === 'failed';
  if (last && last.state !== task.state && !cancelledAfterFailure)
    found.push(`the task is ${task.state}, its last run is ${last.state}`);
  const stray = runs.filter((candidate) => isUnfinished(candidate.state) && candidate.run_id !== task.last_attempt_run);
  if (stray.length > 0)
    found.push(
      `${stray.length === 1 ? 'an unfinished run is' : `${stray.length} unfinished runs are`} not the task's last one`,
    );
  if (gaps.size > 0) return found;
  const asleep = last?.state === 'sleeping' && last.wake_event !== null ? last : null;
  if (asleep && event?.emitted_at != null && waits.some((wait) => wait.run_id === asleep.run_id))
    found.push(`event ${quoted(asleep.wake_event ?? '')} was emitted, and the run still waits for it`);
  const registered = waits.some((wait) => wait.run_id === last?.run_id && wait.event_name === last.wake_event);
  if (last?.state === 'sleeping' && last.available_at === Infinity && !registered)
    found.push('the run sleeps without an end, and no wait is registered for what could wake it');
  return found;
}

export const contradiction: Cause<TaskSubject> = {
  code: 'contradiction',
  verdict: 'stuck',
  group: 'contradiction',
  applies: (subject) => contradictions(subject).length > 0,
  explain: (subject) => {
    const found = contradictions(subject);
    const { task, run, queue } = subject;
    const id = task?.task_id ?? run?.task_id ?? '';
    return {
      sentence: `the rows contradict each other: ${found[0] ?? ''}`,
      evidence: [
        ...found.map((what) => known('contradiction', what)),
        ...(task ? [known('task', `${task.state}, attempts ${task.attempts}`)] : []),
        ...(run ? [known('run', `${run.run_id} ${run.state}, attempt ${run.attempt}`)] : []),
      ],
      next: task
        ? [dumpTask(id), command('cancel-task', id, { queue }), command('fork-task', id, { queue })]
        : [command('doctor', { only: 'orphaned-runs' })],
    };
  },
};
