/**
 * Compares a database with the shipped schema without touching it: creates the shipped functions and tables of a queue
 * under other names, compares, and rolls back. No queue's table is locked; other installations wait.
 */
import { addedColumns, functionsLock, queueFunctionKinds, queueLettersSql } from './description.js';
import { quoteIdent } from './identifiers.js';
import type { Queryable } from './queryable.js';
import { plainNames } from './session.js';

export type DifferenceKind = 'function' | 'table' | 'column' | 'trigger' | 'index' | 'constraint';

/** One difference from the shipped schema. */
export interface Difference {
  kind: DifferenceKind;
  /** Null if it belongs to no single queue. */
  queue_name: string | null;
  /** `absurd.list_queues()`, `r_q_rdy`, `t_q.cancel_due`. */
  name: string;
  change: 'missing' | 'differs' | 'invalid' | 'left over';
  /** False if the script does not fix it: a person has to. */
  mended: boolean;
}

export interface SchemaComparison {
  differences: Difference[];
  /** Partitions that the script would create, by queue. */
  partitions: { queue_name: string; count: number }[];
}

export interface ScriptParts {
  /** The script without the parts that touch tables. */
  functions: string;
  /** Creates the registry under another name. */
  registry: (table: string) => string;
}

type Mode = 'unpartitioned' | 'partitioned';

interface QueueMode {
  queue_name: string;
  mode: Mode;
}

/** The caller rolls its transaction back afterwards. `probe` is the name of a queue that nobody has. */
export async function compareSchema(db: Queryable, parts: ScriptParts, probe: string): Promise<SchemaComparison> {
  await db.query(plainNames);
  const { rows: queues } = await db.query<QueueMode>(
    `select q.queue_name, coalesce(to_jsonb(q) ->> 'storage_mode', 'unpartitioned') as mode
       from absurd.queues q where octet_length(convert_to(q.queue_name, 'UTF8')) between 1 and 57 order by 1`,
  );
  const functions = await compareFunctions(db, parts.functions, queues);
  await db.query(parts.registry(`absurd.${quoteIdent(probe)}`));
  const probes = new Map<Mode, string>();
  for (const mode of ['unpartitioned', 'partitioned'] as const) {
    if (!queues.some((queue) => queue.mode === mode)) continue;
    probes.set(mode, `${probe}-${mode}`);
    const { rows } = await db.query<{ statement: string }>(
      'select statement from absurd._queue_parts($1, $2) order by ordinal',
      [`${probe}-${mode}`, mode],
    );
    await db.query(rows.map(({ statement }) => statement).join(';\n'));
  }
  const tables = await describeTables(db, [...queues.map((queue) => queue.queue_name), ...probes.values()], probe);
  const expected = (mode: Mode): Part[] => tables.get(probes.get(mode) ?? '') ?? [];
  return {
    differences: [
      ...functions,
      ...compareParts(null, tables.get(probe) ?? [], tables.get('') ?? []),
      ...queues.flatMap(({ queue_name: name, mode }) => compareParts(name, expected(mode), tables.get(name) ?? [])),
    ],
    partitions: await countPartitions(db, queues),
  };
}

const functionsQuery = `
  select p.oid::regprocedure::text as name, md5(pg_get_functiondef(p.oid)) as how, p.xmin::text as made_by,
         substring(p.proname from '^(?:${queueFunctionKinds.join('|')}):(.*)$') as queue_name
    from pg_proc p where p.pronamespace = to_regnamespace('absurd') and p.prokind = 'f' order by 1`;

interface FunctionRow {
  name: string;
  how: string;
  made_by: string;
  queue_name: string | null;
}

async function compareFunctions(db: Queryable, script: string, queues: QueueMode[]): Promise<Difference[]> {
  const before = new Map((await db.query<FunctionRow>(functionsQuery)).rows.map((row) => [row.name, row]));
  await db.query(script);
  // Every session that creates a queue's functions takes this lock: two at once would collide on the catalog's rows.
  await db.query(
    `select pg_advisory_xact_lock(hashtextextended('${functionsLock}' || q.name, 0)),
            absurd._make_queue_functions(q.name, q.mode)
       from unnest($1::text[], $2::text[]) q (name, mode)`,
    [queues.map((queue) => queue.queue_name), queues.map((queue) => queue.mode)],
  );
  const after = (await db.query<FunctionRow>(functionsQuery)).rows;
  const made = after.find((row) => row.name === 'absurd.get_schema_revision()')?.made_by;
  return after.flatMap(({ name, how, made_by: by, queue_name: queue }): Difference[] => {
    const was = before.get(name);
    const ours = by === made;
    // Ignore functions of others; the script drops those of a dropped queue.
    if (ours ? was?.how === how : queue === null) return [];
    const change = !ours ? 'left over' : was === undefined ? 'missing' : 'differs';
    return [{ kind: 'function', queue_name: queue, name, change, mended: true }];
  });
}

interface Part {
  kind: DifferenceKind;
  /** The table's letter, or `queues`. */
  letter: string;
  /** Its name without the queue's: `due`, `cancel_due`; of a constraint its definition. */
  label: string;
  how: string;
  valid: boolean;
}

