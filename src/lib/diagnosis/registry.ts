import { inferred, known, type Cause, type TaskSubject } from './cause.js';
import { nearest } from '../cli/nearest.js';
import { isPutBack } from './sleeping.js';
import { isReady, readiness } from './waiting.js';
import { plural, quoted } from './words.js';
import { command } from '../cli/hint.js';
import type { Workforce } from '../../sql/diagnosis-workers.js';

/** Maximum number of names shown. */
const maxNames = 10;

const namesOf = ({ live }: Workforce): string[] => [...new Set(live.flatMap(({ task_names: names }) => names))].sort();

/** Whether the registry has live workers and none of them registers the task's name. */
export const isUnregistered = (workforce: Workforce | null, taskName: string | undefined): workforce is Workforce =>
  workforce !== null && taskName !== undefined && !namesOf(workforce).includes(taskName);

/** A worker without a row has finished tasks of the name recently. */
const isWorkedOn = ({ workforce, nameActivity }: TaskSubject): boolean =>
  (workforce?.unregistered ?? 0) > 0 && (nameActivity?.of_this_name ?? 0) > 0;

export const nobodyRegisters: Cause<TaskSubject> = {
  code: 'name_not_registered',
  verdict: ({ workforce }) => (workforce?.unregistered === 0 ? 'stuck' : 'waiting'),
  group: 'line',
  applies: (subject) =>
    (isReady(subject) || isPutBack(subject)) &&
    isUnregistered(subject.workforce, subject.task?.task_name) &&
    !isWorkedOn(subject),
  explain: (subject) => {
    const { queue, task, workforce } = subject;
    const name = task?.task_name ?? '';
    const names = workforce === null ? [] : namesOf(workforce);
    const others = workforce?.unregistered ?? 0;
    const near = nearest(name, names);
    const may =
      others === 0
        ? ''
        : `; ${plural(others, 'worker')} without a row in the registry may know it (inferred from claims)`;
    const rest = names.length > maxNames ? `, and ${names.length - maxNames} more` : '';
    return {
      sentence: `no live worker of queue ${quoted(queue)} registers ${quoted(name)}${may}`,
      evidence: [
        known('live workers in the registry', workforce?.live.length ?? 0),
        known('names that they register', names.slice(0, maxNames).map(quoted).join(', ') + rest || 'none'),
        ...(near === undefined ? [] : [inferred('a name like it', quoted(near))]),
        ...(others === 0 ? [] : [inferred('workers without a row that hold a lease', others)]),
        ...readiness(subject),
      ],
      next: [
        `register ${quoted(name)} in a worker of queue ${quoted(queue)}, or start the worker that has it`,
        command('list-workers', { queue }),
        command('cancel-task', task?.task_id ?? '', { queue }),
      ],
    };
  },
};
