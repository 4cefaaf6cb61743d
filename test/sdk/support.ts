import {
  Absurd,
  type AbsurdOptions,
  type ClaimedTask,
  type Log,
  type TaskResultSnapshot,
  type Worker,
} from '../../src/sdk/index.js';
import { test as base, type TestDatabase } from '../support/database.js';

export { afterEach, describe, expect, onTestFinished, vi } from '../support/database.js';
export type { TestDatabase } from '../support/database.js';

/** A log that keeps what it is told, as `level: words`. */
export class KeptLog implements Log {
  readonly lines: string[] = [];
  private keep(level: string, args: unknown[]): void {
    this.lines.push(`${level}: ${args.map(String).join(' ')}`);
  }
  log(...args: unknown[]): void {
    this.keep('log', args);
  }
  info(...args: unknown[]): void {
    this.keep('info', args);
  }
  warn(...args: unknown[]): void {
    this.keep('warn', args);
  }
  error(...args: unknown[]): void {
    this.keep('error', args);
  }
}

/** An object with `query` and nothing else, that records the functions it is asked to call. */
export class FakeDatabase {
  readonly queries: { text: string; values: unknown[] | undefined }[] = [];
  constructor(
    private readonly answer: (text: string, values?: unknown[]) => unknown[] | Promise<unknown[]> = () => [],
  ) {}

  query = async (text: string, values?: unknown[]): Promise<{ rows: unknown[] }> => {
    this.queries.push({ text, values });
    return { rows: await this.answer(text, values) };
  };

  /** The calls in order, as `name(values)`. */
  get calls(): string[] {
    return this.queries.map(({ text, values }) => {
      const name = /absurd\.(\w+)\s*\(/.exec(text)?.[1] ?? text;
      return `${name}(${(values ?? []).map((value) => JSON.stringify(value) ?? 'undefined').join(', ')})`;
    });
  }
}

/** Waits until a condition holds; fails after so many milliseconds. */
export async function until<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 60_000, what = 'the condition' } = {},
): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`${what} did not come true within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A promise to settle by hand. */
export function gate<T = void>(): { promise: Promise<T>; open: (value: T) => void } {
  let open: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => (open = resolve));
  return { promise, open };
}

export interface RunRow extends Record<string, unknown> {
  run_id: string;
  attempt: number;
  state: string;
  claimed_by: string | null;
  claim_expires_at: Date | null;
  available_at: Date;
  wake_event: string | null;
  failure_reason: { name?: string; message: string; stack?: string } | null;
}

export async function runsOf(db: TestDatabase, taskId: string, queue = 'default'): Promise<RunRow[]> {
  const { rows } = await db.query<RunRow>(`select * from absurd."r_${queue}" where task_id = $1 order by attempt`, [
    taskId,
  ]);
  return rows;
}

export async function stateOf(db: TestDatabase, taskId: string, queue = 'default'): Promise<string | undefined> {
  const { rows } = await db.query<{ state: string }>(`select state from absurd."t_${queue}" where task_id = $1`, [
    taskId,
  ]);
  return rows[0]?.state;
}

export async function checkpointsOf(
  db: TestDatabase,
  taskId: string,
  queue = 'default',
): Promise<Record<string, unknown>> {
  const { rows } = await db.query<{ checkpoint_name: string; state: unknown }>(
    `select checkpoint_name, state from absurd."c_${queue}" where task_id = $1 order by updated_at, checkpoint_name`,
    [taskId],
  );
  return Object.fromEntries(rows.map((row) => [row.checkpoint_name, row.state]));
}

interface Fixtures {
  /** Makes a client with a pool of its own and a kept log; closed after the test. */
  make: (options?: AbsurdOptions) => Absurd;
  /** A client of queue `default`, which exists. */
  absurd: Absurd;
  log: KeptLog;
}

export const test = base.extend<Fixtures>({
  log: async ({}, use) => use(new KeptLog()),
  make: async ({ db, log }, use) => {
    const clients: Absurd[] = [];
    await use((options = {}) => {
      const client = new Absurd({ db: db.url, log, ...options });
      clients.push(client);
      return client;
    });
    await Promise.all(clients.map((client) => client.close()));
  },
  absurd: async ({ make }, use) => {
    const client = make();
    await client.createQueue();
    await use(client);
  },
});

/** Works until a task has ended, and returns how. */
export async function finish(absurd: Absurd, taskID: string): Promise<TaskResultSnapshot> {
  const worker: Worker = await absurd.startWorker({ pollInterval: 0.02 });
  try {
    return await absurd.awaitTaskResult(taskID, { timeout: 60 });
  } finally {
    await worker.close();
  }
}

/** A row as a claim returns it, for runs on a `FakeDatabase`. */
export function claimedTask(differs: Partial<ClaimedTask> = {}): ClaimedTask {
  return {
    run_id: '01a20e24-a63d-7fec-b496-f0b7bad17775',
    task_id: 'T',
    task_name: 'job',
    attempt: 1,
    params: null,
    retry_strategy: null,
    max_attempts: null,
    headers: null,
    wake_event: null,
    event_payload: null,
    ...differs,
  };
}
