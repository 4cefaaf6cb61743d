import { tmpdir } from 'node:os';
import { stripVTControlCharacters } from 'node:util';
import { spawn } from '@lydell/node-pty';
import { bin, cleanEnv, type CliOptions } from './cli.js';
import { ensureBuilt } from './database.js';

export interface PtyOptions extends Omit<CliOptions, 'stdin'> {
  /** Size of the terminal; default 100 × 30. */
  columns?: number;
  rows?: number;
  /** Instead of bin/absurdctl: a program of ours run by Node. */
  program?: string;
}

/** A command on a pseudo-terminal: it believes that a person sits in front of it. */
export interface PtySession {
  pid: number;
  /** All that was drawn, as sent. */
  raw(): string;
  /** The same without colours and cursor movements, with plain line ends. */
  text(): string;
  /** Resolves once `text()` matches; rejects when the command ends first. */
  waitFor(pattern: RegExp): Promise<void>;
  /** Types; `\r` is the return key, `\u0003` Ctrl-C, `\u001b[B` the down key. */
  type(keys: string): void;
  resize(columns: number, rows: number): void;
  kill(signal?: string): void;
  /** Resolves at the end with the exit status. */
  done: Promise<{ code: number; signal: number | undefined }>;
}

/** Starts bin/absurdctl on a pseudo-terminal. */
export async function startPty(args: string[], options: PtyOptions = {}): Promise<PtySession> {
  await ensureBuilt();
  return startTerminal(process.execPath, [options.program ?? bin, ...args], options);
}

/** Starts any program on a pseudo-terminal, such as a shell. */
export function startTerminal(file: string, args: string[], options: PtyOptions = {}): PtySession {
  const terminal = spawn(file, args, {
    name: 'xterm-256color',
    cols: options.columns ?? 100,
    rows: options.rows ?? 30,
    cwd: options.cwd ?? tmpdir(),
    env: { TERM: 'xterm-256color', ...cleanEnv(options.env) },
  });
  let drawn = '';
  let ended = false;
  const listeners = new Set<() => void>();
  const changed = (): void => listeners.forEach((listener) => listener());
  const text = (): string => stripVTControlCharacters(drawn).replaceAll('\r\n', '\n');
  terminal.onData((data) => {
    drawn += data;
    changed();
  });
  const overdue = setTimeout(() => terminal.kill('SIGKILL'), options.timeoutMs ?? 60_000);
  const done = new Promise<{ code: number; signal: number | undefined }>((resolve) => {
    terminal.onExit(({ exitCode, signal }) => {
      clearTimeout(overdue);
      ended = true;
      changed();
      resolve({ code: exitCode, signal: signal === 0 ? undefined : signal });
    });
  });
  return {
    pid: terminal.pid,
    raw: () => drawn,
    text,
    done,
    type: (keys) => terminal.write(keys),
    resize: (columns, rows) => terminal.resize(columns, rows),
    kill: (signal) => terminal.kill(signal),
    waitFor: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (pattern.test(text())) resolve();
          else if (ended) reject(new Error(`ended without ${String(pattern)}:\n${text()}`));
          else return;
          listeners.delete(look);
        };
        listeners.add(look);
        look();
      }),
  };
}
