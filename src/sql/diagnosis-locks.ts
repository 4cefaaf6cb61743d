import { ms, type BoundedReader } from './bounded.js';
import { readSight as readSightOf } from './sessions.js';

/** A session, or a prepared transaction, that blocks others. Text is null if the server hides it. */
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
  /** Seconds since its transaction began, by the server's real clock. Of a hidden session: for how long it is known to hold it. */
  held_seconds: number;
  /**
   * The server hides the session from this role: only its pid, its locks and the sessions that wait for it are
   * visible.
   */
  hidden: boolean;
  /** Tables on which it holds that lock; empty for rows. */
  tables: string[];
  /** Its transaction, for as long as it lasts. */
  transaction: string | null;
  /** What it holds: `row` or a table lock's mode. */
  mode: string;
  /** How many sessions wait for it directly; 0 where that is not known. */
  waiting: number;
}

/** A lock younger than this is normal for a worker, not a cause. */
const MIN_HELD_SECONDS = 1;

/** Whether this role is shown what other sessions do: their state, query and the time of their transaction. */
export async function readSight(reader: BoundedReader): Promise<boolean> {
  return (await readSightOf(reader))?.sees_sessions ?? true;
}

const holderColumns = `
  p.gid as prepared, a.application_name as application, a.usename as user_name, a.state,
  case when a.xact_start is not null then left(a.query, 300) end as query, ${ms('coalesce(a.xact_start, p.prepared)')} as transaction_started_at,
  a.xact_start is null and p.prepared is null as hidden,
  coalesce(extract(epoch from clock_timestamp() - coalesce(a.xact_start, p.prepared)), 0)::float8 as held_seconds`;

/**
 * The sessions behind these `xmax` values. A row lock leaves only the holder's transaction id in the row's xmax: an id
 * that is still in progress identifies its session. No row is locked to find out.
 */
export async function readRowLockHolders(reader: BoundedReader, xmaxes: string[]): Promise<LockHolder[]> {
  const candidates = [...new Set(xmaxes.filter((xmax) => xmax !== '0'))];
  if (candidates.length === 0) return [];
  const direct = await lasting(reader, () => holdersOf(reader, candidates));
  if (direct.length > 0) return direct;
  // Several lockers of one row share a multixact of the same type; its members are the transactions.
  const members = await reader.rows<{ xid: string }>(
    'members of a shared row lock',
    `select distinct m.xid::text as xid
       from unnest($1::text[]) as x (id)
       cross join lateral pg_get_multixact_members(x.id::xid) as m`,
    [candidates],
  );
  forget(reader, 'members of a shared row lock');
  return members && members.length > 0
    ? lasting(reader, () =>
        holdersOf(
          reader,
          members.map((member) => member.xid),
        ),
      )
    : [];
}

async function holdersOf(reader: BoundedReader, xids: string[]): Promise<LockHolder[]> {
  const rows = await reader.rows<LockHolder>(
    'holders of row locks',
    `select distinct on (l.virtualtransaction) l.pid, 'row' as mode, 0 as waiting, '{}'::text[] as tables,
            l.virtualtransaction as transaction, ${holderColumns}
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
  );
  return rows ?? [];
}

/**
 * Those that have held their lock for long enough to be a cause. How old the transaction of a hidden session is, the server
 * does not show: somebody has waited for it, or it still holds the lock at a second look.
 */
async function lasting(reader: BoundedReader, look: () => Promise<LockHolder[]>): Promise<LockHolder[]> {
  const first = await look();
  const isLong = ({ held_seconds: held }: LockHolder): boolean => held >= MIN_HELD_SECONDS;
  if (!first.some((holder) => holder.hidden && !isLong(holder))) return first.filter(isLong);
  await reader.rest(MIN_HELD_SECONDS);
  const before = new Set(first.map(({ pid, transaction, mode }) => `${pid} ${transaction} ${mode}`));
  return (await look())
    .map((holder) =>
      holder.hidden && before.has(`${holder.pid} ${holder.transaction} ${holder.mode}`)
        ? { ...holder, held_seconds: Math.max(holder.held_seconds, MIN_HELD_SECONDS) }
        : holder,
    )
    .filter(isLong);
}

/** A failed optional question does not count as unread. */
function forget(reader: BoundedReader, what: string): void {
  const at = reader.unread.findIndex((unread) => unread.what === what);
  if (at >= 0) reader.unread.splice(at, 1);
}

/**
 * Sessions that block these tables: holders of a table lock that stops workers from writing, and sessions that others
 * wait for while they use one of the tables. Reads catalogs only, so it answers even if the tables are locked.
 */
export async function readTableLockHolders(reader: BoundedReader, tableNames: string[]): Promise<LockHolder[]> {
  return lasting(reader, () => tableLockHolders(reader, tableNames));
}

async function tableLockHolders(reader: BoundedReader, tableNames: string[]): Promise<LockHolder[]> {
  const rows = await reader.catalogs<LockHolder & { waited: number | null }>(
    'locks on the tables',
    `with recursive relation as (
       select c.oid, c.relname::text as table_name from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'absurd' and c.relname = any ($1::text[])
       union all
       select i.inhrelid, r.table_name from relation r join pg_inherits i on i.inhparent = r.oid
     ),
     held as materialized (
       select l.pid, l.mode, l.granted, l.virtualtransaction, r.table_name
         from pg_locks l
         join relation r on r.oid = l.relation
        where l.database = (select d.oid from pg_database d where d.datname = current_database())
          and l.pid is distinct from pg_backend_pid()
     ),
     blocked as (
       select b.pid as blocker, w.pid as waiter, extract(epoch from clock_timestamp() - w.waitstart)::float8 as waited
         from (select l.pid, min(l.waitstart) as waitstart from pg_locks l
                where not l.granted and l.pid in (select pid from held) group by l.pid) w
         cross join lateral unnest(pg_blocking_pids(w.pid)) as b (pid)
     ),
     culprit as (
       select h.pid, h.mode, h.virtualtransaction, 1 as rank
         from held h
        where h.granted
          and h.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       union all
       select b.blocker, 'row', null::text, 2 from blocked b
        where b.blocker not in (select waiter from blocked)
     )
     select distinct on (c.pid, c.virtualtransaction) c.pid, c.mode,
            (select count(*)::int from blocked b where b.blocker = c.pid) as waiting,
            (select max(b.waited) from blocked b where b.blocker = c.pid) as waited,
            array(select distinct h.table_name from held h
                   where h.virtualtransaction = c.virtualtransaction and h.mode = c.mode and h.granted order by 1) as tables,
            c.virtualtransaction as transaction, ${holderColumns}
       from culprit c
       left join pg_stat_activity a on a.pid = c.pid
       left join pg_prepared_xacts p
         on c.pid is null and p.transaction = (select min(x.transactionid::text)::xid from pg_locks x
              where x.virtualtransaction = c.virtualtransaction and x.locktype = 'transactionid')
      order by c.pid, c.virtualtransaction, c.rank
      limit 20`,
    [tableNames],
  );
  return (rows ?? []).map(({ waited, ...holder }) =>
    holder.hidden ? { ...holder, held_seconds: waited ?? 0 } : holder,
  );
}
