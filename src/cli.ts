/** What bin/absurdctl starts: the one place that ends the process. */
import { maskPasswords } from './connection/uri.js';
import { CliError, exit } from './lib/cli/errors.js';
import { processIo } from './lib/cli/io.js';
import { reportError } from './lib/cli/report.js';
import { main } from './main.js';

export { commandSpecs, dashboardApi, topicSummaries } from './main.js';

/** How long a command may take to end after Ctrl-C. */
const patienceMs = 5000;

/** Takes passwords in addresses out of what `ps` shows of this process. Until then, some hundredths of a second, they show. */
function hidePasswords(): void {
  const words = process.argv.slice(2);
  const shown = words.map(maskPasswords);
  if (shown.some((word, i) => word !== words[i])) process.title = ['absurdctl', ...shown].join(' ');
}

/** What is said where output cannot be written, as on a full disk. */
const unwritten = (error: Error): CliError =>
  new CliError(`The output could not be written: ${error.message}`, { code: 'output_failed', cause: error });

/**
 * Runs the command line of this process. A reader that went away (`| head`) ends a command that only reads quietly; one that
 * changes something runs to its end. A second Ctrl-C ends either at once.
 */
export async function start(version: string): Promise<void> {
  let outlivesReader = false;
  let unwritable = false;
  const onError = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE' && !unwritable) {
      unwritable = true;
      process.exitCode = exit.failed;
      reportError(processIo(), unwritten(error), process.argv.includes('--json'));
    }
    if (!outlivesReader) process.exit(unwritable ? exit.failed : exit.done);
  };
  for (const stream of [process.stdout, process.stderr]) stream.on('error', onError);
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
  const io = Object.assign(processIo(), {
    exitsWhenDone: () => (exitsWhenDone = true),
    outlivesReader: () => {
      outlivesReader = true;
      // oclif has one of its own, which throws.
      for (const listener of process.stdout.listeners('error')) {
        if (listener !== onError) process.stdout.off('error', listener as typeof onError);
      }
    },
  });
  const code = await main(process.argv.slice(2), io, version);
  process.exitCode = code === exit.done && unwritable ? exit.failed : code;
  if (exitsWhenDone) process.exit();
}
