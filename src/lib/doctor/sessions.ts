import { pastedIdent, pastedLiteral } from '../../sql/identifiers.js';
import type { LockHolder } from '../../sql/diagnosis-locks.js';
import type { ConnectionLimit, SessionFacts } from '../../sql/doctor.js';
import { endLockHolder, lockHolderName } from '../diagnosis/locks.js';
import { plural, quoted, shown, span } from '../diagnosis/words.js';
import { overall, type Check, type Facts, type Finding } from './check.js';
import { queueOf } from './names.js';

function who(session: SessionFacts): string {
  if (session.prepared !== null) return `prepared transaction ${quoted(session.prepared)}`;
  const application = session.application ? ` (${shown(session.application)})` : '';
  const user = session.user_name ? ` of ${shown(session.user_name)}` : '';
  return `pid ${session.pid ?? 'unknown'}${application}${user}`;
}

const query = (session: SessionFacts): string => (session.query ? `; last query: ${quoted(session.query)}` : '');
export const endSession = (session: Pick<SessionFacts, 'pid'>): string =>
  `psql: select pg_terminate_backend(${session.pid ?? 'PID'})`;
const isIdle = (session: SessionFacts): boolean => session.state?.startsWith('idle in transaction') ?? false;
const idOf = (one: { pid: number | null; prepared: string | null }): number | string | undefined =>
  one.prepared ?? one.pid ?? undefined;
const rollback = (name: string): string => `psql: rollback prepared ${pastedLiteral(name)}`;

/** One finding for each session that holds locks, whatever the queues. */
function blocking({ tableLocks, queues, ...facts }: Facts): Finding[] {
  const held = [
    ...tableLocks.map((holder) => ({ holder, queue: null })),
    ...queues.flatMap(({ locks, queue }) => locks.map((holder) => ({ holder, queue: queue.queue_name }))),
  ];
  const bySession = new Map<string, typeof held>();
  for (const one of held) {
    const key = String(idOf(one.holder) ?? one.holder.transaction);
    bySession.set(key, [...(bySession.get(key) ?? []), one]);
  }
  return [...bySession.values()].flatMap((locks): Finding[] => {
    const [first] = locks;
    if (!first) return [];
    const { holder } = first;
    const tables = [...new Set(locks.flatMap(({ holder: { tables: names } }) => names))];
    const stopped = [
      ...new Set([
        ...tables.flatMap((table) => queueOf(facts, table) ?? []),
        ...locks.flatMap(({ queue }) => queue ?? []),
      ]),
    ];
    return [
      {
        severity: 'critical',
        queue: stopped.length === 1 ? (stopped[0] ?? null) : null,
        seen: `${lockHolderName(holder)} has held ${whatIsHeld(
          locks.map((one) => one.holder),
          tables,
        )} for ${holder.hidden ? 'at least ' : ''}${span(holder.held_seconds)}${holder.waiting > 0 ? `; ${plural(holder.waiting, 'session')} wait` : ''}${holder.query ? `; last query: ${quoted(holder.query)}` : ''}`,
        mend: endLockHolder(holder),
        session: idOf(holder),
        queues: stopped,
      },
    ];
  });
}

function whatIsHeld(holders: LockHolder[], tables: string[]): string {
  const modes = [...new Set(holders.map(({ mode }) => mode))];
  const more = tables.length > 3 ? ` and ${tables.length - 3} more` : '';
  const on =
    tables.length === 0
      ? 'a table'
      : `${tables.length === 1 ? 'table' : 'tables'} ${tables.slice(0, 3).map(quoted).join(', ')}${more}`;
  return modes.map((mode) => (mode === 'row' ? 'a lock on rows' : `${mode} on ${on}`)).join(' and ');
}

const limitNames = {
  server: () => 'the server',
  role: (name: string) => `role ${quoted(name)}`,
  database: (name: string) => `database ${quoted(name)}`,
};

const raiseLimit = {
  server: () => 'raise max_connections',
  role: (name: string, limit: number) => `psql: alter role ${pastedIdent(name)} connection limit ${limit * 2}`,
  database: (name: string, limit: number) => `psql: alter database ${pastedIdent(name)} connection limit ${limit * 2}`,
};

