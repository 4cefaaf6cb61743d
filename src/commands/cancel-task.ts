import * as Args from '@oclif/core/args';
import { BaseCommand, dbFlags, queueFlag } from '../lib/base-command.js';
import type { Rendering } from '../lib/output.js';
import { locateTask } from '../lib/task-id.js';
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

export default class CancelTask extends BaseCommand<CancelledTask> {
  static override summary = 'Cancel a task';
  static override description =
    'Its unfinished runs end and its waits are forgotten; a worker hears of it at its next checkpoint or heartbeat. A task that has ended stays as it is.';
  static override examples = ['<%= config.bin %> cancel-task 019a32d3-8425-7ae2-a5af-2f17a6707666'];
  static override args = { id: Args.string({ required: true, description: 'id of a task, or of a run' }) };
  static override flags = { ...dbFlags, queue: queueFlag };

  async execute(): Promise<CancelledTask> {
    const { args, flags } = await this.parse(CancelTask);
    const task = await this.read((db) => locateTask(db, args.id, flags.queue));
    const { queue_name, task_id, task_name } = task;
    const state = await cancelTask(await this.db(), queue_name, task_id);
    const over = ['completed', 'failed', 'cancelled'].includes(task.state);
    return { queue_name, task_id, task_name, state, cancelled: !over && state === 'cancelled' };
  }

  render({ queue_name, task_id, task_name, state, cancelled }: CancelledTask): Rendering {
    return {
      note: cancelled
        ? `Cancelled ${task_name} in queue "${queue_name}"`
        : `Nothing to cancel: ${task_name} had ended before, it is ${state}`,
      record: { 'Task ID': task_id, State: state },
    };
  }
}
