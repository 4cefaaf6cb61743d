import { inferred, known, type Cause, type Evidence, type NameSubject } from './cause.js';
import { plural, quoted } from './words.js';
import { command } from '../cli/hint.js';

function standing({ samples, taskName }: NameSubject): Evidence[] {
  return samples.map((sample) => {
    const value = `${sample.pending} pending, ${sample.running} running, ${sample.sleeping} sleeping; of the latest finished: ${sample.completed} completed, ${sample.failed} failed`;
    const what = `${quoted(taskName)} in queue ${quoted(sample.queue)}`;
    return sample.cut ? inferred(what, `${value} (of the first 5000 runs of each state)`) : known(what, value);
  });
}

/** Causes for a task name as a whole; one of its unfinished tasks is then diagnosed on its own. */
export const nameCauses: Cause<NameSubject>[] = [
  {
    code: 'name_unfinished',
    verdict: 'waiting',
    group: 'name',
    applies: ({ samples }) => samples.some((sample) => sample.task_id !== null),
    explain: (subject) => ({
      sentence: `${plural(
        subject.samples.reduce((sum, { pending, running, sleeping }) => sum + pending + running + sleeping, 0),
        'task',
      )} named ${quoted(subject.taskName)} are unfinished`,
      evidence: standing(subject),
      next: [],
    }),
  },
  {
    code: 'none_unfinished',
    verdict: 'fine',
    group: 'name',
    applies: () => true,
    explain: (subject) => ({
      sentence: `no unfinished task is named ${quoted(subject.taskName)}, as far as was looked`,
      evidence: standing(subject),
      next: [command('list-tasks', { 'task-name': subject.taskName })],
    }),
  },
];
