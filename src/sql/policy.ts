import type { Queryable } from './queryable.js';

/** A queue's policy as the server writes it; spans as texts such as `28 days`. */
export interface QueuePolicyRow {
  queue_name: string;
  storage_mode: string;
  default_partition: string;
  partition_lookahead: string;
  partition_lookback: string;
  cleanup_ttl: string;
  cleanup_limit: number;
  detach_mode: string;
  detach_min_age: string;
}

export async function getQueuePolicy(db: Queryable, queueName: string): Promise<QueuePolicyRow | undefined> {
  const { rows } = await db.query<QueuePolicyRow>(
    `select p.queue_name, p.storage_mode, p.default_partition, p.partition_lookahead::text, p.partition_lookback::text,
            p.cleanup_ttl::text, p.cleanup_limit, p.detach_mode, p.detach_min_age::text
       from absurd.get_queue_policy($1) p`,
    [queueName],
  );
  return rows[0];
}

/** Sets the keys that are given and leaves the others. Raises 22023 for a bad value, 55000 where rows are in the way. */
export async function setQueuePolicy(
  db: Queryable,
  queueName: string,
  policy: Partial<Omit<QueuePolicyRow, 'queue_name' | 'storage_mode'>>,
): Promise<void> {
  await db.query('select absurd.set_queue_policy($1, $2::jsonb)', [queueName, JSON.stringify(policy)]);
}
