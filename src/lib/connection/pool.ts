import pg from 'pg';
import type { Connected } from '../../connection/connect.js';
import { ConnectionPool } from '../../connection/pool.js';
import type { Settings } from '../../connection/settings.js';
import { isConnectionLoss } from '../../sdk/errors.js';
import { CliError } from '../cli/errors.js';
import type { Io } from '../cli/io.js';
import { connect } from './connect.js';

/** Connections for a worker, made as a command connects. Values come as the driver parses them, which is what handlers expect. */
export class WorkerPool {
  private constructor(
    private readonly settings: Settings,
    private readonly pool: ConnectionPool,
  ) {}

  /** Connects once, so that a wrong address is reported at the start. Raises CliError with exit code 5. */
  static async open(settings: Settings, io: Io, max = 10): Promise<WorkerPool> {
    // A worker that is told to stop still has results to store: its connections do not listen for Ctrl-C.
    const quiet = Object.create(io, { onInterrupt: { value: () => () => undefined } }) as Io;
    const dial = (): Promise<Connected> =>
      connect(settings, quiet).catch((error: unknown) => {
        // The SDK knows a lost connection by the driver's own error.
        throw error instanceof CliError && error.cause instanceof Error ? error.cause : error;
      });
    const pool = new ConnectionPool({ dial, max, isLoss: isConnectionLoss, types: pg.types });
    pool.adopt(await connect(settings, io));
    return new WorkerPool(settings, pool);
  }

  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> {
    return this.pool.query(text, values);
  }

  /** The address of the server in use, for a listener of its own. Holds the password. */
  listenUrl(): string | undefined {
    const held = this.pool.next;
    if (held === undefined) return undefined;
    const { settings } = this;
    const encrypted = 'encrypted' in (held.client as unknown as { connection: { stream: object } }).connection.stream;
    const named: Record<string, string | undefined> = {
      host: held.at.host,
      hostaddr: held.at.address,
      port: String(held.at.port),
      sslmode: encrypted ? (settings.sslMode.startsWith('verify') ? settings.sslMode : 'require') : 'disable',
      sslrootcert: settings.sslRootCert,
      sslcert: settings.sslCert,
      sslkey: settings.sslKey,
      sslpassword: settings.sslPassword,
      sslcrl: settings.sslCrl,
      options: settings.options,
      application_name: settings.applicationName,
    };
    const given = Object.entries(named).filter((pair): pair is [string, string] => pair[1] !== undefined);
    const parameters = given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
    const password = held.client.password ? `:${encodeURIComponent(held.client.password)}` : '';
    const user = encodeURIComponent(settings.user);
    return `postgresql://${user}${password}@/${encodeURIComponent(settings.database)}?${parameters}`;
  }

  close(): Promise<void> {
    return this.pool.end();
  }
}
