/** Files that commands write for people. */
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { CliError, errorCode, refused } from './errors.js';

/** What is at a path, links not followed: nothing, an ordinary file, or something else. */
export function kindOf(path: string): 'nothing' | 'file' | 'link' | 'other' {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return 'nothing';
  return found.isFile() ? 'file' : found.isSymbolicLink() ? 'link' : 'other';
}

/** A device or a pipe, perhaps at the end of links such as /dev/stdout: something to write into. */
function isStream(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found !== undefined && (found.isFIFO() || found.isCharacterDevice());
}

/**
 * Makes a folder and those above it. `mkdir` with `recursive` never ends, not even by Ctrl-C, where the file system takes no
 * folders and says that something is missing (/proc).
 */
export function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Somebody else was faster.
    if (!existsSync(path)) throw error;
  }
}

/**
 * Writes a file whole or not at all: beside its place, then renamed into it. What was there is replaced, a link too: its
 * target is left alone, and the mode is always the one given. Into a device or a pipe it just writes.
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
 * Writes a file for its owner alone: what a task holds may be confidential. Raises exit 4 for one that exists, unless `force`, and
 * exit 1 where it cannot be written.
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
