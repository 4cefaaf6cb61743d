/**
 * One connection that all browsers read through. Questions wait in line; the same question asked twice, or again within a
 * moment, is asked of the database once. So the number of browsers does not matter to it.
 */
import type { Database } from '../connection/database.js';
import { CliError, exit, toCliError } from '../cli/errors.js';

export interface Answer<T> {
  value: T;
  /** When the reading began and how long it took, on the process's own clock, in milliseconds. */
  at: number;
  tookMs: number;
}

/** Questions in line; more are refused. */
const longestLine = 200;
/** Answers that are kept. */
const kept = 200;

export class SharedReader {
  private database: Promise<Database> | undefined;
  private line: Promise<unknown> = Promise.resolve();
  private waiting = 0;
  private closed = false;
  private readonly answers = new Map<string, Promise<Answer<unknown>>>();
  private readonly settled = new Map<string, Answer<unknown>>();
  /** Questions that went to the database. */
  asked = 0;

  constructor(
    private readonly open: () => Promise<Database>,
    private readonly explain: (error: unknown, database: Database | undefined) => Promise<CliError>,
  ) {}

  /** The answer to `key`, no older than `maxAgeMs`. Raises CliError. */
  async ask<T>(key: string, maxAgeMs: number, work: (database: Database) => Promise<T>): Promise<Answer<T>> {
    const held = this.settled.get(key);
    if (held !== undefined && performance.now() - held.at <= maxAgeMs) return held as Answer<T>;
    const under = this.answers.get(key);
    if (under !== undefined) return under as Promise<Answer<T>>;
    if (this.waiting >= longestLine)
      throw new CliError('Too many questions are waiting for the database', {
        code: 'busy',
        exitCode: exit.unreachable,
      });
    const answer = this.inLine(work);
    this.answers.set(key, answer);
    try {
      const done = await answer;
      this.settled.delete(key);
      this.settled.set(key, done);
      for (const old of this.settled.keys()) if (this.settled.size > kept) this.settled.delete(old);
      return done;
    } finally {
      this.answers.delete(key);
    }
  }

  /** Forgets what is known: something was changed. */
  forget(): void {
    this.settled.clear();
  }

  async close(): Promise<void> {
    this.closed = true;
    const database = await this.database?.catch(() => undefined);
    this.database = undefined;
    await database?.close();
  }

  private inLine<T>(work: (database: Database) => Promise<T>): Promise<Answer<T>> {
    this.waiting++;
    const turn = this.line.then(async () => {
      const at = performance.now();
      this.asked++;
      const value = await this.withDatabase(work);
      return { value, at, tookMs: performance.now() - at };
    });
    this.line = turn.then(
      () => void this.waiting--,
      () => void this.waiting--,
    );
    return turn;
  }

  private async withDatabase<T>(work: (database: Database) => Promise<T>): Promise<T> {
    if (this.closed) throw new CliError('The dashboard is stopping', { code: 'stopping', exitCode: exit.unreachable });
    let database: Database | undefined;
    try {
      this.database ??= this.open();
      database = await this.database;
      return await work(database);
    } catch (error) {
      const lost = database === undefined || toCliError(error).exitCode === exit.unreachable;
      const explained = await this.explain(error, lost ? undefined : database);
      if (lost) {
        // The next question connects again.
        this.database = undefined;
        await database?.close().catch(() => undefined);
      }
      throw explained;
    }
  }
}
