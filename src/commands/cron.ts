import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { CliError, exit, usageError } from '../lib/cli/errors.js';
import type { Rendering } from '../lib/cli/output.js';
import { disableCron, enableCron, findCron, remoteJobs, type CronJob, type CronPlace } from '../sql/cron.js';
import { counted } from '../lib/cli/format/text.js';
import { command, hint } from '../lib/cli/hint.js';

const schedule = (description: string) => Flags.string({ helpValue: 'CRON', description });

interface CronJobs {
  enabled: boolean;
  jobs: CronJob[];
}

export default class Cron extends BaseCommand<CronJobs> {
  static override summary = 'Schedule maintenance with pg_cron, or stop it';
  static override description =
    "For one queue with -q, otherwise for all queues. The jobs follow each queue's policy. Needs the extension pg_cron in this database.";
  static override examples = ['<%= config.bin %> cron --enable', '<%= config.bin %> cron --disable -q mail'];
  static override flags = {
    ...changeFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'only this queue' }),
    enable: Flags.boolean({ description: 'create the jobs, or replace them', exclusive: ['disable'] }),
    disable: Flags.boolean({ description: 'remove the jobs' }),
    'partition-schedule': schedule('when to create partitions; default 5 * * * *'),
    'cleanup-schedule': schedule('when to delete finished tasks; default 17 * * * *'),
    'detach-schedule': schedule('when to detach partitions; default 29 * * * *'),
  };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'operator',
    samples: [
      { words: '--enable -q <queue>', only: 'cron' },
      { words: '--disable -q <queue>', only: 'cron' },
    ],
  };

  async execute(): Promise<CronJobs> {
    const { flags } = await this.parse(Cron);
    if (flags.enable === flags.disable)
      throw usageError('Give exactly one of --enable and --disable', command('cron', { help: true }));
    const schedules = {
      partitions: flags['partition-schedule'],
      cleanup: flags['cleanup-schedule'],
      detach: flags['detach-schedule'],
    };
    const useless = flags.disable && Object.values(schedules).some((value) => value !== undefined);
    if (useless) throw usageError('Schedules mean nothing with --disable');
    const queue = flags.queue ?? null;
    const place = await this.read(findCron);
    if (!place.usable) throw missing(place, flags.enable ? remoteJobs(place.database, queue, schedules) : []);
    const jobs = await this.write((db) => (flags.enable ? enableCron(db, queue, schedules) : disableCron(db, queue)));
    return { enabled: flags.enable, jobs };
  }

  render({ enabled, jobs }: CronJobs): Rendering {
    const what = counted(jobs.length, 'job');
    return {
      note: enabled ? `pg_cron runs ${what}` : `Removed ${what}`,
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

const without = hint`or have a system's cron run ${command('maintain')}, which does once what the jobs do`;

/** Says what pg_cron lacks, and how to provide it. `jobs` are the statements to run in its own database. */
function missing(
  { here, available, home, settings_visible: settingsVisible, database, role }: CronPlace,
  jobs: string[],
): CliError {
  const fail = (message: string, advice: string): CliError =>
    new CliError(message, { exitCode: exit.failed, code: 'cron_missing', hint: hint`${advice}; ${without}` });
  const there =
    jobs.length === 0
      ? 'its jobs are removed there, with cron.unschedule'
      : `run there: ${jobs.join(' ').replace(/;$/, '')}`;
  const load =
    'add pg_cron to shared_preload_libraries, set cron.database_name to this database and restart the server';
  if (here) {
    // The base says which grant gives it.
    return new CliError(`Role "${role}" may not use pg_cron in database "${database}"`, { code: 'not_permitted' });
  }
  if (!available) {
    return fail(
      'pg_cron is not available: this server does not have it',
      `install it (Debian: postgresql-15-cron, the number being the server's), ${load}`,
    );
  }
  if (home === database)
    return fail(`pg_cron is not in database "${database}" yet`, 'create extension pg_cron, as a superuser');
  if (home !== null) return fail(`pg_cron is installed in database "${home}", not in "${database}"`, there);
  if (settingsVisible) return fail('pg_cron is not available: this server has it and has not loaded it', load);
  return fail(
    `pg_cron is not in database "${database}", and the server does not show role "${role}" where it is installed`,
    `a superuser sees it (show cron.database_name). Here: create extension pg_cron. Elsewhere: ${there}. Nowhere: ${load}`,
  );
}
