import { connect as openSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { hangUp } from '../../connection/connect.js';
import type { Host, Settings } from '../../connection/settings.js';
import { rangesOnly } from '../../sql/bounded.js';
import type { Queryable } from '../../sql/queryable.js';
import { plainNames, plainText } from '../../sql/session.js';
import { errorCode, interrupted } from '../cli/errors.js';
import type { Io } from '../cli/io.js';
import { connect } from './connect.js';
import { losslessTypes } from './types.js';

/** How long a statement that only reads may take. */
const readTimeoutMs = 30_000;

/** How long it may wait for a table that another session has locked. */
const readLockTimeoutMs = 5000;

const readLimits = (statementTimeoutMs: number): TransactionLimits => ({
  statementTimeoutMs,
  lockTimeoutMs: readLockTimeoutMs,
});

/** Whatever the database makes its default: in another isolation, statements that wait for a lock fail with 40001. */
const isolation = 'set transaction isolation level read committed';

/** How often a statement is sent that loses against other sessions. */
const maxTries = 8;

export interface TransactionLimits {
  /** Milliseconds; 0 or absent: the server's own setting. */
  statementTimeoutMs?: number;
  lockTimeoutMs?: number;
}

/** What a transaction changed, for the row of the operation. */
export interface Touched {
  queue?: string;
  /** Ids of tasks. */
  tasks?: readonly string[];
  /** Tasks in all; absent: those that are named. */
  count?: number;
}

/** Writes down what transactions change, in the same transactions. */
export interface Recorder {
  /** Before the work. Raises where the work must not be done without a row. */
  begin(db: Queryable): Promise<void>;
  /** After the work; the function that it returns is called after the commit. `touched` is undefined where the work does not say. */
  end(db: Queryable, touched: readonly Touched[] | undefined): Promise<() => void>;
}

export interface WriteOptions<T> extends TransactionLimits {
  /** What the work changed, by its result; an empty list where it changed nothing. */
  touched?: (result: T) => Touched | readonly Touched[];
}

/**
 * One connection of a command. It keeps nothing in the session: limits are `set local` inside a transaction, so it works
 * through a pooler in transaction mode. Ctrl-C cancels the statement under way on the server.
 */
export class Database implements Queryable {
  private stopped = false;
  private inside = false;
  private limitMs = 0;
  private failedLimitMs = 0;
  /** Called for every transaction that may write. */
  recorder: Recorder | undefined;
  private readonly unwatch: () => void;

  private constructor(
    private readonly client: pg.Client,
    private readonly at: Host,
    io: Io,
  ) {
    this.unwatch = io.onInterrupt(() => this.interrupt());
  }

  static async open(settings: Settings, io: Io): Promise<Database> {
    const { client, at } = await connect(settings, io, losslessTypes);
    return new Database(client, at, io);
  }

  /**
   * Outside `read` and `transaction`, a statement is a transaction of its own. One that lost against another session (the
   * database may ask for serializable transactions) is sent again.
   */
  async query<T extends object>(sql: string, values?: unknown[]): Promise<{ rows: T[]; rowCount: number | null }> {
    for (let tries = 1; ; tries += 1) {
      if (this.stopped) throw interrupted();
      try {
        const { rows, rowCount } = await this.client.query<T>(sql, values);
        this.follow(sql);
        return { rows, rowCount };
      } catch (error) {
        this.failedLimitMs = this.limitMs;
        if (this.stopped) throw interrupted();
        const lost = ['40001', '40P01'].includes(errorCode(error) ?? '');
        if (!lost || this.inside || tries >= maxTries) throw error;
        await sleep(10 * tries * (1 + Math.random()));
      }
    }
  }

  /** Keeps in mind whether a transaction is open. */
  private follow(sql: string): void {
    if (/^begin\b/.test(sql)) this.inside = true;
    else if (/^(commit|rollback)$/.test(sql)) this.inside = false;
  }

  /** Runs `work` in a read-only transaction with a statement timeout (30 s unless given) and a lock timeout. Do not nest. */
  async read<T>(work: (db: Queryable) => Promise<T>, timeoutMs = readTimeoutMs): Promise<T> {
    return this.inTransaction(`begin read only; ${plainNames}`, readLimits(timeoutMs), work);
  }

  /** As `read`, with a planner that walks ranges of indexes and does not read whole tables, whatever it expects there. */
  async readRanges<T>(work: (db: Queryable) => Promise<T>, timeoutMs = readTimeoutMs): Promise<T> {
    return this.inTransaction(`begin read only; ${plainNames}; ${rangesOnly}`, readLimits(timeoutMs), work);
  }

  /** Runs `work` in a transaction: committed when it returns, rolled back when it throws. Do not nest. */
  async transaction<T>(work: (db: Queryable) => Promise<T>, { touched, ...limits }: WriteOptions<T> = {}): Promise<T> {
    const { recorder } = this;
    if (recorder === undefined) return this.inTransaction('begin', limits, work);
    let committed: () => void = () => undefined;
    const result = await this.inTransaction('begin', limits, async (db) => {
      await recorder.begin(db);
      const done = await work(db);
      committed = await recorder.end(db, touched && [touched(done)].flat());
      return done;
    });
    committed();
    return result;
  }

  /** Whether the statement that failed last was under a time limit that we set, not only under the session's own. */
  get stoppedByOwnLimit(): boolean {
    return this.failedLimitMs > 0;
  }

  /** Notices of the server, such as those that an installation raises. */
  onNotice(listener: (message: string) => void): void {
    this.client.on('notice', (notice) => listener(notice.message ?? ''));
  }

  /** Calls back for each notification of a channel that `listen` was said for, in this session. */
  onNotification(listener: (channel: string, payload: string) => void): void {
    this.client.on('notification', ({ channel, payload }) => listener(channel, payload ?? ''));
  }

  async close(): Promise<void> {
    this.unwatch();
    await this.client.end().catch(() => undefined);
  }

  private async inTransaction<T>(
    begin: string,
    { statementTimeoutMs = 0, lockTimeoutMs = 0 }: TransactionLimits,
    work: (db: Queryable) => Promise<T>,
  ): Promise<T> {
    const limits = [
      ...(statementTimeoutMs ? [`set local statement_timeout = ${Math.ceil(statementTimeoutMs)}`] : []),
      ...(lockTimeoutMs ? [`set local lock_timeout = ${Math.ceil(lockTimeoutMs)}`] : []),
    ];
    // One round trip.
    await this.query([begin, isolation, plainText, ...limits].join('; '));
    this.limitMs = statementTimeoutMs;
    try {
      const result = await work(this);
      await this.query('commit');
      return result;
    } catch (error) {
      await this.client.query('rollback').catch(() => undefined);
      this.inside = false;
      throw error;
    } finally {
      this.limitMs = 0;
    }
  }

  /** Asks the server to cancel the statement under way; when it does not within two seconds, hangs up. */
  private interrupt(): void {
    this.stopped = true;
    const { processID, secretKey } = this.client as unknown as { processID: number | null; secretKey: number };
    const end = (): void => hangUp(this.client);
    if (processID === null) return end();
    const request = Buffer.alloc(16);
    [16, 80_877_102, processID, secretKey].forEach((word, i) => request.writeInt32BE(word, i * 4));
    const { host, port, address } = this.at;
    const socket = host.startsWith('/') ? openSocket(`${host}/.s.PGSQL.${port}`) : openSocket(port, address ?? host);
    socket.on('error', end).once('connect', () => socket.end(request));
    setTimeout(end, 2000).unref();
  }
}
