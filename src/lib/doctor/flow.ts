import { unusableStrategy } from '../diagnosis/settings.js';
import { isSilent, rate } from '../diagnosis/waiting.js';
import { at, plural, quoted, shown, since, span } from '../diagnosis/words.js';
import type { ErrorCount } from '../../sql/doctor-queue.js';
import type { QueueFlow } from '../../sql/diagnosis-queues.js';
import type { PauseFacts } from '../../sql/diagnosis-operations.js';
import { atLeast, inQueue, type Check, type Facts, type Finding, type QueueFacts } from './check.js';
import { command } from '../cli/hint.js';

/** A check of one queue's flow; queues whose flow could not be read are left to `unread`. */
const perFlow = (find: (flow: QueueFlow, queue: QueueFacts, facts: Facts) => Finding[]): Check['find'] => {
  return (facts) => facts.queues.flatMap((queue) => (queue.flow ? find(queue.flow, queue, facts) : []));
};
const inIt = ({ queue }: QueueFacts): { queue: string } => ({ queue: queue.queue_name });
const ready = (flow: QueueFlow): number => flow.pending_ready + flow.sleeping_ready;

/** Counts of errors come from the latest 500 failures. */
const errorSample = 500;

function errorText({ error, variants }: ErrorCount): string {
  const like = variants > 1 ? ` and ${plural(variants - 1, 'error')} that differ only in ids or numbers` : '';
  return `${quoted(error)}${like}`;
}

const pauseOf = ({ queue }: QueueFacts, { pauses }: Facts): PauseFacts | undefined =>
  pauses.find((pause) => pause.queue_name === queue.queue_name);

