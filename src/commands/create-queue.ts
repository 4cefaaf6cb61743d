import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Rendering } from '../lib/cli/output.js';
import { createQueue, type CreatedQueue } from '../sql/queues.js';

export default class CreateQueue extends BaseCommand<CreatedQueue> {
  static override summary = 'Create a queue';
  static override description =
    'A name may contain any characters, up to 57 bytes. An existing queue with the same storage mode is not changed.';
  static override examples = [
    '<%= config.bin %> create-queue default',
    '<%= config.bin %> create-queue events --storage-mode partitioned',
  ];
  static override args = { name: Args.string({ required: true, description: 'name of the queue' }) };
  static override flags = {
    ...changeFlags,
    'storage-mode': Flags.string({
      options: ['unpartitioned', 'partitioned'] as const,
      helpValue: 'MODE',
      description: 'unpartitioned (the default), or by week for cheap cleanup of very large queues',
    }),
  };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'owner',
    samples: ['<new>'],
  };

  async execute(): Promise<CreatedQueue> {
    const { args, flags } = await this.parse(CreateQueue);
    return this.write((db) => createQueue(db, args.name, flags['storage-mode']), {
      touched: ({ queue_name: queue, created }) => (created ? { queue } : []),
    });
  }

  render({ queue_name, storage_mode, created }: CreatedQueue): Rendering {
    const mode = storage_mode === 'partitioned' ? 'partitioned queue' : 'queue';
    return {
      note: created ? `Created ${mode} "${queue_name}"` : `Queue "${queue_name}" already exists`,
      name: queue_name,
    };
  }
}
