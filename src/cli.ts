/** What bin/absurdctl starts: the one place that ends the process. */
import { maskPasswords } from './lib/connection/uri.js';
import { exit } from './lib/cli/errors.js';
import { processIo } from './lib/cli/io.js';
import { main } from './main.js';

export { commandSpecs, topicSummaries } from './main.js';

/** How long a command may take to end after Ctrl-C. */
const patienceMs = 5000;

/** Takes passwords in addresses out of what `ps` shows of this process. Until then, some hundredths of a second, they show. */
function hidePasswords(): void {
  const words = process.argv.slice(2);
  const shown = words.map(maskPasswords);
  if (shown.some((word, i) => word !== words[i])) process.title = ['absurdctl', ...shown].join(' ');
}

/**
 * Runs the command line of this process. A reader that went away (`| head`) ends it quietly; a second Ctrl-C ends it at
 * once.
 */
export async function start(version: string): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit(0);
    });
  }
  hidePasswords();
  let interrupted = false;
  let exitsWhenDone = false;
  const interrupt = (signal: 'SIGINT' | 'SIGTERM', code: number): void => {
    // Whoever watches (a statement under way, a prompt, a pause) ends the command in order; the rest ends here.
    if (interrupted || process.listenerCount(signal) === 1) process.exit(code);
    interrupted = true;
    if (!exitsWhenDone) setTimeout(() => process.exit(code), patienceMs).unref();
  };
  process.on('SIGINT', () => interrupt('SIGINT', exit.interrupted));
  process.on('SIGTERM', () => interrupt('SIGTERM', 143));
  const io = Object.assign(processIo(), { exitsWhenDone: () => (exitsWhenDone = true) });
  process.exitCode = await main(process.argv.slice(2), io, version);
  if (exitsWhenDone) process.exit();
}
