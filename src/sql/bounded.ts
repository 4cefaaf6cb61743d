import type { Queryable } from './queryable.js';
import { plainNames, plainText } from './session.js';

/** A question that got no answer within its bounds, and why. */
export interface Unread {
  what: string;
  reason: string;
  /** SQLSTATE of the refusal. */
  code: string;
}

export interface Bounds {
  /** Longest time for one statement. */
  timeoutMs: number;
  /** Longest wait for a lock that another session holds. */
  lockTimeoutMs: number;
}

const defaultBounds: Bounds = { timeoutMs: 5000, lockTimeoutMs: 1000 };

/**
 * What one statement may be refused for while the others still make sense: a lock not granted, a missing privilege, a table,
 * column or function that this schema does not have, a function that does not apply, a feature that the server lacks.
 */
const bearable = new Set([
  '55P03',
  '42501',
  '42P01',
  '42703',
  '42883',
  '42704',
  '3F000',
  '22023',
  '0A000',
  '55000',
  'XX000',
]);

/**
 * Every question is made to be answered by walking a range of an index until a limit. The planner may take a limit for a
 * licence to read the table from its start, where the wanted rows can be at its end, or build a bitmap or a hash of
 * everything first: what is cheap on average and endless at worst is no way to look at a database in trouble.
 */
export const rangesOnly = ['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'jit']
  .map((setting) => `set local ${setting} = off`)
  .join('; ');

/**
 * Asks one bounded question after another, over one connection (a pool would scatter the transaction). All of them see the same instant (repeatable read), none can write, each has a
 * statement timeout of its own; timeouts are local to the transaction, so a transaction pooler is no hindrance.
 * An answer of `null` means that the question could not be answered, and `unread` then says why.
 */
export class BoundedReader {
  readonly unread: Unread[] = [];
  private open = false;

  constructor(
    private readonly db: Queryable,
    private readonly bounds: Bounds = defaultBounds,
  ) {}

  /** Raises what is not about bounds: a lost connection, an interruption, a mistake in the statement. */
  async rows<T extends object>(what: string, text: string, values: unknown[] = []): Promise<T[] | null> {
    await this.begin();
    const startedAt = performance.now();
    try {
      return (await this.db.query<T>(text, values)).rows;
    } catch (error) {
      this.open = false;
      await this.db.query('rollback');
      const code = sqlState(error);
      const timedOut = code === '57014' && performance.now() - startedAt >= this.bounds.timeoutMs * 0.9;
      if (!timedOut && !bearable.has(code)) throw error;
      this.unread.push({ what, code, reason: error instanceof Error ? error.message : String(error) });
      return null;
    }
  }

  /** Like `rows`, for a question with one row for an answer. */
  async row<T extends object>(what: string, text: string, values: unknown[] = []): Promise<T | null> {
    return (await this.rows<T>(what, text, values))?.[0] ?? null;
  }

  /** Ends the transaction; to be called when the last question is answered, also after an error. */
  async close(): Promise<void> {
    if (!this.open) return;
    this.open = false;
    await this.db.query('commit');
  }

  private async begin(): Promise<void> {
    if (this.open) return;
    const { timeoutMs, lockTimeoutMs } = this.bounds;
    await this.db.query(
      `begin isolation level repeatable read read only;
       set local statement_timeout = ${Math.ceil(timeoutMs)}; set local lock_timeout = ${Math.ceil(lockTimeoutMs)};
       ${plainText}; ${plainNames}; ${rangesOnly}`,
    );
    this.open = true;
  }
}

/** Gives `work` a reader and ends its transaction, whatever happens. */
export async function readBounded<T>(
  db: Queryable,
  bounds: Partial<Bounds>,
  work: (reader: BoundedReader) => Promise<T>,
): Promise<T> {
  const reader = new BoundedReader(db, { ...defaultBounds, ...bounds });
  try {
    const result = await work(reader);
    await reader.close();
    return result;
  } catch (error) {
    // The first error is the one to hear of; a connection that is gone cannot end its transaction either.
    await reader.close().catch(() => undefined);
    throw error;
  }
}

function sqlState(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

/** A timestamptz expression as milliseconds since 1970, with `Infinity` for `infinity`; null stays null. */
export function ms(expression: string): string {
  return `(extract(epoch from ${expression}) * 1000)::float8`;
}

/** Counts beyond this are given as "at least": the count itself must stay cheap. */
export const COUNT_LIMIT = 10_000;

/** A subquery that counts the rows of `from`, but never reads more than COUNT_LIMIT + 1 of them. */
export function boundedCount(from: string): string {
  return `(select count(*)::int from (select 1 ${from} limit ${COUNT_LIMIT + 1}) as counted)`;
}
