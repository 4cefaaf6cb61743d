import { ms, type BoundedReader } from './bounded.js';
import { runs } from './identifiers.js';
import { staleSeconds } from './list-workers.js';

/** The row that a worker keeps in the registry. Times are milliseconds since 1970. */
export interface RegisteredWorker {
  queue_name: string;
  worker_id: string;
  state: string;
  task_names: string[];
  program_version: string | null;
  concurrency: number | null;
  running: number;
  started_at: number;
  heartbeat_at: number;
}

/** Rows that are older are about to be removed. */
const keptSeconds = 3600;

/** Null where the schema has no registry, or it could not be read. */
async function readRows(
  reader: BoundedReader,
  queue: string | null,
  nowText: string,
): Promise<RegisteredWorker[] | null> {
  const registry = await reader.row<{ exists: boolean }>(
    'the registry of workers',
    `select to_regclass('absurd.workers') is not null as exists`,
  );
  if (registry?.exists !== true) return null;
  return reader.rows<RegisteredWorker>(
    'the registry of workers',
    `select w.queue_name, w.worker_id, w.state, w.task_names, w.program_version, w.concurrency, w.running,
            ${ms('w.started_at')} as started_at, ${ms('w.heartbeat_at')} as heartbeat_at
       from absurd.workers w
      where ($1::text is null or w.queue_name = $1)
        and w.heartbeat_at > $2::timestamptz - make_interval(secs => ${keptSeconds})
      order by w.queue_name, w.worker_id
      limit 10000`,
    [queue, nowText],
  );
}

/** The workers of all queues that are in the registry. */
export const readRegistry = (reader: BoundedReader, nowText: string): Promise<RegisteredWorker[] | null> =>
  readRows(reader, null, nowText);

export const isLive = ({ heartbeat_at: at }: RegisteredWorker, now: number): boolean => now - at <= staleSeconds * 1000;

/** The workers of one queue. */
export interface Workforce {
  /** Workers of the registry that are alive. */
  live: RegisteredWorker[];
  /** Workers without a row that hold a lease, up to 1,000 leases looked at. */
  unregistered: number;
}

export async function readWorkforce(
  reader: BoundedReader,
  queue: string,
  { now, now_text: nowText }: { now: number; now_text: string },
): Promise<Workforce | null> {
  const rows = await readRows(reader, queue, nowText);
  const live = rows?.filter((row) => isLive(row, now)) ?? [];
  if (live.length === 0) return null;
  const found = await reader.row<{ unregistered: number }>(
    `the workers of queue ${queue}`,
    `select count(distinct r.claimed_by)::int as unregistered
       from (select one.claimed_by from ${runs(queue)} one
              where one.state = 'running' and one.claim_expires_at > $2::timestamptz limit 1000) r
      where not exists (select from absurd.workers w where w.queue_name = $1 and w.worker_id = r.claimed_by)`,
    [queue, nowText],
  );
  return found && { live, unregistered: found.unregistered };
}
