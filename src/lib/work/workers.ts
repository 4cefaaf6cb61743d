/** Workers of one process: one for each queue that the loaded modules have tasks for, all on one pool. */
import { Absurd, type ClaimedTask, type Queryable, type Worker, type WorkerOptions } from '../../sdk/index.js';
import type { Registry } from '../../sdk/registry.js';
import { errorCode } from '../cli/errors.js';
import { eventLog, runHooks, type Report } from './events.js';

export interface CrewOptions extends WorkerOptions {
  /** Work on this queue only; absent: on every queue that a task is registered for. */
  queue?: string;
  /** Calls `onEmpty` once no queue has anything to claim and nothing runs. */
  onEmpty?: () => void;
  /** Calls `onRefused` where a queue's first claim fails for good: no right to it, or a server that takes no writes. */
  onRefused?: (error: Error) => void;
  listenUrl?: string;
}

/** Later on a server may be a standby for a while; one that was never anything else is the wrong one. */
const isRefusal = (error: Error): boolean => ['42501', '25006'].includes(errorCode(error) ?? '');

/** A client that counts what it runs and notes when its queue has nothing to claim. */
class WatchedClient extends Absurd {
  empty = false;
  everClaimed = false;
  runningCount = 0;
  onQuiet: () => void = () => undefined;

  override async claimTasks(options: Parameters<Absurd['claimTasks']>[0]): Promise<ClaimedTask[]> {
    const claimed = await super.claimTasks(options);
    this.everClaimed = true;
    this.empty = claimed.length === 0;
    if (this.empty) this.onQuiet();
    return claimed;
  }

  override async executeTask(...args: Parameters<Absurd['executeTask']>): Promise<void> {
    // Here and not with the claim: what a claim without an answer had claimed is run too.
    this.runningCount++;
    try {
      await super.executeTask(...args);
    } finally {
      this.runningCount--;
      // What just ran may have spawned more: the next claim tells.
      this.empty = false;
    }
  }
}

export class Crew {
  private readonly workers: Worker[] = [];

  private constructor(readonly queues: readonly string[]) {}

  /** A client for modules to register their tasks with. */
  static client(con: Queryable, report: Report, now: () => Date, queue: string): Absurd {
    return new WatchedClient({ db: con, queueName: queue, log: eventLog(report), hooks: runHooks(report, now) });
  }

  /** The queues that have registered tasks, sorted. */
  static queuesOf(client: Absurd): string[] {
    return [...new Set([...client.registry.values()].map(({ queue }) => queue))].sort();
  }

  static async start(client: Absurd, report: Report, options: CrewOptions): Promise<Crew> {
    const { queue, onEmpty, onRefused, listenUrl, ...workerOptions } = options;
    const crew = new Crew(queue === undefined ? Crew.queuesOf(client) : [queue]);
    const clients = crew.queues.map((name) => forQueue(client, name, listenUrl));
    for (const one of clients) {
      one.onQuiet = () => {
        if (clients.every(({ empty, runningCount }) => empty && runningCount === 0)) onEmpty?.();
      };
    }
    for (const one of clients) {
      const onError = (error: Error): void => {
        if (onRefused && !one.everClaimed && isRefusal(error)) return onRefused(error);
        report('worker_error', error.message, { error: error.message });
      };
      crew.workers.push(await one.startWorker({ ...workerOptions, onError }));
    }
    return crew;
  }

  /** Stops claiming and waits for what runs; past `timeoutSeconds` that is handed back for others. */
  async stop(timeoutSeconds?: number): Promise<void> {
    await Promise.all(
      this.workers.map((worker) => worker.close(timeoutSeconds === undefined ? {} : { timeout: timeoutSeconds })),
    );
  }
}

function forQueue(client: Absurd, queueName: string, listenUrl: string | undefined): WatchedClient {
  const { con, log, hooks } = client;
  const one = new WatchedClient({ db: con, queueName, log, hooks, listenUrl });
  one.registry = client.registry satisfies Registry;
  return one;
}
