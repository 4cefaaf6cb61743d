/**
 * The way to the embedded server's module, which is loaded only when a folder has one or an `embedded:` address is given.
 */
export interface EmbeddedAddress {
  url: string;
}

/** The server that was started for this folder or one above it and not stopped since; woken where it fell asleep. */
export async function findEmbedded(cwd: string): Promise<EmbeddedAddress | undefined> {
  const { findEmbeddedServer } = await import('../embedded/pointer.js');
  const url = await findEmbeddedServer(cwd);
  return url === undefined ? undefined : { url };
}

/** The server of `folder` (empty: of the nearest folder upwards that has one, else of `cwd`), started if need be. */
export async function ensureEmbedded(folder: string, cwd: string): Promise<EmbeddedAddress> {
  const { ensureEmbeddedServer } = await import('../embedded/launch.js');
  return { url: await ensureEmbeddedServer(folder || undefined, cwd) };
}
