import { dumpTask, plural, quoted, shown, span, tally } from '../diagnosis/words.js';
import { isPutBackPattern, seconds, unreadableSettings } from '../diagnosis/settings.js';
import { pastedIdent } from '../../sql/identifiers.js';
import type { CheckpointLoad, SampledRun } from '../../sql/doctor-queue.js';
import { atLeast, inQueue, type Check, type Facts, type Finding, type QueueFacts } from './check.js';
import { command, type Advice } from '../cli/hint.js';

/** One finding for each queue with runs that a rule selects from the sample. */
const pick = (
  severity: Finding['severity'],
  rule: (run: SampledRun, facts: Facts) => boolean,
  say: (runs: [SampledRun, ...SampledRun[]], queue: QueueFacts, facts: Facts) => { seen: string; mend: Advice[] },
): Check['find'] => {
  return (facts) =>
    facts.queues.flatMap((queue) => {
      const [first, ...rest] = queue.unfinished.filter((run) => rule(run, facts));
      if (!first) return [];
      const { seen, mend } = say([first, ...rest], queue, facts);
      return [inQueue(severity, queue, seen, ...mend)];
    });
};

/** Size of the sample for each state. */
const sample = 1000;

/** A count of runs that a rule selected from a queue's sample. */
function picked(found: readonly SampledRun[], { unfinished }: QueueFacts, noun: string): string {
  const states = new Set(found.map(({ state }) => state));
  const cut = [...states].some((state) => unfinished.filter((run) => run.state === state).length >= sample);
  return `${atLeast(cut)}${plural(found.length, noun)}`;
}

const names = (runs: SampledRun[]): string => {
  const distinct = [...new Set(runs.map((run) => run.task_name ?? 'unknown'))];
  return distinct.slice(0, 5).map(quoted).join(', ') + (distinct.length > 5 ? ` and ${distinct.length - 5} more` : '');
};

/** Contradictions in a queue, each with an example task. */
function rowContradictions(queue: QueueFacts): { what: string; taskId: string }[] {
  const found: { what: string; taskId: string }[] = [];
  const disagree = queue.unfinished.filter(
    (run) => run.task_name !== null && run.last_attempt_run === run.run_id && run.task_state !== run.state,
  );
  const stray = queue.unfinished.filter((run) => run.task_name !== null && run.last_attempt_run !== run.run_id);
  const [first] = disagree;
  if (first)
    found.push({
      what: `${plural(disagree.length, 'unfinished run')} in another state than the task, such as ${first.task_id}`,
      taskId: first.task_id,
    });
  const [other] = stray;
  if (other)
    found.push({
      what: `${plural(stray.length, 'unfinished run')} not the last one of the task, such as ${other.run_id}`,
      taskId: other.task_id,
    });
  const [dead] = queue.deadEnds;
  if (dead)
    found.push({
      what: `${plural(queue.deadEnds.length, 'unfinished task')} whose last run is over or missing, such as ${dead.task_id}`,
      taskId: dead.task_id,
    });
  const missed = queue.waits.filter((wait) => wait.emitted_at !== null);
  const [wait] = missed;
  if (wait)
    found.push({
      what: `event ${quoted(wait.event_name)} was emitted, and ${plural(wait.waiting, 'run')} still wait for it, such as of task ${wait.task_id}`,
      taskId: wait.task_id,
    });
  return found;
}

/** Whether a retry starts at once: there is no strategy, or its delay is below a second. */
function isImmediate(strategy: string | null): boolean {
  const settings: unknown = strategy === null ? null : JSON.parse(strategy);
  const kind: unknown = typeof settings === 'object' && settings !== null ? Reflect.get(settings, 'kind') : null;
  if (kind !== 'fixed' && kind !== 'exponential') return true;
  return (seconds(settings, 'base_seconds') ?? 60) < 1;
}

/** Sleeps a minute, over the time in which they were seen. */
const napsPerMinute = ({ naps, first_nap_at: first }: CheckpointLoad, now: number): number =>
  first === null ? 0 : (naps * 60_000) / Math.max(60_000, now - first);

