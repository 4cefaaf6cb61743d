/** Servers that tests start for themselves: in memory where the machine has a large /dev/shm, tuned for speed over safety. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { serverAccount } from '../../src/lib/embedded/account.js';
import type { Binaries } from '../../src/lib/embedded/binaries.js';
import { storageFolder } from '../../src/lib/embedded/folders.js';
import { isAlive } from '../../src/lib/embedded/pointer.js';
import { giveFolder, initialize, startPostgres, type PostgresOptions } from '../../src/lib/embedded/postgres.js';

/** A server of the caller's own, on one port whenever it runs. */
export interface OwnServer {
  /** Superuser, database `postgres`. */
  url: string;
  options: PostgresOptions;
  /** Ends it at once, as a crash does: no client is told, nothing is flushed. */
  crash(): Promise<void>;
  /** Disconnects clients and shuts down; the data folder stays. */
  halt(): Promise<void>;
  start(): Promise<void>;
  /** What it has logged, from a position on. */
  log(from?: number): string;
  /** Ends it and leaves nothing of it behind. */
  stop(): Promise<void>;
  /** The same, at once and without waiting: for the end of the process. */
  kill(): void;
}

const folderPrefix = 'absurdctl-test-run-';
const memory = '/dev/shm';
const neededBytes = 3 * 2 ** 30;

/** Making a database creates 300 files: in memory that costs a third of what it costs on a disk. */
function scratchFolder(): string {
  try {
    const { bavail, bsize } = statfsSync(memory);
    if (bavail * bsize >= neededBytes) return memory;
  } catch {
    // This system has no such folder.
  }
  const scratch = storageFolder('scratch', serverAccount());
  chmodSync(scratch, 0o711);
  return scratch;
}

/** A run that was killed outright could not clean up after itself: the next one does. */
function sweepAbandoned(scratch: string): void {
  for (const name of readdirSync(scratch)) {
    const owner = new RegExp(`^${folderPrefix}(\\d+)-`).exec(name)?.[1];
    if (!owner || isAlive(Number(owner))) continue;
    const folder = join(scratch, name);
    try {
      const postmaster = Number(readFileSync(join(folder, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);
      const commandLine = readFileSync(`/proc/${postmaster}/cmdline`, 'utf8');
      if (commandLine.includes(folder)) process.kill(postmaster, 'SIGQUIT');
    } catch {
      // No server is left in that folder.
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** What the server keeps of a password, hashed once instead of 4,096 times: thousands of connections are made in a run. */
function quickVerifier(password: string): string {
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, 1, 32, 'sha256');
  const keyed = (words: string): Buffer => createHmac('sha256', salted).update(words).digest();
  const stored = createHash('sha256').update(keyed('Client Key')).digest('base64');
  return `SCRAM-SHA-256$1:${salt.toString('base64')}$${stored}:${keyed('Server Key').toString('base64')}`;
}

async function useQuickPassword(url: string, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`alter role postgres password '${quickVerifier(password)}'`);
  await client.end();
}

/** Makes a server with these settings on top of the fast ones, and starts it. */
export async function startOwnServer(binaries: Binaries, settings: Record<string, string> = {}): Promise<OwnServer> {
  const account = serverAccount();
  const scratch = scratchFolder();
  sweepAbandoned(scratch);
  const folder = mkdtempSync(join(scratch, `${folderPrefix}${process.pid}-`));
  giveFolder(folder, account);
  const options: PostgresOptions = {
    binaries,
    account,
    dataFolder: join(folder, 'data'),
    password: randomBytes(12).toString('hex'),
    logFile: join(folder, 'log'),
    durable: false,
    settings,
  };
  const clean = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  const begin = async (port?: string): Promise<Awaited<ReturnType<typeof startPostgres>>> =>
    startPostgres(port === undefined ? options : { ...options, settings: { ...settings, port } });
  try {
    await initialize(options);
    let running = await begin();
    const { url, port } = running;
    await useQuickPassword(url, options.password);
    return {
      url,
      options,
      async crash() {
        process.kill(running.pid, 'SIGQUIT');
        await running.exited;
      },
      halt: () => running.stop(),
      async start() {
        running = await begin(String(port));
      },
      log: (from = 0) => (existsSync(options.logFile) ? readFileSync(options.logFile, 'utf8').slice(from) : ''),
      async stop() {
        await running.stop();
        clean();
      },
      kill() {
        try {
          process.kill(running.pid, 'SIGQUIT');
        } catch {
          // It ended by itself.
        }
        clean();
      },
    };
  } catch (error) {
    clean();
    throw error;
  }
}
