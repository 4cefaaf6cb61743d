import { setMaxListeners } from 'node:events';
import { SuspendTask } from './errors.js';
import { pause } from './timing.js';

/** How long a handler may take to stop after it has lost its run, before its slot is reused. */
const graceMs = 250;

/**
 * Tracks whether a run is still ours. After it has ended (asleep, cancelled, lost, released), every further call of
 * its handler is refused here, so that a handler which does not stop cannot overwrite another execution.
 */
export class RunGuard {
  /** Created at first use: most handlers never use it. */
  private controller: AbortController | undefined;
  private reason: Error | undefined;
  private taken = false;
  private released = false;
  private readonly whenTaken: ((reason: Error) => void)[] = [];
  private readonly whenReleased: (() => void)[] = [];

  /** Fires when the run is taken away; its reason is the error that further calls reject with. */
  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      // A handler may wait for as many things at once as it likes.
      setMaxListeners(0, this.controller.signal);
      if (this.taken) this.controller.abort(this.reason);
    }
    return this.controller.signal;
  }

  /** Calls back when the run is taken away. */
  onTaken(call: (reason: Error) => void): void {
    this.whenTaken.push(call);
  }

  /** Settles with the work, or a moment after the run was taken away or fell asleep during other work, whichever is first. */
  untilReleased(work: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      void work.then(resolve, reject);
      if (this.released) resolve();
      else this.whenReleased.push(resolve);
    });
  }

  private readonly release = (): void => {
    this.released = true;
    for (const call of this.whenReleased) call();
  };

  get ended(): boolean {
    return this.reason !== undefined;
  }

  /** Whether the handler itself suspended its run. */
  get asleep(): boolean {
    return this.ended && !this.taken;
  }

  /** How the handler ended: steps that it left running may write nothing afterwards. */
  outcome: 'completed' | 'failed' | undefined;

  /** The error that ended the run, if any. */
  get refusal(): Error | undefined {
    if (this.reason !== undefined || this.outcome === undefined) return this.reason;
    return new Error(`The run has ${this.outcome}: nothing can be stored for it any more`);
  }

  /** Throws the error that ended the run, if any. */
  check(): void {
    const { refusal } = this;
    if (refusal !== undefined) throw refusal;
  }

  /**
   * The handler put its own run to sleep.
   * @param mayHang whether the handler works on something else and may not stop soon: its slot does not wait for it
   */
  suspend(mayHang = false): Error {
    this.reason ??= new SuspendTask();
    if (mayHang) void pause(graceMs).then(this.release);
    return this.reason;
  }

  /** The run was taken away from its handler. */
  stop(reason: Error): Error {
    if (this.reason === undefined) {
      this.reason = reason;
      this.taken = true;
      this.controller?.abort(reason);
      for (const call of this.whenTaken) call(reason);
      void pause(graceMs).then(this.release);
    }
    return this.reason;
  }
}
