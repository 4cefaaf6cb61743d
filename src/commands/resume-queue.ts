import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { counted } from '../lib/cli/format/text.js';
import type { Rendering } from '../lib/cli/output.js';
import { namedQueues } from '../lib/queue/pause.js';
import { requireFeature } from '../lib/schema/feature.js';
import { resumeQueue } from '../sql/pauses.js';

interface ResumedQueue {
  queue_name: string;
  /** False when the queue was not paused. */
  resumed: boolean;
}

/** A pause is one row, which is never locked for long. */
const lockTimeoutMs = 10_000;

export default class ResumeQueue extends BaseCommand<ResumedQueue[]> {
  static override summary = 'Resume paused queues';
  static override description =
    'Workers claim from them at their next poll. A queue that is not paused is not changed (exit code 0). Schedules that were due meanwhile follow their --missed setting.';
  static override examples = ['<%= config.bin %> resume-queue mail', '<%= config.bin %> resume-queue --all'];
  static override args = {
    queue: Args.string({ multiple: true, suggest: 'queue', description: 'names of queues' }),
  };
  static override flags = {
    ...changeFlags,
    all: Flags.boolean({ description: 'every paused queue' }),
  };
  static declares: Declaration = { topic: 'QUEUES', needs: 'operator', samples: ['<queue>', '--all'] };

  async execute(): Promise<ResumedQueue[]> {
    const { args, flags } = await this.parse(ResumeQueue);
    const names = await this.read(async (db) => {
      await requireFeature(db, 'pause', 'resume a queue');
      return namedQueues(db, 'resume-queue', { names: args.queue ?? [], all: flags.all });
    });
    const all = await this.write(
      async (db) => {
        const done: ResumedQueue[] = [];
        for (const queue_name of names) done.push({ queue_name, resumed: await resumeQueue(db, queue_name) });
        return done;
      },
      {
        lockTimeoutMs,
        touched: (done) => done.flatMap(({ queue_name: queue, resumed }) => (resumed ? [{ queue }] : [])),
      },
    );
    return flags.all ? all.filter(({ resumed }) => resumed) : all;
  }

  render(queues: ResumedQueue[]): Rendering {
    const resumed = queues.filter((queue) => queue.resumed);
    const others = queues.filter((queue) => !queue.resumed).map((queue) => `"${queue.queue_name}"`);
    return {
      note: [
        ...(resumed.length > 0 ? [`Resumed ${counted(resumed.length, 'queue')}`] : []),
        ...(others.length > 0 ? [`Not paused: ${others.join(', ')}`] : []),
      ],
      table: {
        columns: [{ key: 'queue_name', label: 'QUEUE', type: 'id' }, { key: 'resumed' }],
        rows: queues,
        empty: 'No queue was paused',
      },
    };
  }
}
