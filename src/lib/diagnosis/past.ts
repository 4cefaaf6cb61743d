/** Causes that the past attempts of a task show, and unusual figures. */
import { isUnfinished } from '../../sql/description.js';
import type { RunFacts } from '../../sql/diagnosis.js';
import { byteSize } from '../cli/format/size.js';
import { command, hint, type Advice } from '../cli/hint.js';
import { inferred, known, type Cause, type Evidence, type TaskSubject } from './cause.js';
import { findChange } from './code-change.js';
import { errorLine, isTimeout } from './finished.js';
import { seconds, strategyWords } from './settings.js';
import { at, dumpTask, forkWithOther, quoted, shown, span } from './words.js';

const unfinished = ({ task }: TaskSubject): boolean => isUnfinished(task?.state);

const grouped = (count: number): string => count.toLocaleString('en-US');
const id = ({ task }: TaskSubject): string => task?.task_id ?? '';
const cancel = (subject: TaskSubject): Advice => command('cancel-task', id(subject), { queue: subject.queue });
function isWithoutDelay(strategy: unknown): boolean {
  if (typeof strategy !== 'object' || strategy === null) return true;
  const kind: unknown = Reflect.get(strategy, 'kind');
  return (kind !== 'fixed' && kind !== 'exponential') || seconds(strategy, 'base_seconds') === 0;
}

/** Consecutive attempts, back from the latest ended one, whose lease expired without a sign of their worker. */
function silentEnds({ runs, now }: TaskSubject): RunFacts[] {
  const lost = (run: RunFacts): boolean =>
    (run.state === 'failed' && isTimeout(run)) ||
    (run.state === 'running' && run.claim_expires_at !== null && run.claim_expires_at <= now);
  const ended = runs.filter((run) => run.state === 'failed' || lost(run));
  const other = ended.findIndex((run) => !lost(run));
  return other < 0 ? ended : ended.slice(0, other);
}

/** `attempts 1 and 2`, `attempts 3 to 9`. */
function attemptsOf(runs: RunFacts[]): string {
  const [first, last] = [runs.at(-1)?.attempt ?? 0, runs[0]?.attempt ?? 0];
  if (first === last) return `attempt ${first}`;
  return `attempts ${grouped(first)} ${last === first + 1 ? 'and' : 'to'} ${grouped(last)}`;
}

/** The length of a run's lease in seconds: each checkpoint extends the lease. */
function leaseOf(run: RunFacts, { checkpoints }: TaskSubject): number | null {
  if (run.claim_expires_at === null || run.started_at === null) return null;
  const { claim_expires_at: end, started_at: start } = run;
  const own = checkpoints.filter(({ owner_run_id: owner, updated_at }) => owner === run.run_id && updated_at <= end);
  return (end - Math.max(start, ...own.map(({ updated_at }) => updated_at))) / 1000;
}

/** The longest time between two signs of life of an attempt, in seconds. */
function longestStep({ runs, checkpoints, past }: TaskSubject): number {
  const gaps = runs.flatMap((run) => {
    if (run.started_at === null) return [];
    const start = run.started_at;
    const own = checkpoints.filter((one) => one.owner_run_id === run.run_id && one.updated_at >= start);
    const signs = [start, ...own.map(({ updated_at }) => updated_at), ...(run.completed_at ? [run.completed_at] : [])];
    return signs.slice(1).map((sign, i) => (sign - (signs[i] ?? sign)) / 1000);
  });
  return Math.max(0, ...gaps, ...past.peers.map(({ longest_seconds: longest }) => longest ?? 0));
}

const exact = (value: number): string => `${Math.round(value * 10) / 10} s`;

/** Whether the leases were shorter than the work between two signs of life. */
function leaseTooShort(subject: TaskSubject): { lease: number; longest: number } | null {
  const [last] = silentEnds(subject);
  const lease = last && leaseOf(last, subject);
  const longest = longestStep(subject);
  return lease !== undefined && lease !== null && longest > lease ? { lease, longest } : null;
}

