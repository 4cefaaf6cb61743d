import { setMaxListeners } from 'node:events';
import { SuspendTask } from './errors.js';
import { pause } from './timing.js';

/** How long a handler may take to wind up after its run was taken away, before its slot goes to other work. */
const graceMs = 250;

/**
 * Whether a run is still ours. Once it has ended (asleep, cancelled, lost, handed back) every further call of its handler
 * is refused here, so that a handler which does not stop cannot write over whoever has the run next.
 */
export class RunGuard {
  private readonly controller = new AbortController();
  private reason: Error | undefined;
  /** Resolves a moment after the run was taken away, or fell asleep during other work, whether its handler has stopped or not. */
  readonly stopped: Promise<void>;
  private release: () => void = () => undefined;

  constructor() {
    // A handler may wait for as many things at once as it likes.
    setMaxListeners(0, this.controller.signal);
    this.stopped = new Promise((resolve) => (this.release = resolve));
  }

  /** Fires when the run is taken away; its reason is the error that further calls reject with. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  get ended(): boolean {
    return this.reason !== undefined;
  }

  /** Whether the handler itself put its run to sleep. */
  get asleep(): boolean {
    return this.ended && !this.signal.aborted;
  }

  /** How the handler ended: what it left running may write nothing after that. */
  outcome: 'completed' | 'failed' | undefined;

  /** Throws what ended the run, if something did. */
  check(): void {
    if (this.reason !== undefined) throw this.reason;
    if (this.outcome !== undefined)
      throw new Error(`The run has ${this.outcome}: nothing can be stored for it any more`);
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
      this.controller.abort(reason);
      void pause(graceMs).then(this.release);
    }
    return this.reason;
  }
}
