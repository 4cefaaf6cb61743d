/** Files that commands write for people. */
import { randomBytes } from 'node:crypto';
import { lstatSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';

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
