import { inferred, known, type Cause, type Evidence, type TaskSubject } from './cause.js';
import { claimEvidence } from './waiting.js';
import { at, dumpTask, plural, quoted, shown, since, until } from './words.js';
import { command, type Hint } from '../cli/hint.js';

const isRunning = ({ task, run }: TaskSubject): boolean => task?.state === 'running' && run?.state === 'running';

/** The last recorded activity of a running attempt. */
function signOfLife({ run, checkpoints, now, gaps }: TaskSubject): Evidence[] {
  if (!run || gaps.has('checkpoints')) return [];
  const own = checkpoints.filter((checkpoint) => checkpoint.owner_run_id === run.run_id).at(-1);
  const woken = run.started_at ?? run.created_at;
  return own && own.updated_at > woken
    ? [
        known(
          'last sign of life',
          `checkpoint ${quoted(own.checkpoint_name)}, ${since(own.updated_at, now)} (${at(own.updated_at)})`,
        ),
      ]
    : [known('last sign of life', `its claim, ${since(woken, now)} (${at(woken)})`)];
}

/** The number of finished steps, if it could be read. */
export const stepsSaved = ({ checkpoints, gaps }: TaskSubject): Evidence[] =>
  gaps.has('checkpoints') ? [] : [known('steps saved', plural(checkpoints.length, 'checkpoint'))];

const worker = ({ run }: TaskSubject): string => `worker ${quoted(run?.claimed_by ?? 'unknown')}`;
const cancel = ({ task, queue }: TaskSubject): Hint => command('cancel-task', task?.task_id ?? '', { queue });

export const running: Cause<TaskSubject>[] = [
  {
    code: 'lease_expired',
    verdict: 'stuck',
    group: 'lease',
    applies: (subject) => isRunning(subject) && (subject.run?.claim_expires_at ?? Infinity) <= subject.now,
    explain: (subject) => ({
      sentence: `the lease of ${worker(subject)} expired ${since(subject.run?.claim_expires_at ?? 0, subject.now)}, and no claim has swept it since`,
      evidence: [
        known('lease ended', at(subject.run?.claim_expires_at ?? null)),
        ...signOfLife(subject),
        ...claimEvidence(subject),
      ],
      next: [
        `start a worker on queue ${quoted(subject.queue)}: the next claim fails the attempt and retries the task`,
        command('list-workers', { queue: subject.queue }),
        cancel(subject),
      ],
    }),
  },
  {
    code: 'no_lease',
    verdict: 'stuck',
    group: 'lease',
    applies: (subject) => isRunning(subject) && subject.run?.claim_expires_at === null,
    explain: (subject) => ({
      sentence: `${worker(subject)} claimed it without a lease ${since(subject.run?.started_at ?? subject.now, subject.now)}: if that worker crashed, no other worker takes the task over`,
      evidence: [
        known('lease', 'none'),
        ...signOfLife(subject),
        inferred('the worker', 'may be alive: no row can tell'),
      ],
      next: [`see whether ${shown(subject.run?.claimed_by ?? 'the worker')} is alive`, cancel(subject)],
    }),
  },
  {
    code: 'claimed',
    verdict: 'fine',
    group: 'lease',
    applies: (subject) => isRunning(subject),
    explain: (subject) => ({
      sentence: `${worker(subject)} is on it: its lease is valid until ${at(subject.run?.claim_expires_at ?? null)}, ${until(subject.run?.claim_expires_at ?? 0, subject.now)}`,
      evidence: [
        known('attempt', `${subject.run?.attempt ?? '?'} of ${subject.task?.max_attempts ?? 'unlimited'}`),
        known('claimed', at(subject.run?.started_at ?? null)),
        ...signOfLife(subject),
        ...stepsSaved(subject),
      ],
      next: [dumpTask(subject.task?.task_id ?? '')],
    }),
  },
];
