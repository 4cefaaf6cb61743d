import { events, waits } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';

/** The result of an emission. */
export interface EmittedEvent {
  queue_name: string;
  event_name: string;
  /** False when the event had been emitted before: the first payload stays, nobody is woken. */
  first: boolean;
  emitted_at: Timestamp;
  /** Runs that were waiting for it, counted up to 10,000 just before; 0 when it had been emitted. */
  waiting: number;
}

/** Runs that wait for an event and have not timed out, counted up to 10,000. */
async function countWaiting(db: Queryable, queueName: string, eventName: string): Promise<number> {
  const { rows } = await db.query<{ waiting: number }>(
    `select count(*)::integer as waiting
       from (
         select from ${waits(queueName)} w
         where w.event_name = $1 and (w.timeout_at is null or w.timeout_at > absurd.current_time())
         limit 10000
       ) w`,
    [eventName],
  );
  return rows[0]?.waiting ?? 0;
}

/** The queues in which runs wait for this event, and how many runs. */
export async function waitingElsewhere(
  db: Queryable,
  queues: readonly string[],
  eventName: string,
): Promise<{ queue_name: string; waiting: number }[]> {
  const part = (queue: string, index: number): string =>
    `select ($2::text[])[${index + 1}] as queue_name,
            (select count(*)::integer
               from (select from ${waits(queue)} w
                      where w.event_name = $1 and (w.timeout_at is null or w.timeout_at > absurd.current_time())
                      limit 10000) w) as waiting`;
  if (queues.length === 0) return [];
  const { rows } = await db.query<{ queue_name: string; waiting: number }>(queues.map(part).join(' union all '), [
    eventName,
    queues,
  ]);
  return rows.filter(({ waiting }) => waiting > 0);
}

/**
 * Emits an event with a payload (JSON text). Must run in a transaction: whether this emission was the first is read from its
 * mark on the row.
 */
export async function emitEvent(
  db: Queryable,
  { queueName, eventName, payload }: { queueName: string; eventName: string; payload: string },
): Promise<EmittedEvent> {
  const waiting = await countWaiting(db, queueName, eventName);
  await db.query('select absurd.emit_event($1, $2, $3::jsonb)', [queueName, eventName, payload]);
  const { rows } = await db.query<{ emitted_at: Timestamp; first: boolean }>(
    `select e.emitted_at, e.xmin = pg_current_xact_id()::xid as first
       from ${events(queueName)} e where e.event_name = $1`,
    [eventName],
  );
  const { emitted_at = '', first = false } = rows[0] ?? {};
  return { queue_name: queueName, event_name: eventName, first, emitted_at, waiting: first ? waiting : 0 };
}