function silentEvidence(subject: TaskSubject): Evidence[] {
  const lost = silentEnds(subject);
  const workers = [...new Set(lost.map((run) => run.claimed_by ?? 'unknown'))];
  const lease = lost[0] && leaseOf(lost[0], subject);
  return [
    known('leases that expired', `${attemptsOf(lost)}, the last ${at(lost[0]?.claim_expires_at ?? null)}`),
    known('their workers', workers.slice(0, 5).map(quoted).join(', ')),
    ...(lease === null || lease === undefined ? [] : [known('lease taken', exact(lease))]),
  ];
}

function afterStep({ checkpoints, gaps }: TaskSubject): string {
  if (gaps.has('checkpoints')) return '';
  const last = checkpoints.filter(({ checkpoint_name: name }) => !name.startsWith('$')).at(-1);
  return last ? `, after step ${quoted(last.checkpoint_name)}` : ', before any step was saved';
}

/** A start this far ahead is probably a mistake of units. */
const farYears = 20;
const yearMs = 365.2425 * 86_400_000;
const yearsAhead = ({ run, now }: TaskSubject): number =>
  run && Number.isFinite(run.available_at) ? Math.round((run.available_at - now) / yearMs) : 0;

/** The past explains the current attempt, not an earlier one that was asked about. */
const isLatest = ({ task, run }: TaskSubject): boolean => run?.run_id === task?.last_attempt_run;

