import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { test as base, inject } from 'vitest';
import type { ServerAnswer } from './global-setup.js';
import type { ServerKind } from './server.js';

export { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, vi } from 'vitest';

/** A row as node-postgres returns it. Give `query` a type of your own to read columns without narrowing. */
export type Row = Record<string, unknown>;

/** What `absurd.claim_task` returns for one run. */
export interface ClaimedRun extends Row {
  run_id: string;
  task_id: string;
  attempt: number;
  task_name: string;
  params: unknown;
  retry_strategy: unknown;
  max_attempts: number | null;
  headers: unknown;
  wake_event: string | null;
  event_payload: unknown;
}

/** What `absurd.spawn_task` returns. */
export interface SpawnedTask extends Row {
  task_id: string;
  run_id: string;
  attempt: number;
  created: boolean;
}

/** One connection. `query` returns all rows; `values` are parameters of the statement. */
export interface Connection {
  client: pg.Client;
  query<T extends Row = Row>(sql: string, values?: unknown[]): Promise<{ rows: T[]; rowCount: number | null }>;
  /** The server's id of this connection, as in pg_stat_activity. */
  pid(): Promise<number>;
}

/** A database of its own with the schema installed. Statements run one after another on one connection, unless said otherwise. */
export interface TestDatabase extends Connection {
  /** Superuser; holds a password. For command lines and other clients. */
  url: string;
  name: string;
  /** Connections beside the main one, made on first use. */
  pool: pg.Pool;
  /** One more connection of its own, closed after the test. */
  connect(): Promise<Connection>;
  /** Creates a queue; its name is returned. Default name `q`, mode `unpartitioned`. */
  queue(name?: string, mode?: 'unpartitioned' | 'partitioned'): Promise<string>;
  /** `absurd.spawn_task`; `params` default to `{}`, `options` as in the contract (snake_case). */
  spawn(queue: string, taskName: string, params?: unknown, options?: Row): Promise<SpawnedTask>;
  /** `absurd.claim_task`; `timeout` in seconds (default 30), `qty` default 1, `worker` default `w1`. */
  claim(queue: string, options?: { worker?: string; timeout?: number; qty?: number }): Promise<ClaimedRun[]>;
  /** Stops the clock of every connection to this database, present and future, at `at`. */
  freeze(at: Date | string): Promise<void>;
  /** Moves the stopped clock on by an interval ("90 seconds"); stops it first at the present where it runs. Returns the new time. */
  advance(interval: string): Promise<Date>;
  /** Lets the clock run again. */
  unfreeze(): Promise<void>;
}

async function ask<T>(path: string): Promise<T> {
  const response = await fetch(inject('absurdControl') + path);
  if (!response.ok) throw new Error(await response.text());
  const body: T = await (response.json() as Promise<T>);
  return body;
}

/** Makes sure that dist/ is up to date with the sources; once a run. */
export async function ensureBuilt(): Promise<void> {
  await ask('/build');
}

/** A connection to the run's server, shared by the databases of this test file. */
const administrators = new Map<ServerKind, Promise<{ pool: pg.Pool; answer: ServerAnswer }>>();

function administrator(kind: ServerKind): Promise<{ pool: pg.Pool; answer: ServerAnswer }> {
  const known =
    administrators.get(kind) ??
    ask<ServerAnswer>(`/server/${kind}`).then((answer) => ({
      answer,
      pool: new pg.Pool({ connectionString: answer.url, max: 1, idleTimeoutMillis: 1000, allowExitOnIdle: true }),
    }));
  administrators.set(kind, known);
  return known;
}

/** The address of the run's server itself (database `postgres`, superuser). */
export async function serverUrl(kind: ServerKind = 'current'): Promise<string> {
  return (await administrator(kind)).answer.url;
}

function connection(client: pg.Client): Connection {
  return {
    client,
    async query<T extends Row>(sql: string, values?: unknown[]) {
      const { rows, rowCount } = await client.query<T>(sql, values);
      return { rows, rowCount };
    },
    async pid() {
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      return rows[0]?.pid ?? 0;
    },
  };
}

const setClock = `select set_config('absurd.fake_now', $1, false)`;

class Clock {
  private frozen = '';
  private readonly clients = new Set<pg.ClientBase>();

  constructor(private readonly database: string) {}

  /** Sets one connection's clock now and at every later change. */
  async follow(client: pg.ClientBase): Promise<void> {
    this.clients.add(client);
    client.once('end', () => this.clients.delete(client));
    if (this.frozen) await client.query(setClock, [this.frozen]);
  }

  async set(main: pg.ClientBase, at: string): Promise<void> {
    this.frozen = at;
    // For connections that others open: a command line, the SDK's pool.
    const change = at ? `set absurd.fake_now = '${at.replaceAll("'", "''")}'` : 'reset absurd.fake_now';
    await main.query(`alter database "${this.database}" ${change}`);
    await Promise.all([...this.clients].map((client) => client.query(setClock, [at])));
  }
}

