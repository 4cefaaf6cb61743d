import type { QueuePolicyRow } from '../sql/sdk.js';
import type { QueueDetachMode, QueuePolicy, QueuePolicyOptions, QueueStorageMode } from './types.js';

/** Returns the mode where it has to be said to the server, or throws before any query is made. */
export function checkStorageMode(mode: QueueStorageMode | undefined): QueueStorageMode | undefined {
  switch (mode ?? 'unpartitioned') {
    case 'unpartitioned':
      return undefined;
    case 'partitioned':
      return 'partitioned';
    default:
      throw new Error(`Invalid queue storage mode: ${String(mode)}`);
  }
}

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
