import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { EmbeddedServerError } from './errors.js';

/** The system account that the server's processes run as. */
export interface Account {
  name: string;
  uid: number;
  gid: number;
}

/** Tried in this order; the first that exists and that this process may become is taken. */
const preferredNames = ['postgres', 'nobody', 'daemon'];

/** Rows of the system's account file; empty where there is none. */
function readAccounts(): Account[] {
  let text: string;
  try {
    text = readFileSync('/etc/passwd', 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    if (!name || !/^\d+$/.test(uid ?? '') || !/^\d+$/.test(gid ?? '')) return [];
    return [{ name, uid: Number(uid), gid: Number(gid) }];
  });
}

/** A container may map few ids or forbid changing them, so the only honest test is to do it. */
function canBecome(account: Account): boolean {
  const probe = spawnSync('/bin/sh', ['-c', 'exit 0'], {
    uid: account.uid,
    gid: account.gid,
    cwd: '/',
    stdio: 'ignore',
  });
  return probe.status === 0;
}

let chosen: Account | undefined;

/**
 * PostgreSQL refuses to run as root. As root this names the unprivileged account to use instead; for everybody else
 * it is undefined: the server runs as whoever asked.
 * @throws EmbeddedServerError `unsupported` when running as root and no other account can be used.
 */
export function serverAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  if (chosen) return chosen;
  const accounts = readAccounts().filter((account) => account.uid !== 0);
  const preferred = preferredNames.flatMap((name) => accounts.filter((account) => account.name === name));
  const others = accounts.filter((account) => !preferred.includes(account));
  chosen = [...preferred, ...others].find(canBecome);
  if (!chosen) {
    throw new EmbeddedServerError(
      'unsupported',
      'PostgreSQL does not run as root, and this system has no other account that it could run as.',
      'Run absurdctl as an ordinary user, or give it a server with --database.',
    );
  }
  return chosen;
}
