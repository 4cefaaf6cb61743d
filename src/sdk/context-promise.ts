import { outsideOfHandlers } from './activity.js';

/** Receives a rejection, and a function that says whether anything awaited the promise. */
export type Report = (error: unknown, isAwaited: () => boolean) => void;

/**
 * The promises that the methods of a context return. An unhandled rejection never ends the process: it is reported
 * instead. The same holds for promises derived from it with `then`, `catch` and `finally`.
 */
export class ContextPromise<T> extends Promise<T> {
  /** Whether anything awaits it. */
  isAwaited = false;
  private report: Report | undefined;

  constructor(executor: (resolve: (value: T | PromiseLike<T>) => void, reject: (reason?: unknown) => void) => void) {
    // Most promises are kept: one is watched only once it rejects, or takes on another that may.
    let rejectsAtOnce = false;
    let watch = (): void => {
      rejectsAtOnce = true;
    };
    super((resolve, reject) =>
      executor(
        (value) => {
          resolve(value);
          if (typeof value === 'object' && value !== null && 'then' in value) watch();
        },
        (reason) => {
          reject(reason);
          watch();
        },
      ),
    );
    watch = () => this.watch();
    if (rejectsAtOnce) this.watch();
  }

  static of<T>(work: Promise<T>, report: Report): ContextPromise<T> {
    const promise = new ContextPromise<T>((resolve, reject) => void work.then(resolve, reject));
    promise.report = report;
    return promise;
  }

  override then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.isAwaited = true;
    const derived = super.then(onFulfilled, onRejected);
    if (derived instanceof ContextPromise) derived.report = this.report;
    return derived;
  }

  private watch(): void {
    const { report } = this;
    if (report === undefined) return;
    // Not this class's own `then`: looking is not awaiting.
    const rejected = (error: unknown): void => report(error, () => this.isAwaited);
    void outsideOfHandlers(() => Promise.prototype.then.call(this, undefined, rejected));
  }
}
