import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import { confirmMany } from '../lib/cli/confirm.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { errorCode, exit, notFound, usageError } from '../lib/cli/errors.js';
import { counted } from '../lib/cli/format/text.js';
import type { Rendering } from '../lib/cli/output.js';
import { readScheduleFile } from '../lib/schedule/file.js';
import { applySchedules, type ScheduleChange } from '../lib/schedule/sync.js';
import { requireFeature } from '../lib/schema/feature.js';
import type { ScheduleSettings } from '../sql/schedules.js';

interface Synced {
  dry_run: boolean;
  /** Schedules in the file. */
  total: number;
  changes: ScheduleChange[];
}

/** A schedule is one row, which a claim holds for a moment while it fires. */
const lockTimeoutMs = 10_000;

/** Undoes the transaction of a plan. */
class Undo extends Error {}

export default class SyncSchedules extends BaseCommand<Synced> {
  static override summary = 'Make the schedules match a file';
  static override description = [
    'The file is JSON: {"schedules": [{"name", "task", "queue", "cron" or "every", "time_zone", "overlap", "missed", "catch_up", "params", "headers", "max_attempts", "retry_strategy", "cancellation", "delay_seconds"}]}. Schedules that the file does not name are kept without --prune.',
    '--dry-run saves nothing; its exit code is 1 if something differs, else 0. All changes are made in one transaction.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> sync-schedules schedules.json --dry-run',
    '<%= config.bin %> sync-schedules schedules.json --prune --yes',
  ];
  static override args = { file: Args.string({ required: true, description: 'file of schedules' }) };
  static override flags = {
    ...changeFlags,
    prune: Flags.boolean({ description: 'drop schedules that the file does not name' }),
    'dry-run': Flags.boolean({ description: 'print what differs, save nothing' }),
    yes: Flags.boolean({ char: 'y', description: 'do not ask before --prune drops schedules' }),
  };
  static declares: Declaration = {
    topic: 'SCHEDULES',
    // A dry run is the same, rolled back.
    needs: () => 'operator',
    samples: ['<schedules>'],
  };

  async execute(): Promise<Synced> {
    const { args, flags } = await this.parse(SyncSchedules);
    const wanted = readScheduleFile(readText(resolve(this.io.cwd, args.file), args.file), args.file);
    await this.read((db) => requireFeature(db, 'schedules', 'keep schedules'));
    const prune = flags.prune === true;
    const total = wanted.length;
    const dropped = prune ? (await this.plan(wanted, prune)).filter(({ change }) => change === 'drop') : [];
    if (flags['dry-run']) return { dry_run: true, total, changes: await this.plan(wanted, prune) };
    if (dropped.length > 0) {
      const names = dropped.map(({ schedule_name }) => schedule_name);
      await confirmMany(this.io, `Drop ${counted(names.length, 'schedule')}?`, names, flags.yes);
    }
    const changes = await this.write((db) => applySchedules(db, wanted, prune), {
      lockTimeoutMs,
      touched: (done) => (done.length > 0 ? {} : []),
    });
    return { dry_run: false, total, changes };
  }

  private async plan(wanted: readonly ScheduleSettings[], prune: boolean): Promise<ScheduleChange[]> {
    let changes: ScheduleChange[] = [];
    const work = this.write(
      async (db) => {
        changes = await applySchedules(db, wanted, prune);
        throw new Undo();
      },
      { lockTimeoutMs },
    );
    await work.catch((error: unknown) => {
      if (!(error instanceof Undo)) throw error;
    });
    return changes;
  }

  protected override exitCode({ dry_run, changes }: Synced): number {
    return dry_run && changes.length > 0 ? exit.failed : exit.done;
  }

  render({ dry_run, total, changes }: Synced): Rendering {
    const of = counted(total, 'schedule');
    return {
      note:
        changes.length === 0
          ? `Nothing differs from the ${of} of the file`
          : dry_run
            ? `${counted(changes.length, 'schedule')} would change; nothing was saved`
            : `${counted(changes.length, 'schedule')} changed`,
      table: {
        columns: [
          { key: 'schedule_name', label: 'SCHEDULE', type: 'id' },
          { key: 'change' },
          { key: 'differences', draw: (value) => (value as string[]).join('; ') },
        ],
        rows: changes,
      },
    };
  }
}

function readText(path: string, file: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') throw notFound(`File ${file} does not exist`, undefined, 'file_not_found');
    throw usageError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