function conveniences(
  main: Connection,
  clock: Clock,
): Omit<TestDatabase, keyof Connection | 'url' | 'name' | 'pool' | 'connect'> {
  return {
    async queue(name = 'q', mode = 'unpartitioned') {
      await main.query('select absurd.create_queue($1, $2)', [name, mode]);
      return name;
    },
    async spawn(queue, taskName, params = {}, options = {}) {
      const values = [queue, taskName, JSON.stringify(params), JSON.stringify(options)];
      const { rows } = await main.query<SpawnedTask>('select * from absurd.spawn_task($1, $2, $3, $4)', values);
      if (!rows[0]) throw new Error('absurd.spawn_task returned no row');
      return rows[0];
    },
    async claim(queue, { worker = 'w1', timeout = 30, qty = 1 } = {}) {
      const values = [queue, worker, timeout, qty];
      return (await main.query<ClaimedRun>('select * from absurd.claim_task($1, $2, $3, $4)', values)).rows;
    },
    async freeze(at) {
      await clock.set(main.client, at instanceof Date ? at.toISOString() : at);
    },
    async advance(interval) {
      const sql = 'select absurd.current_time() + $1::interval as at';
      const at = (await main.query<{ at: Date }>(sql, [interval])).rows[0]?.at ?? new Date(Number.NaN);
      await clock.set(main.client, at.toISOString());
      return at;
    },
    async unfreeze() {
      await clock.set(main.client, '');
    },
  };
}

/** What fills a queue. */
export type Filler = Pick<TestDatabase, 'url' | 'query' | 'queue' | 'spawn' | 'claim'>;

/** The same on a server that a test started by itself. The caller ends `client`. */
export async function connectTo(url: string): Promise<Filler & Connection> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const main = connection(client);
  return { ...main, ...conveniences(main, new Clock('')), url };
}

export interface Lease {
  database: TestDatabase;
  close(): Promise<void>;
}

/**
 * Makes a database, from the template or without any schema, and the means to be rid of it. `template`: another database to
 * copy, to which nobody may be connected.
 */
export async function createDatabase(kind: ServerKind, installed: boolean, template?: string): Promise<Lease> {
  const { pool: admin, answer } = await administrator(kind);
  if (installed && answer.template === null)
    throw new Error('sql/absurd.sql does not exist, so no schema can be installed');
  const name = `absurd_test_${randomBytes(8).toString('hex')}`;
  await admin.query(`create database "${name}"${installed ? ` template "${template ?? answer.template}"` : ''}`);
  const address = new URL(answer.url);
  address.pathname = `/${name}`;
  const url = address.href;
  const clock = new Clock(name);
  const clients: pg.Client[] = [];
  const connect = async (): Promise<Connection> => {
    const client = new pg.Client({ connectionString: url });
    clients.push(client);
    await client.connect();
    // The database is dropped under connections that a test left open.
    client.on('error', () => undefined);
    await clock.follow(client);
    return connection(client);
  };
  const main = await connect();
  let pool: pg.Pool | undefined;
  const openPool = (): pg.Pool => {
    pool = new pg.Pool({ connectionString: url, max: 10 });
    pool.on('error', () => undefined);
    pool.on('connect', (client) => void clock.follow(client));
    return pool;
  };
  const database: TestDatabase = {
    ...main,
    ...conveniences(main, clock),
    url,
    name,
    connect,
    get pool() {
      return pool ?? openPool();
    },
  };
  return {
    database,
    async close() {
      await pool?.end().catch(() => undefined);
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
      await admin.query(`drop database if exists "${name}" with (force)`);
    },
  };
}

function fixture(kind: ServerKind, installed: boolean) {
  return async (use: (database: TestDatabase) => Promise<void>): Promise<void> => {
    const lease = await createDatabase(kind, installed);
    try {
      await use(lease.database);
    } finally {
      await lease.close();
    }
  };
}

/**
 * `test` with databases. Each is made only for the tests that name it and is gone afterwards:
 * `db` fresh for every test; `fileDb` one for all tests of a file; `second` another connection to `db`; `emptyDatabase`
 * without our schema; `older` and `olderEmpty` the same on an older major of PostgreSQL.
 */
export const test = base.extend<{
  db: TestDatabase;
  second: Connection;
  emptyDatabase: TestDatabase;
  older: TestDatabase;
  olderEmpty: TestDatabase;
  fileDb: TestDatabase;
}>({
  db: async ({}, use) => fixture('current', true)(use),
  second: async ({ db }, use) => use(await db.connect()),
  emptyDatabase: async ({}, use) => fixture('current', false)(use),
  older: async ({}, use) => fixture('older', true)(use),
  olderEmpty: async ({}, use) => fixture('older', false)(use),
  fileDb: [async ({}, use) => fixture('current', true)(use), { scope: 'file' }],
});
