import * as Args from '@oclif/core/args';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Rendering } from '../lib/cli/output.js';
import { requireSchedule } from '../lib/schedule/find.js';
import { scheduleRecord, timesTable } from '../lib/schedule/show.js';
import { requireFeature } from '../lib/schema/feature.js';
import { lastScheduledTasks, nextTimes, type Schedule, type SpawnedBySchedule } from '../sql/schedules.js';
import type { Timestamp } from '../sql/values.js';

interface ShownSchedule extends Schedule {
  next_times: Timestamp[];
  last_tasks: SpawnedBySchedule[];
}

export default class ShowSchedule extends BaseCommand<ShownSchedule> {
  static override summary = 'Show a schedule, its next five times and how its last five tasks ended';
  static override examples = ['<%= config.bin %> show-schedule weekly-report'];
  static override args = {
    name: Args.string({ required: true, suggest: 'schedule', description: 'name of the schedule' }),
  };
  static override flags = { ...dbFlags };
  static declares: Declaration = { topic: 'SCHEDULES', needs: 'reader', samples: ['<schedule>'] };

  async execute(): Promise<ShownSchedule> {
    const { args } = await this.parse(ShowSchedule);
    return this.readRanges(async (db) => {
      await requireFeature(db, 'schedules', 'keep schedules');
      const schedule = await requireSchedule(db, args.name);
      return {
        ...schedule,
        next_times: await nextTimes(db, args.name, 5),
        last_tasks: await lastScheduledTasks(db, schedule, 5),
      };
    });
  }

  render({ next_times, last_tasks, ...schedule }: ShownSchedule): Rendering {
    return {
      name: schedule.schedule_name,
      record: scheduleRecord(schedule),
      sections: [
        timesTable('Next times', next_times),
        {
          title: 'Last tasks',
          table: {
            columns: [
              { key: 'task_id', type: 'id' },
              { key: 'scheduled_for', label: 'FOR', type: 'time' },
              { key: 'state', type: 'state' },
              { key: 'attempts', type: 'number', drop: 1 },
            ],
            rows: last_tasks,
            empty: 'It has not spawned a task that still exists',
          },
        },
      ],
    };
  }
}
