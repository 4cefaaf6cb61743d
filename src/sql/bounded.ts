import type { Queryable } from './queryable.js';
import { plainNames, plainText } from './session.js';

/** A question without an answer, and the reason. */
export interface Unread {
  what: string;
  reason: string;
  /** SQLSTATE of the refusal. */
  code: string;
  /** The blocking session, if known. */
  session?: number;
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
const skippableCodes = new Set([
  '55P03',
  '42501',
  '42P01',
  '42703',
  '42883',
  '42704',
  '3F000',
  '22023',
  '0A000',
  // The server's lock table is full.
  '53200',
  '55000',
  'XX000',
]);

/**
 * Every question is designed to read a range of an index up to a limit. Because of the limit, the planner may choose
 * to read the table from its start, although the wanted rows are at its end, or to build a bitmap or a hash first.
 * Plans that are cheap on average and endless at worst are no use for a database in trouble.
 */
export const rangesOnly = ['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'jit']
  .map((setting) => `set local ${setting} = off`)
  .join('; ');

/** After one lock timeout, shorter waits follow: other locks of the same session would cost the same wait again. */
const impatientLockTimeoutMs = 100;

/** Locks that one transaction may hold: tables, partitions and indexes. A server's lock table has room for some thousands. */
const LOCKS = 400;

/** One target of a batch: its name, and how many locks it takes to read it. */
export interface Readable {
  what: string;
  locks: number;
}

/**
 * Asks one bounded question after another, over one connection (a pool would scatter the transaction). Questions between two
 * calls of `pause` see the same instant (repeatable read), none can write, each has a statement timeout of its own; timeouts
 * are local to the transaction, so a transaction pooler is no hindrance.
 * An answer of `null` means that the question could not be answered, and `unread` then says why.
 */
export class BoundedReader {
  readonly unread: Unread[] = [];
  /** The planner settings of the open transaction; null: none is open. */
  private open: 'ranges' | 'catalogs' | null = null;
  private impatient = false;

  constructor(
    private readonly db: Queryable,
    private readonly bounds: Bounds = defaultBounds,
  ) {}

  /** Raises all other errors: a lost connection, an interruption, a mistake in the statement. */
  async rows<T extends object>(
    what: string,
    text: string,
    values: unknown[] = [],
    of: 'ranges' | 'catalogs' = 'ranges',
  ): Promise<T[] | null> {
    if (this.open !== of) await this.begin(of);
    const startedAt = performance.now();
    try {
      return (await this.db.query<T>(text, values)).rows;
    } catch (error) {
      this.open = null;
      await this.db.query('rollback');
      const code = sqlState(error);
      const timedOut = code === '57014' && performance.now() - startedAt >= this.bounds.timeoutMs * 0.9;
      if (!timedOut && !skippableCodes.has(code)) throw error;
      this.impatient ||= code === '55P03';
      this.unread.push({ what, code, reason: error instanceof Error ? error.message : String(error) });
      return null;
    }
  }

  /** Like `rows`, for a question with one row for an answer. */
  async row<T extends object>(what: string, text: string, values: unknown[] = []): Promise<T | null> {
    return (await this.rows<T>(what, text, values))?.[0] ?? null;
  }

  /** Like `rows`, for a question about catalogs and statistics: they are read as the planner likes. */
  async catalogs<T extends object>(what: string, text: string, values: unknown[] = []): Promise<T[] | null> {
    return this.rows<T>(what, text, values, 'catalogs');
  }

  /**
   * Asks the same question about many things, several in one statement, in transactions that hold few locks. What a
   * statement cannot answer is asked in smaller parts, until `unread` names the things that are to blame.
   * `ask` makes one statement; its rows say in `at` which thing of its list they are about.
   */
  async batch<I extends Readable, T extends { at: number }>(
    things: readonly I[],
    ask: (some: readonly I[]) => { text: string; values: unknown[] },
    each: (thing: I, row: T) => void,
    atOnce = 25,
  ): Promise<I[]> {
    const failed: I[] = [];
    const answer = async (some: readonly I[]): Promise<void> => {
      const { text, values } = ask(some);
      const rows = await this.rows<T>(some[0]?.what ?? '', text, values);
      for (const row of rows ?? []) {
        const thing = some[row.at];
        if (thing !== undefined) each(thing, row);
      }
      await this.pause();
      if (rows !== null) return;
      if (some.length === 1) {
        failed.push(...some);
        return;
      }
      this.unread.pop();
      const half = Math.ceil(some.length / 2);
      await answer(some.slice(0, half));
      await answer(some.slice(half));
    };
    for (const some of portions(things, atOnce)) await answer(some);
    return failed;
  }

  /** Ends the transaction and releases its locks. The next question begins another. */
  async pause(): Promise<void> {
    await this.close();
  }

  /** Waits outside a transaction: what is unchanged afterwards was not momentary. */
  async rest(seconds = 0.3): Promise<void> {
    await this.close();
    await this.db.query('select pg_sleep($1)', [seconds]);
  }

  /** Ends the transaction; to be called when the last question is answered, also after an error. */
  async close(): Promise<void> {
    if (this.open === null) return;
    this.open = null;
    await this.db.query('commit');
  }

  private async begin(of: 'ranges' | 'catalogs'): Promise<void> {
    await this.close();
    const { timeoutMs } = this.bounds;
    const lockTimeoutMs = this.impatient
      ? Math.min(impatientLockTimeoutMs, this.bounds.lockTimeoutMs)
      : this.bounds.lockTimeoutMs;
    await this.db.query(
      `begin isolation level repeatable read read only;
       set local statement_timeout = ${Math.ceil(timeoutMs)}; set local lock_timeout = ${Math.ceil(lockTimeoutMs)};
       ${plainText}; ${plainNames}${of === 'ranges' ? `; ${rangesOnly}` : ''}`,
    );
    this.open = of;
  }
}

/**
 * Batches of at most `atOnce` targets that take no more than LOCKS locks together, or of one target that takes more.
 */
function portions<I extends Readable>(things: readonly I[], atOnce: number): I[][] {
  const lists: I[][] = [];
  let locks = 0;
  for (const thing of things) {
    const last = lists.at(-1);
    if (last !== undefined && last.length < atOnce && locks + thing.locks <= LOCKS) {
      last.push(thing);
      locks += thing.locks;
    } else {
      lists.push([thing]);
      locks = thing.locks;
    }
  }
  return lists;
}

/** Calls `work` with a reader and always ends its transaction. */
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
    // Report the first error; a lost connection cannot end its transaction either.
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
