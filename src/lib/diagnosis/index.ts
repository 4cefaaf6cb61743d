import type { Cause, TaskSubject } from './cause.js';
import { contradiction } from './contradiction.js';
import { finished } from './finished.js';
import { taskLocked } from './locks.js';
import { family } from './family.js';
import { paused, pausedToo } from './people.js';
import { past } from './past.js';
import { nobodyRegisters } from './registry.js';
import { running } from './running.js';
import { sleeping } from './sleeping.js';
import { waiting } from './waiting.js';
import { dumpTask } from './words.js';
import { command } from '../cli/hint.js';

/** Causes for one task, most important first: the first that applies is the answer. */
export const taskCauses: Cause<TaskSubject>[] = [
  contradiction,
  taskLocked,
  ...finished,
  paused,
  ...past,
  family,
  ...running,
  nobodyRegisters,
  ...sleeping,
  ...waiting,
  pausedToo,
  {
    code: 'superseded',
    verdict: 'ended',
    group: 'other',
    applies: ({ run, task }) => run !== null && task !== null && run.run_id !== task.last_attempt_run,
    explain: ({ run, task }) => ({
      sentence: `this run is over (${run?.state ?? 'unknown'}): the task has another attempt and is ${task?.state ?? 'unknown'}`,
      evidence: [{ certainty: 'known', what: 'attempt', value: `${run?.attempt ?? '?'} of ${task?.attempts ?? '?'}` }],
      next: [command('why', task?.task_id ?? '')],
    }),
  },
  {
    code: 'unknown',
    verdict: 'stuck',
    group: 'other',
    applies: () => true,
    explain: ({ task, run, gaps }) =>
      gaps.size > 0
        ? {
            sentence: `too little could be read to say why: the task is ${task?.state ?? 'unknown'}, its run ${run?.state ?? 'unknown'}`,
            evidence: [],
            next: [command('doctor', { only: 'blocked,unread' })],
          }
        : {
            sentence: `no known cause applies: the task is ${task?.state ?? 'missing'}, its run ${run?.state ?? 'missing'}`,
            evidence: [],
            next: [dumpTask(task?.task_id ?? run?.task_id ?? '')],
          },
  },
];
