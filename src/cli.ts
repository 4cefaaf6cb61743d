/** What bin/absurdctl starts: the one place that ends the process. */
import { exit } from './lib/errors.js';
import { processIo } from './lib/io.js';
import { main } from './main.js';

/** How long a command may take to end after Ctrl-C. */
const patienceMs = 5000;

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
  const interrupt = (): void => {
    // Whoever watches (a statement under way, a prompt, a pause) ends the command in order; the rest ends here.
    if (interrupted || process.listenerCount('SIGINT') === 1) process.exit(exit.interrupted);
    interrupted = true;
    setTimeout(() => process.exit(exit.interrupted), patienceMs).unref();
  };
  let interrupted = false;
  process.on('SIGINT', interrupt);
  process.exitCode = await main(process.argv.slice(2), processIo(), version);
}
