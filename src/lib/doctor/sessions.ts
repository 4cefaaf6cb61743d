import { pastedLiteral } from '../../sql/identifiers.js';
import type { SessionFacts } from '../../sql/doctor.js';
import { endLockHolder, lockHolderName } from '../diagnosis/locks.js';
import { plural, quoted, shown, span } from '../diagnosis/words.js';
import { overall, type Check } from './check.js';

function who(session: SessionFacts): string {
  if (session.prepared !== null) return `prepared transaction ${quoted(session.prepared)}`;
  const application = session.application ? ` (${shown(session.application)})` : '';
  const user = session.user_name ? ` of ${shown(session.user_name)}` : '';
  return `pid ${session.pid ?? 'unknown'}${application}${user}`;
}

const query = (session: SessionFacts): string => (session.query ? `; last query: ${quoted(session.query)}` : '');
const end = (session: SessionFacts): string => `psql: select pg_terminate_backend(${session.pid ?? 'PID'})`;
const isIdle = (session: SessionFacts): boolean => session.state?.startsWith('idle in transaction') ?? false;

export const sessionChecks: Check[] = [
  {
    id: 'blocked',
    why: 'Workers wait for a lock that somebody holds, or skip the work that it is on.',
    needs: ['sessions', 'queues'],
    find: ({ tableLocks, queues }) => {
      const holders = [
        ...tableLocks.map((holder) => ({ holder, queue: null })),
        ...queues.flatMap(({ locks, queue }) => locks.map((holder) => ({ holder, queue: queue.queue_name }))),
      ];
      return holders.map(({ holder, queue }) => ({
        severity: 'critical',
        queue,
        seen: `${lockHolderName(holder)} has held ${holder.mode === 'row' ? 'a lock on rows' : `${holder.mode} on a table`} for ${span(holder.held_seconds)}${holder.waiting > 0 ? `; ${plural(holder.waiting, 'session')} wait` : ''}${holder.query ? `; last query: ${quoted(holder.query)}` : ''}`,
        mend: endLockHolder(holder),
      }));
    },
  },
  {
    id: 'idle-in-transaction',
    why: 'It does nothing, and keeps its locks and its snapshot.',
    needs: ['sessions'],
    find: ({ transactions, thresholds }) =>
      transactions
        .filter((session) => isIdle(session) && (session.state_seconds ?? 0) >= thresholds['idle-age'])
        .map((session) =>
          overall(
            'warning',
            `${who(session)} has been idle in a transaction for ${span(session.state_seconds ?? 0)}${query(session)}`,
            end(session),
            'set idle_in_transaction_session_timeout for its role',
          ),
        ),
  },
  {
    id: 'old-transactions',
    why: 'While its snapshot is open, no dead row of this database can be removed, and claims slow down.',
    needs: ['sessions'],
    find: ({ transactions, thresholds }) =>
      transactions
        .filter(
          (session) =>
            session.prepared === null &&
            session.holds_snapshot &&
            (session.transaction_seconds ?? 0) >= thresholds['transaction-age'],
        )
        .map((session) =>
          overall(
            'warning',
            `${who(session)} has held a transaction open for ${span(session.transaction_seconds ?? 0)}${query(session)}`,
            end(session),
          ),
        ),
  },
  {
    id: 'prepared-transactions',
    why: 'A forgotten prepared transaction keeps its locks and its snapshot, also over a restart.',
    needs: ['sessions'],
    find: ({ transactions, thresholds }) =>
      transactions
        .filter((session) => session.prepared !== null && (session.transaction_seconds ?? 0) >= thresholds['idle-age'])
        .map((session) =>
          overall(
            'warning',
            `${who(session)} has been open for ${span(session.transaction_seconds ?? 0)}`,
            `psql: rollback prepared ${pastedLiteral(session.prepared ?? '')}`,
          ),
        ),
  },
  {
    id: 'replication-slots',
    why: 'A slot that nobody reads holds back the removal of dead rows, and keeps the log on disk.',
    needs: ['sessions'],
    find: ({ server }) =>
      (server?.slots ?? [])
        .filter((slot) => !slot.active && slot.xmin_age > 1_000_000)
        .map((slot) =>
          overall(
            'warning',
            `replication slot ${quoted(slot.slot_name)} is not in use and ${slot.xmin_age} transactions behind`,
            `psql: select pg_drop_replication_slot(${pastedLiteral(slot.slot_name)})`,
          ),
        ),
  },
  {
    id: 'connections',
    why: 'At the limit, workers and this command cannot connect any more.',
    needs: ['sessions'],
    find: ({ server, thresholds }) => {
      if (!server) return [];
      const percent = (server.connections * 100) / Math.max(1, server.connection_limit);
      if (percent < thresholds['connection-percent']) return [];
      const seen = `${server.connections} of ${server.connection_limit} connections are in use, ${Math.round(percent)} %`;
      return [
        overall(percent >= 98 ? 'critical' : 'warning', seen, 'smaller pools, or a pooler', 'raise max_connections'),
      ];
    },
  },
];