export const rowChecks: Check[] = [
  {
    id: 'orphaned-runs',
    why: 'No worker claims a run whose task no longer exists, or the claim fails.',
    needs: ['queues'],
    find: pick(
      'critical',
      (run) => run.task_name === null,
      (found, queue) => ({
        seen: `${picked(found, queue, 'unfinished run')} without a task, such as ${found[0].run_id}`,
        mend: [
          `psql, after a backup (it deletes the runs without a task, and their results): delete from absurd.${pastedIdent(`r_${queue.queue.queue_name}`)} r where not exists (select 1 from absurd.${pastedIdent(`t_${queue.queue.queue_name}`)} t where t.task_id = r.task_id)`,
        ],
      }),
    ),
  },
  {
    id: 'contradictions',
    why: 'Such a task does not move, whatever workers do.',
    needs: ['queues'],
    find: ({ queues }) =>
      queues.flatMap((queue) => {
        const found = rowContradictions(queue);
        if (found.length === 0) return [];
        const seen = found.map(({ what }) => what).join('; ');
        return [inQueue('critical', queue, seen, ...found.map(({ taskId }) => command('why', taskId)))];
      }),
  },
  {
    id: 'hanging-runs',
    why: 'A worker extends the lease and makes no progress: a step that never returns.',
    needs: ['queues'],
    find: pick(
      'warning',
      (run, { now, thresholds }) =>
        run.state === 'running' &&
        run.started_at !== null &&
        (run.claim_expires_at ?? 0) > now &&
        now - Math.max(run.started_at, run.checkpoint_at ?? 0) >= thresholds['hang-after'] * 1000,
      (found, queue, { now }) => ({
        seen: `${picked(found, queue, 'run')} without a checkpoint for long, such as ${found[0].task_id} (${quoted(found[0].task_name ?? '')}, claimed ${span((now - (found[0].started_at ?? now)) / 1000)} ago by ${quoted(found[0].claimed_by ?? 'unknown')})`,
        mend: [command('why', found[0].task_id), 'check what that worker does'],
      }),
    ),
  },
  {
    id: 'unknown-names',
    why: 'Workers put back tasks of a name that they do not know, again and again.',
    needs: ['queues'],
    find: pick(
      'warning',
      (run, { now }) => run.task_name !== null && isPutBackPattern(run, now),
      (found, queue) => ({
        seen: `no worker seems to know ${names(found)}: ${picked(found, queue, 'run')} claimed and put back without a checkpoint (inferred)`,
        mend: [
          command('why', found[0].task_id),
          `register the name in a worker of queue ${quoted(queue.queue.queue_name)}`,
        ],
      }),
    ),
  },
  {
    id: 'unlimited-retries',
    why: 'A task without a limit of attempts that cannot succeed fails forever.',
    needs: ['queues'],
    find: pick(
      'warning',
      (run, { thresholds }) =>
        run.task_name !== null && run.max_attempts === null && run.attempt >= thresholds['max-attempts'],
      (found, queue) => {
        const worst = found.reduce((left, right) => (right.attempt > left.attempt ? right : left));
        const hasty = found.filter(({ retry_strategy: strategy }) => isImmediate(strategy)).length;
        const delay =
          hasty === 0 ? '' : `, ${hasty === found.length ? '' : `${hasty} of them `}without a delay between attempts`;
        return {
          seen: `${picked(found, queue, 'task')} without a limit of attempts${delay}, the highest at attempt ${worst.attempt}: ${names(found)}`,
          mend: [
            command('why', worst.task_id),
            command('cancel-task', worst.task_id, { queue: queue.queue.queue_name }),
            'then spawn it again with a limit and a delay',
          ],
        };
      },
    ),
  },
  {
    id: 'polling-sleepers',
    why: 'Each short sleep costs a claim and a checkpoint, and every claim reads all checkpoints of the task.',
    needs: ['queues'],
    find: ({ queues, now, thresholds }) =>
      queues.flatMap((queue) => {
        const [worst] = queue.loads
          .map(({ run, load }) => ({ run, load, perMinute: napsPerMinute(load, now) }))
          .filter(
            ({ load, perMinute }) => load.naps >= 2 * thresholds['nap-rate'] && perMinute >= thresholds['nap-rate'],
          )
          .sort((left, right) => right.perMinute - left.perMinute);
        if (!worst) return [];
        const { run, load, perMinute } = worst;
        const seen = `task ${run.task_id} (${quoted(run.task_name ?? '')}) sleeps about ${Math.round(perMinute)} times a minute and has ${tally(load.checkpoints)} checkpoints`;
        return [
          inQueue('warning', queue, seen, command('why', run.task_id), 'let it wait for an event, or sleep longer'),
        ];
      }),
  },
  {
    id: 'large-checkpoints',
    why: 'A worker loads all checkpoints of a task at every claim.',
    needs: ['queues'],
    find: ({ queues, thresholds }) =>
      queues.flatMap((queue) => {
        const sizes = new Map(queue.unfinished.map((run) => [run.task_id, { run, bytes: run.checkpoint_bytes }]));
        for (const { run, load } of queue.loads) sizes.set(run.task_id, { run, bytes: load.bytes });
        const large = [...sizes.values()]
          .filter(({ run, bytes }) => run.task_name !== null && bytes >= thresholds['checkpoint-megabytes'] * 1e6)
          .sort((left, right) => right.bytes - left.bytes);
        const [first] = large;
        if (!first) return [];
        const megabytes = Math.round(first.bytes / 1e6);
        const seen = `${plural(large.length, 'task')} with large checkpoints, such as ${first.run.task_id} (${quoted(first.run.task_name ?? '')}): at least ${megabytes} MB`;
        return [
          inQueue(
            'warning',
            queue,
            seen,
            command('list-checkpoints', first.run.task_id),
            'store large values elsewhere, and their address in the checkpoint',
          ),
        ];
      }),
  },
  {
    id: 'far-future',
    why: 'A task that waits for years is probably a mistake: milliseconds instead of seconds.',
    needs: ['queues'],
    find: pick(
      'warning',
      (run, { now, thresholds }) =>
        run.task_name !== null &&
        run.state !== 'running' &&
        Number.isFinite(run.available_at) &&
        run.available_at - now > thresholds['far-future'] * 1000,
      (found, queue, { now }) => {
        const last = found.reduce((left, right) => (right.available_at > left.available_at ? right : left));
        const years = Math.floor((last.available_at - now) / 31_556_952_000);
        return {
          seen: `${plural(found.length, 'task')} ${found.length === 1 ? 'starts' : 'start'} or ${found.length === 1 ? 'wakes' : 'wake'} years from now, such as ${last.task_id} (${quoted(last.task_name ?? '')}) in ${plural(years, 'year')}: milliseconds?`,
          mend: [
            command('why', last.task_id),
            command('cancel-task', last.task_id, { queue: queue.queue.queue_name }),
            'then spawn it again with seconds',
          ],
        };
      },
    ),
  },
  {
    id: 'unreadable-settings',
    why: 'An unreadable cancellation setting counts as absent, and an invalid retry_strategy fails its task permanently at the first failed attempt; on other schemas either can make every claim fail.',
    needs: ['queues'],
    find: pick(
      'warning',
      (run) => unreadableSettings(run.cancellation, run.retry_strategy) !== null,
      (found, queue) => ({
        seen: `${picked(found, queue, 'task')} with a setting that cannot be read, such as ${found[0].task_id}: ${shown(unreadableSettings(found[0].cancellation, found[0].retry_strategy) ?? '')}`,
        mend: [
          dumpTask(found[0].task_id),
          command('cancel-task', found[0].task_id, { queue: queue.queue.queue_name }),
          'then spawn it again with settings within the limits',
        ],
      }),
    ),
  },
];
