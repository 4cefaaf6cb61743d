import { findRecentClaims } from '../sql/sdk-batch.js';
import { isConnectionLoss } from './errors.js';
import type { ClaimedTask, Queryable } from './types.js';

/** How many executions of a run workers of this process have in hand: two where one that sleeps has not ended yet, and woke. */
const inHand = new Map<string, number>();
/** For each question under way what was let go since it was asked: the answer may still show that as running. */
const questions = new Set<Set<string>>();

export function timesInHand(runId: string): number {
  return inHand.get(runId) ?? 0;
}

export function takeInHand(runId: string): void {
  inHand.set(runId, timesInHand(runId) + 1);
}

export function letGo(runId: string): void {
  for (const letGoSince of questions) letGoSince.add(runId);
  const left = timesInHand(runId) - 1;
  if (left > 0) inHand.set(runId, left);
  else inHand.delete(runId);
}

/** A server that lost the connection may finish a claim a little later: so long is it looked for. */
const lookForMs = 2000;
/** The server measures the age of a claim by its own clock. */
const slackMs = 100;

/**
 * Claims whose answer was lost: the server may have made them, and nobody would run them until their lease ends. Looked for by
 * what tells them from all others: our worker's name (one that only this process has), claimed since we asked, a lease as it was
 * when claimed, and no worker of this process that has them.
 */
export class LostClaims {
  private sinceMs: number | undefined;
  private lookUntilMs = Infinity;

  constructor(
    private readonly con: Queryable,
    private readonly queueName: string,
    private readonly workerId: string,
    private readonly claimTimeoutSeconds: number,
  ) {}

  /** A claim that was sent at that time got no answer. */
  note(sentAtMs: number): void {
    this.sinceMs ??= sentAtMs;
    this.lookUntilMs = Infinity;
  }

  /** Whether claims are still looked for. */
  get pending(): boolean {
    return this.sinceMs !== undefined;
  }

  /** Returns what a lost claim had claimed; rejects while the server is away. Asks nothing unless a claim was lost. */
  async find(): Promise<ClaimedTask[]> {
    if (this.sinceMs === undefined) return [];
    const letGoSince = new Set<string>();
    questions.add(letGoSince);
    try {
      const found = await this.recentSince(this.sinceMs);
      this.lookUntilMs = Math.min(this.lookUntilMs, Date.now() + lookForMs);
      if (Date.now() >= this.lookUntilMs) this.sinceMs = undefined;
      return found.filter(({ run_id: id }) => timesInHand(id) === 0 && !letGoSince.has(id));
    } finally {
      questions.delete(letGoSince);
    }
  }

  private async recentSince(sinceMs: number): Promise<ClaimedTask[]> {
    const { con, queueName, workerId, claimTimeoutSeconds } = this;
    const withinSeconds = (Date.now() - sinceMs + slackMs) / 1000;
    try {
      return await findRecentClaims<ClaimedTask>(con, queueName, workerId, claimTimeoutSeconds, withinSeconds);
    } catch (error) {
      // Where the tables may not be read, the end of the lease has to do; claiming must go on.
      if (!isConnectionLoss(error)) this.sinceMs = undefined;
      throw error;
    }
  }
}
