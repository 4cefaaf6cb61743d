/** Attaches the tables of a week that were detached, so that their tasks are seen again. For attach-partition. */
import {
  attachWeek,
  lockWeek,
  moveDefaultRows,
  readNearestWeek,
  readWeekTables,
  readWeeksOf,
  type Week,
  type WeekTable,
} from '../../sql/attach.js';
import type { Queryable } from '../../sql/queryable.js';
import type { Database } from '../connection/database.js';
import { CliError, errorCode, refused } from '../cli/errors.js';
import { command, hint } from '../cli/hint.js';

export interface Attached {
  queue: string;
  /** Start and end of the week; null for default partitions. */
  from_at: Week['from_at'] | null;
  to_at: Week['to_at'] | null;
  /** Tables that were attached now. */
  attached: string[];
  /** Tables of the week that were attached before. */
  already: string[];
  /** Tables of the week that do not exist. */
  missing: string[];
  /** Rows that came out of default partitions. */
  moved: number;
}

/** Inserts into the queue wait that long at most for the locks. */
const lockTimeoutMs = 10_000;

/** Attaches all tables of a week in one transaction. Raises exit 4 for what cannot be attached; nothing is changed then. */
export async function attach(db: Database, queue: string, tag: string): Promise<Attached> {
  return db.transaction((transaction) => attachIn(transaction, queue, tag), {
    lockTimeoutMs,
    touched: ({ attached }) => (attached.length > 0 ? { queue } : []),
  });
}

async function attachIn(db: Queryable, queue: string, tag: string): Promise<Attached> {
  const tables = await readWeekTables(db, queue, tag);
  const detached = tables.filter(({ state }) => state === 'detached');
  const names = (state: WeekTable['state']): string[] =>
    tables.filter((table) => table.state === state).map(({ partition }) => partition);
  requireFit(tables);
  if (detached.length > 0) await lockWeek(db, queue, detached);
  const week = tag === 'd' ? null : await settleWeek(db, detached, tag);
  let moved = 0;
  for (const table of detached) {
    try {
      if (week) moved += await moveDefaultRows(db, table, week);
      await attachWeek(db, table, week);
    } catch (error) {
      throw explain(error, table);
    }
  }
  return {
    queue,
    from_at: week?.from_at ?? null,
    to_at: week?.to_at ?? null,
    attached: detached.map(({ partition }) => partition),
    already: names('attached'),
    missing: names('missing'),
    moved,
  };
}

function requireFit(tables: readonly WeekTable[]): void {
  const half = tables.find(({ state }) => state === 'half');
  if (half)
    throw refused(
      `Detaching "${half.partition}" was interrupted`,
      hint`${command('detach-candidate', half.partition)} ends it; then attach it`,
      'half_detached',
    );
  const other = tables.find(({ state }) => state === 'other');
  if (other)
    throw refused(`"${other.partition}" is not a former partition of "${other.parent}"`, undefined, 'not_a_partition');
  const odd = tables.find(({ state, odd_columns: columns }) => state === 'detached' && columns.length > 0);
  if (odd)
    throw refused(
      `"${odd.partition}" and "${odd.parent}" differ in ${odd.odd_columns.map((name) => `"${name}"`).join(', ')}`,
      `give "${odd.partition}" the columns of "${odd.parent}" (psql: alter table), then run this again`,
      'columns_differ',
    );
}

/** The week that the ids of all the tables are of. Their name must be that week's, or inserts would look elsewhere. */
async function settleWeek(db: Queryable, tables: readonly WeekTable[], tag: string): Promise<Week | null> {
  let settled: Week | undefined;
  for (const table of tables) {
    const weeks = await readWeeksOf(db, table);
    const [week] = weeks;
    if (!week) continue;
    const stray = weeks.find((one) => one.tag !== tag || one.lower_bound !== (settled ?? week).lower_bound);
    if (stray)
      throw refused(
        `"${table.partition}" holds ids of the week of ${String(stray.from_at)}, which is not the week of its name`,
        'move these rows to another table first',
        'other_week',
      );
    settled = week;
  }
  const week = settled ?? (await readNearestWeek(db, tag));
  if (!week && tables.length > 0) throw refused(`There is no week "${tag}"`, undefined, 'other_week');
  return week;
}

function explain(error: unknown, { partition, parent }: WeekTable): unknown {
  const state = errorCode(error);
  const message = error instanceof Error ? error.message : String(error);
  if (state === '23505')
    return refused(
      `Rows of "${partition}" are in "${parent}" too: ${message}`,
      'delete them from one of the two',
      state,
    );
  if (state === '23514' || state === '42P17' || state === '42P16')
    return new CliError(`Could not attach "${partition}" to "${parent}": ${message}`, {
      code: 'not_attached',
      cause: error,
    });
  return error;
}
