// A PostgreSQL to measure on: the one that ABSURD_BENCH_DATABASE_URL names (a role that may create databases), else the
// embedded one, with durable commits, in a folder of its own that is thrown away afterwards.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const bin = join(root, 'bin', 'absurdctl');

/** Runs one statement, or several, on a connection of its own. */
export async function query(url, sql, values) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql, values)).rows;
  } finally {
    await client.end();
  }
}

/** Installs our schema. */
export async function install(url) {
  await query(url, readFileSync(join(root, 'sql', 'absurd.sql'), 'utf8'));
}

/** Calls `work` with a function that makes an empty database of that name and returns its URL. */
export async function withServer(work) {
  const folder = process.env.ABSURD_BENCH_DATABASE_URL ? undefined : mkdtempSync(join(tmpdir(), 'absurd-bench-'));
  const dev = (...args) => execFileSync(process.execPath, [bin, 'dev', ...args], { cwd: folder, encoding: 'utf8' });
  let address = process.env.ABSURD_BENCH_DATABASE_URL;
  if (folder !== undefined) {
    dev('--detach', '--idle-timeout=0');
    address = dev('--status', '--show-password', '-o', 'name').trim();
  }
  const made = [];
  const database = async (name) => {
    await query(address, `drop database if exists "${name}" with (force)`);
    await query(address, `create database "${name}"`);
    made.push(name);
    const url = new URL(address);
    url.pathname = `/${name}`;
    return url.href;
  };
  // Also when it is interrupted: a server of ours has no idle limit.
  process.once('exit', () => {
    if (folder === undefined) return;
    dev('--stop');
    rmSync(folder, { recursive: true, force: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
  const [{ version }] = await query(address, `select current_setting('server_version') as version`);
  console.log(
    `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores; Node ${process.version}; PostgreSQL ${version}`,
  );
  try {
    return await work(database);
  } finally {
    if (folder === undefined)
      for (const name of made) await query(address, `drop database if exists "${name}" with (force)`);
  }
}
