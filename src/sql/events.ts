import { events, waits } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';

/** What an emission did. */
export interface EmittedEvent {
  queue_name: string;
  event_name: string;
  /** False when the event had been emitted before: the first payload stays, nobody is woken. */
  first: boolean;
  emitted_at: Timestamp;
  /** Runs that were waiting for it, counted up to 10,000 just before; 0 when it had been emitted. */
  waiting: number;
}

interface EventLook {
  emitted_at: Timestamp | null;
  waiting: number;
}

async function look(db: Queryable, queueName: string, eventName: string): Promise<EventLook> {
  const { rows } = await db.query<EventLook>(
    `select (select e.emitted_at from ${events(queueName)} e where e.event_name = $1 and e.payload is not null),
            (select count(*)::integer
               from (select from ${waits(queueName)} w where w.event_name = $1 limit 10000) w) as waiting`,
    [eventName],
  );
  return rows[0] ?? { emitted_at: null, waiting: 0 };
}

/** Locks an event, which is made first where nobody heard of it: until the transaction ends, nobody else emits or awaits it. */
async function lock(db: Queryable, queueName: string, eventName: string): Promise<void> {
  await db.query(
    `insert into ${events(queueName)} as e (event_name, payload, emitted_at) values ($1, null, 'epoch')
     on conflict (event_name) do update set payload = e.payload where false`,
    [eventName],
  );
}

/** Emits an event with a payload (JSON text). Must run inside a transaction, or two at once would both be the first. */
export async function emitEvent(
  db: Queryable,
  { queueName, eventName, payload }: { queueName: string; eventName: string; payload: string },
): Promise<EmittedEvent> {
  await lock(db, queueName, eventName);
  const before = await look(db, queueName, eventName);
  await db.query('select absurd.emit_event($1, $2, $3::jsonb)', [queueName, eventName, payload]);
  const after = await look(db, queueName, eventName);
  const first = before.emitted_at === null;
  return {
    queue_name: queueName,
    event_name: eventName,
    first,
    emitted_at: after.emitted_at ?? '',
    waiting: first ? before.waiting : 0,
  };
}
