/** The steps of an upgrade that are done before the script: in short transactions, one table at a time. */
import { addedRegistryColumns, installLock } from './description.js';
import { quoteIdent } from './identifiers.js';
import { sizeOfTable } from './indexes.js';
import type { Queryable } from './queryable.js';

/** A table of a queue that lacks a column, a trigger or, of tasks, (with `filled` false) the values of cancel_due. */
export interface LackingTable {
  queue_name: string;
  table_name: string;
  /** Which of a queue's tables it is: `t`. */
  letter: string;
  partitioned: boolean;
  /** Whether it has all columns. */
  column: boolean;
  /** Whether it has all triggers. */
  triggers: boolean;
  filled: boolean;
  rows: number;
  bytes: number;
}

/** Reads the catalogs only. The index on cancel_due, which is built last, shows whether the column is filled. */
export async function listLackingTables(db: Queryable, parts: readonly TablePart[]): Promise<LackingTable[]> {
  const { rows } = await db.query<LackingTable>(
    `with part as (select * from unnest($1::text[], $2::text[], $3::text[]) as part (letter, kind, name))
     select * from (
       select q.queue_name, l.letter || '_' || q.queue_name as table_name, l.letter, t.relkind = 'p' as partitioned,
              not exists (select 1 from part
                           where part.letter = l.letter and part.kind = 'column'
                             and not exists (select 1 from pg_attribute a
                                              where a.attrelid = t.oid and a.attname = part.name
                                                and not a.attisdropped)) as column,
              not exists (select 1 from part
                           where part.letter = l.letter and part.kind = 'trigger'
                             and not exists (select 1 from pg_trigger g
                                              where g.tgrelid = t.oid and g.tgname = part.name)) as triggers,
              l.letter <> 't' or exists (
                select 1 from pg_index i join pg_class x on x.oid = i.indexrelid
                 where i.indrelid = t.oid and x.relname = 't_' || q.queue_name || '_due' and i.indisvalid) as filled,
              size.rows, size.bytes
         from absurd.queues q
        cross join (select distinct part.letter from part) l
         join pg_class t on t.oid = to_regclass(format('absurd.%I', l.letter || '_' || q.queue_name))
        cross join ${sizeOfTable}
        where octet_length(convert_to(q.queue_name, 'UTF8')) between 1 and 57
     ) t
      where not (t.column and t.triggers and t.filled)
      order by t.queue_name, t.letter desc`,
    [parts.map(({ letter }) => letter), parts.map(({ kind }) => kind), parts.map(({ name }) => name)],
  );
  return rows;
}

/** Whether the registry has all the columns that the script gives it. */
export async function hasWholeRegistry(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ whole: boolean }>(
    `select count(*) = cardinality($1::text[]) as whole from pg_attribute a
      where a.attrelid = to_regclass('absurd.queues') and not a.attisdropped
        and a.attname = any ($1)`,
    [addedRegistryColumns],
  );
  return rows[0]?.whole === true;
}

/** Runs text of our own script. */
export async function runPart(db: Queryable, part: string): Promise<void> {
  await db.query(part);
}

/** Waits for other installations: two that replace a function at once collide on its row of the catalog. */
export async function lockInstallation(db: Queryable): Promise<void> {
  await db.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [installLock]);
}

/**
 * Locks a table of tasks with its partitions. The parent comes first, where workers queue; then all partitions at once
 * with no wait (55P03), so that a session that holds a partition without the parent cannot cause a deadlock.
 */
export async function lockTable(db: Queryable, { table_name: name, partitioned }: LackingTable): Promise<void> {
  const table = `absurd.${quoteIdent(name)}`;
  await db.query(`lock table only ${table} in access exclusive mode`);
  if (partitioned) await db.query(`lock table ${table} in access exclusive mode nowait`);
}

/** A part of `_queue_parts` in sql/absurd.sql that a queue's table gets; `statement` is a format for the table's name. */
export interface TablePart {
  kind: 'column' | 'trigger';
  /** Which of a queue's tables: `t`. */
  letter: string;
  name: string;
  statement: string;
}

