/** Checks of dead rows, vacuum and indexes. */
import { pastedIdent, pastedLiteral } from '../../sql/identifiers.js';
import type { TableHealth } from '../../sql/doctor.js';
import { at, plural, quoted, shown } from '../diagnosis/words.js';
import { command, hint, type Advice } from '../cli/hint.js';
import { overall, type Check, type Facts, type Finding } from './check.js';
import { grouped, queueOf } from './names.js';
import { endSession } from './sessions.js';

/** Vacuum keeps rows that an open snapshot may see: end that session first. */
function snapshotFirst({ transactions, server, thresholds }: Facts): Advice[] {
  const held = transactions
    .filter((one) => one.holds_snapshot && (one.transaction_seconds ?? 0) >= thresholds['idle-age'])
    .slice(0, 1)
    .map((one) =>
      one.prepared === null
        ? `first end pid ${one.pid ?? 'unknown'}, whose snapshot is open: ${endSession(one)}`
        : `first end the prepared transaction ${quoted(one.prepared)}: psql: rollback prepared ${pastedLiteral(one.prepared)}`,
    );
  const slots = (server?.slots ?? []).filter((slot) => slot.xmin_age > 1_000_000).slice(0, 1);
  return [...held, ...slots.map((slot) => `first let replication slot ${quoted(slot.slot_name)} catch up, or drop it`)];
}

const perTable = (
  severity: Finding['severity'],
  rule: (table: TableHealth, facts: Facts) => { seen: string; mend: string } | null,
): Check['find'] => {
  return (facts) =>
    facts.tables.flatMap((table): Finding[] => {
      const found = rule(table, facts);
      if (found === null) return [];
      const { table_name: name } = table;
      return [
        {
          severity,
          queue: queueOf(facts, name),
          seen: `table ${quoted(name)}: ${found.seen}`,
          mend: [...snapshotFirst(facts), shown(found.mend)],
        },
      ];
    });
};

const vacuum = ({ table_name: name }: TableHealth): string => `psql: vacuum (analyze) absurd.${pastedIdent(name)}`;

/** Tables with autovacuum off by their own option; if it is off for the whole server, that is one finding. */
function switchedOff(facts: Facts): Finding[] {
  const large = facts.tables.filter((table) => table.live + table.dead >= facts.thresholds['min-dead']);
  const [first] = large;
  if (!first) return [];
  const server = first.autovacuum_runs
    ? []
    : [
        overall(
          'warning',
          `autovacuum is switched off for the whole server; ${plural(large.length, 'table')} here ${large.length === 1 ? 'is' : 'are'} large enough to need it, such as ${quoted(first.table_name)}`,
          'psql: alter system set autovacuum = on',
          'psql: alter system set track_counts = on',
          'psql: select pg_reload_conf()',
        ),
      ];
  const tables = large
    .filter((table) => !table.autovacuum_enabled)
    .map((table): Finding => ({
      severity: 'warning',
      queue: queueOf(facts, table.table_name),
      seen: `table ${quoted(table.table_name)}: autovacuum is switched off`,
      mend: [shown(`psql: alter table absurd.${pastedIdent(table.table_name)} reset (autovacuum_enabled)`)],
    }));
  return [...server, ...tables];
}

export const vacuumChecks: Check[] = [
  {
    id: 'dead-rows',
    why: 'Claims read past dead rows: the more there are, the slower each claim.',
    needs: ['catalog', 'sessions'],
    find: perTable('warning', (table, { thresholds }) => {
      const { live, dead } = table;
      const percent = (dead * 100) / Math.max(1, live + dead);
      return dead >= thresholds['min-dead'] && percent >= thresholds['dead-percent']
        ? { seen: `about ${Math.round(dead)} dead rows, ${Math.round(percent)} % of it`, mend: vacuum(table) }
        : null;
    }),
  },
  {
    id: 'autovacuum-behind',
    why: 'Without vacuum dead rows pile up, and transaction ids run out in the end.',
    needs: ['catalog', 'sessions'],
    find: (facts) => [
      ...switchedOff(facts),
      ...perTable('warning', (table, { thresholds }) => {
        if (table.frozen_age > table.freeze_max_age * 1.5)
          return {
            seen: `its oldest row is ${Math.round(table.frozen_age)} transactions old, ${Math.round(table.frozen_age - table.freeze_max_age)} more than autovacuum allows`,
            mend: `psql: vacuum (freeze) absurd.${pastedIdent(table.table_name)}`,
          };
        if (!table.autovacuum_enabled || !table.autovacuum_runs) return null;
        const due = Math.max(table.vacuum_at * 3, thresholds['min-dead']);
        return table.dead > due
          ? {
              seen: `about ${Math.round(table.dead)} dead rows, and autovacuum should have started at ${Math.round(table.vacuum_at)}; last vacuum ${table.vacuumed_at === null ? 'never' : at(table.vacuumed_at)}`,
              mend: vacuum(table),
            }
          : null;
      })(facts),
    ],
  },
  {
    id: 'indexes-missing',
    why: 'Without it, a claim, a sweep or a cleanup finds its rows by reading the whole table.',
    needs: ['catalog'],
    find: (facts) => {
      const missing = facts.indexes.filter(({ valid }) => valid === null);
      const queues = grouped(missing, ({ table_name: table }) => queueOf(facts, table));
      return [...queues].map(([queue, indexes]): Finding => ({
        severity: 'warning',
        queue,
        seen: `missing: ${indexes.map(({ index_name: name }) => quoted(name)).join(', ')}`,
        mend: [
          facts.schema.revision === null
            ? hint`run the installer of this schema again, or: ${command('init')}`
            : // Builds them while workers run, for tables of any size.
              command('migrate', { yes: true }),
        ],
      }));
    },
  },
  {
    id: 'indexes-invalid',
    why: 'An invalid index costs every write and helps no read.',
    needs: ['catalog'],
    find: (facts) =>
      facts.indexes
        .filter((index) => index.valid === false)
        .map((index) => ({
          severity: 'warning',
          queue: queueOf(facts, index.table_name),
          seen: `index ${quoted(index.index_name)} of ${quoted(index.table_name)} is invalid`,
          mend: [`psql: reindex index concurrently absurd.${pastedIdent(index.index_name)}`],
        })),
  },
];