function atLimit({ of, name, limit, used, holders }: ConnectionLimit, percentAllowed: number): Finding[] {
  const percent = Math.round((used * 100) / Math.max(1, limit));
  // One connection of a few is a large share, but not a limit.
  if (percent < percentAllowed || (of !== 'server' && limit - used > 1 && limit < 20)) return [];
  const full = of === 'server' ? percent >= 98 : used >= limit;
  const list = holders.map(
    ({ application, user_name: user, connections, idle }) =>
      `${connections} by ${application === '' ? 'programs without a name' : quoted(application)} of ${quoted(user)}${idle > 0 ? ` (${idle} idle)` : ''}`,
  );
  const whose =
    of === 'server' ? 'connections are in use' : `connections that ${limitNames[of](name ?? '')} may have are in use`;
  const seen = `${used} of ${limit} ${whose}, ${percent} %: ${list.join(', ')}`;
  return [
    overall(
      full ? 'critical' : 'warning',
      seen,
      'use smaller pools, or a pooler',
      raiseLimit[of](name ?? '', Math.max(1, limit)),
    ),
  ];
}

export const sessionChecks: Check[] = [
  {
    id: 'blocked',
    why: 'Workers wait for a lock that a session holds, or skip the rows that it has locked.',
    needs: ['sessions', 'queues'],
    find: blocking,
  },
  {
    id: 'old-transactions',
    why: 'While its snapshot is open, vacuum cannot remove dead rows of this database, and claims slow down.',
    needs: ['sessions'],
    find: ({ transactions, thresholds }) =>
      transactions
        .filter(
          (session) =>
            session.prepared === null &&
            session.holds_snapshot &&
            (session.transaction_seconds ?? 0) >= thresholds['transaction-age'],
        )
        .map((session) => ({
          ...overall(
            'warning',
            `${who(session)} has held a transaction open for ${span(session.transaction_seconds ?? 0)}${query(session)}`,
            endSession(session),
          ),
          session: idOf(session),
          snapshot: true,
        })),
  },
  {
    id: 'idle-in-transaction',
    why: 'It does nothing, but keeps its locks and its snapshot.',
    needs: ['sessions'],
    find: ({ transactions, thresholds }) =>
      transactions
        .filter((session) => isIdle(session) && (session.state_seconds ?? 0) >= thresholds['idle-age'])
        .map((session) => ({
          ...overall(
            'warning',
            `${who(session)} has been idle in a transaction for ${span(session.state_seconds ?? 0)}${query(session)}`,
            endSession(session),
            session.user_name === null
              ? 'set idle_in_transaction_session_timeout for its role'
              : `psql: alter role ${pastedIdent(session.user_name)} set idle_in_transaction_session_timeout = '5min'`,
          ),
          session: idOf(session),
          snapshot: session.holds_snapshot,
        })),
  },
  {
    id: 'prepared-transactions',
    why: 'A forgotten prepared transaction keeps its locks and its snapshot, even after a restart.',
    needs: ['sessions'],
    find: ({ transactions, thresholds }) =>
      transactions
        .filter((session) => session.prepared !== null && (session.transaction_seconds ?? 0) >= thresholds['idle-age'])
        .map((session) => ({
          ...overall(
            'warning',
            `${who(session)} has been open for ${span(session.transaction_seconds ?? 0)}; a rollback loses what it changed, commit prepared keeps it`,
            rollback(session.prepared ?? ''),
          ),
          session: idOf(session),
          snapshot: true,
        })),
  },
  {
    id: 'replication-slots',
    why: 'An unused slot prevents the removal of dead rows, and keeps the log on disk.',
    needs: ['sessions'],
    find: ({ server }) =>
      (server?.slots ?? [])
        .filter((slot) => !slot.active && slot.xmin_age > 1_000_000)
        .map((slot) => ({
          ...overall(
            'warning',
            `replication slot ${quoted(slot.slot_name)} is not in use and ${slot.xmin_age} transactions behind; once it is dropped, a replica that used it must be set up again`,
            `psql: select pg_drop_replication_slot(${pastedLiteral(slot.slot_name)})`,
          ),
          snapshot: true,
        })),
  },
  {
    id: 'connections',
    why: 'At the limit, workers and this command can no longer connect.',
    needs: ['sessions'],
    find: ({ server, thresholds }) =>
      (server?.limits ?? []).flatMap((limit) => atLimit(limit, thresholds['connection-percent'])),
  },
];