const causes: Cause<TaskSubject>[] = [
  {
    code: 'starts_far_ahead',
    verdict: 'stuck',
    group: 'start',
    applies: (subject) => unfinished(subject) && subject.run?.wake_event === null && yearsAhead(subject) >= farYears,
    explain: (subject) => {
      const started = subject.run?.started_at != null;
      const years = grouped(yearsAhead(subject));
      return {
        sentence: `it ${started ? 'sleeps for' : 'starts in'} ${years} years: were milliseconds given where seconds are taken?`,
        evidence: [
          known(started ? 'wakes' : 'starts', at(subject.run?.available_at ?? null)),
          inferred('with a thousandth of that', `in ${span(((subject.run?.available_at ?? 0) - subject.now) / 1e6)}`),
        ],
        next: [cancel(subject), command('fork-task', id(subject), { queue: subject.queue })],
      };
    },
  },
  {
    code: 'code_changed',
    verdict: 'stuck',
    group: 'code',
    applies: (subject) => subject.task?.state !== 'completed' && findChange(subject) !== null,
    explain: (subject) => {
      const change = findChange(subject);
      const last = subject.runs.find((run) => run.state === 'failed');
      return {
        sentence: `the code has changed since attempt ${change?.attempt ?? 1}: ${change?.sentence ?? ''}`,
        evidence: [
          ...(change?.evidence ?? []),
          ...(last ? [known('last error', errorLine(last)), known('attempts', subject.task?.attempts ?? 0)] : []),
        ],
        next: [
          command('list-checkpoints', id(subject), { queue: subject.queue }),
          ...(change?.step === undefined
            ? []
            : [
                hint`again from there, with the new code: ${command('fork-task', id(subject), { queue: subject.queue, 'from-step': change.step })}`,
              ]),
          cancel(subject),
        ],
      };
    },
  },
  {
    code: 'retrying_without_limit',
    verdict: 'stuck',
    group: 'retry',
    applies: (subject) =>
      unfinished(subject) &&
      subject.task?.max_attempts === null &&
      (subject.past.streak?.alike ?? 0) >= subject.thresholds.retries,
    explain: (subject) => {
      const { task, past: facts } = subject;
      const last = subject.runs.find((run) => run.state === 'failed');
      const without = isWithoutDelay(task?.retry_strategy) ? 'limit or delay' : 'limit';
      return {
        sentence: `it is retrying without ${without}: attempt ${grouped(task?.attempts ?? 0)}, and the last ${grouped(facts.streak?.alike ?? 0)} all failed with ${last ? errorLine(last) : 'the same error'}`,
        evidence: [
          known('attempts', grouped(task?.attempts ?? 0)),
          known('limit', 'none'),
          known('retry strategy', strategyWords(task?.retry_strategy)),
          ...(last ? [known('last failure', at(last.failed_at))] : []),
        ],
        next: [
          cancel(subject),
          forkWithOther(id(subject), subject.queue),
          'spawn such tasks with a limit and a backoff (--max-attempts, --retry-kind exponential)',
        ],
      };
    },
  },
  {
    code: 'lease_too_short',
    verdict: 'stuck',
    group: 'worker',
    applies: (subject) =>
      subject.task?.state !== 'completed' && silentEnds(subject).length >= 2 && leaseTooShort(subject) !== null,
    explain: (subject) => {
      const { lease = 0, longest = 0 } = leaseTooShort(subject) ?? {};
      return {
        sentence: `its lease is shorter than its steps: workers take ${exact(lease)}, a step took ${exact(longest)}, and the lease of ${attemptsOf(silentEnds(subject))} expired`,
        evidence: [...silentEvidence(subject), known('longest step', exact(longest))],
        next: [
          'give its workers a longer lease (claimTimeout of startWorker, work --claim-timeout), or call heartbeat() in long steps',
          dumpTask(id(subject)),
        ],
      };
    },
  },
  {
    code: 'ends_its_worker',
    verdict: 'stuck',
    group: 'worker',
    applies: (subject) => subject.task?.state !== 'completed' && silentEnds(subject).length >= 2,
    explain: (subject) => ({
      sentence: `${attemptsOf(silentEnds(subject))} ended without a result from their workers${afterStep(subject)}: this task may be what crashes them`,
      evidence: [
        ...silentEvidence(subject),
        inferred('the cause', 'a crash (memory, exit) of the process, or work that is longer than the lease'),
      ],
      next: [
        "look at the workers' logs at that time: memory, exit codes, uncaught errors",
        ...(unfinished(subject) ? [cancel(subject)] : []),
        forkWithOther(id(subject), subject.queue),
      ],
    }),
  },
  {
    code: 'polling',
    verdict: 'waiting',
    group: 'polling',
    applies: (subject) =>
      unfinished(subject) && (subject.past.figures?.sleeps_last_minute ?? 0) >= subject.thresholds.polling,
    explain: (subject) => {
      const { figures } = subject.past;
      const last = subject.checkpoints.at(-1);
      return {
        sentence: `it polls: ${grouped(figures?.sleeps_last_minute ?? 0)} sleeps and ${grouped(figures?.last_minute ?? 0)} checkpoints in the last minute, ${grouped(figures?.count ?? 0)}${figures?.count === 10_000 ? ' or more' : ''} in all; each attempt loads them`,
        evidence: [
          known('checkpoints', grouped(figures?.count ?? 0)),
          known('stored', byteSize(figures?.bytes ?? 0)),
          ...(last ? [known('latest step', shown(last.checkpoint_name))] : []),
        ],
        next: [
          'wait for an event, or sleep longer between two polls',
          command('list-checkpoints', id(subject), { queue: subject.queue }),
        ],
      };
    },
  },
  {
    code: 'large_checkpoints',
    verdict: 'waiting',
    group: 'size',
    applies: (subject) => unfinished(subject) && (subject.past.figures?.bytes ?? 0) >= subject.thresholds.largeBytes,
    explain: (subject) => ({
      sentence: `its checkpoints hold ${byteSize(subject.past.figures?.bytes ?? 0)}, which every attempt loads before it starts`,
      evidence: [
        known('checkpoints', grouped(subject.past.figures?.count ?? 0)),
        known('stored', byteSize(subject.past.figures?.bytes ?? 0)),
      ],
      next: [
        'store large results elsewhere, and their address in the checkpoint',
        command('list-checkpoints', id(subject), { queue: subject.queue }),
      ],
    }),
  },
];

export const past = causes.map((cause) => ({
  ...cause,
  applies: (subject: TaskSubject) => isLatest(subject) && cause.applies(subject),
}));
