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

/** Makes the jobs of one queue, or of all (null). Raises 0A000 where pg_cron is missing. */
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
export async function findCron(db: Queryable): Promise<{ installed: boolean; home: string | null; here: string }> {
  const { rows } = await db.query<{ installed: boolean; home: string | null; here: string }>(
    `select to_regclass('cron.job') is not null as installed, current_setting('cron.database_name', true) as home,
            current_database() as here`,
  );
  return rows[0] ?? { installed: false, home: null, here: '' };
}
