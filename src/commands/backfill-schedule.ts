import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import { confirmMany } from '../lib/cli/confirm.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { usageError } from '../lib/cli/errors.js';
import { counted } from '../lib/cli/format/text.js';
import type { Rendering } from '../lib/cli/output.js';
import { requireSchedule } from '../lib/schedule/find.js';
import { requireFeature } from '../lib/schema/feature.js';
import { backfillSchedule, readMoment, timesBetween, type ScheduledTask } from '../sql/schedules.js';
import { parseWhen } from '../lib/cli/time.js';

interface Backfill {
  schedule_name: string;
  dry_run: boolean;
  tasks: ScheduledTask[];
}

/** A schedule is one row, which a claim holds for a moment while it fires. */
const lockTimeoutMs = 10_000;

/** More times than this are refused by the schema. */
const maxTimes = 10_000;

export default class BackfillSchedule extends BaseCommand<Backfill> {
  static override summary = 'Spawn the tasks of a schedule for times in the past';
  static override description =
    'Spawns one task for each time of the schedule from --from to --to, both included, at most 10,000. A time that already has a task gets no second one, so it is safe to repeat.';
  static override examples = [
    '<%= config.bin %> backfill-schedule weekly-report --from 2026-01-01 --to 2026-02-01 --dry-run',
    '<%= config.bin %> backfill-schedule weekly-report --from 2026-01-01 --to 2026-02-01 --yes',
  ];
  static override args = {
    name: Args.string({ required: true, suggest: 'schedule', description: 'name of the schedule' }),
  };
  static override flags = {
    ...changeFlags,
    from: Flags.string({ required: true, helpValue: 'TIME', description: 'first time: 2h ago, 2026-01-02, RFC 3339' }),
    to: Flags.string({ required: true, helpValue: 'TIME', description: 'last time' }),
    'dry-run': Flags.boolean({ description: 'list the times, spawn nothing' }),
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
  };
  static declares: Declaration = {
    topic: 'SCHEDULES',
    needs: 'worker',
    samples: ['<schedule> --from 3h --to now --yes', '<schedule> --from 3h --to now --dry-run'],
  };

  async execute(): Promise<Backfill> {
    const { args, flags } = await this.parse(BackfillSchedule);
    const ends = [parseWhen(flags.from, '--from'), parseWhen(flags.to, '--to')] as const;
    const { queue, span, times } = await this.read(async (db) => {
      await requireFeature(db, 'schedules', 'keep schedules');
      const { queue_name: queue } = await requireSchedule(db, args.name);
      const [from, to] = [await readMoment(db, ends[0]), await readMoment(db, ends[1])];
      if (from > to) throw usageError(`--from ${from} is later than --to ${to}`);
      const found = { scheduleName: args.name, from, to };
      return { queue, span: found, times: await timesBetween(db, { ...found, limit: maxTimes + 1 }) };
    });
    if (times.length > maxTimes) {
      throw usageError(
        `Schedule "${args.name}" has over ${maxTimes} times between ${span.from} and ${span.to}`,
        'backfill a shorter span at a time',
      );
    }
    const preview = times.map((scheduled_for) => ({ scheduled_for, task_id: null }));
    if (flags['dry-run'] || times.length === 0) {
      return { schedule_name: args.name, dry_run: flags['dry-run'] === true, tasks: preview };
    }
    await confirmMany(this.io, `Spawn ${counted(times.length, 'task')}?`, times.slice(0, 5), flags.yes);
    const spawned = await this.write((db) => backfillSchedule(db, span), {
      lockTimeoutMs,
      touched: (tasks) => ({ queue, tasks: tasks.flatMap(({ task_id: id }) => id ?? []) }),
    });
    return { schedule_name: args.name, dry_run: false, tasks: spawned };
  }

  render({ dry_run, tasks }: Backfill): Rendering {
    return {
      note: dry_run
        ? `Would spawn ${counted(tasks.length, 'task')}; times that have their task keep it`
        : `${counted(tasks.length, 'time')} now ${tasks.length === 1 ? 'has its task' : 'have their tasks'}`,
      table: {
        columns: [
          { key: 'scheduled_for', label: 'FOR (UTC)', type: 'id' },
          { key: 'task_id', type: 'id' },
        ],
        rows: tasks,
        empty: 'The schedule has no time in this span',
      },
    };
  }
}
