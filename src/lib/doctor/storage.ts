import { partitionedLetters } from '../../sql/description.js';
import type { Unread } from '../../sql/bounded.js';
import { uuidFloor } from '../../sql/doctor-queue.js';
import type { PartitionFacts } from '../../sql/doctor.js';
import { at, plural, quoted, shown, span } from '../diagnosis/words.js';
import { grantCommand } from '../grants/hint.js';
import { inQueue, overall, type Check, type Facts, type Finding } from './check.js';
import { command, hint, type Advice } from '../cli/hint.js';
import { formerPartitions, grouped, queueOf } from './names.js';

const week = 7 * 86_400_000;

/** Whether a partition's bounds contain the ids of that time. */
function holds(partition: PartitionFacts, moment: number): boolean {
  const bounds = /FROM \('([0-9a-f-]{36})'\) TO \('([0-9a-f-]{36})'\)/.exec(partition.bound);
  const id = uuidFloor(moment);
  return bounds?.[1] !== undefined && bounds[2] !== undefined && bounds[1] <= id && id < bounds[2];
}

/** The tag of a time's ISO week, like `partition_week_tag`: the last digit of the year, and the week. */
function weekTag(moment: number): string {
  const day = new Date(moment);
  // A week belongs to the year of its Thursday.
  day.setUTCDate(day.getUTCDate() + 4 - (day.getUTCDay() || 7));
  const year = day.getUTCFullYear();
  const number = Math.ceil(
    ((Date.UTC(year, day.getUTCMonth(), day.getUTCDate()) - Date.UTC(year, 0, 1)) / 86_400_000 + 1) / 7,
  );
  return `${year % 10}${String(number).padStart(2, '0')}`;
}

function missingPartitions(facts: Facts): Finding[] {
  const { known, partitions, now } = facts;
  const former = formerPartitions(facts);
  return known
    .filter((queue) => queue.storage_mode === 'partitioned')
    .flatMap((queue): Finding[] => {
      const ahead = (queue.lookahead_seconds ?? 0) * 1000;
      const moments = [now, ...(ahead >= week ? [now + week] : []), now + ahead];
      const gap = moments.find((moment) =>
        partitionedLetters.some(
          (prefix) =>
            !partitions.some((part) => part.parent === `${prefix}_${queue.queue_name}` && holds(part, moment)),
        ),
      );
      if (gap === undefined) return [];
      const soon = gap <= now + week;
      const spare = queue.default_partition === 'enabled' ? 'rows go to the default partition' : 'a spawn then fails';
      const severity = soon && queue.default_partition !== 'enabled' ? 'critical' : 'warning';
      const tag = weekTag(gap);
      const away = former.filter((one) => one.queue === queue.queue_name && one.tag === tag);
      const [table] = away;
      const mend = [
        // A table of that name blocks a new partition, unless it is empty.
        ...(table ? [command('attach-partition', table.table)] : []),
        command('ensure-partitions', { queue: queue.queue_name }),
      ];
      const detached = table ? `; ${plural(away.length, 'table')} of that week exist, detached` : '';
      const seen = `no partition for the week of ${at(gap)}: ${spare}${detached}`;
      return [{ severity, queue: queue.queue_name, seen, mend }];
    });
}

export const storageChecks: Check[] = [
  {
    id: 'partitions-missing',
    why: 'Rows of a week without a partition go to the default partition, or a spawn fails.',
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
          queue: queueOf(facts, partition),
          seen: `default partition ${quoted(partition)} holds ${plural(rows, 'row')}`,
          mend: [
            command('ensure-partitions'),
            'set a longer --partition-lookback or --partition-lookahead (queue-policy)',
          ],
        })),
  },
  {
    id: 'detaching-broken-off',
    why: 'The table does not read it any more, and no other partition can be detached before it.',
    needs: ['partitions'],
    find: (facts) =>
      facts.partitions
        .filter(({ half_detached }) => half_detached)
        .map(({ partition }) => ({
          severity: 'warning',
          queue: queueOf(facts, partition),
          seen: `partition ${quoted(partition)} is half detached, and no session is working on it`,
          mend: [command('detach-candidate', partition)],
        })),
  },
  {
    id: 'partitions-detached',
    why: 'No command and no worker sees the tasks in a detached partition.',
    needs: ['partitions'],
    find: (facts) => {
      const rows = new Map(facts.detachedRows.map((one) => [one.partition, one.rows]));
      const full = formerPartitions(facts).filter(({ table }) => (rows.get(table) ?? 0) > 0);
      const weeks = grouped(full, ({ queue, tag }) => JSON.stringify([queue, tag]));
      return [...weeks.values()].flatMap((tables): Finding[] => {
        const [first] = tables;
        if (!first) return [];
        const held = tables.map(({ table }) => `${quoted(table)} (${plural(rows.get(table) ?? 0, 'row')})`);
        return [
          {
            severity: 'info',
            queue: first.queue,
            seen: `${plural(tables.length, 'table')} of a detached week ${tables.length === 1 ? 'holds' : 'hold'} rows: ${held.join(', ')}`,
            mend: [command('attach-partition', first.table)],
          },
        ];
      });
    },
  },
  {
    id: 'cleanup-behind',
    why: 'Finished tasks that are kept too long cost space, and time in every vacuum.',
    needs: ['queues'],
    find: ({ queues, schema }) =>
      queues.flatMap((queue) => {
        const left = queue.leftovers;
        if (!left || left.tasks + left.events === 0) return [];
        const days = span(queue.queue.cleanup_ttl_seconds ?? 0);
        const seen = `${left.tasks >= 1000 ? '1000+' : left.tasks} of the oldest tasks and ${plural(left.events, 'event')} are kept beyond the policy of ${days}, and a cleanup deletes them${left.oldest_at === null ? '' : `; the oldest finished ${at(left.oldest_at)}`}`;
        const name = queue.queue.queue_name;
        const ttl = Math.max(1, Math.ceil((queue.queue.cleanup_ttl_seconds ?? 0) / 86_400));
        return [
          inQueue(
            'warning',
            queue,
            seen,
            command('cleanup', name, String(ttl), { 'dry-run': true }),
            command('cleanup', name, String(ttl)),
            schema.cron
              ? command('cron', { enable: true, queue: name })
              : hint`run ${command('maintain')} every hour, for example from cron`,
          ),
        ];
      }),
  },
  {
    id: 'unread',
    why: 'What could not be read was not checked.',
    needs: [],
    find: ({ unread, standing }) => {
      // One locked table or one missing right is one finding, however many things it affects.
      const kinds = grouped(unread, ({ code, session, reason }) =>
        code === '42501' ? code : JSON.stringify([code, session ?? reason]),
      );
      return [...kinds.values()].flatMap((same): Finding[] => {
        const [first] = same;
        if (!first) return [];
        const names = same.slice(0, 3).map(({ what }) => shown(what));
        const more = same.length > 3 ? ` and ${same.length - 3} more` : '';
        const seen = `not read: ${names.join(', ')}${more} (${shown(first.reason)})`;
        const found = overall('warning', seen, remedy(first, standing));
        return [first.session === undefined ? found : { ...found, session: first.session }];
      });
    },
  },
];

function remedy({ code }: Unread, standing: Facts['standing']): Advice {
  if (code === '42501' && standing !== null) return grantCommand(standing, 'reader');
  return code === '55P03' ? command('doctor', { only: 'blocked' }) : command('doctor', { timeout: 60 });
}
