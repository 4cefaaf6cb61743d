import { pastedLiteral } from './identifiers.js';
import type { Queryable } from './queryable.js';

export interface CronJob {
  job_name: string;
  job_id: number;
}

export interface CronSchedules {
  partitions?: string;
  cleanup?: string;
  detach?: string;
}

/** Creates the jobs of one queue, or of all (null). Raises 0A000 if pg_cron is missing. */
export async function enableCron(db: Queryable, queue: string | null, schedules: CronSchedules): Promise<CronJob[]> {
  const given: [string, string | undefined][] = [
    ['p_partition_schedule', schedules.partitions],
    ['p_cleanup_schedule', schedules.cleanup],
    ['p_detach_schedule', schedules.detach],
  ];
  const named = given.filter(([, value]) => value !== undefined);
  const list = ['p_queue_name => $1', ...named.map(([name], i) => `${name} => $${i + 2}`)].join(', ');
  const { rows } = await db.query<CronJob>(`select job_name, job_id from absurd.enable_cron(${list})`, [
    queue,
    ...named.map(([, value]) => value),
  ]);
  return rows;
}

/** Removes the jobs of one queue, or those for all (null). */
export async function disableCron(db: Queryable, queue: string | null): Promise<CronJob[]> {
  const { rows } = await db.query<CronJob>('select job_name, job_id from absurd.disable_cron($1)', [queue]);
  return rows;
}

/** Where pg_cron is, as far as this database can tell. */
export interface CronPlace {
  /** It is in this database, and this role may use it. */
  usable: boolean;
  /** It is in this database. */
  here: boolean;
  /** The server has its files: it could be created in its home. */
  available: boolean;
  /** The one database whose jobs it runs; null if the server has not loaded it, or hides the setting from this role. */
  home: string | null;
  /** Whether this role can see such settings. */
  settings_visible: boolean;
  database: string;
  role: string;
}

/** Reads the catalogs: a name lookup raises an error if the role may not use the schema. */
export async function findCron(db: Queryable): Promise<CronPlace> {
  const { rows } = await db.query<CronPlace>(
    `select c.oid is not null and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as usable,
            c.oid is not null as here,
            exists (select 1 from pg_available_extensions x where x.name = 'pg_cron') as available,
            (select s.setting from pg_settings s where s.name = 'cron.database_name') as home,
            pg_has_role('pg_read_all_settings', 'usage') as settings_visible,
            current_database()::text as database, current_user::text as role
       from (select 1) one
       left join pg_namespace n on n.nspname = 'cron'
       left join pg_class c on c.relnamespace = n.oid and c.relname = 'job'`,
  );
  if (!rows[0]) throw new Error('the server returned no row');
  return rows[0];
}

/**
 * Statements that schedule the jobs of a database in the pg_cron of another one, to be run there: its chores for one
 * queue or for all. Planning to detach partitions is not included: that job creates others in its own database.
 */
export function remoteJobs(database: string, queue: string | null, schedules: CronSchedules): string[] {
  const argument = queue === null ? '' : pastedLiteral(queue);
  const jobs: [string, string, string][] = [
    ['partitions', schedules.partitions ?? '5 * * * *', `select absurd.ensure_partitions(${argument})`],
    ['cleanup', schedules.cleanup ?? '17 * * * *', `select * from absurd.cleanup_all_queues(${argument})`],
  ];
  return jobs.map(([name, schedule, command]) => {
    const values = [`absurd_${name}_${database}${queue === null ? '' : `_${queue}`}`, schedule, command, database];
    return `select cron.schedule_in_database(${values.map(pastedLiteral).join(', ')});`;
  });
}
