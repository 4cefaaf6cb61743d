import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedServerError, errorCode } from './errors.js';
import { isAlive } from './pointer.js';

/** No start takes this long; a lock of that age was left by a machine that went down, and its process id means nothing. */
const staleAfterMs = 180_000;

interface Holder {
  content: string;
  pid: number;
  ageMs: number;
}

function holder(path: string): Holder | undefined {
  try {
    const content = readFileSync(path, 'utf8');
    return { content, pid: Number.parseInt(content, 10), ageMs: Date.now() - statSync(path).mtimeMs };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Removes exactly the lock that was found stale. Between looking and removing, another process may have done the same
 * and taken the lock; then what we moved is theirs and goes back.
 */
function breakLock(path: string, stale: Holder): void {
  const moved = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    renameSync(path, moved);
    if (readFileSync(moved, 'utf8') !== stale.content) linkSync(moved, path);
  } catch (error) {
    if (!['ENOENT', 'EEXIST'].includes(errorCode(error) ?? '')) throw error;
  } finally {
    rmSync(moved, { force: true });
  }
}

function take(path: string, content: string): boolean {
  // Written beside and linked into place, so that nobody reads a lock without its holder's id.
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, content, { flag: 'wx', mode: 0o600 });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/**
 * Runs `work` while no other process is in such a section for the same lock file. A holder that died gives way.
 * @throws EmbeddedServerError `start-failed` after `timeoutMs` of waiting.
 */
export async function withLock<T>(path: string, work: () => Promise<T>, timeoutMs = 120_000): Promise<T> {
  const content = `${process.pid} ${randomBytes(8).toString('hex')}\n`;
  const giveUpAt = Date.now() + timeoutMs;
  while (!take(path, content)) {
    const found = holder(path);
    if (found && (!isAlive(found.pid) || found.ageMs > staleAfterMs)) breakLock(path, found);
    else if (Date.now() > giveUpAt) {
      throw new EmbeddedServerError(
        'start-failed',
        `Another process (${found?.pid ?? 'unknown'}) holds ${path} for too long.`,
      );
    } else await delay(25);
  }
  try {
    return await work();
  } finally {
    if (holder(path)?.content === content) rmSync(path, { force: true });
  }
}
