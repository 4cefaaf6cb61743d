/** How far a build of an index is, drawn on a terminal while it runs. */
import { setTimeout as delay } from 'node:timers/promises';
import { readBackendPid, readProgress, type Builder } from '../../../sql/indexes.js';
import type { Database } from '../../connection/database.js';
import { harmless } from '../../cli/format/text.js';
import type { Io } from '../../cli/io.js';

const everyMs = 200;

/** `building index: scanning table 45%`; what it waits for, where it waits. */
function describeProgress({ phase, done, total, waits_for: by }: Builder): string {
  const part =
    done === null || total === null || total === 0 ? '' : ` ${Math.min(100, Math.floor((done / total) * 100))}%`;
  return `${phase ?? 'at work'}${part}${by === null ? '' : `, for process ${by}`}`;
}

/** Runs `build` on `db`, and looks at it through a second connection, which `open` makes. */
export async function watchBuild(
  io: Io,
  db: Database,
  open: () => Promise<Database>,
  what: string,
  build: () => Promise<void>,
): Promise<void> {
  const pid = await readBackendPid(db);
  const second = await open();
  const ended = new AbortController();
  const drawing = (async () => {
    while (!ended.signal.aborted) {
      const progress = await readProgress(second, pid);
      if (progress && !ended.signal.aborted) {
        io.err(`\r\u001b[K${harmless(`${what}: ${describeProgress(progress)}`).slice(0, io.width - 1)}`);
      }
      await delay(everyMs, undefined, { signal: ended.signal }).catch(() => undefined);
    }
  })().catch(() => undefined);
  try {
    await build();
  } finally {
    ended.abort();
    await drawing;
    io.err('\r\u001b[K');
    await second.close();
  }
}
