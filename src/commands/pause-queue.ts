import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Rendering } from '../lib/cli/output.js';
import { namedQueues, pauseEnd, pauseFlags } from '../lib/queue/pause.js';
import { requireFeature } from '../lib/schema/feature.js';
import { listPauses, pauseQueue, type QueuePause } from '../sql/pauses.js';
import { command, hint } from '../lib/cli/hint.js';

/** A pause is one row, which is never locked for long. */
const lockTimeoutMs = 10_000;

export default class PauseQueue extends BaseCommand<QueuePause[]> {
  static override summary = 'Pause queues: their workers get no new work';
  static override description =
    'Runs in progress continue, and spawns, events, sleeps and retries are accepted: they wait until the queue is resumed. Workers of every SDK obey. A pause survives restarts; one with --for or --until ends by itself. Pausing a paused queue replaces the end and the reason.';
  static override examples = [
    '<%= config.bin %> pause-queue mail --for 2h --reason "SMTP provider is down"',
    '<%= config.bin %> pause-queue --all',
  ];
  static override args = {
    queue: Args.string({ multiple: true, suggest: 'queue', description: 'names of queues' }),
  };
  static override flags = {
    ...changeFlags,
    all: Flags.boolean({ description: 'every queue' }),
    ...pauseFlags,
  };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'operator',
    samples: ['<queue> --for 2h --reason test', '--all'],
  };

  async execute(): Promise<QueuePause[]> {
    const { args, flags } = await this.parse(PauseQueue);
    const until = pauseEnd(flags);
    const names = await this.read(async (db) => {
      await requireFeature(db, 'pause', 'pause a queue');
      return namedQueues(db, 'pause-queue', { names: args.queue ?? [], all: flags.all });
    });
    return this.write(
      async (db) => {
        for (const queueName of names) await pauseQueue(db, { queueName, until, reason: flags.reason });
        return (await listPauses(db)).filter((pause) => names.includes(pause.queue_name));
      },
      { lockTimeoutMs, touched: () => names.map((queue) => ({ queue })) },
    );
  }

  render(pauses: QueuePause[]): Rendering {
    const names = pauses.map((pause) => pause.queue_name);
    return {
      note: hint`Workers of ${names.length === 1 ? 'this queue' : `these ${names.length} queues`} get no new work; ${command('resume-queue', ...names)} ends the pause`,
      table: {
        columns: [
          { key: 'queue_name', label: 'QUEUE', type: 'id' },
          { key: 'paused_at', label: 'PAUSED', type: 'time' },
          { key: 'paused_until', label: 'UNTIL', type: 'time' },
          { key: 'paused_by', label: 'BY', drop: 2 },
          { key: 'reason', drop: 1 },
        ],
        rows: pauses,
        empty: 'No queue exists',
      },
    };
  }
}
