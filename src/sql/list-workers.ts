import { runs } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';

/** A worker with a row in the registry, or one inferred from its claims. */
export interface WorkerRow {
  worker: string;
  queue_name: string;
  /** `stale`: its row has had no heartbeat for a minute. `inferred`: it has no row, and its claims are all that is known. */
  state: 'running' | 'draining' | 'stale' | 'inferred';
  /** Runs that are leased to it. */
  running: number;
  /** Most runs at a time. This and all that follows is null for an inferred worker, but for what its claims say. */
  concurrency: number | null;
  task_names: string[] | null;
  program_version: string | null;
  /** Name and version. */
  sdk: string | null;
  host: string | null;
  pid: number | null;
  started_at: Timestamp | null;
  last_heartbeat: Timestamp | null;
  /** When the first of its leases ends. */
  oldest_lease: Timestamp | null;
  last_claim: Timestamp | null;
}

/** Whether this role may read the registry: a role whose grants are older than the registry may not. */
export async function mayReadRegistry(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ may: boolean }>(
    `select has_table_privilege(to_regclass('absurd.workers'), 'select') as may`,
  );
  return rows[0]?.may === true;
}

/** Without a heartbeat for this long the row of a worker is stale. */
export const staleSeconds = 60;

/** Runs that are looked at, of those that run and of each way to end. */
const runningScanned = 10_000;
const endedScanned = 1000;

const nobody = `(select null::text as worker_id, null::text as state, null::integer as concurrency, null::text[] as task_names,
            null::text as program_version, null::text as sdk_name, null::text as sdk_version, null::text as host,
            null::integer as pid, null::timestamptz as started_at, null::timestamptz as heartbeat_at where false)`;

/**
 * Workers by the registry, where the schema has one (`registry`), and by their claims: of all that run (10,000 at most) and of
 * the latest 1,000 that ended either way. The latest sign of life comes first.
 */
export async function listWorkersOf(db: Queryable, queueName: string, registry: boolean): Promise<WorkerRow[]> {
  const part = (state: string, limit: number): string =>
    `(select one.claimed_by, one.state, one.claim_expires_at, one.started_at from ${runs(queueName)} one
       where one.state = '${state}' order by one.available_at desc limit ${limit})`;
  const scanned = [part('running', runningScanned), part('completed', endedScanned), part('failed', endedScanned)];
  const { rows } = await db.query<WorkerRow>(
    `with claims as (
       select r.claimed_by as worker, count(*) filter (where r.state = 'running')::int as running,
              min(r.claim_expires_at) filter (where r.state = 'running') as oldest_lease, max(r.started_at) as last_claim
         from (${scanned.join(' union all ')}) r
        where r.claimed_by is not null and r.started_at is not null
        group by r.claimed_by
     ),
     registered as (
       select w.*, w.heartbeat_at < absurd.current_time() - make_interval(secs => ${staleSeconds}) as stale
         from ${registry ? 'absurd.workers' : nobody} w
        ${registry ? 'where w.queue_name = $1' : ''}
     )
     select coalesce(w.worker_id, c.worker) as worker, $1::text as queue_name,
            case when w.worker_id is null then 'inferred' when w.stale then 'stale' else w.state end as state,
            coalesce(c.running, 0) as running, w.concurrency, w.task_names, w.program_version,
            w.sdk_name || coalesce(' ' || w.sdk_version, '') as sdk, w.host, w.pid, w.started_at,
            w.heartbeat_at as last_heartbeat, c.oldest_lease, c.last_claim
       from claims c
       full join registered w on w.worker_id = c.worker
      order by greatest(w.heartbeat_at, c.last_claim) desc, 1`,
    [queueName],
  );
  return rows;
}
