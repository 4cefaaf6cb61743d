/** queue-stats as metrics. */
import { openMetricsText, type Family, type Labels } from './format/openmetrics.js';
import type { Stats } from './queue-stats.js';

type Value = (row: Stats, nowMs: number) => number | null | undefined;

const states = ['pending', 'running', 'sleeping'] as const;

const gauges: [string, string, Value][] = [
  [
    'absurd_queue_oldest_waiting_seconds',
    'How long the oldest task that could be claimed has been waiting; 0 when none is.',
    ({ oldest_waiting_at: at }, nowMs) => (at === null ? 0 : Math.max(0, (nowMs - Date.parse(at)) / 1000)),
  ],
  ['absurd_queue_window_spawned', 'Tasks made within the window.', (row) => row.spawned],
  ['absurd_queue_window_completed', 'Runs claimed within the window that completed.', (row) => row.completed_runs],
  ['absurd_queue_window_failed', 'Runs claimed within the window that failed.', (row) => row.failed_runs],
  ['absurd_queue_bytes', "Bytes of the queue's tables and indexes.", (row) => ('bytes' in row ? row.bytes : null)],
  [
    'absurd_queue_dead_rows',
    'Rows that vacuum can remove, as the server estimates.',
    (row) => ('dead_rows' in row ? row.dead_rows : null),
  ],
];

const times = ['wait', 'run'] as const;

const labelsOf = (row: Stats): Labels =>
  row.task_name === undefined ? { queue: row.queue_name } : { queue: row.queue_name, task_name: row.task_name };

/** Counts end where queue-stats ends them. */
export function queueMetrics(rows: readonly Stats[], now: Date): string {
  const families: Family[] = [
    {
      name: 'absurd_queue_tasks',
      help: 'Unfinished tasks by state.',
      samples: rows.flatMap((row) =>
        states.flatMap((state): [Labels, number][] => {
          const count = row[state];
          return count === null ? [] : [[{ ...labelsOf(row), state }, count]];
        }),
      ),
    },
    ...gauges.map(([name, help, value]) => ({
      name,
      help,
      samples: rows.flatMap((row): [Labels, number][] => {
        const number = value(row, now.getTime());
        return number === null || number === undefined ? [] : [[labelsOf(row), number]];
      }),
    })),
    ...times.map((what) => ({
      name: `absurd_queue_${what}_seconds`,
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
