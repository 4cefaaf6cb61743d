/**
 * The way to the embedded server's module, which is loaded only when a folder has one or an `embedded:` address is given.
 */
import { resolve } from 'node:path';
import { CliError } from '../cli/errors.js';

export interface EmbeddedAddress {
  url: string;
}

/** The server that was started for this folder or one above it and not stopped since; woken where it fell asleep. */
async function findEmbedded(cwd: string): Promise<EmbeddedAddress | undefined> {
  const { findEmbeddedServer } = await import('../embedded/find.js');
  const url = await findEmbeddedServer(cwd);
  return url === undefined ? undefined : { url };
}

/** The server of `folder` (empty: of the nearest folder upwards that has one, else of `cwd`), started if need be. */
async function ensureEmbedded(folder: string, cwd: string): Promise<EmbeddedAddress> {
  const { ensureEmbeddedServer } = await import('../embedded/launch.js');
  return { url: await ensureEmbeddedServer(folder || undefined, cwd) };
}

/** How resolving finds embedded servers. */
export interface EmbeddedFinder {
  find(cwd: string): Promise<EmbeddedAddress | undefined>;
  ensure(folder: string, cwd: string): Promise<EmbeddedAddress>;
}

export const startAsNeeded: EmbeddedFinder = { find: findEmbedded, ensure: ensureEmbedded };

/** Takes a server that runs already, and starts none. */
export const runningOnly: EmbeddedFinder = {
  async find(cwd) {
    const { runningServer } = await import('../embedded/pointer.js');
    const url = await runningServer(cwd);
    return url === undefined ? undefined : { url };
  },
  async ensure(folder, cwd) {
    const found = await runningOnly.find(resolve(cwd, folder));
    if (found === undefined) throw new CliError('No embedded server runs here');
    return found;
  },
};
