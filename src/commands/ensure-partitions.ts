import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { unknownQueue } from '../lib/cli/explain.js';
import type { Rendering } from '../lib/cli/output.js';
import { countPartitions, ensurePartitions } from '../sql/partitions.js';
import { listQueueNames } from '../sql/schema.js';
import { command, hint } from '../lib/cli/hint.js';

interface EnsuredPartitions {
  queue_name: string | null;
  created: number;
  partitions: number;
}

export default class EnsurePartitions extends BaseCommand<EnsuredPartitions> {
  static override summary = 'Create the weekly partitions that the policies require';
  static override description =
    'From now minus partition_lookback to now plus partition_lookahead. It moves rows of such a week from the default partition. Run it daily if pg_cron does not.';
  static override examples = ['<%= config.bin %> ensure-partitions', '<%= config.bin %> ensure-partitions -q audit'];
  static override flags = {
    ...changeFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'only this queue' }),
  };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'owner',
    samples: [{ words: '--queue <queue>', only: 'partitioned' }],
  };

  async execute(): Promise<EnsuredPartitions> {
    const { flags } = await this.parse(EnsurePartitions);
    const queue = flags.queue ?? null;
    const known = await this.read(listQueueNames);
    if (queue !== null && !known.includes(queue)) throw unknownQueue(queue, known);
    const before = await this.read((db) => countPartitions(db, queue));
    const ensure = (): Promise<void> => this.write((db) => ensurePartitions(db, queue));
    await ensure();
    // With all queues, a failing queue only warns while other queues are changed; when none is left to change, it
    // raises.
    if (queue === null) await ensure();
    const partitions = await this.read((db) => countPartitions(db, queue));
    return { queue_name: queue, created: partitions - before, partitions };
  }

  render({ created, partitions }: EnsuredPartitions): Rendering {
    // Every partitioned queue has its default partition at least, or weeks.
    const none =
      partitions === 0
        ? hint`No queue is partitioned; ${command('create-queue', 'NAME', { 'storage-mode': 'partitioned' })} makes one`
        : undefined;
    return { record: { Created: created, Partitions: partitions }, note: none };
  }
}
