import { ms, type BoundedReader } from './bounded.js';

/** A session, or a prepared transaction, that holds what others wait for. Text is null where the server does not show it. */
export interface LockHolder {
  pid: number | null;
  /** The prepared transaction's id, where no session is behind it. */
  prepared: string | null;
  application: string | null;
  user_name: string | null;
  /** State in pg_stat_activity, such as `idle in transaction`. */
  state: string | null;
  query: string | null;
  transaction_started_at: number | null;
  /** Seconds since its transaction began, by the server's real clock. */
  held_seconds: number;
  /** What it holds: `row` or a table lock's mode. */
  mode: string;
  /** How many sessions wait for it directly; 0 where that is not known. */
  waiting: number;
}

/** A lock younger than this is a worker's daily business, not a cause. */
const MIN_HELD_SECONDS = 1;

/** Whether this role is shown what other sessions do: their state, query and the time of their transaction. */
export async function readSight(reader: BoundedReader): Promise<boolean> {
  const row = await reader.row<{ sees: boolean }>(
    'the rights to see sessions',
    `select coalesce((select r.rolsuper from pg_roles r where r.rolname = current_user), false)
            or pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees`,
  );
  return row?.sees ?? true;
}

interface Held extends LockHolder {
  /** The transaction that holds it: the same one at two looks has held it in between. */
  holder: string;
}

/**
 * Those that have held it for a second. How long a transaction of another role has been open is hidden from a role without the
 * right to see sessions: so what cannot be dated is looked at again after a second.
 */
async function oldEnough(reader: BoundedReader, look: () => Promise<Held[]>): Promise<LockHolder[]> {
  const found = await look();
  const undated = (one: Held): boolean => one.transaction_started_at === null && one.prepared === null;
  let lasting = new Set<string>();
  if (found.some(undated)) {
    await reader.row('a second look at locks', 'select pg_sleep(1.1)');
    lasting = new Set((await look()).map(({ holder }) => holder));
  }
  return found
    .filter((one) => one.held_seconds >= MIN_HELD_SECONDS || (undated(one) && lasting.has(one.holder)))
    .map(({ holder: _holder, ...one }) => (undated({ ...one, holder: '' }) ? { ...one, held_seconds: 1 } : one));
}

const holderColumns = `
  p.gid as prepared, a.application_name as application, a.usename as user_name, a.state,
  left(a.query, 300) as query, ${ms('coalesce(a.xact_start, p.prepared)')} as transaction_started_at,
  coalesce(extract(epoch from clock_timestamp() - coalesce(a.xact_start, p.prepared)), 0)::float8 as held_seconds`;

/**
 * Who holds the row versions with these `xmax` values. A row lock leaves nothing in pg_locks but the holder's transaction
 * id in the row's xmax: an id that is still in progress names its session. No row is locked to find out.
 */
export async function readRowLockHolders(reader: BoundedReader, xmaxes: string[]): Promise<LockHolder[]> {
  const candidates = [...new Set(xmaxes.filter((xmax) => xmax !== '0'))];
  if (candidates.length === 0) return [];
  const direct = await holdersOf(reader, candidates);
  if (direct.length > 0) return direct;
  // Several lockers of one row share a multixact, which has the same type: its members are the transactions.
  const members = await reader.rows<{ xid: string }>(
    'members of a shared row lock',
    `select distinct m.xid::text as xid
       from unnest($1::text[]) as x (id)
       cross join lateral pg_get_multixact_members(x.id::xid) as m`,
    [candidates],
  );
  forget(reader, 'members of a shared row lock');
  return members && members.length > 0
    ? holdersOf(
        reader,
        members.map((member) => member.xid),
      )
    : [];
}

async function holdersOf(reader: BoundedReader, xids: string[]): Promise<LockHolder[]> {
  const look = async (): Promise<Held[]> =>
    (await reader.rows<Held>(
      'holders of row locks',
      `select distinct on (l.virtualtransaction) l.virtualtransaction as holder, l.pid, 'row' as mode, 0 as waiting,
            ${holderColumns}
       from pg_locks l
       left join pg_stat_activity a on a.pid = l.pid
       left join pg_prepared_xacts p on p.transaction = l.transactionid
      where l.locktype = 'transactionid'
        and l.granted
        and l.mode = 'ExclusiveLock'
        and l.transactionid = any ($1::text[]::xid[])
        and l.pid is distinct from pg_backend_pid()
      order by l.virtualtransaction
      limit 20`,
      [xids],
    )) ?? [];
  return oldEnough(reader, look);
}

/** An optional question that failed is no gap in the diagnosis. */
function forget(reader: BoundedReader, what: string): void {
  const at = reader.unread.findIndex((unread) => unread.what === what);
  if (at >= 0) reader.unread.splice(at, 1);
}

/**
 * Sessions that stand in the way of these tables: holders of a table lock that keeps workers from writing, and sessions that
 * others wait for while they work on one of the tables. Reads catalogs only, so it answers even where the tables are locked.
 */
export async function readTableLockHolders(reader: BoundedReader, tableNames: string[]): Promise<LockHolder[]> {
  const look = async (): Promise<Held[]> =>
    (await reader.rows<Held>(
      'locks on the tables',
      `with recursive relation as (
       select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'absurd' and c.relname = any ($1::text[])
       union all
       select i.inhrelid from relation r join pg_inherits i on i.inhparent = r.oid
     ),
     held as materialized (
       select l.pid, l.mode, l.granted, l.virtualtransaction
         from pg_locks l
        where l.relation in (select oid from relation)
          and l.database = (select d.oid from pg_database d where d.datname = current_database())
          and l.pid is distinct from pg_backend_pid()
     ),
     blocked as (
       select b.pid as blocker, w.pid as waiter
         from pg_stat_activity w
         cross join lateral unnest(pg_blocking_pids(w.pid)) as b (pid)
        where w.wait_event_type = 'Lock' and w.pid in (select pid from held)
     ),
     culprit as (
       select h.pid, h.mode, null::xid as xid, h.virtualtransaction, 1 as rank
         from held h
        where h.granted
          and h.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       union all
       select b.blocker, 'row', null, b.blocker::text, 2 from blocked b
        where b.blocker not in (select waiter from blocked)
     )
     select distinct on (c.pid) c.virtualtransaction as holder, c.pid, c.mode,
            (select count(*)::int from blocked b where b.blocker = c.pid) as waiting, ${holderColumns}
       from culprit c
       left join pg_stat_activity a on a.pid = c.pid
       left join pg_prepared_xacts p on p.transaction = c.xid
      order by c.pid, c.rank
      limit 20`,
      [tableNames],
    )) ?? [];
  return oldEnough(reader, look);
}
