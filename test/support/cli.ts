import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { ensureBuilt } from './database.js';

/** The command as a clone has it. */
export const bin = fileURLToPath(new URL('../../bin/absurdctl', import.meta.url));

export interface CliOptions {
  /** On top of a clean environment (no ABSURD_*, PG* or colour settings); undefined removes a variable. */
  env?: Record<string, string | undefined>;
  /** Where the command is typed; default: a folder with nothing of ours in it or above. */
  cwd?: string;
  /** Sent to standard input, which then ends; without it standard input is empty. */
  stdin?: string;
  /** Ends the command when it takes longer. Default 60,000 ms. */
  timeoutMs?: number;
}

export interface CliResult {
  /** The exit status; null when a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunningCli {
  pid: number;
  /** What has come so far. */
  output: { stdout: string; stderr: string };
  /** Resolves once standard output and error together match; rejects when the command ends first. */
  waitFor(pattern: RegExp): Promise<void>;
  kill(signal?: NodeJS.Signals): void;
  done: Promise<CliResult>;
}

/** The environment of a test's command: what Node needs, and nothing that would lead it to a database by itself. */
export function cleanEnv(extra: Record<string, string | undefined> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const name of ['PATH', 'HOME', 'TMPDIR', 'SystemRoot', 'NODE_EXTRA_CA_CERTS']) {
    if (process.env[name] !== undefined) env[name] = process.env[name];
  }
  for (const [name, value] of Object.entries(extra)) {
    if (value === undefined) delete env[name];
    else env[name] = value;
  }
  return env;
}

/** Starts bin/absurdctl (or another `program` of ours) as a process of its own, off any terminal. */
export async function startCli(args: string[], options: CliOptions = {}, program = bin): Promise<RunningCli> {
  await ensureBuilt();
  const child = spawn(process.execPath, [program, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: cleanEnv(options.env),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  const listeners = new Set<() => void>();
  const changed = (): void => listeners.forEach((listener) => listener());
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
    changed();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
    changed();
  });
  // A command that does not read its input closes the pipe; that is its right.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.stdin ?? '');
  const overdue = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000);
  let ended = false;
  const done = new Promise<CliResult>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(overdue);
      ended = true;
      changed();
      resolve({ code, signal, ...output });
    });
  });
  return {
    pid: child.pid ?? 0,
    output,
    done,
    kill: (signal) => void child.kill(signal),
    waitFor: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (pattern.test(output.stdout + output.stderr)) resolve();
          else if (ended) reject(new Error(`ended without ${String(pattern)}:\n${output.stdout}\n${output.stderr}`));
          else return;
          listeners.delete(look);
        };
        listeners.add(look);
        look();
      }),
  };
}

/** Runs bin/absurdctl to its end. */
export async function runCli(args: string[], options: CliOptions = {}): Promise<CliResult> {
  return (await startCli(args, options)).done;
}
