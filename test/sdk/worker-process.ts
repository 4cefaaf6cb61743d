import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ensureBuilt } from '../support/database.js';
import { expect, until, type TestDatabase } from './support.js';

const program = fileURLToPath(new URL('programs/worker.mjs', import.meta.url));

/** A worker in a process of its own; `lines` is what it said so far. */
export interface WorkerProcess {
  child: ChildProcess;
  lines: string[];
  exited: Promise<number | string | null>;
  says(line: string): Promise<string>;
}

export async function startWorkerProcess(
  db: { url: string },
  id: string,
  options: object = {},
  extraEnv: Record<string, string> = {},
): Promise<WorkerProcess> {
  await ensureBuilt();
  const env = {
    ...process.env,
    PGAPPNAME: id,
    WORKER_URL: db.url,
    WORKER_ID: id,
    WORKER_OPTIONS: JSON.stringify(options),
    ...extraEnv,
  };
  const child = spawn(process.execPath, [program], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const exited = new Promise<number | string | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? code));
  });
  const says = (line: string): Promise<string> =>
    until(
      () => {
        if (child.exitCode !== null) throw new Error(`the worker ended with ${child.exitCode}: ${errors}`);
        return lines.find((said) => said.startsWith(line));
      },
      { what: `"${line}" from worker ${id}` },
    );
  await says('ready');
  return { child, lines, exited, says };
}

/** Kills a worker outright. What it had sent already the server still does: this waits for the end of that too. */
export async function killWorker(db: TestDatabase, id: string, { child, exited }: WorkerProcess): Promise<void> {
  child.kill('SIGKILL');
  expect(await exited).toBe('SIGKILL');
  const sessions = 'select 1 from pg_stat_activity where datname = current_database() and application_name = $1';
  await until(async () => (await db.query(sessions, [id])).rows.length === 0);
}

export async function makeLedger(db: TestDatabase): Promise<void> {
  await db.query('create table ledger (task_id uuid, attempt integer, step text, worker text)');
}

export async function ledgerOf(db: TestDatabase, taskId: string): Promise<string[]> {
  const { rows } = await db.query<{ entry: string }>(
    `select worker || ': ' || step as entry from ledger where task_id = $1 order by ctid`,
    [taskId],
  );
  return rows.map((row) => row.entry);
}

/** Lets every lease run out now. */
export async function expireLeases(db: TestDatabase): Promise<void> {
  await db.query(`update absurd.r_default set claim_expires_at = now() - interval '1 second' where state = 'running'`);
}
