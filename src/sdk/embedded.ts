/**
 * The embedded server of a folder, for programs: found by the files that it leaves, started by this package's own command.
 */
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { ConnectionError } from '../connection/errors.js';
import { ownProgram } from '../connection/own-program.js';
import { findServerFolder, isUp, readRunning } from '../connection/pointer.js';

/** Starts the server of exactly this folder, or finds it running, and waits until it takes connections. */
async function start(folder: string, cwd: string, idleTimeoutSeconds?: number): Promise<string> {
  const known = readRunning(folder);
  if (known && (await isUp(known))) return known.url;
  const idle = idleTimeoutSeconds === undefined ? [] : ['--idle-timeout', `${idleTimeoutSeconds}s`];
  // Loaded here, so that it costs a program nothing that has a server.
  const { execFile } = await import('node:child_process');
  const args = [ownProgram(cwd), 'dev', '--detach', ...idle];
  const words = await new Promise<string>((settle) => {
    execFile(process.execPath, args, { cwd: folder }, (error, _stdout, stderr) => {
      settle(error ? stderr.trim() || error.message : '');
    });
  });
  const running = readRunning(folder);
  if (running && words === '') return running.url;
  throw new ConnectionError(`The embedded server of ${folder} did not start: ${words || 'no reason was given'}`, {
    code: 'embedded_start_failed',
    lines: true,
  });
}

/** The server that was started in `cwd` or a folder above it and not stopped since; started again where it fell asleep. */
export async function findEmbedded(cwd: string): Promise<string | undefined> {
  const folder = findServerFolder(cwd);
  const running = folder === undefined ? undefined : readRunning(folder);
  return folder === undefined || !running ? undefined : start(folder, cwd, running.idleTimeoutSeconds);
}

/** The server of `folder` (empty: of the nearest folder upwards that has one, else of `cwd`), started if need be. */
export async function ensureEmbedded(folder: string, cwd: string): Promise<string> {
  const chosen = folder ? resolve(cwd, folder) : (findServerFolder(cwd) ?? cwd);
  if (folder) mkdirSync(chosen, { recursive: true });
  return start(chosen, cwd);
}
