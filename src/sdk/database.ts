/** Connections that the SDK opens: addresses mean the same as on the command line. */
import type pg from 'pg';
import { connect, DialError, type Connected } from '../connection/connect.js';
import { ConnectionError } from '../connection/errors.js';
import { ConnectionPool } from '../connection/pool.js';
import { parseAddress, resolveSettings } from '../connection/resolve.js';
import type { EmbeddedFinder, Settings, Environment } from '../connection/settings.js';
import { isConnectionLoss } from './errors.js';
import type { Log, Queryable } from './types.js';

/** Loaded when a folder has an embedded server or an `embedded:` address is given. */
const embedded: EmbeddedFinder = {
  find: async (cwd) => (await import('./embedded.js')).findEmbedded(cwd),
  ensure: async (folder, cwd) => (await import('./embedded.js')).ensureEmbedded(folder, cwd),
};

/** A socket folder, with a database after a blank, as the driver reads it. */
function asKeywords(text: string): string {
  const [, folder = '', database] = /^(\/\S*)(?:\s+(.*))?$/s.exec(text) ?? [];
  const quote = (value: string): string => `'${value.replace(/['\\]/g, '\\$&')}'`;
  return `host=${quote(folder)}${database ? ` dbname=${quote(database)}` : ''}`;
}

/** The error with its hint: a program has no other place to show it. */
function explained(error: unknown): unknown {
  if (error instanceof DialError) return explained(error.cause);
  if (!(error instanceof ConnectionError) || error.hint === undefined) return error;
  return Object.assign(new Error(`${error.message}. Hint: ${error.hint}`), { code: error.code });
}

/** The target of a client: the given text, or the environment and the folder at the time of its creation. */
export class Address {
  private readonly environment: Environment;
  private readonly text: string | undefined;
  private settings: Promise<Settings> | undefined;

  /** @throws where the text cannot be read as an address */
  constructor(
    given: string | undefined,
    private name: string,
    private readonly note: (text: string) => void = () => undefined,
  ) {
    this.environment = { env: { ...process.env }, cwd: process.cwd() };
    this.text = given?.startsWith('/') ? asKeywords(given) : given || undefined;
    const { ABSURD_DATABASE_URL: url, PGDATABASE: database } = this.environment.env;
    const named = this.text ?? (url || database || '');
    if (named.startsWith('embedded:')) return;
    try {
      parseAddress(named);
    } catch (error) {
      throw explained(error);
    }
  }

  /** Name of new sessions, unless the address or PGAPPNAME sets another. */
  get sessionName(): string {
    return this.name;
  }

  set sessionName(name: string) {
    this.name = name;
    this.settings = undefined;
  }

  /**
   * Makes one connection.
   * @throws the driver's or the server's own error, so that a lost server is known by it
   */
  async connect(longestSeconds = Infinity): Promise<Connected> {
    const { environment, note, name: applicationName } = this;
    this.settings ??= resolveSettings({ database: this.text }, { ...environment, applicationName }, embedded);
    try {
      const settings = await this.settings;
      const seconds = Math.min(settings.connectTimeoutSeconds || Infinity, longestSeconds);
      const connectTimeoutSeconds = Number.isFinite(seconds) ? seconds : 0;
      return await connect({ ...settings, connectTimeoutSeconds }, { env: environment.env, note });
    } catch (error) {
      // An embedded server may come back on another port.
      this.settings = undefined;
      throw explained(error);
    }
  }
}

export interface OwnPool extends Queryable {
  query(text: string, values?: unknown[]): Promise<pg.QueryResult>;
  end(): Promise<void>;
  /** Sets the name of new sessions. */
  sessionName: string;
}

/** The driver's own defaults. */
const max = 10;
const idleMs = 10_000;

/**
 * A pool that survives the loss of idle connections: the next query makes a new one.
 * @param name what its sessions are called, unless the address or PGAPPNAME says otherwise
 */
export function openPool(given: string | undefined, log: Log, name: string): OwnPool {
  const address = new Address(given, name, (text) => log.warn(text));
  const pool = new ConnectionPool({
    dial: () => address.connect(),
    max,
    idleMs,
    isLoss: isConnectionLoss,
    onLost: (error) => log.warn(`lost an idle database connection: ${error.message}`),
  });
  return Object.defineProperty(pool as ConnectionPool & { sessionName: string }, 'sessionName', {
    get: () => address.sessionName,
    set: (value: string) => (address.sessionName = value),
  });
}