/** The parts of the tables of queues by queue; those of the registry under '', those of its probe under `probe`. */
async function describeTables(db: Queryable, names: string[], probe: string): Promise<Map<string, Part[]>> {
  const { rows } = await db.query<Part & { queue_name: string }>(
    `select * from (
     with found as (
       select n.name as queue_name, l.letter, c.oid, c.relname::text as relname
         from unnest($1::text[]) n (name)
        cross join unnest(${queueLettersSql}) l (letter)
         join pg_class c on c.relname = l.letter || '_' || n.name
        where c.relnamespace = to_regnamespace('absurd') and c.relkind in ('r', 'p') and not c.relispartition
       union all
       select case c.relname when $2 then $2 else '' end, 'queues', c.oid, c.relname::text
         from pg_class c
        where c.relname in ('queues', $2) and c.relnamespace = to_regnamespace('absurd') and c.relkind = 'r'
     )
     select f.queue_name, 'table' as kind, f.letter, ''::text as label, coalesce(pg_get_partkeydef(f.oid), '') as how, true as valid
       from found f
     union all
     select f.queue_name, 'column', f.letter, a.attname,
            format_type(a.atttypid, a.atttypmod) || a.attnotnull || coalesce(pg_get_expr(d.adbin, d.adrelid), ''), true
       from found f
       join pg_attribute a on a.attrelid = f.oid and a.attnum > 0 and not a.attisdropped
       left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     union all
     select f.queue_name, 'trigger', f.letter, g.tgname,
            replace(pg_get_triggerdef(g.oid), format(' ON absurd.%I ', f.relname), ' ON ') || g.tgenabled::text, true
       from found f join pg_trigger g on g.tgrelid = f.oid and not g.tgisinternal
     union all
     select f.queue_name, 'index', f.letter, substr(x.relname, length(f.relname) + 2),
            i.indisunique || substring(pg_get_indexdef(i.indexrelid) from ' USING .*$'), i.indisvalid
       from found f
       join pg_index i on i.indrelid = f.oid
       join pg_class x on x.oid = i.indexrelid and starts_with(x.relname, f.relname || '_')
      where not exists (select 1 from pg_constraint n where n.conindid = i.indexrelid)
     union all
     select f.queue_name, 'constraint', f.letter, pg_get_constraintdef(n.oid), '', true
       from found f join pg_constraint n on n.conrelid = f.oid and n.contype in ('c', 'p', 'u')
     ) parts
      order by array_position(array['table', 'column', 'trigger', 'index', 'constraint'], kind), letter, label collate "C"`,
    [names, probe],
  );
  const tables = new Map<string, Part[]>();
  for (const { queue_name: name, ...part } of rows) {
    const parts = tables.get(name);
    if (parts) parts.push(part);
    else tables.set(name, [part]);
  }
  return tables;
}

const isAdded = ({ letter, label }: Part): boolean =>
  addedColumns.some((added) => added.letter === letter && added.column === label);

/** Expected parts that are missing or differ. Additional parts are ignored. */
function compareParts(queue: string | null, expected: Part[], actual: Part[]): Difference[] {
  const key = ({ kind, letter, label }: Part): string => `${kind}\0${letter}\0${label}`;
  const there = new Map(actual.map((part) => [key(part), part]));
  const tables = new Set(actual.map(({ letter }) => letter));
  const unmade = expected
    .filter((part) => part.kind === 'column' && part.letter === 'queues' && !there.has(key(part)))
    .map(({ label }) => label);
  return expected.flatMap((part): Difference[] => {
    const found = there.get(key(part));
    // A missing table implies all of its parts.
    if (part.kind !== 'table' && !tables.has(part.letter)) return [];
    // A column of the registry is created with its constraints.
    if (part.kind === 'constraint' && unmade.some((column) => part.label.includes(column))) return [];
    if (found?.how === part.how && found.valid) return [];
    const change = found === undefined ? 'missing' : found.how === part.how ? 'invalid' : 'differs';
    const made = part.kind !== 'constraint' && (part.kind !== 'column' || part.letter === 'queues' || isAdded(part));
    return [
      { kind: part.kind, queue_name: queue, name: nameOf(queue, part), change, mended: made && change !== 'differs' },
    ];
  });
}

function nameOf(queue: string | null, { kind, letter, label }: Part): string {
  const table = queue === null ? letter : `${letter}_${queue}`;
  if (kind === 'table') return table;
  if (kind === 'index') return `${table}_${label}`;
  return kind === 'column' ? `${table}.${label}` : `${label} on ${table}`;
}

/** A queue whose partitions cannot be listed (a name is taken) makes the script fail, which says why. */
async function countPartitions(db: Queryable, queues: QueueMode[]): Promise<SchemaComparison['partitions']> {
  const partitioned = queues.filter(({ mode }) => mode === 'partitioned').map((queue) => queue.queue_name);
  if (partitioned.length === 0) return [];
  await db.query('savepoint partitions');
  try {
    const { rows } = await db.query<{ queue_name: string; count: number }>(
      `select q.name as queue_name, count(*)::int as count
         from unnest($1::text[]) q (name) cross join absurd._missing_partitions(q.name) group by 1 order by 1`,
      [partitioned],
    );
    return rows;
  } catch {
    await db.query('rollback to savepoint partitions');
    return [];
  }
}
