import * as Args from '@oclif/core/args';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { command, hint } from '../lib/cli/hint.js';
import type { Rendering } from '../lib/cli/output.js';
import { pauseEnd, pauseFlags } from '../lib/queue/pause.js';
import { requireSchedule } from '../lib/schedule/find.js';
import { scheduleRecord } from '../lib/schedule/show.js';
import { requireFeature } from '../lib/schema/feature.js';
import { pauseSchedule, type Schedule } from '../sql/schedules.js';

/** A schedule is one row, which a claim holds for a moment while it fires. */
const lockTimeoutMs = 10_000;

export default class PauseSchedule extends BaseCommand<Schedule> {
  static override summary = 'Pause a schedule: it spawns nothing until it is resumed';
  static override description =
    'When it is resumed, its setting --missed decides about the times in between. Pausing a paused schedule replaces the end and the reason.';
  static override examples = ['<%= config.bin %> pause-schedule weekly-report --for 7d --reason holidays'];
  static override args = {
    name: Args.string({ required: true, suggest: 'schedule', description: 'name of the schedule' }),
  };
  static override flags = { ...changeFlags, ...pauseFlags };
  static declares: Declaration = { topic: 'SCHEDULES', needs: 'operator', samples: ['<schedule> --for 1h'] };

  async execute(): Promise<Schedule> {
    const { args, flags } = await this.parse(PauseSchedule);
    const until = pauseEnd(flags);
    await this.read(async (db) => {
      await requireFeature(db, 'schedules', 'keep schedules');
      await requireSchedule(db, args.name);
    });
    return this.write(
      async (db) => {
        await pauseSchedule(db, { scheduleName: args.name, until, reason: flags.reason });
        return requireSchedule(db, args.name);
      },
      { lockTimeoutMs, touched: ({ queue_name: queue }) => ({ queue }) },
    );
  }

  render(schedule: Schedule): Rendering {
    return {
      note: hint`Paused; ${command('resume-schedule', schedule.schedule_name)} ends the pause`,
      name: schedule.schedule_name,
      record: scheduleRecord(schedule),
    };
  }
}
