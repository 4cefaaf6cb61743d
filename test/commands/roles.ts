/** Login roles of their own, and queues with something of everything in them. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kind } from '../../src/lib/grants/kinds.js';
import { quoteIdent } from '../../src/sql/identifiers.js';
import { run, type RunResult } from '../support/command.js';
import type { Filler, Row, TestDatabase } from '../support/database.js';
import type { Given, Line } from './every-command.js';
import { failedTask } from './failed-task.js';

export interface Role {
  name: string;
  /** Address of the test's database, as this role. */
  url: string;
}

/** Gives `work` a role that may connect and nothing else; it is gone afterwards, with all its rights. */
export async function withRole<T>(db: TestDatabase, work: (role: Role) => Promise<T>, name?: string): Promise<T> {
  const role = name ?? `absurd_${randomBytes(6).toString('hex')}`;
  const password = randomBytes(9).toString('hex');
  await db.query(`create role ${quoteIdent(role)} login password '${password}'`);
  const url = new URL(db.url);
  url.username = encodeURIComponent(role);
  url.password = password;
  try {
    return await work({ name: role, url: url.href });
  } finally {
    await db.query(`drop owned by ${quoteIdent(role)}; drop role ${quoteIdent(role)}`);
  }
}

/** Gives `work` a folder with the files that command lines name. */
export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'absurd-roles-'));
  writeFileSync(
    join(folder, 'open.mjs'),
    `export default [{ name: 'open', handler: async (_, ctx) => ctx.step('s', async () => 1) }];`,
  );
  const at = '2026-01-01T00:00:00Z';
  const task = {
    ...{ task_id: '019a32d3-8425-7ae2-a5af-2f17a6707666', task_name: 'open', queue_name: 'q', params: {} },
    ...{ state: 'completed', attempts: 0, enqueue_at: at, runs: [], checkpoints: [], waits: [] },
  };
  const exported = { format: 'absurd-task', format_version: 1, exported_at: at, task };
  writeFileSync(join(folder, 'exported.json'), JSON.stringify(exported));
  writeFileSync(join(folder, 'schedules.json'), schedulesFile('q'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Gives `work` a role with the grants of a kind, and another one without any. */
export function withGrants(
  db: TestDatabase,
  kind: Kind,
  work: (role: Role, other: string) => Promise<void>,
): Promise<void> {
  return withRole(db, async (role) => {
    const granted = await run(['grants', role.name, '--as', kind, '--apply'], db);
    if (granted.code !== 0) throw new Error(granted.stderr);
    await withRole(db, (other) => work(role, other.name));
  });
}

/** A queue, partitioned ones with an old empty week that may be detached and a week that is missing. */
export async function makeQueue(db: Filler, mode: 'unpartitioned' | 'partitioned'): Promise<string> {
  const queue = await db.queue(mode === 'partitioned' ? `p's "own"` : `it's "q"`, mode);
  if (mode === 'unpartitioned') return queue;
  const policy = async (value: Row): Promise<unknown> =>
    db.query('select absurd.set_queue_policy($1, $2)', [queue, JSON.stringify(value)]);
  await policy({ partition_lookback: '60 days', detach_mode: 'empty' });
  await db.query('select absurd.ensure_partitions($1)', [queue]);
  await policy({ partition_lookback: '1 day', partition_lookahead: '40 days' });
  return queue;
}

/** Sees to it that the oldest week of waits is detached. */
async function detachOne(db: Filler, queue: string): Promise<string> {
  const parent = `absurd.${quoteIdent(`w_${queue}`)}`;
  const { rows } = await db.query<{ name: string; attached: boolean }>(
    `select c.relname::text as name, c.relispartition as attached from pg_class c
      where c.relnamespace = 'absurd'::regnamespace and c.relkind = 'r'
        and left(c.relname, length($1) + 1) = $1 || '_' and c.relname ~ '_[0-9]{3}$'
      order by absurd.uuidv7_timestamp(substring(pg_get_expr(c.relpartbound, c.oid) from 'FROM \\(''([0-9a-f-]{36})')::uuid) nulls first
      limit 1`,
    [`w_${queue}`],
  );
  const [oldest] = rows;
  if (!oldest) return 't_nothing_401';
  if (oldest.attached) await db.query(`alter table ${parent} detach partition absurd.${quoteIdent(oldest.name)}`);
  return oldest.name;
}

export const schedulesFile = (queue: string): string =>
  JSON.stringify({ schedules: [{ name: 'nightly', task: 'open', queue, cron: '0 3 * * *' }] });

/** Fills a queue, again where it was filled before: whatever is pending is cancelled first. */
export async function fill(db: Filler, queue: string, role: string, folder: string): Promise<Given> {
  const ask = async (sql: string, values: unknown[]): Promise<Row> => (await db.query(sql, values)).rows[0] ?? {};
  await db.query(
    `select absurd.cancel_task($1, t.task_id) from absurd.${quoteIdent(`t_${queue}`)} t where t.state in ('pending', 'sleeping')`,
    [queue],
  );
  await db.query('delete from absurd.queue_pauses; delete from absurd.schedules');
  const { task_id: done } = await db.spawn(queue, 'done');
  const [finished] = await db.claim(queue);
  await ask(`select absurd.complete_run($1, $2, '1')`, [queue, finished?.run_id]);
  const failed = await failedTask(db, queue);
  const { task_id: waiting } = await db.spawn(queue, 'waiting');
  const [asleep] = await db.claim(queue);
  const wait = [queue, waiting, asleep?.run_id];
  await ask(`select absurd.await_event($1, $2, $3, 'nap', 'go-' || $4)`, [...wait, waiting]);
  await ask(`select absurd.emit_event($1, 'paid', '1')`, [queue]);
  const { task_id: open } = await db.spawn(queue, 'open', {}, { idempotency_key: `open ${waiting}` });
  const candidates = await ask('select partition_table from absurd.list_detach_candidates($1) limit 1', [queue]);
  const detached = await detachOne(db, queue);
  await ask(`select absurd.set_schedule('hourly', $1, 'open', null, '{"every": "1 hour"}')`, [queue]);
  writeFileSync(join(folder, 'schedules.json'), schedulesFile(queue));
  const written = await run(['export-task', failed, 'exported.json', '--force'], { url: db.url, cwd: folder });
  if (written.code !== 0) throw new Error(written.stderr);
  return {
    queue,
    role,
    failed,
    open,
    done,
    step: 'charge',
    event: 'paid',
    candidate: String(candidates['partition_table'] ?? 't_nothing_401'),
    detached,
    exported: 'exported.json',
    schedule: 'hourly',
    schedules: 'schedules.json',
    module: 'open.mjs',
  };
}

export function runLine(line: Line, given: Given, url: string, cwd: string): Promise<RunResult> {
  const argv = line.argv(given);
  return run([...argv, '--json'], { url, cwd, ...(line.stdin === undefined ? {} : { stdin: line.stdin }) });
}

/** The error that a command printed with --json. */
export function errorOf({ stderr }: RunResult): { code: string; message: string; hint: string | null } {
  const line = stderr.split('\n').find((text) => text.startsWith('{"code"') || text.startsWith('{ "code"')) ?? '{}';
  return JSON.parse(line) as { code: string; message: string; hint: string | null };
}

/** What the schema holds: each table with a digest of its rows, and each function. */
export async function snapshot(db: TestDatabase): Promise<unknown[]> {
  const { rows: tables } = await db.query<{ name: string }>(
    `select c.relname::text as name from pg_class c
      where c.relnamespace = 'absurd'::regnamespace and c.relkind in ('r', 'p') order by 1`,
  );
  const digest = tables.map(
    ({ name }, i) =>
      `select $${i + 1}::text as name, md5(coalesce(string_agg(x::text, '|' order by x::text), '')) as rows
         from absurd.${quoteIdent(name)} x`,
  );
  const { rows } = await db.query(
    digest.join(' union all '),
    tables.map(({ name }) => name),
  );
  const functions = await db.query(
    `select p.oid::regprocedure::text as name, p.prosrc from pg_proc p where p.pronamespace = 'absurd'::regnamespace order by 1`,
  );
  return [...rows, ...functions.rows];
}

/** What of pg_cron the functions rely on, with its rights: every role may read its jobs, none may use the schema. */
export async function standInForCron(db: Filler): Promise<void> {
  await db.query(`
    create schema cron;
    create table cron.job (
      jobid bigint generated always as identity primary key, schedule text, command text, jobname text);
    grant select on cron.job to public;
    create function cron.schedule(a text, b text, c text) returns bigint language sql security definer as
      'insert into cron.job (jobname, schedule, command) values (a, b, c) returning jobid';
    create function cron.unschedule(a bigint) returns boolean language sql security definer as
      'with d as (delete from cron.job where jobid = a returning 1) select exists (select 1 from d)'`);
}
