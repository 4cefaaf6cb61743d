import * as Args from '@oclif/core/args';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Rendering } from '../lib/cli/output.js';
import { requireSchedule } from '../lib/schedule/find.js';
import { scheduleRecord } from '../lib/schedule/show.js';
import { requireFeature } from '../lib/schema/feature.js';
import { resumeSchedule, type Schedule } from '../sql/schedules.js';

interface ResumedSchedule extends Schedule {
  /** False when it was not paused. */
  resumed: boolean;
}

/** A schedule is one row, which a claim holds for a moment while it fires. */
const lockTimeoutMs = 10_000;

export default class ResumeSchedule extends BaseCommand<ResumedSchedule> {
  static override summary = 'Resume a paused schedule';
  static override description = 'A schedule that is not paused is not changed (exit code 0).';
  static override examples = ['<%= config.bin %> resume-schedule weekly-report'];
  static override args = {
    name: Args.string({ required: true, suggest: 'schedule', description: 'name of the schedule' }),
  };
  static override flags = { ...changeFlags };
  static declares: Declaration = { topic: 'SCHEDULES', needs: 'operator', samples: ['<schedule>'] };

  async execute(): Promise<ResumedSchedule> {
    const { args } = await this.parse(ResumeSchedule);
    await this.read(async (db) => {
      await requireFeature(db, 'schedules', 'keep schedules');
      await requireSchedule(db, args.name);
    });
    return this.write(
      async (db) => {
        const resumed = await resumeSchedule(db, args.name);
        return { ...(await requireSchedule(db, args.name)), resumed };
      },
      { lockTimeoutMs, touched: ({ queue_name: queue, resumed }) => (resumed ? { queue } : []) },
    );
  }

  render({ resumed, ...schedule }: ResumedSchedule): Rendering {
    return {
      note: resumed ? `Resumed schedule "${schedule.schedule_name}"` : 'It was not paused',
      name: schedule.schedule_name,
      record: scheduleRecord(schedule),
    };
  }
}
