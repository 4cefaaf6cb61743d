import { getQueueWakeup, type Capabilities } from '../sql/sdk-batch.js';
import type { SdkDatabase } from '../sql/sdk.js';
import { toError } from './errors.js';
import { pause } from './timing.js';
import type { Log } from './types.js';
import { subscribeToWakeups } from './wakeup.js';

export interface PickupHost {
  readonly db: SdkDatabase;
  readonly queueName: string;
  readonly listenUrl: string | undefined;
  capabilities(): Promise<Capabilities>;
}

/** How often a worker looks whether its queue's policy announces new work. */
const policyMs = 15_000;
/** How long a worker that could not listen waits before it tries again. */
const relistenMs = 60_000;

/** Listens for the queue's announcements as long as its policy makes them and there is a connection to listen on. */
export async function listenWhileWanted(
  host: PickupHost,
  log: Log,
  ring: () => void,
  closing: AbortSignal,
): Promise<void> {
  let leave: (() => Promise<void>) | undefined;
  let quietUntilMs = 0;
  while (host.listenUrl !== undefined && !closing.aborted) {
    const wanted = await policyWantsWakeup(host);
    if (wanted && leave === undefined && Date.now() >= quietUntilMs) {
      const warn = quietUntilMs === 0 ? log.warn : undefined;
      leave = await listen(host, host.listenUrl, ring, closing, warn);
      quietUntilMs = Date.now() + relistenMs;
    } else if (wanted === false && leave !== undefined) {
      await leave();
      leave = undefined;
    }
    await pause(policyMs, closing);
  }
  await leave?.();
}

/** Warns, the first time, where announcements do not arrive. */
async function listen(
  { db, queueName }: PickupHost,
  url: string,
  ring: () => void,
  closing: AbortSignal,
  warn: Log['warn'] | undefined,
): Promise<(() => Promise<void>) | undefined> {
  try {
    return await subscribeToWakeups(url, queueName, ring, db, closing);
  } catch (error) {
    if (!closing.aborted) {
      warn?.(
        `queue "${queueName}" announces new work, but listening for it does not work: ${toError(error).message}. ` +
          'Polling instead; set listenUrl to a direct connection for pickup in milliseconds.',
      );
    }
    return undefined;
  }
}

/** Undefined where the database does not answer now. */
async function policyWantsWakeup(host: PickupHost): Promise<boolean | undefined> {
  try {
    return (await host.capabilities()).wakeup && (await getQueueWakeup(host.db, host.queueName));
  } catch {
    return undefined;
  }
}
