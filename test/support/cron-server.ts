import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { startOwnServer } from './own-server.js';
import type { TestServer } from './server.js';

/** The programs of a PostgreSQL of this system that has pg_cron: the newest in Debian's place, or where the variable says. */
export function findCronServer(): { bin: string; major: number } | undefined {
  const home = '/usr/lib/postgresql';
  const named = process.env['ABSURD_TEST_PG_CRON_BIN'];
  if (named) return { bin: named, major: Number(process.env['ABSURD_TEST_PG_CRON_MAJOR'] ?? 15) };
  const majors = existsSync(home) ? readdirSync(home).map(Number).filter(Number.isInteger) : [];
  const major = majors
    .sort((a, b) => b - a)
    .find(
      (one) =>
        existsSync(join(home, String(one), 'lib', 'pg_cron.so')) &&
        existsSync(join(home, String(one), 'bin', 'initdb')),
    );
  return major === undefined ? undefined : { bin: join(home, String(major), 'bin'), major };
}

/** Starts it with pg_cron at home in `database`, jobs run by its background workers: no password is needed for them. */
export async function startCronServer(database: string): Promise<TestServer> {
  const found = findCronServer();
  if (!found) throw new Error('there is no PostgreSQL with pg_cron here');
  const binaries = {
    initdb: join(found.bin, 'initdb'),
    postgres: join(found.bin, 'postgres'),
    version: `${found.major}.0.0`,
    major: found.major,
  };
  return startOwnServer(binaries, {
    shared_preload_libraries: 'pg_cron',
    'cron.database_name': database,
    'cron.use_background_workers': 'on',
    max_worker_processes: '20',
    max_connections: '50',
  });
}
