import { inferred, known, type Cause, type Evidence, type QueueSubject } from './cause.js';
import { queueLocked } from './locks.js';
import { queuePaused } from './people.js';
import { claimEvidence, isSilent, rate } from './waiting.js';
import { at, plural, quoted, since, tally, until } from './words.js';
import { command, type Hint } from '../cli/hint.js';

const ready = ({ flow }: QueueSubject): number => flow.pending_ready + flow.sleeping_ready;
const stats = ({ queue }: QueueSubject): Hint => command('queue-stats', { queue });
const workers = ({ queue }: QueueSubject): Hint => command('list-workers', { queue });

function states({ flow }: QueueSubject): Evidence[] {
  return [
    known('ready', tally(flow.pending_ready + flow.sleeping_ready)),
    known('running', tally(flow.running)),
    known('asleep', tally(flow.sleeping - Math.min(flow.sleeping, flow.sleeping_ready))),
  ];
}

/** Running, with a lease that has not expired. */
const leased = ({ flow }: QueueSubject): number => Math.max(0, flow.running - flow.expired - flow.without_lease);

const silent = (subject: QueueSubject): boolean => ready(subject) > 0 && isSilent(subject.flow, subject.now);

/** Causes for a whole queue: why does nothing move here? */
export const queueCauses: Cause<QueueSubject>[] = [
  queueLocked,
  queuePaused,
  {
    code: 'never_claimed',
    verdict: 'stuck',
    group: 'line',
    applies: (subject) => silent(subject) && subject.flow.last_claim_at === null,
    explain: (subject) => ({
      sentence: `${plural(ready(subject), 'run')} of queue ${quoted(subject.queue)} could start, and no worker has claimed from this queue, as far as its rows show`,
      evidence: [
        known('oldest ready since', at(subject.flow.oldest_ready_at)),
        ...claimEvidence(subject),
        ...states(subject),
      ],
      next: [`start a worker on queue ${quoted(subject.queue)}`, workers(subject)],
    }),
  },
  {
    code: 'not_claimed_since',
    verdict: 'stuck',
    group: 'line',
    applies: (subject) => silent(subject),
    explain: (subject) => ({
      sentence: `${plural(ready(subject), 'run')} of queue ${quoted(subject.queue)} could start, and no worker has claimed from this queue since ${at(subject.flow.last_claim_at)}`,
      evidence: [
        known('oldest ready since', at(subject.flow.oldest_ready_at)),
        ...claimEvidence(subject),
        ...states(subject),
      ],
      next: [`start a worker on queue ${quoted(subject.queue)}`, workers(subject)],
    }),
  },
  {
    code: 'leases_expired',
    verdict: 'stuck',
    group: 'lease',
    applies: ({ flow }) => flow.expired > 0,
    explain: (subject) => ({
      sentence: `${plural(subject.flow.expired, 'lease')} in queue ${quoted(subject.queue)} expired, the oldest ${since(subject.flow.oldest_expired_at ?? subject.now, subject.now)}, and no claim has swept ${subject.flow.expired === 1 ? 'it' : 'them'} since`,
      evidence: [...claimEvidence(subject), ...states(subject)],
      next: ['start a worker: the next claim fails those attempts and retries the tasks', workers(subject)],
    }),
  },
  {
    code: 'no_lease',
    verdict: 'stuck',
    group: 'lease',
    applies: ({ flow }) => flow.without_lease > 0 && flow.without_lease >= flow.running,
    explain: (subject) => ({
      sentence: `every running run of queue ${quoted(subject.queue)} was claimed without a lease: if its worker crashed, no other worker takes it over`,
      evidence: [known('without a lease', tally(subject.flow.without_lease)), ...states(subject)],
      next: [workers(subject), command('doctor', { only: 'runs-without-lease' })],
    }),
  },
  {
    code: 'moving',
    verdict: 'fine',
    group: 'line',
    applies: (subject) => ready(subject) > 0,
    explain: (subject) => ({
      sentence: `queue ${quoted(subject.queue)} moves: ${plural(ready(subject), 'run')} ready, claimed at ${rate(subject.flow, subject.windowSeconds)}`,
      evidence: [
        ...states(subject),
        known('oldest ready since', at(subject.flow.oldest_ready_at)),
        ...claimEvidence(subject),
      ],
      next: [stats(subject)],
    }),
  },
  {
    code: 'all_claimed',
    verdict: 'fine',
    group: 'line',
    applies: (subject) => leased(subject) > 0,
    explain: (subject) => ({
      sentence: `workers run everything that is ready in queue ${quoted(subject.queue)}: ${plural(leased(subject), 'run')} with a valid lease, none waits`,
      evidence: [...states(subject), ...claimEvidence(subject)],
      next: [workers(subject)],
    }),
  },
  {
    code: 'all_asleep',
    verdict: 'waiting',
    group: 'line',
    applies: ({ flow }) => flow.sleeping > 0 && flow.running === 0,
    explain: (subject) => {
      const { flow, now } = subject;
      const wake =
        flow.next_wake_at === null
          ? 'and none has a time to wake'
          : `and the first wakes ${until(flow.next_wake_at, now)}`;
      return {
        sentence: `all unfinished tasks in queue ${quoted(subject.queue)} sleeps: ${plural(flow.sleeping, 'run')}, ${wake}`,
        evidence: [
          known('next to wake', flow.next_wake_at === null ? 'none' : at(flow.next_wake_at)),
          known('waiting for an event without a timeout', tally(flow.sleeping_forever)),
          ...subject.awaited.map((event) =>
            inferred(`awaited ${quoted(event.event_name)}`, `${plural(event.waiting, 'wait')} in a sample`),
          ),
        ],
        next: [command('list-waits', { queue: subject.queue })],
      };
    },
  },
  {
    code: 'nothing_to_do',
    verdict: 'fine',
    group: 'line',
    applies: () => true,
    explain: (subject) => ({
      sentence: `queue ${quoted(subject.queue)} has no unfinished tasks`,
      evidence: claimEvidence(subject),
      next: [stats(subject)],
    }),
  },
];
