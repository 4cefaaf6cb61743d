import { isPutBackPattern } from '../diagnosis/settings.js';
import { dumpTask, plural, quoted, shown, span } from '../diagnosis/words.js';
import { unreadableSettings } from '../diagnosis/settings.js';
import { pastedIdent } from '../../sql/identifiers.js';
import type { SampledRun } from '../../sql/doctor-queue.js';
import { inQueue, type Check, type Facts, type Finding, type QueueFacts } from './check.js';
import { command, type Advice } from '../cli/hint.js';

/** One finding a queue for the runs that a rule picks out of the sample. */
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

const names = (runs: SampledRun[]): string => {
  const distinct = [...new Set(runs.map((run) => run.task_name ?? 'unknown'))];
  return distinct.slice(0, 5).map(quoted).join(', ') + (distinct.length > 5 ? ` and ${distinct.length - 5} more` : '');
};

/** What contradicts itself in a queue, each with a task of its kind. */
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

export const rowChecks: Check[] = [
  {
    id: 'orphaned-runs',
    why: 'A run whose task is gone is claimed by nobody, or breaks whoever claims it.',
    needs: ['queues'],
    find: pick(
      'critical',
      (run) => run.task_name === null,
      (found, queue) => ({
        seen: `${plural(found.length, 'unfinished run')} without a task, such as ${found[0].run_id}`,
        mend: [
          `psql, after a backup: delete from absurd.${pastedIdent(`r_${queue.queue.queue_name}`)} r where not exists (select 1 from absurd.${pastedIdent(`t_${queue.queue.queue_name}`)} t where t.task_id = r.task_id)`,
        ],
      }),
    ),
  },
  {
    id: 'contradictions',
    why: 'Such a task will not move by itself, whatever workers do.',
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
    why: 'A worker keeps the lease alive and gets nowhere: a step that never returns.',
    needs: ['queues'],
    find: pick(
      'warning',
      (run, { now, thresholds }) =>
        run.state === 'running' &&
        run.started_at !== null &&
        (run.claim_expires_at ?? 0) > now &&
        now - Math.max(run.started_at, run.checkpoint_at ?? 0) >= thresholds['hang-after'] * 1000,
      (found, _queue, { now }) => ({
        seen: `${plural(found.length, 'run')} without a checkpoint for long, such as ${found[0].task_id} (${quoted(found[0].task_name ?? '')}, claimed ${span((now - (found[0].started_at ?? now)) / 1000)} ago by ${quoted(found[0].claimed_by ?? 'unknown')})`,
        mend: [command('why', found[0].task_id), 'look at what that worker does'],
      }),
    ),
  },
  {
    id: 'unknown-names',
    why: 'Workers put tasks of a name that they do not know back for a while, for ever.',
    needs: ['queues'],
    find: pick(
      'warning',
      (run, { now }) => run.task_name !== null && isPutBackPattern(run, now),
      (found, queue) => ({
        seen: `no worker seems to take ${names(found)}: ${plural(found.length, 'run')} claimed and put back without a checkpoint (inferred)`,
        mend: [
          command('why', found[0].task_id),
          `register the name in a worker of queue ${quoted(queue.queue.queue_name)}`,
        ],
      }),
    ),
  },
  {
    id: 'unlimited-retries',
    why: 'A task without an attempt limit that cannot succeed fails for ever.',
    needs: ['queues'],
    find: pick(
      'warning',
      (run, { thresholds }) =>
        run.task_name !== null && run.max_attempts === null && run.attempt >= thresholds['max-attempts'],
      (found, queue) => ({
        seen: `${plural(found.length, 'task')} without an attempt limit at attempt ${Math.max(...found.map((run) => run.attempt))}: ${names(found)}`,
        mend: [
          command('why', found[0].task_id),
          command('cancel-task', found[0].task_id, { queue: queue.queue.queue_name }),
        ],
      }),
    ),
  },
  {
    id: 'unreadable-settings',
    why: 'A cancellation setting that cannot be read counts as absent, a retry_strategy that cannot be used fails its task for good at the first failed attempt; on schemas of others either can make every claim fail.',
    needs: ['queues'],
    find: pick(
      'warning',
      (run) => unreadableSettings(run.cancellation, run.retry_strategy) !== null,
      (found, queue) => ({
        seen: `${plural(found.length, 'task')} with a setting that cannot be read, such as ${found[0].task_id}: ${shown(unreadableSettings(found[0].cancellation, found[0].retry_strategy) ?? '')}`,
        mend: [
          dumpTask(found[0].task_id),
          command('cancel-task', found[0].task_id, { queue: queue.queue.queue_name }),
          'then spawn it again with settings within the limits',
        ],
      }),
    ),
  },
];
