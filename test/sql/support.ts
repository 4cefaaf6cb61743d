import { afterAll, expect, test } from 'vitest';
import { createDatabase, type Connection, type Row, type TestDatabase } from '../support/database.js';
import type { ServerKind } from '../support/server.js';

/** What a test of the engine works with. */
export interface Scene {
  /** One database for all tests of the file on this server. */
  db: TestDatabase;
  /** A queue of this test's own. */
  queue: string;
  /** The same in mode `partitioned`; made on first use. */
  partitioned(): Promise<string>;
  /** One more connection. */
  connect(): Promise<Connection>;
  /** First column of the first row. */
  value<T = unknown>(sql: string, values?: unknown[]): Promise<T>;
  /** The run's row. */
  run(runId: string, queue?: string): Promise<Row>;
  /** The task's row. */
  task(taskId: string, queue?: string): Promise<Row>;
}

const leases = new Map<ServerKind, ReturnType<typeof createDatabase>>();
let queues = 0;

afterAll(async () => {
  for (const lease of leases.values()) await (await lease).close();
});

async function open(kind: ServerKind): Promise<TestDatabase> {
  const lease = leases.get(kind) ?? createDatabase(kind, true);
  leases.set(kind, lease);
  return (await lease).database;
}

async function scene(kind: ServerKind): Promise<Scene> {
  const db = await open(kind);
  const name = `q${++queues}`;
  const first = async <T>(sql: string, values: unknown[]): Promise<T> => {
    const { rows } = await db.query(sql, values);
    return Object.values(rows[0] ?? {})[0] as T;
  };
  const row = async (table: string, key: string, id: string): Promise<Row> => {
    const { rows } = await db.query(`select * from absurd."${table}" where ${key} = $1`, [id]);
    return rows[0] ?? {};
  };
  return {
    db,
    queue: await db.queue(name),
    partitioned: () => db.queue(`${name}p`, 'partitioned'),
    connect: () => db.connect(),
    value: (sql, values = []) => first(sql, values),
    run: (id, queue = name) => row(`r_${queue}`, 'run_id', id),
    task: (id, queue = name) => row(`t_${queue}`, 'task_id', id),
  };
}

/** A test on the newest and on an older major of PostgreSQL. The clock runs again after it. */
export function engine(name: string, body: (scene: Scene) => Promise<void>): void {
  for (const kind of ['current', 'older'] as const) {
    test(`${name} (${kind} server)`, async () => {
      const given = await scene(kind);
      try {
        await body(given);
      } finally {
        await given.db.unfreeze();
      }
    });
  }
}

/** Expects a statement to be refused with that SQLSTATE and those words. */
export async function refuses(statement: Promise<unknown>, code: string, words?: string | RegExp): Promise<void> {
  const error = await statement.then(
    () => undefined,
    (reason: unknown) => reason as Error & { code?: string },
  );
  expect(error, 'it went through').toBeDefined();
  expect(`${error?.code}: ${error?.message}`).toMatch(new RegExp(`^${code}: `));
  if (words !== undefined) expect(error?.message).toMatch(words);
}

export const iso = (value: unknown): string => (value instanceof Date ? value.toISOString() : String(value));
export const unknownId = '01a20dfa-5b98-7bbd-b22e-60d6d3824804';
/** A moment to stop the clock at. */
export const noon = '2026-03-04T12:00:00.000Z';
