import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { transform } from 'esbuild';
import { ensureBuilt } from '../support/database.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Runs a TypeScript program in a process and folder of its own, where the built package is installed; returns its output. */
export async function runProgram(source: string, url: string, args: string[] = []): Promise<string> {
  await ensureBuilt();
  const folder = mkdtempSync(join(tmpdir(), 'absurd-program-'));
  try {
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(root, join(folder, 'node_modules', 'absurdctl'));
    symlinkSync(join(root, 'node_modules', 'pg'), join(folder, 'node_modules', 'pg'));
    const { code } = await transform(source, { loader: 'ts', format: 'esm' });
    const file = join(folder, 'program.mjs');
    writeFileSync(file, code);
    const env = { ...process.env, ABSURD_DATABASE_URL: url, NO_COLOR: '1', FORCE_COLOR: undefined };
    // What a program warns of on stderr (a failed attempt) is not its output.
    const { stdout } = await promisify(execFile)(process.execPath, [file, ...args], { env, timeout: 60_000 });
    return stdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
