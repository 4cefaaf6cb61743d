/** Which database is meant, in the documented order. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConnectionError } from './errors.js';
import type { ConnectionFlags, EmbeddedFinder, Environment } from './settings.js';

export interface Target {
  /** A name, a URI or a keyword string. */
  text: string;
  source: string;
  advice?: string;
  /** Host to assume when nothing else names one. */
  host?: string;
  /** An embedded server. */
  ours?: boolean;
}

/** The nearest folder upwards that holds an embedded server's pointer. Looking costs a stat a level, nothing is loaded. */
function hasEmbeddedFolder(cwd: string): boolean {
  for (let folder = cwd; ; folder = dirname(folder)) {
    if (existsSync(join(folder, '.absurd'))) return true;
    if (folder === dirname(folder)) return false;
  }
}

async function embeddedOr(target: Target, environment: Environment, embedded: EmbeddedFinder): Promise<Target> {
  if (!target.text.startsWith('embedded:')) return target;
  const url = await embedded.ensure(target.text.slice('embedded:'.length), environment.cwd);
  return { text: url, source: `the embedded server (${target.source})`, ours: true };
}

/** The server of this folder or one above it. One that was stopped is an error: the default address is another server. */
async function serverOfFolder(cwd: string, embedded: EmbeddedFinder): Promise<Target | undefined> {
  if (!hasEmbeddedFolder(cwd)) return undefined;
  const url = await embedded.find(cwd);
  if (url !== undefined) return { text: url, source: 'the embedded server of this folder', ours: true };
  const { findServerFolder } = await import('./pointer.js');
  const folder = findServerFolder(cwd, true);
  if (folder === undefined) return undefined;
  throw new ConnectionError(`The embedded server of ${folder} is stopped, and no other database was named`, {
    code: 'embedded_stopped',
    hint: 'absurdctl dev --detach starts it; --database or ABSURD_DATABASE_URL names another database',
  });
}

export async function findTarget(
  flags: ConnectionFlags,
  environment: Environment,
  embedded: EmbeddedFinder,
): Promise<Target> {
  const { env, cwd } = environment;
  if (flags.database) return embeddedOr({ text: flags.database, source: '--database' }, environment, embedded);
  if (env.ABSURD_DATABASE_URL) {
    return embeddedOr({ text: env.ABSURD_DATABASE_URL, source: 'ABSURD_DATABASE_URL' }, environment, embedded);
  }
  if (env.PGDATABASE) return { text: env.PGDATABASE, source: 'PGDATABASE' };
  if (env.PGSERVICE) return { text: '', source: 'PGSERVICE' };
  const elsewhere = flags.host ?? flags.port ?? flags.user ?? env.PGHOST ?? env.PGPORT;
  if (elsewhere === undefined) {
    const server = await serverOfFolder(cwd, embedded);
    if (server) return server;
  }
  const advice = 'start it, or one for this folder with absurdctl dev --detach';
  return { text: 'absurd', source: 'the default', host: 'localhost', ...(elsewhere === undefined ? { advice } : {}) };
}
