/**
 * The way to the embedded server's module, which is loaded only when a folder has one or an `embedded:` address is given.
 */
import { resolve } from 'node:path';
import type { EmbeddedFinder } from '../../connection/settings.js';
import { CliError } from '../cli/errors.js';

/** Wakes a server that fell asleep, and starts one for an `embedded:` address. */
export const startAsNeeded: EmbeddedFinder = {
  async find(cwd) {
    const { findEmbeddedServer } = await import('../embedded/find.js');
    return findEmbeddedServer(cwd);
  },
  async ensure(folder, cwd) {
    const { ensureEmbeddedServer } = await import('../embedded/launch.js');
    return ensureEmbeddedServer(folder || undefined, cwd);
  },
};

/** Takes a server that runs already, and starts none. */
export const runningOnly: EmbeddedFinder = {
  async find(cwd) {
    const { runningServer } = await import('../../connection/pointer.js');
    return runningServer(cwd);
  },
  async ensure(folder, cwd) {
    const found = await runningOnly.find(resolve(cwd, folder));
    if (found === undefined) throw new CliError('No embedded server runs here');
    return found;
  },
};
