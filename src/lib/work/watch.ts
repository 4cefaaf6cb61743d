import { statSync, watch, type FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';

const settleMs = 100;
/** The clock that stamps files is coarser than ours. */
const stampSlackMs = 10;

/**
 * Calls back once after these files changed. Their folders are watched, since editors replace a file rather than write into it.
 * @param sinceMs a change from this time on counts, also one that came before the watch began
 * @returns ends the watch
 */
export function onChange(files: readonly string[], sinceMs: number, changed: () => void): () => void {
  const names = new Map<string, Set<string>>();
  for (const file of files) {
    const folder = dirname(file);
    names.set(folder, (names.get(folder) ?? new Set()).add(basename(file)));
  }
  let timer: NodeJS.Timeout | undefined;
  const watchers: FSWatcher[] = [];
  const stop = (): void => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
  const touched = (): void => {
    // One save is several events.
    clearTimeout(timer);
    timer = setTimeout(() => {
      stop();
      changed();
    }, settleMs);
  };
  for (const [folder, wanted] of names) {
    const watcher = watch(folder, (_event, name) => {
      if (name === null || wanted.has(name)) touched();
    });
    // A folder that is taken away ends its watch, not the worker.
    watcher.on('error', () => watcher.close());
    watchers.push(watcher);
  }
  if (files.some((file) => savedAtMs(file) >= sinceMs - stampSlackMs)) touched();
  return stop;
}

function savedAtMs(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
