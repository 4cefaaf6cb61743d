import * as Flags from '@oclif/core/flags';
import { dbFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { byteSize } from '../lib/cli/format/size.js';
import { watchFlag } from '../lib/cli/watch.js';
import { MetricsCommand } from '../lib/cli/metrics-command.js';
import { pauseColumns } from '../lib/queue/pause.js';
import type { Column, RenderContext, Rendering } from '../lib/cli/output.js';
import { queueMetrics } from '../lib/queue/metrics.js';
import { readStats, type Stats } from '../lib/queue/stats.js';
import { queuesToLookIn } from '../lib/task/find-task.js';
import { parseWhen } from '../lib/cli/time.js';
import { sampleSize } from '../sql/name-stats.js';
import { command, hint } from '../lib/cli/hint.js';

interface QueueStats {
  rows: Stats[];
  /** A row is a task name of a queue. */
  named: boolean;
  /** The answer as metrics, where they were asked for. */
  metrics: string | null;
}

export default class QueueStatsCommand extends MetricsCommand<QueueStats> {
  static override summary = 'Show backlog, throughput and latency of queues';
  static override description = [
    'IN counts tasks created since --since; OUT and FAILED count runs claimed since then that completed or failed; all stop at 10,000. RATE is the share of FAILED in both. WAIT and RUN are the median and the 95th percentile, in seconds, of the latest 1,000 completed runs; WAIT is the time from the creation of a run to its last claim, including sleeps.',
    `With --by task-name the figures come from a sample of up to ${sampleSize} runs of each state; in JSON each row says whether it was cut.`,
  ].join('\n');
  static override examples = [
    '<%= config.bin %> queue-stats',
    '<%= config.bin %> queue-stats -q mail --by task-name --since 24h --json',
    '<%= config.bin %> queue-stats -o openmetrics',
  ];
  static override flags = {
    ...dbFlags,
    queue: queueFlag,
    by: Flags.option({
      options: ['queue', 'task-name'] as const,
      default: 'queue',
      description: 'what each row is about',
    })(),
    'task-name': Flags.string({ char: 'n', helpValue: 'NAME', description: 'only tasks of this name, by name' }),
    watch: watchFlag,
    since: Flags.string({ default: '1h', helpValue: 'TIME', description: 'start of the span of IN, OUT and FAILED' }),
  };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: ['', '--by task-name'],
  };

  async execute(): Promise<QueueStats> {
    const { flags } = await this.parse(QueueStatsCommand);
    const { at, secondsAgo } = parseWhen(flags.since, '--since');
    const look = async (): Promise<QueueStats> => {
      this.skipNone();
      const sinceMs = at === null ? this.io.now().getTime() - (secondsAgo ?? 0) * 1000 : Date.parse(at);
      const names = await this.readRanges((db) => queuesToLookIn(db, flags.queue));
      const taskName = flags['task-name'] ?? null;
      const by = taskName === null ? flags.by : 'task-name';
      const { stats, skipped } = await readStats((work) => this.readRanges(work), names, { by, sinceMs, taskName });
      this.skip(skipped);
      if (stats.length === 0) await this.suggestName('task', flags['task-name'], flags.queue);
      const metrics = flags.output === 'openmetrics' ? queueMetrics(stats, this.io.now()) : null;
      return { rows: stats, named: by === 'task-name', metrics };
    };
    return flags.watch ? this.watch(look) : look();
  }

  render({ rows, named, metrics }: QueueStats, context: RenderContext): Rendering {
    if (metrics !== null) return { text: metrics };
    const sizes: Column[] = [
      { key: 'bytes', label: 'SIZE', type: 'number', drop: 5, draw: byteSize },
      { key: 'dead_rows', label: 'DEAD ROWS', type: 'number', drop: 6 },
    ];
    return {
      table: {
        columns: [
          { key: 'queue_name', label: 'QUEUE', type: 'id' },
          ...(named ? [{ key: 'task_name', label: 'NAME' }] : []),
          { key: 'pending', type: 'number' },
          { key: 'running', type: 'number' },
          { key: 'sleeping', type: 'number', drop: 4 },
          { key: 'oldest_waiting_at', label: 'OLDEST WAITING', type: 'time', drop: 3 },
          { key: 'spawned', label: 'IN', type: 'number' },
          { key: 'completed_runs', label: 'OUT', type: 'number' },
          { key: 'failed_runs', label: 'FAILED', type: 'number' },
          { key: 'failure_rate', label: 'RATE', type: 'number', drop: 2, draw: percent },
          seconds('wait_p50', 'WAIT', 2),
          seconds('wait_p95', 'P95', 3),
          seconds('run_p50', 'RUN', 1),
          seconds('run_p95', 'P95', 2),
          ...(named ? [] : [...sizes, ...pauseColumns(rows, context)]),
        ],
        rows,
        empty: named ? 'No task found' : hint`No queues yet: ${command('create-queue', 'default')}`,
        truncated: rows.some((row) => row.sampled)
          ? `Some numbers are limited by the sample: ${sampleSize} runs of each state`
          : undefined,
      },
    };
  }
}

const percent = (value: unknown): string => (typeof value === 'number' ? `${(value * 100).toFixed(1)}%` : '-');

const seconds = (key: string, label: string, drop: number): Column => ({
  key,
  label,
  type: 'number',
  drop,
  draw: (value) => (typeof value === 'number' ? `${value.toFixed(value < 10 ? 3 : 0)}s` : '-'),
});
