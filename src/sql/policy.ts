import { type PolicyKey } from './description.js';
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
  /** Whether workers are told of new work by NOTIFY; absent where the schema cannot. */
  wakeup?: 'on' | 'off';
}

export async function getQueuePolicy(db: Queryable, queueName: string): Promise<QueuePolicyRow | undefined> {
  const { rows } = await db.query<QueuePolicyRow & { wakes: boolean }>(
    `select p.queue_name, p.storage_mode, p.default_partition, p.partition_lookahead::text, p.partition_lookback::text,
            p.cleanup_ttl::text, p.cleanup_limit, p.detach_mode, p.detach_min_age::text,
            to_regprocedure('absurd.get_queue_wakeup(text)') is not null as wakes
       from absurd.get_queue_policy($1) p`,
    [queueName],
  );
  if (rows[0] === undefined) return undefined;
  const { wakes, ...policy } = rows[0];
  if (!wakes) return policy;
  const wakeup = await db.query<{ wakeup: 'on' | 'off' }>(
    `select case when absurd.get_queue_wakeup($1) then 'on' else 'off' end as wakeup`,
    [queueName],
  );
  return { ...policy, ...wakeup.rows[0] };
}

/** Turns wake-ups on or off. Raises 42883 if the schema lacks them, 55P03 if the table of runs stays busy. */
export async function setQueueWakeup(db: Queryable, queueName: string, enabled: boolean): Promise<void> {
  await db.query('select absurd.set_queue_wakeup($1, $2)', [queueName, enabled]);
}

/** Sets the keys that are given and leaves the others. Raises 22023 for a bad value, 55000 where rows are in the way. */
export async function setQueuePolicy(
  db: Queryable,
  queueName: string,
  policy: Partial<Pick<QueuePolicyRow, PolicyKey>>,
): Promise<void> {
  await db.query('select absurd.set_queue_policy($1, $2::jsonb)', [queueName, JSON.stringify(policy)]);
}
