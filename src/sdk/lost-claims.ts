import { findRecentClaims } from '../sql/sdk-batch.js';
import type { SdkDatabase } from '../sql/sdk.js';
import { isConnectionLoss } from './errors.js';
import type { ClaimedTask } from './types.js';

/** Which runs the workers of this process hold. A run in the ledger is no lost claim. */
class ClaimLedger {
  /** Executions by run: two where one that sleeps has not ended yet, and the run woke. */
  private readonly executions = new Map<string, number>();
  /** For each search under way, the runs released since it began: its answer may still show them as running. */
  private readonly searches = new Set<Set<string>>();

  hold(runId: string): void {
    this.executions.set(runId, this.count(runId) + 1);
  }

  release(runId: string): void {
    for (const released of this.searches) released.add(runId);
    const left = this.count(runId) - 1;
    if (left > 0) this.executions.set(runId, left);
    else this.executions.delete(runId);
  }

  count(runId: string): number {
    return this.executions.get(runId) ?? 0;
  }

  /** The runs of a search that no worker of this process held at any time since it began. */
  async unknown(search: () => Promise<ClaimedTask[]>): Promise<ClaimedTask[]> {
    const released = new Set<string>();
    this.searches.add(released);
    try {
      const found = await search();
      return found.filter(({ run_id: id }) => this.count(id) === 0 && !released.has(id));
    } finally {
      this.searches.delete(released);
    }
  }
}

/** One for all workers of the process: they share its name. */
export const ledger = new ClaimLedger();

/** A server that lost the connection may finish a claim a little later: so long is it looked for. */
const lookForMs = 2000;
/** The server measures the age of a claim by its own clock. */
const slackMs = 100;

/**
 * Claims whose answer was lost: the server may have made them, and no worker would run them until their lease ends. They are
 * found by what tells them from all others: the name of this process, which no other has; claimed since we asked; a lease as it was
 * when claimed; and not in the ledger. A worker whose name the program chose does not search: another process may have that
 * name, and nothing in the row tells its runs from ours.
 */
export class LostClaims {
  private sinceMs: number | undefined;
  private lookUntilMs = Infinity;

  constructor(
    private readonly db: SdkDatabase,
    private readonly queueName: string,
    private readonly workerId: string,
    private readonly claimTimeoutSeconds: number,
  ) {}

  /** A claim that was sent at that time got no answer. */
  note(sentAtMs: number): void {
    this.sinceMs ??= sentAtMs;
    this.lookUntilMs = Infinity;
  }

  /** Whether the search for lost claims continues. */
  get pending(): boolean {
    return this.sinceMs !== undefined;
  }

  /**
   * Returns the runs of a lost claim; rejects while the server is unreachable. Does nothing unless a claim was lost.
   */
  async find(): Promise<ClaimedTask[]> {
    const { sinceMs } = this;
    if (sinceMs === undefined) return [];
    const found = await ledger.unknown(() => this.recentSince(sinceMs));
    this.lookUntilMs = Math.min(this.lookUntilMs, Date.now() + lookForMs);
    if (Date.now() >= this.lookUntilMs) this.sinceMs = undefined;
    return found;
  }

  private async recentSince(sinceMs: number): Promise<ClaimedTask[]> {
    const { db, queueName, workerId, claimTimeoutSeconds } = this;
    const withinSeconds = (Date.now() - sinceMs + slackMs) / 1000;
    try {
      return await findRecentClaims<ClaimedTask>(db, queueName, workerId, claimTimeoutSeconds, withinSeconds);
    } catch (error) {
      // If the tables may not be read, wait for the lease to expire; claiming must continue.
      if (!isConnectionLoss(error)) this.sinceMs = undefined;
      throw error;
    }
  }
}
