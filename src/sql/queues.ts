import type { Queryable } from './queryable.js';

export { listQueueNames } from './schema.js';

/** One queue by name, for pipes. */
export interface QueueName {
  queue_name: string;
}

/** A registered queue, before anything is counted. */
export interface RegisteredQueue extends QueueName {
  storage_mode: string;
  /** Whether its tables are there. */
  complete: boolean;
}

/** The registry, sorted by name. Reads only columns that schemas of any age have. */
export async function listRegisteredQueues(db: Queryable): Promise<RegisteredQueue[]> {
  const { rows } = await db.query<RegisteredQueue>(
    `select q.queue_name,
            coalesce(to_jsonb(q) ->> 'storage_mode', 'unpartitioned') as storage_mode,
            to_regclass(format('absurd.%I', 't_' || q.queue_name)) is not null
              and to_regclass(format('absurd.%I', 'r_' || q.queue_name)) is not null as complete
       from absurd.queues q
      order by q.queue_name`,
  );
  return rows;
}

/** Whether the registry has this queue. */
async function queueExists(db: Queryable, queue: string): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>(
    `select exists (select from absurd.queues q where q.queue_name = $1) as found`,
    [queue],
  );
  return rows[0]?.found === true;
}

export interface CreatedQueue extends QueueName {
  storage_mode: string;
  /** False if it existed already. */
  created: boolean;
}

/**
 * Creates a queue, or finds it as it is. Without a mode the one-argument form is called, which schemas of any age have.
 * Raises 22023 for an illegal name, 55000 when the queue is there in the other mode, 42883 where the schema knows no modes.
 */
export async function createQueue(db: Queryable, queue: string, storageMode?: string): Promise<CreatedQueue> {
  const before = await queueExists(db, queue);
  if (storageMode === undefined) await db.query('select absurd.create_queue($1)', [queue]);
  else await db.query('select absurd.create_queue($1, $2)', [queue, storageMode]);
  return { queue_name: queue, storage_mode: storageMode ?? 'unpartitioned', created: !before };
}

/** Drops a queue with all its data; no error if it does not exist. */
export async function dropQueue(db: Queryable, queue: string): Promise<void> {
  await db.query('select absurd.drop_queue($1)', [queue]);
}
