import { findServerFolder, isUp, readRunning } from './pointer.js';

/**
 * The address of the embedded server that was started in `cwd` or a folder above it and not stopped since; undefined
 * where there is none. One that went to sleep for want of clients, or crashed, is started again.
 */
export async function findEmbeddedServer(cwd: string): Promise<string | undefined> {
  const folder = findServerFolder(cwd);
  const running = folder === undefined ? undefined : readRunning(folder);
  if (folder === undefined || !running) return undefined;
  if (await isUp(running)) return running.url;
  const { startDetached } = await import('./launch.js');
  return (await startDetached(folder, running.idleTimeoutSeconds)).url;
}
