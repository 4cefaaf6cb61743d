/** The longest delay a timer can hold; a longer one would fire at once. */
const longestDelayMs = 2 ** 31 - 1;

/** A timer that does not keep the process alive, for delays of any length: beyond 24 days it never fires. */
export function quietTimer(action: () => void, delayMs: number): NodeJS.Timeout | undefined {
  if (!(delayMs <= longestDelayMs)) return undefined;
  const timer = setTimeout(action, delayMs);
  timer.unref?.();
  return timer;
}

/** Waits so long, or until the signal fires, whichever comes first; never rejects. */
export function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(Math.max(delayMs, 0), longestDelayMs));
    signal?.addEventListener('abort', done);
  });
}

/** Something to wait for that others can ring; a ring while nobody waits is kept for the next wait. */
export class Bell {
  private rung = false;
  private waiting: (() => void) | undefined;
  private shorten: ((delayMs: number) => void) | undefined;

  ring(): void {
    this.rung = true;
    this.waiting?.();
  }

  /** Ends the wait in progress after that many milliseconds at the latest. */
  ringWithin(delayMs: number): void {
    if (delayMs <= 0) this.ring();
    else this.shorten?.(delayMs);
  }

  /** Forgets a ring that nobody waited for. */
  clear(): void {
    this.rung = false;
  }

  /** Resolves at the next ring, or after so many milliseconds. */
  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.waiting = undefined;
        this.shorten = undefined;
        this.rung = false;
        resolve();
      };
      let endsAtMs = performance.now() + delayMs;
      let timer = setTimeout(done, Math.min(Math.max(delayMs, 0), longestDelayMs));
      this.waiting = done;
      this.shorten = (shorterMs) => {
        const atMs = performance.now() + shorterMs;
        if (atMs >= endsAtMs) return;
        clearTimeout(timer);
        endsAtMs = atMs;
        timer = setTimeout(done, shorterMs);
      };
      if (this.rung) done();
    });
  }
}
