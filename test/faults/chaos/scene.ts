import { readFileSync } from 'node:fs';
import pg from 'pg';
import { isConnectionLoss } from '../../../src/sdk/errors.js';
import type { Absurd } from '../../../src/sdk/index.js';
import type { Pooler } from '../../support/pgbouncer.js';
import type { Facts } from '../checker/types.js';
import { addNote } from './history.js';
import type { Plan, WorkerPlan } from './plan.js';
import type { Proxy } from './proxy.js';
import type { Random } from './random.js';
import type { ChaosServer } from './server.js';
import { WorkerProcess } from './workers.js';

export const script = readFileSync(new URL('../../../sql/absurd.sql', import.meta.url), 'utf8');

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const codeOf = (error: unknown): string | undefined => (error as { code?: string } | null)?.code;

/**
 * SQLSTATEs that faults explain, or that tell a caller the truth: the two verdicts on runs, "not running" and "not failed", a task
 * that was cleaned up, a key whose task was, tables that stayed busy during maintenance, and no connection left.
 */
const explained = new Set(['AB001', 'AB002', '55000', 'P0002', '40001', '55P03', '53300']);

export function isExplained(error: unknown): boolean {
  return isConnectionLoss(error) || explained.has(codeOf(error) ?? '');
}

/** One round's stage: a database, a queue, workers, and what is known of what they did. */
export class Scene {
  readonly queue = 'work';
  readonly random: Random;
  readonly workers: WorkerProcess[] = [];
  readonly past: WorkerProcess[] = [];
  /** Set once the faults are over. */
  over = false;
  private workersMade = 0;

  constructor(
    readonly plan: Plan,
    readonly name: string,
    readonly server: ChaosServer,
    readonly pooler: Pooler | undefined,
    readonly proxy: Proxy,
    readonly url: string,
    readonly pool: pg.Pool,
    readonly absurd: Absurd,
    readonly facts: Facts,
  ) {
    this.random = plan.random;
  }

  get t(): string {
    return `absurd."t_${this.queue}"`;
  }

  get r(): string {
    return `absurd."r_${this.queue}"`;
  }

  /** A statement for its rows; tried again while the server is away, so it must do no harm twice. */
  async ask(sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      try {
        return (await this.pool.query(sql, values)).rows as Record<string, unknown>[];
      } catch (error) {
        if (!isConnectionLoss(error) || Date.now() > deadline) throw error;
        await pause(50);
      }
    }
  }

  /** Makes an attempt that a fault may spoil. Any other error is one that nobody should meet. */
  async attempt(what: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (isExplained(error)) return;
      const invariant = codeOf(error) === '40P01' ? 'no-deadlock' : 'no-unexpected-error';
      this.facts.seen.push({ invariant, words: `${what}: ${codeOf(error) ?? ''} ${String(error)}` });
    }
  }

  /** A connection of its own, which is closed afterwards. */
  async connected<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ connectionString: this.url });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  startWorker(plan: WorkerPlan): WorkerProcess {
    const ways = { direct: this.url, proxy: this.proxy.url, pooler: this.pooler?.url ?? this.url };
    const id = `${this.name} ${(this.workersMade += 1)}`;
    const made = new WorkerProcess(id, plan, { worker: ways[plan.way], history: this.url, queue: this.queue });
    this.workers.push(made);
    return made;
  }

  /** Puts another worker where one was. */
  replace(gone: WorkerProcess): void {
    const place = this.workers.indexOf(gone);
    if (place < 0) return;
    this.workers.splice(place, 1);
    this.past.push(gone);
    this.startWorker(gone.plan);
  }

  /** Closes a worker in good order, and has the checker look at what it leaves. */
  async drain(worker: WorkerProcess): Promise<void> {
    await worker.drain();
    if (worker.drained) await this.note({ note: 'drained', worker: worker.workerId });
  }

  async note(note: object): Promise<void> {
    await addNote({ query: async (sql, values) => ({ rows: await this.ask(sql, values) }) }, note);
  }
}