/** Adds what a table lacks. The triggers' functions must exist; the caller holds the table. */
export async function addTableParts(
  db: Queryable,
  { table_name: name, letter }: LackingTable,
  parts: readonly TablePart[],
): Promise<void> {
  const { rows } = await db.query<{ kind: string; name: string }>(
    `select 'trigger' as kind, g.tgname::text as name from pg_trigger g where g.tgrelid = to_regclass($1)
     union all
     select 'column', a.attname::text from pg_attribute a where a.attrelid = to_regclass($1) and not a.attisdropped`,
    [`absurd.${quoteIdent(name)}`],
  );
  for (const part of parts) {
    if (part.letter !== letter || rows.some((row) => row.kind === part.kind && row.name === part.name)) continue;
    await db.query(part.statement.replaceAll('%1$I', () => quoteIdent(name)));
  }
}

export interface Batch {
  /** Rows that were looked at; 0 at the end of the table. */
  seen: number;
  filled: number;
  /** Where the next batch begins; null at the end. */
  last_id: string | null;
  /** Tasks that another session had locked. */
  skipped: string[];
}

const due = `absurd._cancel_due(t.cancellation, t.enqueue_at, t.first_started_at, t.state)`;

/** Fills cancel_due in the next tasks by key. Never waits for a row: returns the locked ones. */
export async function fillCancelDue(
  db: Queryable,
  { table_name: name }: LackingTable,
  after: string | null,
  limit: number,
): Promise<Batch> {
  const table = `absurd.${quoteIdent(name)}`;
  const { rows } = await db.query<Batch>(
    `with page as materialized (
       select t.task_id, t.cancellation is not null and t.cancel_due is distinct from ${due} as wanted
         from ${table} t where $1::uuid is null or t.task_id > $1 order by t.task_id limit $2
     ), locked as materialized (
       select t.task_id from ${table} t
        where t.task_id = any (array(select page.task_id from page where page.wanted))
        order by t.task_id for update skip locked
     ), filled as (
       update ${table} t set cancel_due = ${due} from locked where t.task_id = locked.task_id returning 1
     )
     select (select count(*) from page)::int as seen, (select count(*) from filled)::int as filled,
            (select page.task_id from page order by page.task_id desc limit 1) as last_id,
            array(select page.task_id from page where page.wanted
                  except select locked.task_id from locked)::text[] as skipped`,
    [after, limit],
  );
  return rows[0] ?? { seen: 0, filled: 0, last_id: null, skipped: [] };
}

/** The same for one task; waits for its lock up to the transaction's lock timeout. */
export async function fillOneCancelDue(db: Queryable, { table_name: name }: LackingTable, id: string): Promise<void> {
  const table = `absurd.${quoteIdent(name)}`;
  await db.query(
    `update ${table} t set cancel_due = ${due} where t.task_id = $1 and t.cancel_due is distinct from ${due}`,
    [id],
  );
}

export interface TableHolder {
  pid: number | null;
  application: string | null;
  state: string | null;
  /** Seconds since its transaction began. */
  seconds: number | null;
  mode: string;
}

/** Other sessions that hold a lock on a table or its partitions, the oldest transaction first. */
export async function listHolders(db: Queryable, tableName: string): Promise<TableHolder[]> {
  const { rows } = await db.query<TableHolder>(
    `select l.pid, a.application_name as application, a.state, min(l.mode) as mode,
            extract(epoch from clock_timestamp() - min(a.xact_start))::float8 as seconds
       from pg_locks l left join pg_stat_activity a on a.pid = l.pid
      where l.locktype = 'relation' and l.granted and l.pid is distinct from pg_backend_pid()
        and l.database = (select d.oid from pg_database d where d.datname = current_database())
        and (l.relation = to_regclass($1) or l.relation in (select h.inhrelid from pg_inherits h where h.inhparent = to_regclass($1)))
      group by 1, 2, 3 order by 5 desc nulls last limit 3`,
    [`absurd.${quoteIdent(tableName)}`],
  );
  return rows;
}

/** Ends the session's time limits for builds that last; returns what they were, for `restoreTimeouts`. */
export async function liftTimeouts(db: Queryable): Promise<{ statement: string; lock: string }> {
  const { rows } = await db.query<{ statement: string; lock: string }>(
    `select current_setting('statement_timeout') as statement, current_setting('lock_timeout') as lock`,
  );
  const before = rows[0] ?? { statement: '0', lock: '0' };
  if (before.statement !== '0' || before.lock !== '0') await restoreTimeouts(db, { statement: '0', lock: '0' });
  return before;
}

export async function restoreTimeouts(
  db: Queryable,
  { statement, lock }: { statement: string; lock: string },
): Promise<void> {
  await db.query(`select set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false)`, [
    statement,
    lock,
  ]);
}
