/** queue-stats as metrics. */
import { unfinishedStates } from '../../sql/description.js';
import { openMetricsText, type Family, type Labels } from '../cli/format/openmetrics.js';
import type { Stats } from './stats.js';

type Value = (row: Stats, nowMs: number) => number | null | undefined;

/** Below `absurd_queue_` or `absurd_task_name_`; doctor has families of the first kind, and none of these names. */
const gauges: [string, string, Value][] = [
  [
    'oldest_waiting_seconds',
    'How long the oldest task that could be claimed has been waiting; 0 when none is.',
    ({ oldest_waiting_at: at }, nowMs) => (at === null ? 0 : Math.max(0, (nowMs - Date.parse(at)) / 1000)),
  ],
  [
    'paused',
    '1 where the queue is paused: its workers get no new work.',
    (row) => ('paused_at' in row ? Number(row.paused_at !== null) : null),
  ],
  ['spawned', 'Tasks created within the window.', (row) => row.spawned],
  ['completed', 'Runs claimed within the window that completed.', (row) => row.completed_runs],
  ['failed', 'Runs claimed within the window that failed.', (row) => row.failed_runs],
  ['failure_ratio', 'Share of failed runs among the finished runs of the window.', (row) => row.failure_rate],
  ['bytes', "Bytes of the queue's tables and indexes.", (row) => ('bytes' in row ? row.bytes : null)],
  [
    'dead_rows',
    'Rows that vacuum can remove, as the server estimates.',
    (row) => ('dead_rows' in row ? row.dead_rows : null),
  ],
];

const times = ['wait', 'run'] as const;

const labelsOf = (row: Stats): Labels =>
  row.task_name === undefined ? { queue: row.queue_name } : { queue: row.queue_name, task_name: row.task_name };

/** Counts end where queue-stats ends them. */
export function queueMetrics(rows: readonly Stats[], now: Date): string {
  // Rows are all of one kind. Sums over queues must not count the same task under its name as well.
  const prefix = rows[0]?.task_name === undefined ? 'absurd_queue' : 'absurd_task_name';
  const families: Family[] = [
    {
      name: `${prefix}_tasks`,
      help: 'Unfinished tasks by state.',
      samples: rows.flatMap((row) =>
        unfinishedStates.flatMap((state): [Labels, number][] => {
          const count = row[state];
          return count === null ? [] : [[{ ...labelsOf(row), state }, count]];
        }),
      ),
    },
    ...gauges.map(([name, help, value]) => ({
      name: `${prefix}_${name}`,
      help,
      samples: rows.flatMap((row): [Labels, number][] => {
        const number = value(row, now.getTime());
        return number === null || number === undefined ? [] : [[labelsOf(row), number]];
      }),
    })),
    ...times.map((what) => ({
      name: `${prefix}_${what}_seconds`,
      help:
        what === 'wait' ? 'From the making of a run to its last claim.' : 'From the last claim of a run to its end.',
      samples: rows.flatMap((row) =>
        (['p50', 'p95'] as const).flatMap((part): [Labels, number][] => {
          const seconds = row[`${what}_${part}`];
          return seconds === null ? [] : [[{ ...labelsOf(row), quantile: part === 'p50' ? '0.5' : '0.95' }, seconds]];
        }),
      ),
    })),
  ];
  return openMetricsText(families.filter((family) => family.samples.length > 0));
}
