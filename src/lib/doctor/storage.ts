import { pastedIdent } from '../../sql/identifiers.js';
import { uuidFloor } from '../../sql/doctor-queue.js';
import type { PartitionFacts, TableHealth } from '../../sql/doctor.js';
import { at, plural, quoted, shown, span } from '../diagnosis/words.js';
import { grantCommand } from '../grants/hint.js';
import { inQueue, overall, type Check, type Facts, type Finding } from './check.js';
import { command, hint } from '../cli/hint.js';

const week = 7 * 86_400_000;

/** True where a partition's bounds hold the ids of that moment. */
function holds(partition: PartitionFacts, moment: number): boolean {
  const bounds = /FROM \('([0-9a-f-]{36})'\) TO \('([0-9a-f-]{36})'\)/.exec(partition.bound);
  const id = uuidFloor(moment);
  return bounds?.[1] !== undefined && bounds[2] !== undefined && bounds[1] <= id && id < bounds[2];
}

function missingPartitions({ known, partitions, now }: Facts): Finding[] {
  return known
    .filter((queue) => queue.storage_mode === 'partitioned')
    .flatMap((queue): Finding[] => {
      const ahead = (queue.lookahead_seconds ?? 0) * 1000;
      const moments = [now, ...(ahead >= week ? [now + week] : []), now + ahead];
      const gap = moments.find((moment) =>
        ['t', 'r', 'c', 'w'].some(
          (prefix) =>
            !partitions.some((part) => part.parent === `${prefix}_${queue.queue_name}` && holds(part, moment)),
        ),
      );
      if (gap === undefined) return [];
      const soon = gap <= now + week;
      const spare = queue.default_partition === 'enabled' ? 'rows go to the default partition' : 'a spawn then fails';
      const severity = soon && queue.default_partition !== 'enabled' ? 'critical' : 'warning';
      const mend = [
        command('ensure-partitions', { queue: queue.queue_name }),
        command('cron', { enable: true, queue: queue.queue_name }),
      ];
      return [{ severity, queue: queue.queue_name, seen: `no partition for the week of ${at(gap)}: ${spare}`, mend }];
    });
}

/** The queue that a table, or a partition of one (`_048`, `_d`), belongs to, for a finding. */
function owner({ known }: Facts, table: string): string | null {
  const of = (name: string): string | undefined => known.find(({ queue_name }) => queue_name === name)?.queue_name;
  const name = table.slice(2);
  return of(name) ?? of(name.replace(/_(\d{3}|d)$/, '')) ?? null;
}

const perTable = (
  severity: Finding['severity'],
  rule: (table: TableHealth, facts: Facts) => string | null,
): Check['find'] => {
  return (facts) =>
    facts.tables.flatMap((table) => {
      const seen = rule(table, facts);
      if (seen === null) return [];
      const mend = `psql: vacuum (analyze) absurd.${pastedIdent(table.table_name)}`;
      return [
        {
          severity,
          queue: owner(facts, table.table_name),
          seen: `table ${quoted(table.table_name)}: ${seen}`,
          mend: [shown(mend)],
        },
      ];
    });
};

const expectedIndexes = ['r_%_sai', 'r_%_ti', 'r_%_cei', 'w_%_eni', 'w_%_ti', 'e_%_eai'];

