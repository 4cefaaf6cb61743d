import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import { confirmMany } from '../lib/cli/confirm.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Rendering } from '../lib/cli/output.js';
import { requireSchedule } from '../lib/schedule/find.js';
import { timing } from '../lib/schedule/show.js';
import { requireFeature } from '../lib/schema/feature.js';
import { dropSchedule } from '../sql/schedules.js';

interface DroppedSchedule {
  schedule_name: string;
  dropped: boolean;
}

/** A schedule is one row, which a claim holds for a moment while it fires. */
const lockTimeoutMs = 10_000;

export default class DropSchedule extends BaseCommand<DroppedSchedule> {
  static override summary = 'Delete a schedule';
  static override description = 'Tasks that it spawned are kept.';
  static override examples = ['<%= config.bin %> drop-schedule weekly-report --yes'];
  static override args = {
    name: Args.string({ required: true, suggest: 'schedule', description: 'name of the schedule' }),
  };
  static override flags = {
    ...changeFlags,
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
  };
  static declares: Declaration = { topic: 'SCHEDULES', needs: 'operator', samples: ['<schedule> --yes'] };

  async execute(): Promise<DroppedSchedule> {
    const { args, flags } = await this.parse(DropSchedule);
    const schedule = await this.read(async (db) => {
      await requireFeature(db, 'schedules', 'keep schedules');
      return requireSchedule(db, args.name);
    });
    await confirmMany(
      this.io,
      `Drop schedule "${args.name}"?`,
      [`${timing(schedule)} spawns ${schedule.task_name} in queue "${schedule.queue_name}"`],
      flags.yes,
    );
    const dropped = await this.write((db) => dropSchedule(db, args.name), {
      lockTimeoutMs,
      touched: (done) => (done ? { queue: schedule.queue_name } : []),
    });
    return { schedule_name: args.name, dropped };
  }

  render({ schedule_name, dropped }: DroppedSchedule): Rendering {
    return {
      note: dropped ? `Dropped schedule "${schedule_name}"` : `Schedule "${schedule_name}" no longer exists`,
      name: schedule_name,
    };
  }
}
