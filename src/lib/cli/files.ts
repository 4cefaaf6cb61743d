/** Files that commands write for people. */
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { CliError, errorCode, refused } from './errors.js';

/** The kind of a path (links are not followed): missing, a regular file, or something else. */
export function kindOf(path: string): 'nothing' | 'file' | 'link' | 'other' {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return 'nothing';
  return found.isFile() ? 'file' : found.isSymbolicLink() ? 'link' : 'other';
}

/** A device or a pipe, perhaps behind links such as /dev/stdout: written to directly. */
function isStream(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found !== undefined && (found.isFIFO() || found.isCharacterDevice());
}

/**
 * Creates a folder and its parents. Recursive `mkdir` hangs, even at Ctrl-C, if the file system cannot create folders
 * and reports ENOENT (/proc).
 */
export function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process created it first.
    if (!existsSync(path)) throw error;
  }
}

/**
 * Writes a file atomically: to a temporary file next to it, then by renaming. This replaces an existing file or link
 * (the link's target is kept), always with the given mode. Devices and pipes are written directly.
 */
export function replaceFile(path: string, text: string, mode: number): void {
  if (isStream(path)) return writeFileSync(path, text);
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(draft, text, { mode, flag: 'wx' });
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/**
 * Writes a file that only its owner can read, since tasks may hold confidential data. Raises exit code 4 if the file
 * exists, unless `force`, and exit code 1 if it cannot be written.
 */
export function writeNewFile(folder: string, name: string, text: string, { force }: { force: boolean }): void {
  const path = resolve(folder, name);
  try {
    if (force) replaceFile(path, text, 0o600);
    else writeFileSync(path, text, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (errorCode(error) === 'EEXIST') throw refused(`${name} exists`, '--force writes over it');
    throw new CliError(`${name} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}
