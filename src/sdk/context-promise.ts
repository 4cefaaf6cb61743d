/** Receives a rejection, and a function that says whether anything awaited the promise. */
export type Report = (error: unknown, isAwaited: () => boolean) => void;

/**
 * The promises that the methods of a context return. A rejection that nobody awaits never ends the process: it is reported instead. That
 * holds for what the program derives from it with `then`, `catch` and `finally`, too.
 */
export class ContextPromise<T> extends Promise<T> {
  /** Whether anything awaits it. */
  isAwaited = false;
  private report: Report | undefined;

  static of<T>(work: Promise<T>, report: Report): ContextPromise<T> {
    return new ContextPromise<T>((resolve, reject) => void work.then(resolve, reject)).watch(report);
  }

  override then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.isAwaited = true;
    const derived = super.then(onFulfilled, onRejected);
    return derived instanceof ContextPromise && this.report ? derived.watch(this.report) : derived;
  }

  private watch(report: Report): this {
    this.report = report;
    // Not this class's own `then`: looking is not awaiting.
    void Promise.prototype.then.call(this, undefined, (error) => report(error, () => this.isAwaited));
    return this;
  }
}
