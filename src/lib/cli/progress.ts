import { harmless } from './format/text.js';
import type { Io } from './io.js';

const width = 24;

/** A progress bar on standard error, or a count if the total is unknown; nothing without a terminal. */
export class ProgressBar {
  private drawnAtMs = 0;

  constructor(
    private readonly io: Io,
    private readonly total: number | undefined,
    private readonly unit: string,
  ) {}

  show(done: number): void {
    const nowMs = this.io.now().getTime();
    if (!this.io.errTty || (done !== this.total && nowMs - this.drawnAtMs < 100)) return;
    this.drawnAtMs = nowMs;
    if (this.total === undefined) {
      this.io.err(`\r${done} ${harmless(this.unit)}`);
      return;
    }
    const filled = this.total === 0 ? width : Math.round((done / this.total) * width);
    this.io.err(`\r[${'#'.repeat(filled)}${' '.repeat(width - filled)}] ${done} of ${this.total} ${this.unit}`);
  }

  /** Ends the bar's line, or clears it. */
  end(): void {
    if (this.io.errTty && this.drawnAtMs > 0) this.io.err('\r\u001b[K');
  }
}
