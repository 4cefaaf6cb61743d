/** Starts the dashboard's server and stops it again. */
import type { AddressInfo } from 'node:net';
import type { Database } from '../connection/database.js';
import { CliError, errorCode, exit } from '../cli/errors.js';
import type { Place } from '../cli/hint.js';
import { DashboardApp } from './app.js';
import { createAdaptorServer } from './hono.js';
import type { Listening } from './options.js';
import { loadPages, packageVersion } from './pages.js';
import { SharedReader } from './shared-reader.js';

export interface DashboardSettings extends Listening {
  allowActions: boolean;
  /** The name of the database, for the pages' heading. */
  database: string;
  place: Place;
  open(): Promise<Database>;
  explain(error: unknown, database: Database | undefined): Promise<CliError>;
  now(): Date;
  env: NodeJS.ProcessEnv;
  roundMs?: number;
}

export interface RunningDashboard {
  port: number;
  /** The address to open, with the token. */
  url: string;
  /** Questions that went to the database. */
  asked(): number;
  close(): Promise<void>;
}

/** A request has so long to arrive, so that open connections cannot pile up. */
const requestTimeoutMs = 30_000;

export async function serveDashboard(settings: DashboardSettings): Promise<RunningDashboard> {
  const { address, basePath, token } = settings;
  const pages = loadPages(basePath);
  const reader = new SharedReader(settings.open, settings.explain);
  const slow = new SharedReader(settings.open, settings.explain);
  const served: { app?: DashboardApp } = {};
  const server = createAdaptorServer({
    fetch: (request, env) => served.app?.fetch(request, env) ?? new globalThis.Response(null, { status: 503 }),
    serverOptions: { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs },
  });
  const port = await listen(server, address, settings.port);
  const app = new DashboardApp({
    ...settings,
    port,
    pages,
    reader,
    slow,
    version: packageVersion(),
    write: (work) => writing(settings, work),
  });
  served.app = app;
  const shown = address.includes(':') ? `[${address}]` : address;
  return {
    port,
    url: `http://${shown}:${port}${basePath}/?token=${encodeURIComponent(token)}`,
    asked: () => reader.asked + slow.asked,
    async close() {
      app.hub.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      if ('closeAllConnections' in server) server.closeAllConnections();
      await closed;
      await Promise.all([reader.close(), slow.close()]);
    },
  };
}

async function listen(server: ReturnType<typeof createAdaptorServer>, address: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => resolve());
  }).catch((error: unknown) => {
    const reasons: Record<string, string> = {
      EADDRINUSE: `Port ${port} of ${address} is in use`,
      EACCES: `Port ${port} of ${address} needs more rights`,
      EADDRNOTAVAIL: `This machine has no address ${address}`,
    };
    const reason = reasons[errorCode(error) ?? ''] ?? (error instanceof Error ? error.message : String(error));
    throw new CliError(reason, { exitCode: exit.failed, code: 'cannot_listen', hint: '--port 0 takes any free port' });
  });
  return (server.address() as AddressInfo).port;
}

/** An action gets a connection of its own: it may wait for a lock, and no page must wait with it. */
async function writing<T>(settings: DashboardSettings, work: (database: Database) => Promise<T>): Promise<T> {
  let database: Database | undefined;
  try {
    database = await settings.open();
    return await work(database);
  } catch (error) {
    throw await settings.explain(error, database);
  } finally {
    await database?.close();
  }
}
