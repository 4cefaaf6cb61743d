import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { confirmTyped } from '../lib/cli/confirm.js';
import { unknownQueue } from '../lib/cli/explain.js';
import type { Rendering } from '../lib/cli/output.js';
import { dropQueue, listQueueNames, type QueueName } from '../sql/queues.js';

interface DroppedQueue extends QueueName {
  /** False when the answer was no. */
  dropped: boolean;
}

export default class DropQueue extends BaseCommand<DroppedQueue> {
  static override summary = 'Drop a queue with all its tasks';
  static override description = 'Asks for a typed `yes` first, from a terminal or a pipe, unless --yes is given.';
  static override examples = ['<%= config.bin %> drop-queue old', '<%= config.bin %> drop-queue old --yes'];
  static override args = { name: Args.string({ required: true, suggest: 'queue', description: 'name of the queue' }) };
  static override flags = { ...changeFlags, yes: Flags.boolean({ char: 'y', description: 'do not ask' }) };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'owner',
    samples: ['<queue> --yes'],
  };

  async execute(): Promise<DroppedQueue> {
    const { args, flags } = await this.parse(DropQueue);
    const known = await this.read(listQueueNames);
    if (!known.includes(args.name)) throw unknownQueue(args.name, known);
    const question = `Drop queue "${args.name}" with all its tasks? Type yes: `;
    const dropped = flags.yes === true || (await confirmTyped(this.io, question));
    if (dropped) await this.write((db) => dropQueue(db, args.name), { touched: () => ({ queue: args.name }) });
    return { queue_name: args.name, dropped };
  }

  render({ queue_name, dropped }: DroppedQueue): Rendering {
    return { note: dropped ? `Dropped queue "${queue_name}"` : 'Nothing was dropped', name: dropped ? queue_name : [] };
  }
}
