/** Workers of one process: one for each queue that the loaded modules have tasks for, all on one pool. */
import {
  Absurd,
  type ClaimedTask,
  type ExecuteOptions,
  type Queryable,
  type Worker,
  type WorkerOptions,
} from '../../sdk/index.js';
import type { Registry } from '../../sdk/registry.js';
import { Repeats } from '../../sdk/reports.js';
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

/** A client that keeps what it runs and notes when its queue has nothing to claim. */
class WatchedClient extends Absurd {
  empty = false;
  everClaimed = false;
  readonly running = new Set<ClaimedTask>();
  onClaimed: () => void = () => undefined;
  onQuiet: () => void = () => undefined;
  onUnstored: (task: ClaimedTask, error: unknown) => void = () => undefined;

  override async claimTasks(options: Parameters<Absurd['claimTasks']>[0]): Promise<ClaimedTask[]> {
    const claimed = await super.claimTasks(options);
    this.everClaimed = true;
    this.onClaimed();
    this.empty = claimed.length === 0;
    if (this.empty) this.onQuiet();
    return claimed;
  }

  override async executeTask(task: ClaimedTask, claimTimeout: number, options?: ExecuteOptions): Promise<void> {
    // Here and not with the claim: what a claim without an answer had claimed is run too.
    this.running.add(task);
    try {
      await super.executeTask(task, claimTimeout, options);
    } catch (error) {
      this.onUnstored(task, error);
      throw error;
    } finally {
      this.running.delete(task);
      // What just ran may have spawned more: the next claim shows it.
      this.empty = false;
    }
  }
}

export class Crew {
  private readonly workers: Worker[] = [];
  private clients: readonly WatchedClient[] = [];
  /** Runs whose end the server has not stored, with the last reason. */
  readonly unstored = { count: 0, reason: '' };

  private constructor(readonly queues: readonly string[]) {}

  /** What runs now. */
  get running(): ClaimedTask[] {
    return this.clients.flatMap((client) => [...client.running]);
  }

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
    crew.clients = clients;
    for (const one of clients) {
      one.onQuiet = () => {
        if (clients.every(({ empty, running }) => empty && running.size === 0)) onEmpty?.();
      };
      const unstored = new Set<unknown>();
      one.onUnstored = (task, error) => {
        unstored.add(error);
        crew.reportUnstored(report, task, error);
      };
      const repeats = new Repeats();
      one.onClaimed = () => repeats.clear();
      const onError = (error: Error): void => {
        if (unstored.delete(error)) return;
        if (onRefused && !one.everClaimed && isRefusal(error)) return onRefused(error);
        const times = repeats.note(error);
        if (times === undefined) return;
        const text = times === 0 ? error.message : `${times} more times: ${error.message}`;
        report('worker_error', text, { error: error.message });
      };
      crew.workers.push(await one.startWorker({ ...workerOptions, onError }));
    }
    return crew;
  }

  private reportUnstored(report: Report, task: ClaimedTask, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.unstored.count++;
    this.unstored.reason = message;
    const { task_name, task_id, run_id } = task;
    const text = `${task_name} ${task_id}: the end of its run could not be stored: ${message}`;
    report('worker_error', text, { error: message, task_name, task_id, run_id });
  }

  /** Stops claiming and waits for what runs; past `timeoutSeconds` that is released for others. */
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
