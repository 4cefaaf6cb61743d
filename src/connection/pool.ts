import type pg from 'pg';
import type { Connected } from './connect.js';

export interface PoolOptions {
  /** Makes one connection. */
  dial: () => Promise<Connected>;
  /** Most connections at a time. */
  max?: number;
  /** Closes a connection that nothing used for this long; 0 or absent: keeps it. */
  idleMs?: number;
  /** Whether an error of a query means that its connection is gone. */
  isLoss(error: unknown): boolean;
  /** For pg's `types` of each query; absent: those that the connection was made with. */
  types?: pg.CustomTypesConfig;
  /** Called when an idle connection breaks; the next query makes another. */
  onLost?(error: Error): void;
}

interface Held extends Connected {
  ended: boolean;
  /** Why it broke, said before it ends. */
  error?: Error;
  timer?: NodeJS.Timeout;
}

/**
 * Connections made one by one as they are needed, in the one way that we connect (hosts, TLS, password), and made again after
 * a loss.
 */
export class ConnectionPool {
  private readonly idle: Held[] = [];
  private readonly waiting: ((held: Held | undefined) => void)[] = [];
  private open = 0;
  private closed = false;

  constructor(private readonly options: PoolOptions) {}

  /** Takes in a connection that was made elsewhere. */
  adopt(connected: Connected): void {
    this.open++;
    this.returnToPool(this.watched(connected));
  }

  async query(text: string, values?: unknown[]): Promise<pg.QueryResult> {
    const held = await this.acquire();
    const { isLoss, types } = this.options;
    try {
      const result = await held.client.query({ text, ...(values && { values }), ...(types && { types }) });
      this.returnToPool(held);
      return result;
    } catch (error) {
      if (isLoss(error)) this.discard(held);
      else this.returnToPool(held);
      throw error;
    }
  }

  /** The connection that the next query will use, where one is idle. */
  get next(): Connected | undefined {
    return this.idle.at(-1);
  }

  /** Closes what is idle now and the rest as it comes back. */
  async end(): Promise<void> {
    this.closed = true;
    const closing = this.idle.splice(0).map((held) => {
      clearTimeout(held.timer);
      return held.client.end().catch(() => undefined);
    });
    await Promise.all(closing);
  }

  private async acquire(): Promise<Held> {
    if (this.closed) throw new Error('Cannot use a pool after calling end on the pool');
    const ready = this.idle.pop();
    if (ready !== undefined) {
      clearTimeout(ready.timer);
      return ready;
    }
    if (this.open >= (this.options.max ?? 10)) {
      const handed = await new Promise<Held | undefined>((resolve) => this.waiting.push(resolve));
      return handed ?? this.acquire();
    }
    this.open++;
    try {
      return this.watched(await this.options.dial());
    } catch (error) {
      this.freeSlot();
      throw error;
    }
  }

  private returnToPool(held: Held): void {
    // It broke between the answer and here.
    if (held.ended) return this.freeSlot();
    const next = this.waiting.shift();
    if (next) return next(held);
    if (this.closed) return void held.client.end().catch(() => undefined);
    this.idle.push(held);
    const { idleMs } = this.options;
    if (idleMs) held.timer = setTimeout(() => void held.client.end().catch(() => undefined), idleMs);
  }

  /** A connection that ends while it is idle is taken out. */
  private watched(connected: Connected): Held {
    const held: Held = { ...connected, ended: false };
    held.client.on('error', (error) => (held.error ??= error));
    held.client.once('end', () => {
      held.ended = true;
      const index = this.idle.indexOf(held);
      if (index < 0) return;
      clearTimeout(held.timer);
      this.idle.splice(index, 1);
      this.freeSlot();
      if (held.error && !this.closed) this.options.onLost?.(held.error);
    });
    return held;
  }

  private discard(held: Held): void {
    held.ended = true;
    held.client.end().catch(() => undefined);
    this.freeSlot();
  }

  private freeSlot(): void {
    this.open--;
    this.waiting.shift()?.(undefined);
  }
}
