import { isUnfinished, unfinishedStates } from '../sql/description.js';
import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { changeFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { readIds } from '../lib/bulk/choose.js';
import { BulkCommand, isBulk, renderMany, type BulkResult } from '../lib/bulk/command.js';
import { bulkFlags, readChoice, statusFlag } from '../lib/bulk/flags.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { requireFeature } from '../lib/schema/feature.js';
import { locateTask } from '../lib/task/find-task.js';
import { cancelTasks } from '../sql/bulk.js';
import { cancelFamilies, unfinishedBelow } from '../sql/families.js';
import { cancelTask } from '../sql/tasks.js';

interface CancelledTask {
  queue_name: string;
  task_id: string;
  task_name: string;
  /** The task's state now; it had ended before where it is not `cancelled`. */
  state: string;
  /** Whether this call cancelled it. */
  cancelled: boolean;
}

export default class CancelTask extends BulkCommand<CancelledTask> {
  static override summary = 'Cancel tasks';
  static override description = [
    'Ends unfinished runs and waits; a worker learns of it at its next checkpoint or heartbeat. A finished task is not changed.',
    'For many tasks: several ids, - for ids from standard input, or a filter. It shows them and asks (--yes without a terminal), then cancels them in batches. It is safe to repeat after an interruption.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> cancel-task 019a32d3-8425-7ae2-a5af-2f17a6707666',
    '<%= config.bin %> cancel-task 019a32d3-8425-7ae2-a5af-2f17a6707666 --tree',
    '<%= config.bin %> cancel-task -q mail --task-name send-mail --status pending,sleeping --until 1d --dry-run',
  ];
  static override args = {
    id: Args.string({ multiple: true, suggest: 'open-id', description: 'ids of tasks or runs; - for standard input' }),
  };
  static override flags = {
    ...changeFlags,
    queue: queueFlag,
    tree: Flags.boolean({ description: 'also their unfinished children, and the children of those, in every queue' }),
    status: statusFlag(unfinishedStates),
    ...bulkFlags,
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'worker',
    samples: ['<open>', '<open> --tree --yes', '-q <queue> --status pending --yes', '<open> --dry-run'],
  };

  async execute(): Promise<CancelledTask | BulkResult> {
    const { args, flags } = await this.parse(CancelTask);
    const typed = args.id ?? [];
    const choice = readChoice('cancel-task', await readIds(this.io, typed), flags, unfinishedStates);
    const [only] = typed;
    if (only !== undefined && only !== '-' && typed.length === 1 && !flags['dry-run'] && !flags.tree) {
      return this.single(only, flags.queue);
    }
    if (flags.tree) await this.read((db) => requireFeature(db, 'task_tree', 'cancel a task with its children'));
    return this.many({
      choice,
      ...(flags.tree && { others: unfinishedBelow }),
      verb: 'Cancel',
      outcome: 'cancelled',
      states: unfinishedStates,
      rate: flags.rate,
      dryRun: flags['dry-run'],
      yes: flags.yes,
      work: {
        batch: (db, queue, ids) =>
          flags.tree ? cancelFamilies(db, queue, ids) : cancelTasks(db, queue, ids, flags.status),
        outcome: ({ state }) =>
          state === 'cancelled'
            ? { outcome: 'cancelled', reason: null }
            : { outcome: 'skipped', reason: `it is ${state}` },
        refused: () => 'failed',
      },
      timeoutMs: flags.timeout * 1000,
      passedOver: 'tasks that have ended are skipped',
    });
  }

  private async single(id: string, queue: string | undefined): Promise<CancelledTask> {
    const task = await this.read((db) => locateTask(db, id, queue));
    const { queue_name, task_id, task_name } = task;
    const over = !isUnfinished(task.state);
    const state = await this.one(
      task_id,
      (db) => cancelTask(db, queue_name, task_id),
      (now) => (!over && now === 'cancelled' ? { queue: queue_name, tasks: [task_id] } : []),
    );
    return { queue_name, task_id, task_name, state, cancelled: !over && state === 'cancelled' };
  }

  render(result: CancelledTask | BulkResult, context: RenderContext): Rendering {
    if (isBulk(result)) return renderMany(result, context);
    const { queue_name, task_id, task_name, state, cancelled } = result;
    return {
      note: cancelled
        ? `Cancelled ${task_name} in queue "${queue_name}"`
        : `Nothing to cancel: ${task_name} had ended before, it is ${state}`,
      record: { 'Task ID': task_id, State: state },
    };
  }
}