export const flowChecks: Check[] = [
  {
    id: 'paused-queues',
    why: 'Workers get no new work from a paused queue, and a pause without an end lasts until somebody resumes the queue.',
    needs: ['queues'],
    find: perFlow((flow, queue, facts) => {
      const pause = pauseOf(queue, facts);
      if (pause === undefined) return [];
      const { paused_at: from, paused_until: end, paused_by: role, reason } = pause;
      const forgotten = end === null && facts.now - from >= facts.thresholds['pause-age'] * 1000;
      if (!forgotten && ready(flow) === 0) return [];
      const why = reason === null ? '' : ` (${shown(reason)})`;
      const seen = `role ${quoted(role)} paused it ${since(from, facts.now)}${why}, ${end === null ? 'with no end' : `until ${at(end)}`}; ${plural(ready(flow), 'run')} ready`;
      return [
        inQueue(
          forgotten ? 'warning' : 'info',
          queue,
          seen,
          command('resume-queue', queue.queue.queue_name),
          command('list-operations', inIt(queue)),
        ),
      ];
    }),
  },
  {
    id: 'unclaimed-work',
    why: 'No worker polls the queue, or none can reach the database, so ready work is not started.',
    needs: ['queues'],
    find: perFlow((flow, queue, facts) => {
      const { now, thresholds } = facts;
      const age = thresholds['ready-age'] * 1000;
      if (pauseOf(queue, facts) !== undefined) return [];
      if (ready(flow) === 0 || !isSilent(flow, now) || now - (flow.oldest_ready_at ?? now) < age) return [];
      if (flow.last_claim_at !== null && now - flow.last_claim_at < age) return [];
      const claims =
        flow.last_claim_at === null
          ? 'no worker has ever claimed from this queue, as far as the rows show'
          : `no worker has claimed from this queue since ${at(flow.last_claim_at)}`;
      const seen = `${plural(ready(flow), 'run')} ready, the oldest for ${span((now - (flow.oldest_ready_at ?? now)) / 1000)}; ${claims}`;
      return [
        inQueue(
          'critical',
          queue,
          seen,
          `start a worker on queue ${quoted(queue.queue.queue_name)}`,
          command('why', inIt(queue)),
        ),
      ];
    }),
  },
  {
    id: 'expired-leases',
    why: 'The worker crashed or hangs, and the task waits until a claim sweeps its lease.',
    needs: ['queues'],
    find: perFlow((flow, queue, { now, thresholds }) => {
      const late = (now - (flow.oldest_expired_at ?? now)) / 1000;
      if (flow.expired === 0 || late < thresholds['lease-grace']) return [];
      const severity = late >= thresholds['lease-grace'] * 10 ? 'critical' : 'warning';
      const seen = `${plural(flow.expired, 'lease')} ran out and ${flow.expired === 1 ? 'was' : 'were'} not swept, the oldest ${span(late)} ago`;
      return [
        inQueue(
          severity,
          queue,
          seen,
          'start a worker: the next claim retries the tasks',
          command('list-workers', inIt(queue)),
        ),
      ];
    }),
  },
  {
    id: 'runs-without-lease',
    why: 'If their worker crashes, no other worker takes these tasks over.',
    needs: ['queues'],
    find: perFlow((flow, queue) =>
      flow.without_lease === 0
        ? []
        : [
            inQueue(
              'warning',
              queue,
              `${plural(flow.without_lease, 'run')} running without a lease`,
              'claim with a timeout greater than 0',
              command('list-runs', { ...inIt(queue), status: 'running' }),
            ),
          ],
    ),
  },
  {
    id: 'backlog',
    why: 'New work waits until all of it is done.',
    needs: ['queues'],
    find: perFlow((flow, queue, { thresholds }) =>
      ready(flow) <= thresholds['max-ready']
        ? []
        : [
            inQueue(
              'warning',
              queue,
              `${plural(ready(flow), 'run')} ready, claimed at ${rate(flow, thresholds.window)}`,
              'run more workers, or raise their concurrency',
              command('queue-stats', inIt(queue)),
            ),
          ],
    ),
  },
  {
    id: 'backlog-growing',
    why: 'More runs are created than claimed: the wait grows until that changes.',
    needs: ['queues'],
    find: perFlow((flow, queue, { thresholds }) => {
      const growing = ready(flow) > 100 && flow.window_created > flow.window_claims * 1.2 + 50;
      if (!growing) return [];
      const seen = `in the last ${span(thresholds.window)} ${plural(flow.window_created, 'run')} were created and about ${flow.window_claims} were claimed; ${plural(ready(flow), 'run')} ready`;
      return [inQueue('warning', queue, seen, 'run more workers', command('queue-stats', inIt(queue)))];
    }),
  },
  {
    id: 'retry-storm',
    why: 'Attempts that fail take the place of other work.',
    needs: ['queues'],
    find: perFlow((flow, queue, { thresholds }) => {
      const finished = flow.window_failed + flow.window_completed;
      const percent = finished === 0 ? 0 : (flow.window_failed * 100) / finished;
      if (flow.window_failed < thresholds['min-failures'] || percent < thresholds['failure-percent']) return [];
      const worst = queue.errors[0];
      const error = worst ? `; the most common error: ${errorText(worst)}` : '';
      const seen = `${plural(flow.window_failed, 'failed run')} in the last ${span(thresholds.window)}, ${Math.round(percent)} % of what finished${error}`;
      return [
        inQueue(
          'warning',
          queue,
          seen,
          // The tasks of a retry storm are pending again; only their failed runs show it.
          command('list-runs', { ...inIt(queue), status: 'failed' }),
          'use longer or exponential retry delays',
        ),
      ];
    }),
  },
  {
    id: 'top-errors',
    why: 'One fix may solve the failures of many runs.',
    needs: ['queues'],
    find: ({ queues, thresholds }) =>
      queues.flatMap((queue) =>
        queue.errors
          .filter((error) => error.failures >= 5)
          .map((error) =>
            inQueue(
              'info',
              queue,
              `${atLeast(queue.errors.reduce((sum, one) => sum + one.failures, 0) >= errorSample)}${plural(error.failures, 'run')} in the last ${span(thresholds.window)} failed with ${errorText(error)}, such as task ${quoted(error.task_name ?? 'unknown')}`,
              command('why', error.task_id),
            ),
          ),
      ),
  },
  {
    id: 'unusable-strategies',
    why: 'A task with an invalid retry_strategy fails permanently at its first failure, even with attempts left.',
    needs: ['queues'],
    find: ({ queues, thresholds }) =>
      queues.flatMap((queue) => {
        const failed = queue.endedEarly.flatMap(({ task_id: id, retry_strategy: text }) => {
          const fault = unusableStrategy(text);
          return fault === null ? [] : [{ id, fault }];
        });
        const [first] = failed;
        if (!first) return [];
        const seen = `${plural(failed.length, 'task')} failed permanently in the last ${span(thresholds.window)} with attempts left, such as ${first.id}: ${shown(first.fault)}`;
        return [
          inQueue('warning', queue, seen, command('why', first.id), command('retry-task', first.id, inIt(queue))),
        ];
      }),
  },
  {
    id: 'lost-waits',
    why: 'A task that waits without a timeout for an event that never comes never ends.',
    needs: ['queues'],
    find: ({ queues, now, thresholds }) =>
      queues.flatMap((queue) => {
        const lost = queue.waits.filter(
          (wait) =>
            wait.emitted_at === null &&
            wait.with_timeout < wait.waiting &&
            now - wait.oldest_at >= thresholds['wait-age'] * 1000,
        );
        const [oldest] = lost;
        if (!oldest) return [];
        const seen = `${plural(lost.length, 'event')} awaited without a timeout ${lost.length === 1 ? 'has' : 'have'} not come, the oldest ${quoted(oldest.event_name)} since ${since(oldest.oldest_at, now)}`;
        return [inQueue('warning', queue, seen, command('why', oldest.task_id), 'give waits a timeout')];
      }),
  },
];
