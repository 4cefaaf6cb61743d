/**
 * Reads many queues in one transaction, even if another session has locked one of them or this role may not read it.
 */
import type { Queryable } from './queryable.js';

/** A queue that could not be read, and why. */
export interface SkippedQueue {
  queue_name: string;
  /** SQLSTATE of the refusal. */
  code: string;
  reason: string;
}

/** A lock timeout, a missing right, a missing table: errors of one queue, not of the others. */
const ofOneQueue = new Set(['55P03', '42501', '42P01']);

/** SQLSTATE of an error that concerns one queue alone; undefined for any other error. */
export function skippable(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return code !== undefined && ofOneQueue.has(code) ? code : undefined;
}

/** Lock timeouts: for the first lock, and for later ones after a timeout, so that many locked queues do not add up. */
const firstLockTimeoutMs = 1000;
const nextLockTimeoutMs = 200;

/**
 * Must run inside a transaction: what a queue refuses is rolled back to a savepoint, so the others can still be read. A queue
 * that was skipped is not asked again by the same reader.
 */
export class QueueReader {
  readonly skipped: SkippedQueue[] = [];
  /** The first refusal. */
  firstError: unknown;
  private lockTimeoutMs = firstLockTimeoutMs;

  constructor(readonly db: Queryable) {}

  /** Reads one queue after another and returns the answers of those that could be read. */
  async each<R>(queues: readonly string[], read: (queue: string) => Promise<R>): Promise<R[]> {
    const answers: R[] = [];
    for (const queue of this.open(queues)) {
      const answer = await this.attempt(() => read(queue));
      if ('error' in answer) this.skip(queue, answer.error);
      else answers.push(answer.value);
    }
    return answers;
  }

  /** Reads them with one statement or, if that is refused, one by one: then each has its own result. */
  async some<R>(queues: readonly string[], read: (queues: string[]) => Promise<R>): Promise<R[]> {
    const open = this.open(queues);
    if (open.length > 1) {
      const answer = await this.attempt(() => read(open));
      if ('value' in answer) return [answer.value];
    }
    return this.each(queues, (queue) => read([queue]));
  }

  /** Call it last: if none of the queues could be read, it raises the first refusal. */
  finish(queues: readonly string[]): void {
    if (queues.length > 0 && this.open(queues).length === 0) throw this.firstError;
  }

  private open(queues: readonly string[]): string[] {
    return queues.filter((queue) => !this.skipped.some(({ queue_name: name }) => name === queue));
  }

  private async attempt<R>(read: () => Promise<R>): Promise<{ value: R } | { error: Error }> {
    await this.db.query(`savepoint one_queue; set local lock_timeout = ${this.lockTimeoutMs}`);
    try {
      const value = await read();
      await this.db.query('release savepoint one_queue');
      return { value };
    } catch (error) {
      const code = skippable(error);
      if (code === undefined || !(error instanceof Error)) throw error;
      if (code === '55P03') this.lockTimeoutMs = nextLockTimeoutMs;
      await this.db.query('rollback to savepoint one_queue; release savepoint one_queue');
      return { error };
    }
  }

  private skip(queue: string, error: Error): void {
    this.firstError ??= error;
    this.skipped.push({ queue_name: queue, code: skippable(error) ?? '', reason: error.message });
  }
}
