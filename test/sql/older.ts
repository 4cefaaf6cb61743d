import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Connection } from '../support/database.js';

/** Facts of the released schemas, and of a development tree (`main`), one file a version: functions, columns, constraints, indexes, options. */
const folder = fileURLToPath(new URL('catalogs/', import.meta.url));
export const versions = readdirSync(folder)
  .map((file) => file.replace('.txt', ''))
  .sort();

export interface Catalog {
  functions: string[];
  columns: string[];
  constraints: string[];
  indexes: string[];
  options: string[];
}

const sections: [string, keyof Catalog][] = [
  ['## functions', 'functions'],
  ['## columns', 'columns'],
  ['## constraints', 'constraints'],
  ['## indexes', 'indexes'],
  ['## table options', 'options'],
];

export function readCatalog(version: string): Catalog {
  const catalog: Catalog = { functions: [], columns: [], constraints: [], indexes: [], options: [] };
  let into: keyof Catalog | undefined;
  for (const line of readFileSync(`${folder}${version}.txt`, 'utf8').split('\n')) {
    if (line.startsWith('#')) into = sections.find(([title]) => line.startsWith(title))?.[1];
    else if (into !== undefined && line.trim() !== '') catalog[into].push(line);
  }
  return catalog;
}

const own: Record<string, (version: string) => string> = {
  'current_time()': () => `language sql volatile as $$ select clock_timestamp() $$`,
  'get_schema_version()': (version) => `language sql volatile as $$ select '${version}'::text $$`,
  'list_queues()': () => `language sql volatile as $$ select q.queue_name from absurd.queues q order by 1 $$`,
};

function functionOf(line: string, version: string): string {
  const [, signature = '', result = '', volatility = ''] = /^(.*\)) -> (.*), (\w+)$/.exec(line) ?? [];
  const body =
    own[signature]?.(version) ??
    `language plpgsql ${volatility} as $$ begin raise exception 'a function of schema ${version}'; end $$`;
  return `create function absurd.${signature} returns ${result} ${body};`;
}

function tablesOf(catalog: Catalog): string {
  const tables = new Map<string, string[]>();
  for (const line of catalog.columns) {
    const [, table = '', definition = ''] = /^(\w+)\.(.*)$/.exec(line) ?? [];
    tables.set(table, [...(tables.get(table) ?? []), definition]);
  }
  for (const line of catalog.constraints) {
    const [, table = '', name = '', definition = ''] = /^absurd\.(\w+) (\w+) (.*)$/.exec(line) ?? [];
    tables.get(table)?.push(`constraint ${name} ${definition}`);
  }
  return [...tables]
    .map(([table, parts]) => {
      const option =
        catalog.options
          .find((line) => line.startsWith(`${table} `))
          ?.slice(table.length)
          .trim() ?? '';
      const how = option.startsWith('RANGE') ? `partition by ${option}` : option === '' ? '' : `with (${option})`;
      return `create table absurd.${table} (${parts.join(', ')}) ${how};`;
    })
    .join('\n');
}

/**
 * Builds the schema of a released version, with queue `q` and, where that version knows the mode, a partitioned queue `p`
 * with its default partitions. Its functions are stand-ins that raise.
 */
export async function installOlder(db: Connection, version: string): Promise<void> {
  const catalog = readCatalog(version);
  const clock = catalog.functions.filter((line) => line.startsWith('current_time('));
  const rest = catalog.functions.filter((line) => !line.startsWith('current_time('));
  const indexes = catalog.indexes.filter((line) => line.startsWith('INDEX'));
  const partitioned = catalog.columns.some((line) => line.startsWith('t_p.'));
  await db.query(
    [
      'create schema absurd;',
      ...clock.map((line) => functionOf(line, version)),
      tablesOf(catalog),
      ...indexes.map((line) => `create ${line.replace(' ON ONLY ', ' ON ')};`),
      ...rest.map((line) => functionOf(line, version)),
      `insert into absurd.queues (queue_name) values ('q');`,
      ...(partitioned
        ? [
            `insert into absurd.queues (queue_name, storage_mode) values ('p', 'partitioned');`,
            ...['t', 'r', 'c', 'w'].map(
              (t) =>
                `create table absurd.${t}_p_d partition of absurd.${t}_p default${t === 'w' ? '' : ' with (fillfactor = 70)'};`,
            ),
          ]
        : []),
    ].join('\n'),
  );
}

