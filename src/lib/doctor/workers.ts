import { isLive, type RegisteredWorker } from '../../sql/diagnosis-workers.js';
import type { SampledRun } from '../../sql/doctor-queue.js';
import { isPutBackPattern } from '../diagnosis/settings.js';
import { plural, quoted, span } from '../diagnosis/words.js';
import { command } from '../cli/hint.js';
import { inQueue, type Check, type Facts, type Finding, type QueueFacts } from './check.js';
import { grouped } from './names.js';

/** Checks of the worker registry. */
interface Staff {
  live: RegisteredWorker[];
  stale: RegisteredWorker[];
  /** Sampled runs whose worker is in the registry, or is not. */
  runsOf(worker: RegisteredWorker): SampledRun[];
  hasOthers: boolean;
}

/** A check of the queues that have workers in the registry. */
const perStaff = (find: (staff: Staff, queue: QueueFacts, facts: Facts) => Finding[]): Check['find'] => {
  return (facts) =>
    facts.queues.flatMap((queue) => {
      const own = facts.workers.filter(({ queue_name: name }) => name === queue.queue.queue_name);
      if (own.length === 0) return [];
      const running = queue.unfinished.filter(({ state }) => state === 'running');
      const ids = new Set(own.map(({ worker_id: id }) => id));
      const staff: Staff = {
        live: own.filter((worker) => isLive(worker, facts.now)),
        stale: own.filter((worker) => !isLive(worker, facts.now)),
        runsOf: ({ worker_id: id }) => running.filter(({ claimed_by: by }) => by === id),
        hasOthers: running.some(
          ({ claimed_by: by, claim_expires_at: end }) => !ids.has(by ?? '') && (end ?? Infinity) > facts.now,
        ),
      };
      return find(staff, queue, facts);
    });
};

const listWorkers = ({ queue }: QueueFacts) => command('list-workers', { queue: queue.queue_name });

/** The versions of a task name with the time since when each has worked on it. */
function versionsOf(live: readonly RegisteredWorker[], name: string): [string, number][] {
  const byVersion = grouped(
    live.filter((worker) => worker.program_version !== null && worker.task_names.includes(name)),
    ({ program_version: version }) => version ?? '',
  );
  return [...byVersion].map(([version, workers]) => [version, Math.min(...workers.map((one) => one.started_at))]);
}

export const workerChecks: Check[] = [
  {
    id: 'unregistered-names',
    why: 'A task whose name no worker registers waits until one does.',
    needs: ['queues', 'workers'],
    find: perStaff(({ live, hasOthers }, queue, { now, thresholds }) => {
      // Which names workers without a row know is unknown.
      if (live.length === 0 || hasOthers) return [];
      const known = new Set(live.flatMap(({ task_names: names }) => names));
      const waits = (run: SampledRun): boolean =>
        run.state !== 'running' &&
        ((run.available_at <= now && now - run.available_at >= thresholds['ready-age'] * 1000) ||
          isPutBackPattern(run, now));
      const waiting = queue.unfinished.filter(
        (run) => run.task_name !== null && !known.has(run.task_name) && waits(run),
      );
      return [...grouped(waiting, ({ task_name: name }) => name ?? '')].map(([name, runs]) =>
        inQueue(
          'critical',
          queue,
          `no live worker registers ${quoted(name)}: ${plural(runs.length, 'run')} waiting, such as ${runs[0]?.task_id ?? ''}`,
          `register ${quoted(name)} in a worker of queue ${quoted(queue.queue.queue_name)}`,
          listWorkers(queue),
        ),
      );
    }),
  },
  {
    id: 'mixed-versions',
    why: 'A task may begin with one version of its code and continue with another; a deployment that takes this long has probably stopped half-way.',
    needs: ['queues', 'workers'],
    find: perStaff(({ live }, queue, { now, thresholds }) => {
      const names = [...new Set(live.flatMap(({ task_names: all }) => all))].sort();
      const mixed = names.flatMap((name) => {
        const versions = versionsOf(live, name);
        const bothSince = Math.max(...versions.map(([, since]) => since));
        if (versions.length < 2 || now - bothSince < thresholds['version-overlap'] * 1000) return [];
        return [{ name, bothSince, versions: versions.map(([version]) => version).sort() }];
      });
      const [first] = mixed;
      if (!first) return [];
      const shown = first.versions.map(quoted).join(', ');
      const more = mixed.length > 1 ? ` and ${plural(mixed.length - 1, 'more task name')}` : '';
      const seen = `versions ${shown} have worked on ${quoted(first.name)}${more} for ${span((now - first.bothSince) / 1000)}`;
      return [
        inQueue(
          'warning',
          queue,
          seen,
          'finish the deployment, or stop the workers of one version',
          listWorkers(queue),
        ),
      ];
    }),
  },
  {
    id: 'hanging-workers',
    why: 'The process is alive, but what it runs has not extended its lease: a step that never returns, and a slot that is never free.',
    needs: ['queues', 'workers'],
    find: perStaff(({ live, runsOf }, queue, { now, thresholds }) =>
      live.flatMap((worker) => {
        const late = runsOf(worker).filter(
          ({ claim_expires_at: end }) => end !== null && now - end >= thresholds['lease-grace'] * 1000,
        );
        const [first] = late.sort((a, b) => (a.claim_expires_at ?? 0) - (b.claim_expires_at ?? 0));
        if (!first) return [];
        const seen = `worker ${quoted(worker.worker_id)} sends heartbeats, but ${plural(late.length, 'run')} of it made no progress past the lease, the first (${quoted(first.task_name ?? '')}) for ${span((now - (first.claim_expires_at ?? now)) / 1000)}`;
        return [inQueue('warning', queue, seen, command('why', first.task_id), 'restart that worker')];
      }),
    ),
  },
  {
    id: 'vanished-workers',
    why: 'A worker that closes removes its row: one that went silent was killed, lost the database, or is stuck.',
    needs: ['queues', 'workers'],
    find: perStaff(({ stale, runsOf }, queue, { now }) => {
      const [last] = [...stale].sort((a, b) => b.heartbeat_at - a.heartbeat_at);
      if (!last) return [];
      const held = stale.reduce((sum, worker) => sum + runsOf(worker).length, 0);
      const runs = held === 0 ? '' : `, with ${plural(held, 'run')} in progress`;
      const seen = `${plural(stale.length, 'worker')} went silent without closing${runs}; the last, ${quoted(last.worker_id)}, ${span((now - last.heartbeat_at) / 1000)} ago`;
      return [
        inQueue(held > 0 ? 'warning' : 'info', queue, seen, listWorkers(queue), 'look at the logs of its process'),
      ];
    }),
  },
];
