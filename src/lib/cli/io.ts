import { type Readable } from 'node:stream';

/**
 * Input and output of a command. Tests pass their own; the program uses `processIo()`. All output of a command goes
 * through `out` (data) and `err` (notes, progress, prompts, errors).
 */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  stdin: Readable;
  env: Record<string, string | undefined>;
  cwd: string;
  /** Whether standard output, error and input are terminals. */
  outTty: boolean;
  errTty: boolean;
  inTty: boolean;
  /** Columns of the terminal. */
  width: number;
  /** Its rows; absent if unknown. */
  height?: number;
  /** Shows a long text in the user's pager and returns when the user closes it; false if no pager can be started. */
  page?(text: string): Promise<boolean>;
  /** Answers with at least this number of lines go to the pager. */
  pageOver?: number;
  /** Whether standard output takes colours: a terminal, and NO_COLOR is not set. */
  colour: boolean;
  now(): Date;
  /** Calls `stop` at the first Ctrl-C; returns a function that ends the watch. */
  onInterrupt(stop: () => void): () => void;
  /**
   * Called by a command that shuts down in its own time after Ctrl-C. The process exits when the command ends, even if
   * a user's module has left timers or pools open.
   */
  exitsWhenDone?(): void;
  /** Called by a command that changes something: it runs to its end even if the reader of its output has left. */
  outlivesReader?(): void;
}

function takesColour(tty: boolean, env: Record<string, string | undefined>): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== '0';
  return tty && env.TERM !== 'dumb';
}

/** Whether what is written there may hold more than ASCII: a terminal with colours, in a locale of UTF-8. */
export function takesUnicode({ outTty, colour, env }: Pick<Io, 'outTty' | 'colour' | 'env'>): boolean {
  return outTty && colour && /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '');
}

export function processIo(): Io {
  const { stdout, stderr, env } = process;
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    // Read late: accessing process.stdin opens it.
    get stdin() {
      return process.stdin;
    },
    env,
    cwd: process.cwd(),
    outTty: stdout.isTTY === true,
    errTty: stderr.isTTY === true,
    get inTty() {
      return process.stdin.isTTY === true;
    },
    // Read each time: the window may be resized while a command watches.
    get width() {
      return stdout.columns || Number(env.COLUMNS) || 80;
    },
    get height() {
      return stdout.rows || undefined;
    },
    page: async (text) => (await import('./pager.js')).page(text, env),
    colour: takesColour(stdout.isTTY === true, env),
    now: () => new Date(),
    onInterrupt(stop) {
      process.on('SIGINT', stop);
      process.on('SIGTERM', stop);
      return () => {
        process.off('SIGINT', stop);
        process.off('SIGTERM', stop);
      };
    },
  };
}