/** Takes our schema back to what its revision 1 had. */
export async function backToRevision1(db: Connection): Promise<void> {
  const { rows } = await db.query<{ name: string }>('select queue_name as name from absurd.queues');
  for (const { name } of rows) {
    await db.query(`
      drop trigger note_task_end on absurd."t_${name}";
      alter table absurd."t_${name}" drop parent_task_id, drop parent_queue, drop awaited;
      alter table absurd."c_${name}" drop started_at`);
  }
  await db.query(`
    drop function absurd.retry_delay_seconds(jsonb, integer);
    drop function absurd.get_schema_features();
    create function absurd._retry_delay(p_strategy jsonb, p_attempt integer) returns interval
      language sql immutable as $$ select interval '1 second' $$;
    drop function absurd._spawn_options(jsonb);
    create function absurd._spawn_options(p_options jsonb, out headers jsonb, out max_attempts integer)
      language sql volatile as $$ select null::jsonb, 1 $$;
    drop table absurd.schedules, absurd.queue_pauses, absurd.claim_gates, absurd.task_waits, absurd.awaited_tasks,
      absurd.workers, absurd.operations cascade;
    create or replace function absurd.get_schema_revision() returns integer language sql volatile as 'select 1';`);
}

/** The functions of a version alone, over whatever is there: what applying that version's file to ours amounts to. */
export async function replaceFunctions(db: Connection, version: string): Promise<void> {
  const lines = readCatalog(version).functions;
  await db.query(
    lines.map((line) => functionOf(line, version).replace('create function', 'create or replace function')).join('\n'),
  );
}

/** A catalog as it is, in the form of the files, ours included; partitions and functions of queues too. */
export async function catalogOf(db: Connection): Promise<Catalog> {
  const lines = async (sql: string): Promise<string[]> =>
    (await db.query<{ line: string }>(`select line from (${sql}) x order by line`)).rows.map((row) => row.line);
  return {
    functions: await lines(
      `select format('%s(%s) -> %s, %s', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
                case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end) as line
         from pg_proc p where p.pronamespace = to_regnamespace('absurd')`,
    ),
    columns: await lines(
      `select format('%s.%s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod))
                || case when a.attnotnull then ' not null' else '' end
                || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') as line
         from pg_attribute a join pg_class c on c.oid = a.attrelid
         left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = to_regnamespace('absurd') and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped`,
    ),
    constraints: await lines(
      `select format('%s %s %s', n.conrelid::regclass, n.conname, pg_get_constraintdef(n.oid)) as line
         from pg_constraint n join pg_class c on c.oid = n.conrelid
        where c.relnamespace = to_regnamespace('absurd') and n.contype <> 'n'`,
    ),
    indexes: await lines(
      `select replace(pg_get_indexdef(i.indexrelid), 'CREATE ', '') || case when i.indisvalid then '' else ' INVALID' end as line
         from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace = to_regnamespace('absurd')`,
    ),
    options: await lines(
      `select format('%s %s %s', c.relname, array_to_string(c.reloptions, ','), pg_get_partkeydef(c.oid)) as line
         from pg_class c where c.relnamespace = to_regnamespace('absurd') and c.relkind in ('r', 'p')
          and (c.reloptions is not null or c.relkind = 'p')
       union all
       select format('%s trigger %s', g.tgrelid::regclass, g.tgname) from pg_trigger g join pg_class c on c.oid = g.tgrelid
        where c.relnamespace = to_regnamespace('absurd') and not g.tgisinternal`,
    ),
  };
}

/** The script that installs and upgrades. */
export const script = readFileSync(fileURLToPath(new URL('../../sql/absurd.sql', import.meta.url)), 'utf8');
