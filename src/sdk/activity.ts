/**
 * The work of a handler. A run may sleep only when nothing but waits holds its handler up. A handler's own promises cannot be
 * inspected, so this counts its steps and calls, and notices whether the handler continues when one of them has ended.
 */
import { AsyncLocalStorage, createHook, type AsyncHook } from 'node:async_hooks';

/** Not those of a test's fake clock: what waits for a turn of the event loop must get it. */
const nextTurn = setImmediate;

/** A step or another call of a context, under way. */
export interface Activity {
  /** Waits that were opened inside of it and are open: it cannot end before they do. */
  openWaits: number;
  readonly within: Activity | undefined;
}

const current = new AsyncLocalStorage<{ of: Activities; activity: Activity | undefined } | undefined>();
/** Those that look now whether their handler starts something of its own. */
const looking = new Set<Activities>();
let hook: AsyncHook | undefined;

/** A query on an open connection is no resource of its own: it shows in the promise that is made for it, or by its await. */
function noteWork(): void {
  const place = current.getStore();
  if (place !== undefined && looking.has(place.of)) place.of.continued = true;
}

/** Makes a call of the SDK's own, so that a connection or timer that it starts does not count as the handler's. */
export function outsideOfHandlers<T>(call: () => T): T {
  // Not `exit`, which turns the hooks behind this off and on again.
  return current.run(undefined, call);
}

export class Activities {
  /** Whether the handler did something (awaited, started a timer) since the last of its steps, calls or waits ended. */
  continued = false;
  private readonly running = new Set<Activity>();

  /** @param onEnd called when one has ended, before the handler continues */
  constructor(private readonly onEnd: () => void) {}

  /** Whether a step or a call is under way that does not itself hang on an open wait. */
  get busy(): boolean {
    for (const activity of this.running) if (activity.openWaits === 0) return true;
    return false;
  }

  /** Runs a handler, and attributes to it the work that it starts. */
  handler<T>(work: () => Promise<T>): Promise<T> {
    return current.run({ of: this, activity: undefined }, work);
  }

  /** A call to the server, which opens no waits. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const activity = this.enter();
    try {
      return await work();
    } finally {
      this.leave(activity);
    }
  }

  enter(): Activity {
    const activity: Activity = { openWaits: 0, within: this.place() };
    this.running.add(activity);
    return activity;
  }

  leave(activity: Activity): void {
    this.running.delete(activity);
    this.onEnd();
  }

  /** Runs the program's function of a step: it may open waits inside. */
  inside<T>(activity: Activity, fn: () => Promise<T>): Promise<T> {
    return current.run({ of: this, activity }, fn);
  }

  /** The step that the caller is inside of. */
  place(): Activity | undefined {
    const store = current.getStore();
    return store?.of === this ? store.activity : undefined;
  }

  /** For the rest of this turn, notices whether the handler continues; then calls `next`. */
  lookForATurn(next: () => void): void {
    outsideOfHandlers(() => nextTurn(next));
    looking.add(this);
    hook ??= createHook({ init: noteWork });
    hook.enable();
  }

  stopLooking(): void {
    looking.delete(this);
    if (looking.size === 0) hook?.disable();
  }
}
