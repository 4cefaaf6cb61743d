import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { readIds } from '../lib/bulk/choose.js';
import { BulkCommand, isBulk, renderMany, type BulkResult } from '../lib/bulk/command.js';
import { bulkFlags, readChoice } from '../lib/bulk/flags.js';
import { changeFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { refused, type CliError } from '../lib/cli/errors.js';
import { command, hint } from '../lib/cli/hint.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { requireFeature } from '../lib/schema/feature.js';
import { locateTask } from '../lib/task/find-task.js';
import { wakeTasks, type WakeOutcome } from '../sql/wake-task.js';

interface WokenTask {
  queue_name: string;
  task_id: string;
  run_id: string | null;
  attempt: number | null;
  /** False where it could be claimed before. */
  woken: boolean;
}

const states = ['sleeping'] as const;
const reasons: Record<string, string> = { 'awaits event': 'it waits for an event', due: 'it waits for a worker' };

export default class WakeTask extends BulkCommand<WokenTask> {
  static override summary = 'Let sleeping tasks run now';
  static override description = [
    'Ends a sleep, a delay or the backoff before a retry: a worker can claim the task at once. A task that waits for an event is skipped; with --as-timeout its wait ends as its timeout would end it.',
    'For many tasks: several ids, - for ids from standard input, or a filter. It shows them and asks (--yes without a terminal), then wakes them in batches. It skips tasks that do not sleep.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> wake-task 019a32d3-8425-7ae2-a5af-2f17a6707666',
    '<%= config.bin %> wake-task 019a32d3-8425-7ae2-a5af-2f17a6707666 --as-timeout',
    "<%= config.bin %> wake-task -q mail --task-name send-mail --error 'connect ECONNREFUSED' --dry-run",
  ];
  static override args = {
    id: Args.string({
      multiple: true,
      suggest: 'open-id',
      description: 'ids of sleeping tasks or their runs; - for standard input',
    }),
  };
  static override flags = {
    ...changeFlags,
    queue: queueFlag,
    'as-timeout': Flags.boolean({ description: 'also end waits for events, as their timeout would' }),
    ...bulkFlags,
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'worker',
    samples: ['<open>', '-q <queue> --all --yes', '-q <queue> --all --dry-run'],
  };

  async execute(): Promise<WokenTask | BulkResult> {
    const { args, flags } = await this.parse(WakeTask);
    const typed = args.id ?? [];
    const asTimeout = flags['as-timeout'];
    const choice = readChoice('wake-task', await readIds(this.io, typed), flags, states);
    const [only] = typed;
    await this.read((db) => requireFeature(db, 'wake_task', 'wake tasks'));
    if (only !== undefined && only !== '-' && typed.length === 1 && !flags['dry-run']) {
      return this.single(only, flags.queue, asTimeout);
    }
    return this.many({
      choice,
      verb: 'Wake',
      outcome: 'woken',
      states,
      rate: flags.rate,
      dryRun: flags['dry-run'],
      yes: flags.yes,
      work: {
        batch: (db, queue, ids) => wakeTasks(db, queue, ids, asTimeout),
        outcome: ({ state }) =>
          state === 'woken'
            ? { outcome: 'woken', reason: null }
            : { outcome: 'skipped', reason: reasons[state] ?? `it is ${state}` },
        refused: () => 'failed',
      },
      timeoutMs: flags.timeout * 1000,
      passedOver: 'tasks that no longer sleep are skipped',
    });
  }

  private async single(id: string, queue: string | undefined, asTimeout: boolean): Promise<WokenTask> {
    const { queue_name, task_id } = await this.read((db) => locateTask(db, id, queue));
    const [outcome] = await this.one(
      task_id,
      (db) => wakeTasks(db, queue_name, [task_id], asTimeout),
      ([row]) => (row?.state === 'woken' ? { queue: queue_name, tasks: [task_id] } : []),
    );
    if (outcome === undefined || !['woken', 'due'].includes(outcome.state)) {
      throw cannotWake(task_id, outcome);
    }
    const { run_id, attempt, state } = outcome;
    return { queue_name, task_id, run_id, attempt, woken: state === 'woken' };
  }

  render(result: WokenTask | BulkResult, context: RenderContext): Rendering {
    if (isBulk(result)) return renderMany(result, context);
    const { queue_name: queue, task_id, run_id, attempt, woken } = result;
    return {
      note: woken
        ? `Woken: it waits for a worker of queue "${queue}"`
        : `Nothing to wake: it already waits for a worker of queue "${queue}"`,
      record: { 'Task ID': task_id, 'Run ID': run_id, Attempt: attempt },
    };
  }
}

function cannotWake(id: string, outcome: WakeOutcome | undefined): CliError {
  const { state = 'gone', wake_event: event } = outcome ?? { wake_event: null };
  if (state !== 'awaits event' || event === null) {
    return refused(`Task ${id} does not sleep: it is ${state}`, command('why', id), 'wrong_state');
  }
  return refused(
    `Task ${id} waits for event "${event}"`,
    hint`${command('wake-task', id, { 'as-timeout': true })} ends the wait as its timeout would; ${command('why', id)} says more`,
    'wrong_state',
  );
}
