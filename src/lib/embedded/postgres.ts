import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Account } from './account.js';
import type { Binaries } from './binaries.js';
import { EmbeddedServerError } from './errors.js';

const superuser = 'postgres';
const host = '127.0.0.1';
const startTimeoutMs = 60_000;

export interface PostgresOptions {
  binaries: Binaries;
  /** Runs the server's processes; undefined for the current user. */
  account: Account | undefined;
  /** Its parent folder must exist and be reachable for `account`. */
  dataFolder: string;
  /** The superuser's password, set when the data folder is made. */
  password: string;
  /** The server's own messages are added to this file. */
  logFile: string;
  /** Settings (`-c name=value`) on top of ours. */
  settings?: Record<string, string>;
  /** False skips flushing to disk: for databases that nobody misses after a power cut. Default true. */
  durable?: boolean;
  /** Taken when it is free; otherwise any other. */
  preferredPort?: number;
}

export interface RunningPostgres {
  pid: number;
  port: number;
  /** Connects as superuser to database `postgres`; holds the password. */
  url: string;
  /** Settles with the exit status when the server ends, for whatever reason (null: by a signal). */
  exited: Promise<number | null>;
  /** Disconnects clients and stops; resolves when the process is gone. May be called more than once. */
  stop(): Promise<void>;
  /** The same without waiting: for the end of this process. */
  kill(): void;
}

/** The address of a database on an embedded server. */
export function serverUrl(port: number, password: string, database = 'postgres'): string {
  return `postgresql://${superuser}:${password}@${host}:${port}/${encodeURIComponent(database)}`;
}

/** A fixed locale and time zone: the server behaves the same whatever the caller's environment says. */
function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], TZ: 'UTC', LC_ALL: 'C' };
}

function spawnServerProcess(program: string, args: string[], options: PostgresOptions, log: number): ChildProcess {
  return spawn(program, args, {
    // The current folder may be hidden from the account, and PostgreSQL wants one that it can enter.
    cwd: dirname(options.dataFolder),
    env: environment(),
    stdio: ['ignore', log, log],
    ...(options.account ? { uid: options.account.uid, gid: options.account.gid } : {}),
  });
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
}

/** The last lines of the log: PostgreSQL says there what it disliked. */
function logTail(logFile: string, from = 0): string {
  if (!existsSync(logFile)) return '';
  return readFileSync(logFile, 'utf8').slice(from).trim().split('\n').slice(-12).join('\n');
}

function openLog(options: PostgresOptions): { fd: number; size: number } {
  const fd = openSync(options.logFile, 'a', 0o600);
  return { fd, size: readFileSync(options.logFile, 'utf8').length };
}

/** A data folder that `initdb` finished. */
export function isInitialized(dataFolder: string): boolean {
  return existsSync(join(dataFolder, 'PG_VERSION')) && existsSync(join(dataFolder, 'global', 'pg_control'));
}

/**
 * Makes the data folder: UTF-8, scram passwords only. On failure nothing is left in its place.
 * @throws EmbeddedServerError `start-failed` with initdb's own words.
 */
export async function initialize(options: PostgresOptions): Promise<void> {
  const { dataFolder, account, binaries } = options;
  const passwordFile = `${dataFolder}.password`;
  mkdirSync(dataFolder, { mode: 0o700 });
  writeFileSync(passwordFile, options.password, { mode: 0o600 });
  if (account) {
    chownSync(dataFolder, account.uid, account.gid);
    chownSync(passwordFile, account.uid, account.gid);
  }
  const args = ['-D', dataFolder, '-U', superuser, '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8'];
  // The built-in provider (PostgreSQL 17) knows Unicode without the system's locales; before it, only "C" is everywhere.
  args.push('--no-locale');
  if (binaries.major >= 17) args.push('--locale-provider=builtin', '--builtin-locale=C.UTF-8');
  if (options.durable === false) args.push('--no-sync');
  const log = openLog(options);
  try {
    const status = await exitOf(spawnServerProcess(binaries.initdb, args, options, log.fd));
    if (status !== 0) {
      throw new EmbeddedServerError('start-failed', `initdb failed:\n${logTail(options.logFile, log.size)}`);
    }
  } catch (error) {
    rmSync(dataFolder, { recursive: true, force: true });
    throw error;
  } finally {
    closeSync(log.fd);
    rmSync(passwordFile, { force: true });
  }
}

function freePort(preferred = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error) => (preferred === 0 ? reject(error) : resolve(freePort())));
    probe.listen(preferred, host, () => {
      const address = probe.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

/** The postmaster writes its state on the eighth line of this file; "ready" is the word it ends start-up with. */
function isReady(dataFolder: string, pid: number): boolean {
  try {
    const lines = readFileSync(join(dataFolder, 'postmaster.pid'), 'utf8').split('\n');
    return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
  } catch {
    return false;
  }
}

function settingsOf(options: PostgresOptions, port: number): string[] {
  const settings: Record<string, string> = {
    port: String(port),
    listen_addresses: host,
    unix_socket_directories: '',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...(options.durable === false ? { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } : {}),
    ...options.settings,
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

function running(child: ChildProcess, pid: number, port: number, options: PostgresOptions): RunningPostgres {
  const exited = exitOf(child);
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGINT');
      // "Fast" shutdown can be held up by a checkpoint on a slow disk; past this, crash recovery at the next start is quicker.
      const forced = setTimeout(() => child.kill('SIGQUIT'), 20_000);
      await exited;
      clearTimeout(forced);
    }
  };
  const kill = (): void => void child.kill('SIGINT');
  return { pid, port, url: serverUrl(port, options.password), exited, stop, kill };
}

/**
 * Starts the server on 127.0.0.1 and a free port, without a Unix socket, and waits until it takes connections.
 * @throws EmbeddedServerError `start-failed` with the server's own words.
 */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort(attempt === 1 ? options.preferredPort : 0);
    const log = openLog(options);
    const args = ['-D', options.dataFolder, ...settingsOf(options, port)];
    const child = spawnServerProcess(options.binaries.postgres, args, options, log.fd);
    closeSync(log.fd);
    const server = running(child, child.pid ?? 0, port, options);
    const gone = server.exited.then(
      () => true,
      () => true,
    );
    const giveUpAt = Date.now() + startTimeoutMs;
    while (!isReady(options.dataFolder, server.pid)) {
      const ended = await Promise.race([gone, delay(20).then(() => false)]);
      if (ended) break;
      if (Date.now() > giveUpAt) {
        await server.stop();
        throw new EmbeddedServerError('start-failed', `PostgreSQL was not ready after ${startTimeoutMs / 1000} s.`);
      }
    }
    if (child.exitCode === null && child.signalCode === null && child.pid) return server;
    const words = logTail(options.logFile, log.size);
    // Another process may take the port between our look and the server's start, and the parts of a server that was
    // killed take a moment to notice.
    if (attempt < 20 && words.includes('is still in use')) await delay(250);
    else if (attempt >= 5 || !words.includes('Address already in use')) {
      throw new EmbeddedServerError('start-failed', `PostgreSQL did not start:\n${words}`);
    }
  }
}

/** Lets `account` use a folder of its own below a reachable one, hidden from everybody else. */
export function giveFolder(folder: string, account: Account | undefined): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // At the end of a link somebody else's folder would be chowned, and its data replaced.
  if (lstatSync(folder).isSymbolicLink()) {
    throw new EmbeddedServerError('storage', `${folder} is a link, which is not followed.`, 'Remove it.');
  }
  chmodSync(folder, 0o700);
  if (account) chownSync(folder, account.uid, account.gid);
}
