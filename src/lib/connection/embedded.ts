/**
 * The way to the embedded server's module, which is loaded only when a folder has one or an `embedded:` address is given.
 */
import { CliError, exit } from '../errors.js';

export interface EmbeddedAddress {
  url: string;
}

/** The server that was started for this folder or one above it, if it is there. */
export function findEmbedded(_cwd: string): Promise<EmbeddedAddress | undefined> {
  return Promise.resolve(undefined);
}

/** The server of this folder, started if need be. */
export function ensureEmbedded(_folder: string): Promise<EmbeddedAddress> {
  throw new CliError('This build has no embedded server', { exitCode: exit.unreachable, code: 'no_embedded_server' });
}
