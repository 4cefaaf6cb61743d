import { Readable } from 'node:stream';
import { tmpdir } from 'node:os';
import type { Io } from '../../src/lib/cli/io.js';
import { main } from '../../src/main.js';

export interface RunOptions {
  /** Address of the database, as ABSURD_DATABASE_URL. */
  url?: string;
  env?: Record<string, string | undefined>;
  /** What comes through a pipe on standard input; absent: it is empty. */
  stdin?: string;
  /** Draws as for a terminal of so many columns, without colour. */
  width?: number;
  colour?: boolean;
  now?: Date;
  cwd?: string;
}

export interface RunResult {
  code: number;
  stdout: string;
  stderr: string;
  /** Standard output as JSON. */
  json<T = unknown>(): T;
}

/** Runs a command line in this process, against no terminal unless `width` is given. */
export async function run(argv: string[], options: RunOptions = {}): Promise<RunResult> {
  const result = { stdout: '', stderr: '' };
  const tty = options.width !== undefined;
  const io: Io = {
    out: (text) => void (result.stdout += text),
    err: (text) => void (result.stderr += text),
    stdin: Readable.from(options.stdin === undefined ? [] : [options.stdin]),
    env: { HOME: tmpdir(), ABSURD_DATABASE_URL: options.url, ...options.env },
    cwd: options.cwd ?? tmpdir(),
    outTty: tty,
    errTty: tty,
    inTty: false,
    width: options.width ?? 80,
    colour: options.colour ?? false,
    now: () => options.now ?? new Date(),
    onInterrupt: () => () => undefined,
  };
  const code = await main(argv, io);
  return { code, ...result, json: <T>() => JSON.parse(result.stdout) as T };
}
