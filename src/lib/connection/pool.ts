import pg from 'pg';
import { isConnectionLoss } from '../../sdk/errors.js';
import { CliError } from '../cli/errors.js';
import type { Io } from '../cli/io.js';
import { connect } from './connect.js';
import type { Host, Settings } from './settings.js';

interface Held {
  client: pg.Client;
  at: Host;
}

/**
 * Connections for a worker, made one by one as they are needed in the way that a command connects (hosts, TLS, password), and
 * made again after a loss. Values come as the driver parses them, which is what handlers expect.
 */
export class WorkerPool {
  private readonly idle: Held[] = [];
  private readonly waiting: ((held: Held | undefined) => void)[] = [];
  private open = 0;
  private closed = false;
  private readonly io: Io;

  private constructor(
    private readonly settings: Settings,
    io: Io,
    private readonly max: number,
  ) {
    // A worker that is told to stop still has results to store: its connections do not listen for Ctrl-C.
    this.io = Object.create(io, { onInterrupt: { value: () => () => undefined } }) as Io;
  }

  /** Connects once, so that a wrong address is reported at the start. Raises CliError with exit code 5. */
  static async open(settings: Settings, io: Io, max = 10): Promise<WorkerPool> {
    const pool = new WorkerPool(settings, io, max);
    const first = await connect(settings, io);
    pool.open = 1;
    pool.release(pool.watched(first));
    return pool;
  }

  async query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> {
    const held = await this.acquire();
    try {
      const { rows } = await held.client.query<Record<string, unknown>>({ text, values, types: pg.types });
      this.release(held);
      return { rows };
    } catch (error) {
      if (isConnectionLoss(error)) this.discard(held);
      else this.release(held);
      throw error;
    }
  }

  /** The address of the server in use, for a listener of its own. Holds the password. */
  listenUrl(): string | undefined {
    const held = this.idle[0];
    if (held === undefined) return undefined;
    const { settings } = this;
    const encrypted = 'encrypted' in (held.client as unknown as { connection: { stream: object } }).connection.stream;
    const strict = ['verify-ca', 'verify-full'].includes(settings.sslMode);
    const parameters = new URLSearchParams({
      host: held.at.host,
      port: String(held.at.port),
      uselibpqcompat: 'true',
      sslmode: encrypted ? (strict ? settings.sslMode : 'require') : 'disable',
      ...(settings.sslRootCert && encrypted ? { sslrootcert: settings.sslRootCert } : {}),
    });
    const password = held.client.password ? `:${encodeURIComponent(held.client.password)}` : '';
    const user = encodeURIComponent(settings.user);
    return `postgresql://${user}${password}@localhost/${encodeURIComponent(settings.database)}?${parameters.toString()}`;
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.all(this.idle.splice(0).map(({ client }) => client.end().catch(() => undefined)));
  }

  private async acquire(): Promise<Held> {
    const ready = this.idle.pop();
    if (ready !== undefined) return ready;
    if (this.open >= this.max) {
      const handed = await new Promise<Held | undefined>((resolve) => this.waiting.push(resolve));
      return handed ?? this.acquire();
    }
    this.open++;
    try {
      return this.watched(await connect(this.settings, this.io));
    } catch (error) {
      this.freeSlot();
      // The SDK knows a lost connection by the driver's own error.
      throw error instanceof CliError && error.cause instanceof Error ? error.cause : error;
    }
  }

  private release(held: Held): void {
    const next = this.waiting.shift();
    if (next) next(held);
    else if (this.closed) void held.client.end().catch(() => undefined);
    else this.idle.push(held);
  }

  /** A connection that breaks while it is idle is taken out. */
  private watched(held: Held): Held {
    held.client.once('end', () => {
      const index = this.idle.indexOf(held);
      if (index < 0) return;
      this.idle.splice(index, 1);
      this.freeSlot();
    });
    return held;
  }

  private discard({ client }: Held): void {
    client.end().catch(() => undefined);
    this.freeSlot();
  }

  private freeSlot(): void {
    this.open--;
    this.waiting.shift()?.(undefined);
  }
}
