/** What bin/absurdctl starts: the one place that ends the process. */
import { processIo } from './lib/io.js';
import { main } from './main.js';

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
  let interrupts = 0;
  process.on('SIGINT', () => {
    interrupts++;
    if (interrupts > 1) process.exit(130);
  });
  process.exitCode = await main(process.argv.slice(2), processIo(), version);
}
