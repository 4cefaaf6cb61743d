import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, linkSync, lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  identityFile,
  isTrusted,
  pointerFolder,
  readIdentity,
  runningFile,
  type Identity,
  type Running,
} from '../../connection/pointer.js';
import { EmbeddedServerError, errorCode } from './errors.js';

/* What `.absurd/` holds, for those who write it. src/connection/pointer.ts reads. */

export * from '../../connection/pointer.js';

/** Readable by its owner only from the first moment, and never seen half-written. */
function writeDraft(path: string, value: object): string {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  return draft;
}

/** Makes `.absurd/`, which keeps itself out of version control. */
export function makePointerFolder(folder: string): string {
  const path = pointerFolder(folder);
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    if (lstatSync(path).isSymbolicLink()) {
      throw new EmbeddedServerError('storage', `${path} is a link, which is not followed.`, 'Remove it.');
    }
    if (!isTrusted(path)) {
      throw new EmbeddedServerError(
        'storage',
        `${path} belongs to another user, or others may write to it.`,
        'Use a folder of your own.',
      );
    }
    if (!existsSync(join(path, '.gitignore'))) writeFileSync(join(path, '.gitignore'), '*\n');
  } catch (error) {
    if (error instanceof EmbeddedServerError) throw error;
    throw new EmbeddedServerError(
      'storage',
      `Cannot make ${path}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return path;
}

/** Of several processes that write one for the first time, exactly one succeeds; all get that one's. */
export function createIdentity(folder: string, identity: Identity): Identity {
  const path = identityFile(folder);
  const draft = writeDraft(path, identity);
  try {
    linkSync(draft, path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  const agreed = readIdentity(folder);
  if (!agreed) {
    throw new EmbeddedServerError(
      'storage',
      `${path} is damaged or belongs to another user.`,
      'Remove it, or use another folder.',
    );
  }
  return agreed;
}

export function writeIdentity(folder: string, identity: Identity): void {
  const path = identityFile(folder);
  renameSync(writeDraft(path, identity), path);
}

export function writeRunning(folder: string, running: Running): void {
  const path = runningFile(folder);
  renameSync(writeDraft(path, running), path);
  chmodSync(path, 0o600);
}

export function removeRunning(folder: string): void {
  rmSync(runningFile(folder), { force: true });
}

export function removeIdentity(folder: string): void {
  rmSync(identityFile(folder), { force: true });
}

/** Where the identity says that data and log are. */
export function filesFolder(folder: string, identity: Identity): string {
  return resolve(pointerFolder(folder), identity.files);
}
