import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags, queueFlag } from '../lib/base-command.js';
import { byteSize } from '../lib/format/size.js';
import type { Column, Rendering } from '../lib/output.js';
import { queuesToLookIn } from '../lib/task-id.js';
import { parseWhen } from '../lib/when.js';
import { readQueueFlow, type QueueFlow } from '../sql/queue-stats.js';
import { countTasks, listRegisteredQueues, type QueueOverview } from '../sql/queues.js';

/** A queue's tasks as list-queues counts them, and how it has been doing. */
type QueueStats = QueueOverview & QueueFlow & { failure_rate: number | null };

export default class QueueStatsCommand extends BaseCommand<QueueStats[]> {
  static override summary = 'Show how queues are doing: what waits, what comes in and goes out, and how long it takes';
  static override description =
    'IN is tasks made since --since, OUT and FAILED are runs claimed since then that completed or failed; all end at 10,000. WAIT and RUN are the median and the 95th percentile, in seconds, of the latest 1,000 runs that completed; WAIT goes from the making of a run to its last claim, so it holds its sleeps.';
  static override examples = [
    '<%= config.bin %> queue-stats',
    '<%= config.bin %> queue-stats -q mail --since 24h --json',
  ];
  static override flags = {
    ...dbFlags,
    queue: queueFlag,
    since: Flags.string({ default: '1h', helpValue: 'TIME', description: 'since when IN, OUT and FAILED are counted' }),
  };

  async execute(): Promise<QueueStats[]> {
    const { flags } = await this.parse(QueueStatsCommand);
    const { at, secondsAgo } = parseWhen(flags.since, '--since');
    const sinceMs = at === null ? this.io.now().getTime() - (secondsAgo ?? 0) * 1000 : Date.parse(at);
    const names = await this.read((db) => queuesToLookIn(db, flags.queue));
    const registered = (await this.read(listRegisteredQueues)).filter((queue) => names.includes(queue.queue_name));
    const stats: QueueStats[] = [];
    for (const queue of registered) {
      const [overview] = await this.read((db) => countTasks(db, [queue]));
      const flow = await this.read((db) => readQueueFlow(db, queue.queue_name, sinceMs));
      if (overview === undefined || flow === undefined) continue;
      const ended = flow.completed_runs + flow.failed_runs;
      stats.push({ ...overview, ...flow, failure_rate: ended === 0 ? null : flow.failed_runs / ended });
    }
    return stats;
  }

  render(rows: QueueStats[]): Rendering {
    return {
      table: {
        columns: [
          { key: 'queue_name', label: 'QUEUE', type: 'id' },
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
          { key: 'bytes', label: 'SIZE', type: 'number', drop: 5, draw: byteSize },
          { key: 'dead_rows', label: 'DEAD ROWS', type: 'number', drop: 6 },
        ],
        rows,
        empty: 'No queues yet: absurdctl create-queue default',
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
