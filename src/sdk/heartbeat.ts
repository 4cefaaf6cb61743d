import { hostname } from 'node:os';
import type { Capabilities } from '../sql/sdk-batch.js';
import type { SdkDatabase } from '../sql/sdk.js';
import { forgetWorker, heartbeatWorker } from '../sql/worker-registry.js';
import type { Registry } from './registry.js';
import { pause, quietTimer } from './timing.js';
import type { Log } from './types.js';
import { sdkVersion } from './version.js';

export interface HeartbeatHost {
  readonly db: SdkDatabase;
  readonly queueName: string;
  readonly registry: Registry;
  capabilities(): Promise<Capabilities>;
}

/** The changing facts of a worker. */
export interface Vitals {
  running: number;
  concurrency: number;
  draining: boolean;
  programVersion: string | undefined;
}

const beatMs = 15_000;
/** How long a closing worker waits for its row to be deleted: where the server answered the last beat, and where not. */
const leaveMs = 5000;
const leaveAwayMs = 500;

/** Workers of this process that share a row: the same name on the same queue through the same connection. */
const rows = new WeakMap<SdkDatabase, Map<string, Set<Heartbeat>>>();

/**
 * Keeps the worker's row in the registry of workers, and deletes it when the worker closes. It is for operators alone: whatever
 * goes wrong here, the worker works on.
 */
export class Heartbeat {
  private readonly leaving = new AbortController();
  private readonly sharing: Set<Heartbeat>;
  private readonly beating: Promise<void>;
  private beat: Promise<void> = Promise.resolve();
  private answered = false;
  private refused = false;
  /** Whether the schema has no registry. */
  private unknown = false;

  constructor(
    private readonly host: HeartbeatHost,
    private readonly workerId: string,
    private readonly log: Log,
    private readonly vitals: () => Vitals,
  ) {
    const named = rows.get(host.db) ?? new Map<string, Set<Heartbeat>>();
    rows.set(host.db, named);
    const name = JSON.stringify([host.queueName, workerId]);
    this.sharing = named.get(name) ?? new Set();
    named.set(name, this.sharing.add(this));
    this.beating = this.keep();
  }

  /** Writes the row at once: the worker has begun to drain. */
  changed(): void {
    if (!this.leaving.signal.aborted) this.beat = this.beat.then(() => this.write());
  }

  /** Deletes the row; resolves after a few seconds also where the server does not answer. */
  async leave(): Promise<void> {
    this.leaving.abort();
    this.sharing.delete(this);
    await new Promise<void>((resolve) => {
      const limit = quietTimer(resolve, this.answered ? leaveMs : leaveAwayMs);
      void this.forget().then(() => {
        clearTimeout(limit);
        resolve();
      });
    });
  }

  private async keep(): Promise<void> {
    while (!this.leaving.signal.aborted && !this.unknown) {
      this.changed();
      await this.beat;
      if (!this.unknown) await pause(beatMs, this.leaving.signal);
    }
  }

  private async write(): Promise<void> {
    const { db, queueName } = this.host;
    try {
      this.unknown = !(await this.host.capabilities()).workerRegistry;
      if (this.unknown) return;
      const allowed = await heartbeatWorker(db, queueName, this.workerId, this.details());
      this.answered = true;
      if (!allowed && !this.refused) {
        this.log.info('This role may not write to absurd.workers: list-workers infers this worker from its claims.');
      }
      this.refused = !allowed;
    } catch {
      // Claims report problems with the database; the next heartbeat tries again.
      this.answered = false;
    }
  }

  private details(): object {
    const sharing = [...this.sharing];
    const vitals = sharing.map((one) => one.vitals());
    const sum = (of: (one: Vitals) => number): number => vitals.reduce((total, one) => total + of(one), 0);
    const { queueName } = this.host;
    const tasks = sharing.flatMap(({ host }) => [...host.registry.values()].filter(({ queue }) => queue === queueName));
    return {
      host: hostname(),
      pid: process.pid,
      sdk_name: 'absurdctl',
      sdk_version: sdkVersion,
      program_version: vitals.find(({ programVersion }) => programVersion !== undefined)?.programVersion,
      task_names: [...new Set(tasks.map(({ name }) => name))].sort(),
      concurrency: sum(({ concurrency }) => concurrency),
      running: sum(({ running }) => running),
      state: vitals.every(({ draining }) => draining) ? 'draining' : 'running',
    };
  }

  private async forget(): Promise<void> {
    try {
      // A beat that arrives after the deletion would bring the row back.
      await this.beating;
      await this.beat;
      const [other] = this.sharing;
      if (other !== undefined) other.changed();
      else if (this.answered && !this.refused) await forgetWorker(this.host.db, this.host.queueName, this.workerId);
    } catch {
      // The row goes stale, and is deleted after an hour.
    }
  }
}