export const storageChecks: Check[] = [
  {
    id: 'partitions-missing',
    why: 'Outside the weeks that have partitions, rows go to the default partition, or a spawn fails.',
    needs: ['partitions'],
    find: missingPartitions,
  },
  {
    id: 'default-partition-rows',
    why: 'Rows in a default partition are not dropped with their week, and every new partition must move them.',
    needs: ['partitions'],
    find: (facts) =>
      facts.defaultRows
        .filter(({ rows }) => rows > 0)
        .map(({ partition, rows }) => ({
          severity: 'warning',
          queue: owner(facts, partition),
          seen: `default partition ${quoted(partition)} holds ${plural(rows, 'row')}`,
          mend: [command('ensure-partitions'), 'a longer --partition-lookback or --partition-lookahead (queue-policy)'],
        })),
  },
  {
    id: 'detaching-broken-off',
    why: 'The table reads it no more, and lets no other partition go before it has gone.',
    needs: ['partitions'],
    find: (facts) =>
      facts.partitions
        .filter(({ half_detached }) => half_detached)
        .map(({ partition }) => ({
          severity: 'warning',
          queue: owner(facts, partition),
          seen: `partition ${quoted(partition)} is half detached, and nobody is at it`,
          mend: [command('detach-candidate', partition)],
        })),
  },
  {
    id: 'cleanup-behind',
    why: 'Finished work that is kept beyond its time costs space, and time in every vacuum.',
    needs: ['queues'],
    find: ({ queues }) =>
      queues.flatMap((queue) => {
        const left = queue.leftovers;
        if (!left || left.tasks + left.events === 0) return [];
        const days = span(queue.queue.cleanup_ttl_seconds ?? 0);
        const seen = `${left.tasks >= 1000 ? '1000+' : left.tasks} of the oldest tasks and ${plural(left.events, 'event')} are kept beyond the policy of ${days}${left.oldest_at === null ? '' : `; the oldest finished ${at(left.oldest_at)}`}`;
        const name = queue.queue.queue_name;
        const ttl = Math.max(1, Math.ceil((queue.queue.cleanup_ttl_seconds ?? 0) / 86_400));
        return [
          inQueue(
            'warning',
            queue,
            seen,
            command('cleanup', name, String(ttl)),
            command('cron', { enable: true, queue: name }),
          ),
        ];
      }),
  },
  {
    id: 'dead-rows',
    why: 'Claims read past dead rows: the more there are, the slower every claim.',
    needs: ['catalog'],
    find: perTable('warning', ({ live, dead }, { thresholds }) => {
      const percent = (dead * 100) / Math.max(1, live + dead);
      return dead >= thresholds['min-dead'] && percent >= thresholds['dead-percent']
        ? `about ${Math.round(dead)} dead rows, ${Math.round(percent)} % of it`
        : null;
    }),
  },
  {
    id: 'autovacuum-behind',
    why: 'Without vacuum dead rows pile up, and transaction ids run out in the end.',
    needs: ['catalog'],
    find: perTable('warning', (table, { thresholds }) => {
      if (!table.autovacuum_enabled && table.live + table.dead >= thresholds['min-dead'])
        return 'autovacuum is switched off';
      if (table.frozen_age > table.freeze_max_age * 1.5)
        return `its oldest row is ${Math.round(table.frozen_age)} transactions old, ${Math.round(table.frozen_age - table.freeze_max_age)} more than autovacuum allows`;
      const due = Math.max(table.vacuum_at * 3, thresholds['min-dead']);
      return table.dead > due
        ? `about ${Math.round(table.dead)} dead rows, and autovacuum should have started at ${Math.round(table.vacuum_at)}; last vacuum ${table.vacuumed_at === null ? 'never' : at(table.vacuumed_at)}`
        : null;
    }),
  },
  {
    id: 'indexes-missing',
    why: 'Without it, what a claim, a sweep or a cleanup looks for is found by reading the whole table.',
    needs: ['catalog'],
    find: ({ known, indexes, schema }) => {
      const there = new Set(indexes.map((index) => index.index_name));
      return known.flatMap((queue): Finding[] => {
        const missing = expectedIndexes
          .map((pattern) => pattern.replace('%', () => queue.queue_name))
          .filter((name) => queue.tables.includes(name.charAt(0)) && !there.has(name));
        if (missing.length === 0) return [];
        const mend =
          schema.revision === null
            ? hint`run the installer of this schema again, or: ${command('init')}`
            : command('init');
        return [
          {
            severity: 'warning',
            queue: queue.queue_name,
            seen: `missing: ${missing.map(quoted).join(', ')}`,
            mend: [mend],
          },
        ];
      });
    },
  },
  {
    id: 'indexes-invalid',
    why: 'An invalid index is kept up at every write, and used by no read.',
    needs: ['catalog'],
    find: (facts) =>
      facts.indexes
        .filter((index) => !index.valid)
        .map((index) => ({
          severity: 'warning',
          queue: owner(facts, index.table_name),
          seen: `index ${quoted(index.index_name)} of ${quoted(index.table_name)} is invalid`,
          mend: [`psql: reindex index concurrently absurd.${pastedIdent(index.index_name)}`],
        })),
  },
  {
    id: 'unread',
    why: 'What could not be read was not checked.',
    needs: [],
    find: ({ unread, standing }) =>
      unread.map(({ what, reason, code }) =>
        overall(
          'warning',
          `not read: ${shown(what)} (${shown(reason)})`,
          code === '42501' && standing !== null
            ? grantCommand(standing, 'reader')
            : code === '55P03'
              ? command('doctor', { only: 'blocked' })
              : command('doctor', { timeout: 60 }),
        ),
      ),
  },
];
