/** The pause before a claim by quick polling; it doubles with each claim that finds nothing. */
const quickMs = 15;
/** The number of empty claims that a worker may make early at most, however many tasks it has run before. */
const mostCredit = 8;

/**
 * When a worker claims next. A fixed rhythm claims again at once after a claim that brought work, and waits the poll interval after
 * one that did not. An adaptive one polls quickly while tasks arrive. Each task pays for that: a claim that finds nothing before
 * the poll interval is over costs one credit, and a task earns two, when it is claimed and when it ends. So a worker makes at
 * most two early claims a task, and on a queue where tasks are rare it polls as if its rhythm were fixed.
 */
export class PollRhythm {
  private credit = 0;
  private nextMs: number;

  constructor(
    readonly pollMs: number,
    private readonly adaptive: boolean,
  ) {
    this.nextMs = this.quickMs;
  }

  /** The shortest pause of quick polling. */
  private get quickMs(): number {
    return Math.min(quickMs, this.pollMs);
  }

  /** After a claim of `taken` runs where `asked` were free to start. Returns the pause in milliseconds; 0 is at once. */
  claimed(taken: number, asked: number): number {
    if (!this.adaptive) return taken > 0 ? 0 : this.pollMs;
    if (taken > 0) {
      this.earn(taken);
      // A full claim leaves more to claim; the others took all there was.
      return taken >= asked ? 0 : this.quickMs;
    }
    if (this.credit === 0) return this.pollMs;
    this.credit -= 1;
    const pauseMs = this.nextMs;
    this.nextMs = Math.min(this.nextMs * 2, this.pollMs);
    return pauseMs;
  }

  /** After a run ended: it may have made work. Returns how soon to claim again at the latest. */
  ended(): number {
    if (!this.adaptive) return 0;
    this.earn(1);
    return this.quickMs;
  }

  private earn(credit: number): void {
    this.credit = Math.min(this.credit + credit, mostCredit);
    this.nextMs = this.quickMs;
  }
}
