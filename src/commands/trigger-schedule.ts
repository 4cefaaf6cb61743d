import * as Args from '@oclif/core/args';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { command, hint } from '../lib/cli/hint.js';
import type { Rendering } from '../lib/cli/output.js';
import { requireSchedule } from '../lib/schedule/find.js';
import { requireFeature } from '../lib/schema/feature.js';
import { triggerSchedule } from '../sql/schedules.js';

interface TriggeredTask {
  schedule_name: string;
  queue_name: string;
  task_id: string;
  run_id: string;
}

/** A schedule is one row, which a claim holds for a moment while it fires. */
const lockTimeoutMs = 10_000;

export default class TriggerSchedule extends BaseCommand<TriggeredTask> {
  static override summary = 'Spawn the task of a schedule once, now';
  static override description =
    'Does not change its next times, and works while it is paused. Each call spawns a task.';
  static override examples = ['<%= config.bin %> trigger-schedule weekly-report'];
  static override args = {
    name: Args.string({ required: true, suggest: 'schedule', description: 'name of the schedule' }),
  };
  static override flags = { ...changeFlags };
  static declares: Declaration = { topic: 'SCHEDULES', needs: 'worker', samples: ['<schedule>'] };

  async execute(): Promise<TriggeredTask> {
    const { args } = await this.parse(TriggerSchedule);
    const { schedule_name, queue_name } = await this.read(async (db) => {
      await requireFeature(db, 'schedules', 'keep schedules');
      return requireSchedule(db, args.name);
    });
    const spawned = await this.write((db) => triggerSchedule(db, args.name), {
      lockTimeoutMs,
      touched: ({ task_id: id }) => ({ queue: queue_name, tasks: [id] }),
    });
    return { schedule_name, queue_name, ...spawned };
  }

  render({ queue_name, task_id, run_id }: TriggeredTask): Rendering {
    return {
      note: hint`Spawned in queue "${queue_name}"; ${command('dump-task', { 'task-id': task_id })} shows it`,
      record: { 'Task ID': task_id, 'Run ID': run_id },
    };
  }
}
