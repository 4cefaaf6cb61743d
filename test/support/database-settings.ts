/** Settings that a database can have, by subject, which could alter text, numbers, triggers or plans of ours. */
import { serverUrl, type TestDatabase } from './database.js';
import pg from 'pg';

export interface DatabaseSettings {
  /** `name = value`, as `alter database … set` takes it. */
  settings: string[];
  /** Made first, by a superuser, in the database itself. */
  prepare?: string;
  /** Only from this major on. */
  since?: number;
}

/** Objects whose names are ours or the server's, in a schema of somebody else. */
const hostile = `
  create schema hostile;
  create table hostile.queues (queue_name text, storage_mode text);
  create table hostile.t_q (task_id text);
  create table hostile.r_q (run_id text);
  create table hostile.pg_class (oid oid, relname text);
  create function hostile.portable_uuidv7() returns uuid language sql as 'select null::uuid';
  create function hostile.spawn_task(text, text, jsonb, jsonb default '{}') returns text language sql as 'select ''hostile''';
  create function hostile._queue_function(text, text) returns text language sql as 'select ''hostile''';
  create function hostile.clock_timestamp() returns timestamptz language sql as 'select timestamptz ''epoch''';
  create function hostile.to_regclass(text) returns regclass language sql as 'select null::regclass';
  create function hostile.jsonb_typeof(jsonb) returns text language sql as 'select ''hostile''';
  grant usage on schema hostile to public;`;

export const databaseSettings: Record<string, DatabaseSettings> = {
  'plain string literals with escapes': {
    settings: ['standard_conforming_strings = off', 'escape_string_warning = on', 'backslash_quote = off'],
  },
  'all identifiers quoted': { settings: ['quote_all_identifiers = on'] },
  'dates and intervals in another style': {
    settings: ["datestyle = 'German, DMY'", 'intervalstyle = sql_standard', "timezone = 'America/St_Johns'"],
  },
  'intervals in ISO 8601': {
    settings: ["datestyle = 'SQL, DMY'", 'intervalstyle = iso_8601', "timezone = 'Asia/Kathmandu'"],
  },
  'numbers, bytes and documents in another form': {
    settings: ['extra_float_digits = -15', 'bytea_output = escape', 'xmloption = document', 'xmlbinary = hex'],
  },
  'null in arrays and comparisons': { settings: ['array_nulls = off', 'transform_null_equals = on'] },
  'messages and client': {
    settings: ["lc_messages = 'C'", "client_encoding = 'LATIN1'", 'client_min_messages = debug1'],
  },
  'serializable and deferrable': {
    settings: ['default_transaction_isolation = serializable', 'default_transaction_deferrable = on'],
  },
  'repeatable read': { settings: ["default_transaction_isolation = 'repeatable read'"] },
  'replica: ordinary triggers do not fire': { settings: ['session_replication_role = replica'] },
  'an empty search path': { settings: [`search_path = ''`] },
  'our schema in the search path': { settings: ['search_path = absurd, public'] },
  'a hostile schema in the search path': { settings: ['search_path = hostile, absurd'], prepare: hostile },
  'plans without indexes': {
    settings: [
      'enable_indexscan = off',
      'enable_indexonlyscan = off',
      'enable_bitmapscan = off',
      'enable_nestloop = off',
      'enable_partition_pruning = off',
      'constraint_exclusion = off',
      'plan_cache_mode = force_generic_plan',
    ],
  },
  'plans for many processors': {
    settings: [
      'parallel_setup_cost = 0',
      'parallel_tuple_cost = 0',
      'min_parallel_table_scan_size = 0',
      'min_parallel_index_scan_size = 0',
      'max_parallel_workers_per_gather = 4',
      'plan_cache_mode = force_custom_plan',
      'jit = on',
      'jit_above_cost = 0',
      'join_collapse_limit = 1',
      'from_collapse_limit = 1',
      'geqo_threshold = 2',
      "work_mem = '64kB'",
    ],
  },
  'a strict PL/pgSQL': {
    settings: [
      "plpgsql.extra_errors = 'all'",
      "plpgsql.extra_warnings = 'all'",
      'plpgsql.variable_conflict = use_variable',
      'plpgsql.print_strict_params = on',
    ],
    prepare: 'do $$ begin end $$',
  },
  'columns before variables': {
    settings: ['plpgsql.variable_conflict = use_column', 'check_function_bodies = off', 'row_security = off'],
    prepare: 'do $$ begin end $$',
  },
  'another tablespace': {
    settings: ['default_tablespace = absurd_test_elsewhere', 'default_toast_compression = pglz'],
    since: 15,
  },
  'time limits': {
    settings: [
      "statement_timeout = '1min'",
      "lock_timeout = '90s'",
      "idle_in_transaction_session_timeout = '1h'",
      'synchronous_commit = off',
    ],
  },
};

/** A tablespace that lies in the server's own folder, for all databases of the run. */
async function makeTablespace(): Promise<void> {
  const client = new pg.Client({ connectionString: await serverUrl() });
  await client.connect();
  try {
    await client.query('set allow_in_place_tablespaces = on');
    await client
      .query(`create tablespace absurd_test_elsewhere location ''`)
      .catch((error: Error & { code?: string }) => {
        if (error.code !== '42710') throw error;
      });
  } finally {
    await client.end();
  }
}

/** Gives a database its settings: every later connection has them. */
export async function applySettings(db: TestDatabase, { settings, prepare }: DatabaseSettings): Promise<void> {
  if (settings.some((setting) => setting.includes('absurd_test_elsewhere'))) await makeTablespace();
  if (prepare) await db.query(prepare);
  for (const setting of settings) await db.query(`alter database "${db.name}" set ${setting}`);
}

/** Takes the settings back, the stopped clock stays. */
export async function resetSettings(db: TestDatabase, { settings }: DatabaseSettings): Promise<void> {
  for (const setting of settings) await db.query(`alter database "${db.name}" reset ${setting.split(' = ')[0]}`);
}
