import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags, queueFlag } from '../lib/base-command.js';
import type { Rendering } from '../lib/output.js';
import { locateTask } from '../lib/task-id.js';
import { retryTask, type SpawnedTask } from '../sql/tasks.js';

export default class RetryTask extends BaseCommand<SpawnedTask> {
  static override summary = 'Give a failed task another attempt';
  static override description =
    'Finished steps are kept: the new attempt goes on after the last one. With --spawn-new a fresh task starts from the same inputs.';
  static override examples = [
    '<%= config.bin %> retry-task 019a32d3-8425-7ae2-a5af-2f17a6707666',
    '<%= config.bin %> retry-task 019a32d3-8425-7ae2-a5af-2f17a6707666 --max-attempts 8',
  ];
  static override args = { id: Args.string({ required: true, description: 'id of a failed task, or of its run' }) };
  static override flags = {
    ...dbFlags,
    queue: queueFlag,
    'max-attempts': Flags.integer({ min: 1, description: 'new limit of attempts, the past ones included' }),
    'spawn-new': Flags.boolean({ description: 'start a new task instead' }),
  };

  async execute(): Promise<SpawnedTask> {
    const { args, flags } = await this.parse(RetryTask);
    const task = await this.read((db) => locateTask(db, args.id, flags.queue));
    return retryTask(await this.db(), {
      queueName: task.queue_name,
      taskId: task.task_id,
      maxAttempts: flags['max-attempts'],
      spawnNew: flags['spawn-new'],
    });
  }

  render(task: SpawnedTask): Rendering {
    return {
      note: task.created
        ? 'Started a new task from the same inputs'
        : `Attempt ${task.attempt} is waiting for a worker of queue "${task.queue_name}"`,
      record: { 'Task ID': task.task_id, 'Run ID': task.run_id, Attempt: task.attempt },
    };
  }
}
