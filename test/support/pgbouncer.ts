import { spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { serverAccount } from '../../src/lib/embedded/account.js';

/** Where PgBouncer is on this machine; undefined where it is not. */
export const pgbouncer = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/usr/local/bin/pgbouncer'].find((path) =>
  existsSync(path),
);

/** What to add to the name of a test that is skipped without it. */
export const withoutPgbouncer =
  pgbouncer === undefined ? ' (skipped: no pgbouncer on this machine; Debian has it in the package pgbouncer)' : '';

export interface Pooler {
  /** The address of the database behind it. */
  url: string;
  /** Kills it and starts it anew on the same port. */
  restart(): Promise<void>;
  stop(): void;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}

/**
 * Starts a PgBouncer in transaction mode before a database, and waits until it lets through.
 * @param poolSize connections to the server
 */
export async function startPooler(databaseUrl: string, poolSize = 2): Promise<Pooler> {
  const folder = mkdtempSync(join(tmpdir(), 'pgbouncer-'));
  const address = new URL(databaseUrl);
  const name = decodeURIComponent(address.pathname.slice(1));
  const port = await freePort();
  const server = {
    host: address.hostname,
    port: address.port,
    user: address.username,
    ...(address.password ? { password: decodeURIComponent(address.password) } : {}),
  };
  const target = Object.entries(server).map(([key, value]) => `${key}=${value}`);
  const settings = [
    '[databases]',
    `${name} = ${target.join(' ')}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    'pool_mode = transaction',
    `default_pool_size = ${poolSize}`,
    'ignore_startup_parameters = extra_float_digits',
  ];
  const file = join(folder, 'pgbouncer.ini');
  writeFileSync(file, settings.join('\n'));
  const account = serverAccount();
  if (account) {
    chmodSync(folder, 0o755);
    chownSync(file, account.uid, account.gid);
  }
  const identity = account ? { uid: account.uid, gid: account.gid } : {};
  const url = `postgresql://any@127.0.0.1:${port}/${name}`;
  const start = async (): Promise<ReturnType<typeof spawn>> => {
    const child = spawn(pgbouncer ?? '', ['-q', file], { stdio: 'ignore', ...identity });
    // It must not outlive a run that is interrupted.
    const reap = (): boolean => child.kill('SIGKILL');
    process.once('exit', reap);
    child.once('close', () => process.off('exit', reap));
    const deadline = Date.now() + 60_000;
    while (!(await answers(url))) {
      if (Date.now() > deadline) throw new Error('PgBouncer let nobody through within 60 s');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return child;
  };
  let child = await start();
  return {
    url,
    async restart() {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
      child = await start();
    },
    stop() {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
