import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedServerError } from './errors.js';
import { isAlive } from './pointer.js';

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    // Not Linux, or gone.
    const listed = spawnSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
    return listed.stdout ?? '';
  }
}

/** The server process that runs on `dataFolder`, whoever started it. The file that names it may be left over from a crash. */
export function findPostmaster(dataFolder: string): number | undefined {
  let pid: number;
  try {
    pid = Number.parseInt(readFileSync(join(dataFolder, 'postmaster.pid'), 'utf8'), 10);
  } catch {
    return undefined;
  }
  return pid > 0 && isAlive(pid) && commandLine(pid).includes(dataFolder) ? pid : undefined;
}

/**
 * Stops a server whose supervising process was killed, so that a new one can take its data over.
 * @returns whether there was one.
 */
export async function stopOrphan(dataFolder: string): Promise<boolean> {
  const pid = findPostmaster(dataFolder);
  if (pid === undefined) return false;
  process.kill(pid, 'SIGINT');
  const giveUpAt = Date.now() + 20_000;
  while (findPostmaster(dataFolder) !== undefined) {
    if (Date.now() > giveUpAt) {
      throw new EmbeddedServerError('start-failed', `A PostgreSQL of this folder (process ${pid}) does not stop.`);
    }
    await delay(25);
  }
  return true;
}

function works(pid: string, folder: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === folder;
  } catch {
    return false;
  }
}

/** All of a server's processes work in its data folder; parts of one that was killed may outlive it for a moment. */
function hasProcesses(dataFolder: string): boolean {
  return readdirSync('/proc').some((name) => /^\d+$/.test(name) && works(name, dataFolder) && isAlive(Number(name)));
}

/**
 * PostgreSQL refuses to start while its file names a process id that exists, also when that id now belongs to somebody
 * else (a container started anew) or to a zombie. Where it can be proved that no part of the old server is left, this
 * removes the file; in every other case PostgreSQL decides.
 */
export async function clearStalePidFile(dataFolder: string): Promise<void> {
  const file = join(dataFolder, 'postmaster.pid');
  if (!existsSync(file) || !existsSync('/proc/self/cwd') || findPostmaster(dataFolder) !== undefined) return;
  const giveUpAt = Date.now() + 5000;
  while (hasProcesses(dataFolder)) {
    if (Date.now() > giveUpAt) return;
    await delay(25);
  }
  rmSync(file, { force: true });
}
