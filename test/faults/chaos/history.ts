import type { Entry, HistoryRow, TableLetter, TaskWait } from '../checker/types.js';

/** Whatever runs one statement; `query` of a pool or a client. */
export interface Runs {
  query(text: string, values?: unknown[]): Promise<{ rows: HistoryRow[] }>;
}

const letters: TableLetter[] = ['t', 'r', 'c', 'e', 'w'];

/**
 * Every committed change of a queue's rows becomes an entry, written by triggers in the transaction that makes it, so that the
 * history has exactly what was committed. Workers add notes of their own.
 */
const schema = `
  create schema history;

  create table history.entry (
    seq bigserial primary key,
    xid xid8 not null default pg_current_xact_id(),
    clock timestamptz not null default absurd.current_time(),
    kind text not null,
    op text not null,
    old jsonb,
    new jsonb
  );

  create function history.record () returns trigger language plpgsql as $$
  declare
    v_context text;
  begin
    -- Rows that move from a default partition to their week's are deleted there and inserted into a table that has no triggers
    -- yet: nothing that happened to them. Should they not arrive, the tables at the end tell.
    if tg_op = 'DELETE' then
      get diagnostics v_context = pg_context;
      if v_context like '%_move_default_rows%' then
        return null;
      end if;
    end if;
    insert into history.entry (kind, op, old, new)
    values (
      tg_argv[0],
      lower(tg_op),
      case when tg_op <> 'INSERT' then to_jsonb(old) end,
      case when tg_op <> 'DELETE' then to_jsonb(new) end
    );
    return null;
  end;
  $$;

  create function history.record_commit () returns trigger language plpgsql as $$
  begin
    insert into history.entry (kind, op, new) values (tg_argv[0], 'commit', to_jsonb(new));
    return null;
  end;
  $$;
`;

export async function installHistory(db: Runs): Promise<void> {
  await db.query(schema);
}

/** Records a queue from now on. */
export async function recordQueue(db: Runs, queue: string): Promise<void> {
  for (const letter of letters) {
    await db.query(
      `create trigger history_record after insert or update or delete on absurd."${letter}_${queue}"
         for each row execute function history.record('${letter}')`,
    );
  }
  await db.query(
    `create constraint trigger history_record_commit after insert or update on absurd."e_${queue}"
       deferrable initially deferred for each row execute function history.record_commit('e')`,
  );
}

export async function addNote(db: Runs, note: object): Promise<void> {
  await db.query(`insert into history.entry (kind, op, new) values ('note', 'note', $1)`, [JSON.stringify(note)]);
}

export async function readHistory(db: Runs): Promise<Entry[]> {
  const { rows } = await db.query(
    `select seq::int, xid::text, to_jsonb(clock) #>> '{}' as clock, kind, op, old, new from history.entry order by seq`,
  );
  return rows as unknown as Entry[];
}

export async function readTables(db: Runs, queue: string): Promise<Record<TableLetter, HistoryRow[]>> {
  const tables: Record<TableLetter, HistoryRow[]> = { t: [], r: [], c: [], e: [], w: [] };
  for (const letter of letters) {
    const { rows } = await db.query(`select to_jsonb(x) as row from absurd."${letter}_${queue}" x`);
    tables[letter] = rows.map((row) => row['row'] as HistoryRow);
  }
  return tables;
}

/** The waits for tasks of a queue, of runs of any queue. */
export async function readTaskWaits(db: Runs, queue: string): Promise<TaskWait[]> {
  const { rows } = await db.query(
    `select w.task_id, w.mode, array(select c ->> 'task_id' from jsonb_array_elements(w.children) c) as children
       from absurd.task_waits w
      where not exists (select from jsonb_array_elements(w.children) c where coalesce(c ->> 'queue', w.queue_name) <> $1)`,
    [queue],
  );
  return rows as unknown as TaskWait[];
}
