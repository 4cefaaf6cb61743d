import type { QueuePolicyRow } from '../sql/sdk.js';
import type { QueueDetachMode, QueuePolicy, QueuePolicyOptions, QueueStorageMode } from './types.js';

/** The policy as set_queue_policy reads it, as JSON text; undefined where nothing is to be set. */
export function policyJson(options: QueuePolicyOptions): string | undefined {
  const policy = {
    partition_lookahead: options.partitionLookahead,
    partition_lookback: options.partitionLookback,
    cleanup_ttl: options.cleanupTtl,
    cleanup_limit: options.cleanupLimit,
    detach_mode: options.detachMode,
    detach_min_age: options.detachMinAge,
  };
  return Object.values(policy).some((value) => value !== undefined) ? JSON.stringify(policy) : undefined;
}

export function toPolicy(row: QueuePolicyRow): QueuePolicy {
  return {
    queueName: row.queue_name,
    storageMode: row.storage_mode as QueueStorageMode,
    partitionLookahead: String(row.partition_lookahead),
    partitionLookback: String(row.partition_lookback),
    cleanupTtl: String(row.cleanup_ttl),
    cleanupLimit: row.cleanup_limit,
    detachMode: row.detach_mode as QueueDetachMode,
    detachMinAge: String(row.detach_min_age),
  };
}
