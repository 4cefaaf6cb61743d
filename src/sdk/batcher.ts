import { isCheckoutTimeout, isConflict, isConnectionLoss } from './errors.js';

interface Waiting<Item, Result> {
  item: Item;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

export type Outcome<Result> = { result: Result } | { error: Error };

export interface BatchCalls<Item, Result> {
  one(item: Item): Promise<Result>;
  /** One outcome an item, in the order of the items. */
  many(items: Item[]): Promise<Outcome<Result>[]>;
  /** Whether the database has the call for many; asked when there are many for the first time. */
  canDoMany(): Promise<boolean>;
}

const maxItems = 200;

/** A flush that takes longer than this (because of a locked row) does not delay the next one. */
const overtakeAfterMs = 50;

/**
 * Gathers calls that come close together into one: a flush goes out as soon as the one before it returned, with whatever has
 * gathered by then. A caller hears of its item only after the flush that carried it, so a crash in between costs a retry and
 * loses nothing. One item alone goes out as the contract's own statement.
 */
export class Batcher<Item, Result> {
  private waiting: Waiting<Item, Result>[] = [];
  private draining = false;
  private plain = false;

  constructor(private readonly calls: BatchCalls<Item, Result>) {}

  submit(item: Item): Promise<Result> {
    if (this.plain) return this.calls.one(item);
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      if (this.draining) return;
      this.draining = true;
      setImmediate(() => void this.drain());
    });
  }

  private async drain(): Promise<void> {
    while (this.waiting.length > 0) {
      const flush = this.flush(this.waiting.splice(0, maxItems));
      await new Promise<void>((resolve) => {
        const overtaken = setTimeout(resolve, overtakeAfterMs);
        void flush.then(() => {
          clearTimeout(overtaken);
          resolve();
        });
      });
    }
    this.draining = false;
  }

  /** Never rejects: every error goes to the caller whose item met it. */
  private async flush(batch: Waiting<Item, Result>[]): Promise<void> {
    if (batch.length === 1 || !(await this.knowsMany())) return this.flushSingly(batch);
    let outcomes: Outcome<Result>[];
    try {
      outcomes = await this.calls.many(batch.map((entry) => entry.item));
    } catch (error) {
      // One invalid item fails the whole statement; on its own, it fails only for its caller.
      if (!isConnectionLoss(error) && !isCheckoutTimeout(error)) return this.flushSingly(batch);
      for (const entry of batch) entry.reject(error);
      return;
    }
    batch.forEach((entry, index) => {
      const outcome = outcomes[index] ?? {
        error: new Error('The server returned no verdict on a call within a batch'),
      };
      if (!('error' in outcome)) entry.resolve(outcome.result);
      else if (isConflict(outcome.error)) void this.flushSingly([entry]);
      else entry.reject(outcome.error);
    });
  }

  private async flushSingly(batch: Waiting<Item, Result>[]): Promise<void> {
    await Promise.all(batch.map((entry) => this.calls.one(entry.item).then(entry.resolve, entry.reject)));
  }

  private async knowsMany(): Promise<boolean> {
    try {
      const known = await this.calls.canDoMany();
      this.plain = !known;
      return known;
    } catch {
      return false;
    }
  }
}
