import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { refused } from '../lib/cli/errors.js';
import { command, hint } from '../lib/cli/hint.js';
import type { Rendering } from '../lib/cli/output.js';
import { optionsText, scheduleOptions } from '../lib/schedule/settings.js';
import { scheduleRecord, timesTable } from '../lib/schedule/show.js';
import { requireFeature } from '../lib/schema/feature.js';
import { readSpawnFlags, spawnFlags } from '../lib/task/spawn-flags.js';
import { spawnOptions } from '../lib/task/spawn-options.js';
import { getSchedule, nextTimes, setSchedule, type Schedule } from '../sql/schedules.js';
import type { Timestamp } from '../sql/values.js';

interface CreatedSchedule extends Schedule {
  next_times: Timestamp[];
  /** With --dry-run nothing was saved. */
  saved: boolean;
  /** Whether a schedule of this name existed. */
  replaced: boolean;
}

/** A schedule is one row, which a claim holds for a moment while it fires. */
const lockTimeoutMs = 10_000;

/** Undoes the transaction of a dry run. */
class Undo extends Error {}

export default class CreateSchedule extends BaseCommand<CreatedSchedule> {
  static override summary = 'Create a schedule that spawns a task regularly';
  static override description = [
    'Times come from --cron (minute, hour, day of month, month, day of week, or @hourly, @daily, @weekly, @monthly, @yearly) or from --every. The next five are shown. Workers of any SDK that claim from the queue fire what is due; no other process is needed. Each time fires exactly once.',
    'A local time that a change to daylight saving time skips fires right after the gap; one that occurs twice fires once.',
  ].join('\n');
  static override examples = [
    "<%= config.bin %> create-schedule weekly-report --task report --cron '0 9 * * mon' --time-zone Europe/Vienna",
    '<%= config.bin %> create-schedule poll-inbox --task poll -q mail --every 5m --overlap skip -P box=inbox',
    "<%= config.bin %> create-schedule weekly-report --task report --cron '0 8 * * mon' --replace",
  ];
  static override args = {
    name: Args.string({ required: true, suggest: 'schedule', description: 'name of the schedule' }),
  };
  static override flags = {
    ...changeFlags,
    task: Flags.string({
      required: true,
      helpValue: 'NAME',
      suggest: 'task-name',
      description: 'name of the task to spawn',
    }),
    ...spawnFlags,
    cron: Flags.string({ helpValue: 'EXPRESSION', description: "five fields, such as '0 9 * * mon'" }),
    every: Flags.string({ helpValue: 'DURATION', description: 'interval, at least 1s, such as 15m' }),
    'time-zone': Flags.string({ helpValue: 'ZONE', description: 'IANA time zone of --cron (default UTC)' }),
    overlap: Flags.option({
      options: ['skip', 'allow', 'cancel'] as const,
      description:
        'what to do while the previous task is unfinished: skip the time (default), spawn, or cancel the previous',
    })(),
    missed: Flags.option({
      options: ['latest', 'all', 'none'] as const,
      description: 'times that passed unfired: spawn for the latest (default), for all, or for none',
    })(),
    'catch-up': Flags.string({
      helpValue: 'DURATION',
      description: 'give up missed times older than this (default 1h)',
    }),
    replace: Flags.boolean({ description: 'replace the schedule of this name' }),
    'dry-run': Flags.boolean({ description: 'show the next five times, save nothing' }),
  };
  static declares: Declaration = {
    topic: 'SCHEDULES',
    // A dry run is the same, rolled back.
    needs: () => 'operator',
    samples: [
      '<new> --task open -q <queue> --every 1h --replace',
      '<new> --task open -q <queue> --every 1h --replace --dry-run',
    ],
  };

  async execute(): Promise<CreatedSchedule> {
    const { args, flags } = await this.parse(CreateSchedule);
    const options = scheduleOptions(flags);
    const { params, settings: spawning } = await readSpawnFlags(this.io, flags);
    await this.read((db) => requireFeature(db, 'schedules', 'keep schedules'));
    const settings = {
      scheduleName: args.name,
      queueName: flags.queue,
      taskName: flags.task,
      params,
      options: optionsText(options, spawnOptions(spawning)),
    };
    let created: CreatedSchedule | undefined;
    const work = this.write(
      async (db) => {
        const before = await getSchedule(db, args.name);
        if (before !== undefined && !flags.replace) {
          throw refused(
            `Schedule "${args.name}" already exists`,
            hint`${command('show-schedule', args.name)} shows it; --replace replaces it`,
            'schedule_exists',
          );
        }
        await setSchedule(db, settings);
        const after = await getSchedule(db, args.name);
        if (after === undefined) throw new Error('the schedule is missing after it was saved');
        const next_times = await nextTimes(db, args.name, 5);
        created = { ...after, next_times, saved: flags['dry-run'] !== true, replaced: before !== undefined };
        if (flags['dry-run']) throw new Undo();
      },
      { lockTimeoutMs, touched: () => ({ queue: flags.queue }) },
    );
    await work.catch((error: unknown) => {
      if (!(error instanceof Undo)) throw error;
    });
    if (created === undefined) throw new Error('the schedule was not read');
    return created;
  }

  render({ next_times, saved, replaced, ...schedule }: CreatedSchedule): Rendering {
    return {
      note: saved
        ? hint`${replaced ? 'Replaced' : 'Created'} schedule "${schedule.schedule_name}"; ${command('show-schedule', schedule.schedule_name)} shows what it spawns`
        : 'Nothing was saved (--dry-run)',
      name: schedule.schedule_name,
      record: scheduleRecord(schedule),
      sections: [timesTable('Next times', next_times)],
    };
  }
}
