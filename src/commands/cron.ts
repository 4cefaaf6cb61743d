import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/base-command.js';
import { CliError, exit, usageError } from '../lib/errors.js';
import type { Rendering } from '../lib/output.js';
import { pastedLiteral } from '../sql/identifiers.js';
import { disableCron, enableCron, findCron, type CronJob } from '../sql/cron.js';

const schedule = (description: string) => Flags.string({ helpValue: 'CRON', description });

export default class Cron extends BaseCommand<CronJob[]> {
  static override summary = 'Have pg_cron make partitions, clean up and detach, or stop it';
  static override description =
    "With -q for one queue, without for all of them. The jobs do what each queue's policy says. It needs the extension pg_cron in this database.";
  static override examples = ['<%= config.bin %> cron --enable', '<%= config.bin %> cron --disable -q mail'];
  static override flags = {
    ...dbFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'only this queue' }),
    enable: Flags.boolean({ description: 'make the jobs, or make them again', exclusive: ['disable'] }),
    disable: Flags.boolean({ description: 'remove the jobs' }),
    'partition-schedule': schedule('when partitions are made; default 5 * * * *'),
    'cleanup-schedule': schedule('when ended tasks are deleted; default 17 * * * *'),
    'detach-schedule': schedule('when detaching is planned; default 29 * * * *'),
  };

  private enabled = true;

  async execute(): Promise<CronJob[]> {
    const { flags } = await this.parse(Cron);
    if (flags.enable === flags.disable) throw usageError('Give exactly one of --enable and --disable');
    const schedules = {
      partitions: flags['partition-schedule'],
      cleanup: flags['cleanup-schedule'],
      detach: flags['detach-schedule'],
    };
    const useless = flags.disable && Object.values(schedules).some((value) => value !== undefined);
    if (useless) throw usageError('Schedules mean nothing with --disable');
    this.enabled = flags.enable;
    const db = await this.db();
    const { installed, home, here } = await findCron(db);
    if (!installed) throw missing(home, here);
    return flags.enable ? enableCron(db, flags.queue ?? null, schedules) : disableCron(db, flags.queue ?? null);
  }

  render(jobs: CronJob[]): Rendering {
    const what = jobs.length === 1 ? '1 job' : `${jobs.length} jobs`;
    return {
      note: this.enabled ? `pg_cron runs ${what}` : `Removed ${what}`,
      table: {
        columns: [
          { key: 'job_name', label: 'JOB', type: 'id' },
          { key: 'job_id', label: 'ID', type: 'number' },
        ],
        rows: jobs,
      },
    };
  }
}

function missing(home: string | null, here: string): CliError {
  const elsewhere = home !== null && home !== here;
  return new CliError(
    elsewhere
      ? `pg_cron lives in database "${home}", not in "${here}"`
      : `pg_cron is not available in database "${here}"`,
    {
      exitCode: exit.failed,
      code: 'cron_missing',
      hint: elsewhere
        ? `schedule there by hand with cron.schedule_in_database(…, ${pastedLiteral(here)}), or run absurdctl cleanup from a system's cron`
        : 'create extension pg_cron, after adding it to shared_preload_libraries; or run absurdctl cleanup from a system’s cron',
    },
  );
}
