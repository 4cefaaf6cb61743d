import { chmodSync, lstatSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Account } from './account.js';
import { EmbeddedServerError } from './errors.js';

/**
 * May `account` enter `folder`? Looks at the execute bit of every folder on the way: a home of mode 700 hides all that
 * lies in it, whatever the mode of the file itself.
 */
export function canReach(folder: string, account: Account): boolean {
  let path: string;
  try {
    path = realpathSync(folder);
  } catch {
    return false;
  }
  for (;;) {
    const { uid, gid, mode } = statSync(path);
    const needed = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & needed) === 0) return false;
    const parent = dirname(path);
    if (parent === path) return true;
    path = parent;
  }
}

/** Where our own files may live, best first. `kind` says how long they should: data outlives a cache, a cache outlives scratch. */
function candidates(kind: 'data' | 'cache' | 'scratch', account: Account | undefined): string[] {
  const temporary = [tmpdir(), '/var/tmp', '/tmp'].map((folder) =>
    join(folder, `absurdctl-${process.getuid?.() ?? 'user'}`),
  );
  if (kind === 'scratch') return temporary;
  const chosen = process.env[kind === 'data' ? 'XDG_DATA_HOME' : 'XDG_CACHE_HOME'];
  if (account) {
    const usual = kind === 'data' ? '/var/lib/absurdctl' : '/var/cache/absurdctl';
    return [...(chosen ? [join(chosen, 'absurdctl')] : []), usual, ...temporary];
  }
  const home = chosen ?? join(homedir(), ...(kind === 'data' ? ['.local', 'share'] : ['.cache']));
  return [join(home, 'absurdctl'), ...temporary];
}

/** Shared folders such as /tmp let others prepare our name in advance; only a folder that nobody else can write to will do. */
function isOurs(folder: string): boolean {
  const found = lstatSync(folder);
  if (!found.isDirectory()) return false;
  if (process.getuid === undefined) return true;
  return found.uid === process.getuid() && (found.mode & 0o022) === 0;
}

/**
 * A folder of our own that the server's account can enter, made when missing.
 * @throws EmbeddedServerError `storage` when no candidate can be written.
 */
export function storageFolder(kind: 'data' | 'cache' | 'scratch', account: Account | undefined): string {
  const tried = candidates(kind, account);
  for (const folder of tried) {
    try {
      mkdirSync(folder, { recursive: true, mode: 0o755 });
      if (!isOurs(folder)) continue;
      // Under a strict umask the folder came out as 700; the account must be able to pass through it.
      if (account) chmodSync(folder, 0o711);
      if (!account || canReach(folder, account)) return folder;
    } catch {
      // Read-only or forbidden: the next candidate may do.
    }
  }
  throw new EmbeddedServerError(
    'storage',
    `No folder for the embedded server's files: tried ${[...new Set(tried)].join(', ')}.`,
    account
      ? `The server runs as "${account.name}", which must be able to enter one of them. Set TMPDIR to such a folder.`
      : 'Make one of them writable, or set TMPDIR.',
  );
}
