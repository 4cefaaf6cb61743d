import type { SdkDatabase } from '../sql/sdk.js';
import { isAbortedTransaction, isConflict } from './errors.js';
import { pause } from './timing.js';

/** How long a statement is sent again after conflicts with other transactions. */
const conflictPatienceMs = 15_000;
const longestConflictPauseMs = 250;

const known = new WeakMap<object, Statements>();

/**
 * The program's own object with `query`, as the SDK uses it. A statement that the server undid for the sake of another transaction
 * (40001, 40P01) is sent again: under `default_transaction_isolation = serializable` that is part of everyday life. Statements
 * through a single `pg.Client` go out one after another.
 */
export class Statements implements SdkDatabase {
  private readonly oneAtATime: boolean;
  private last: Promise<unknown> = Promise.resolve();

  private constructor(private readonly con: SdkDatabase) {
    this.oneAtATime = 'processID' in con;
  }

  /** The same for each client that shares the connection. */
  static over(con: SdkDatabase): Statements {
    if (con instanceof Statements) return con;
    const statements = known.get(con) ?? new Statements(con);
    known.set(con, statements);
    return statements;
  }

  async query(...statement: [text: string, values?: unknown[]]): Promise<{ rows: unknown[] }> {
    const giveUpAtMs = Date.now() + conflictPatienceMs;
    let conflict: unknown;
    for (let longestPauseMs = 4; ; longestPauseMs = Math.min(longestPauseMs * 2, longestConflictPauseMs)) {
      try {
        return withRows(await this.send(statement));
      } catch (error) {
        // Within a transaction of the caller's only the caller can begin again, and needs to know of the conflict.
        if (conflict !== undefined && isAbortedTransaction(error)) throw conflict;
        if (!isConflict(error) || Date.now() > giveUpAtMs) throw error;
        conflict = error;
      }
      // By chance, so that those in conflict do not meet again.
      await pause(Math.random() * longestPauseMs);
    }
  }

  private send(statement: [text: string, values?: unknown[]]): Promise<{ rows: unknown[] }> {
    if (!this.oneAtATime) return this.con.query(...statement);
    const sent = this.last.then(() => this.con.query(...statement)).catch(explainLostClient);
    this.last = sent.catch(() => undefined);
    return sent;
  }
}

function explainLostClient(error: unknown): never {
  if (!(error instanceof Error) || !/is not queryable/.test(error.message)) throw error;
  throw new Error(
    'The connection that was given as db is lost, and a single client cannot connect again: ' +
      'give the SDK a pool or a connection string',
    { cause: error },
  );
}

function withRows(result: { rows: unknown[] }): { rows: unknown[] } {
  if (!Array.isArray(result)) return result;
  throw new Error(
    'The query method of the db object returned an array of rows; the SDK expects { rows }. ' +
      'Wrap it: { query: async (text, values) => ({ rows: await sql.unsafe(text, values) }) }',
  );
}
