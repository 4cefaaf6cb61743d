/*
 * What `.absurd/` holds, for those who only look. This file is all that an ordinary command loads of the embedded server, so
 * it uses nothing but Node's own modules. src/lib/embedded/pointer.ts writes.
 */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { errorCode } from './errors.js';

/** `.absurd/server.json`: what a folder's server is, running or not. Made once, gone with `--reset`. */
export interface Identity {
  id: string;
  password: string;
  /** Folder of the data and the log: relative to `.absurd/`, or absolute where the server's account cannot enter `.absurd/`. */
  files: string;
  /** Digest of the schema script that was last run; absent before the first time. */
  schema?: string;
  /** Where it listened last; absent before the first start. */
  port?: number;
}

/**
 * `.absurd/running.json`: where the server is. It is there from the first start until a deliberate stop, so a server that
 * fell asleep or crashed is told from one that nobody wants.
 */
export interface Running {
  /** The folder it was written for: a copy of a project must not lead to the original's server. */
  folder: string;
  /** The supervising process; null when the server stopped itself for want of clients. */
  pid: number | null;
  port: number;
  url: string;
  /** RFC 3339. */
  startedAt: string;
  /** Zero: never stops by itself. */
  idleTimeoutSeconds: number;
  postgresVersion: string;
}

export const pointerFolder = (folder: string): string => join(folder, '.absurd');
export const identityFile = (folder: string): string => join(pointerFolder(folder), 'server.json');
export const runningFile = (folder: string): string => join(pointerFolder(folder), 'running.json');

/** Anyone may put a `.absurd/` into a shared folder such as /tmp; only one of our own is followed. */
export function isTrusted(path: string): boolean {
  if (process.getuid === undefined) return true;
  const found = statSync(path);
  return found.uid === process.getuid() && (found.mode & 0o022) === 0;
}

function readJson(path: string): Record<string, unknown> | undefined {
  let text: string;
  try {
    if (!isTrusted(path)) return undefined;
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    // Damaged by hand: as good as none.
    return undefined;
  }
}

export function readIdentity(folder: string): Identity | undefined {
  const value = readJson(identityFile(folder));
  if (!value || typeof value['id'] !== 'string') return undefined;
  if (typeof value['password'] !== 'string' || typeof value['files'] !== 'string') return undefined;
  const { id, password, files, schema, port } = value;
  // A folder that came from somewhere brings its own file: what it names is made, chowned and, by --reset, deleted.
  if (!/^[0-9a-f]{16}$/.test(id)) return undefined;
  if (files !== 'postgres' && !(isAbsolute(files) && files === resolve(files) && basename(files) === id))
    return undefined;
  return {
    id,
    password,
    files,
    ...(typeof schema === 'string' ? { schema } : {}),
    ...(typeof port === 'number' && port > 0 && port < 65_536 ? { port } : {}),
  };
}

/** An embedded server listens on the loopback interface and nowhere else. */
function isLocal(url: string, port: number): boolean {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  return address?.protocol === 'postgresql:' && address.hostname === '127.0.0.1' && address.port === String(port);
}

export function readRunning(folder: string): Running | undefined {
  const value = readJson(runningFile(folder));
  if (!value) return undefined;
  const { folder: of, pid, port, url, startedAt, idleTimeoutSeconds, postgresVersion } = value;
  if (typeof of !== 'string' || typeof port !== 'number' || typeof url !== 'string') return undefined;
  if (of !== realpathSync(folder) || !isLocal(url, port)) return undefined;
  return {
    folder: of,
    pid: typeof pid === 'number' ? pid : null,
    port,
    url,
    startedAt: String(startedAt),
    idleTimeoutSeconds: Number(idleTimeoutSeconds),
    postgresVersion: String(postgresVersion),
  };
}

/** Ended, but not collected by its parent: a container whose first process does not care keeps such ids for ever. */
function isZombie(pid: number): boolean {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** A process with that id runs, ours or not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((settle) => {
    const socket = connect({ host: '127.0.0.1', port });
    const end = (value: boolean): void => {
      socket.destroy();
      settle(value);
    };
    socket.setTimeout(1000, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

/** Both the process and the port must be there: after a crash either number may have gone to somebody else. */
export async function isUp(running: Running): Promise<boolean> {
  return running.pid !== null && isAlive(running.pid) && (await answers(running.port));
}

/** The nearest folder, from `cwd` upwards, that has a server which somebody started or, with `any`, once had one. */
export function findServerFolder(cwd: string, any = false): string | undefined {
  for (let folder = resolve(cwd); ; folder = dirname(folder)) {
    if (existsSync(pointerFolder(folder)) && (readRunning(folder) || (any && readIdentity(folder)))) return folder;
    if (dirname(folder) === folder) return undefined;
  }
}

/** The address of the server of `cwd` or a folder above it that runs at this moment; nothing is started. */
export async function runningServer(cwd: string): Promise<string | undefined> {
  const folder = findServerFolder(cwd);
  const running = folder === undefined ? undefined : readRunning(folder);
  return running && (await isUp(running)) ? running.url : undefined;
}
