import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { refused } from '../lib/cli/errors.js';
import { counted } from '../lib/cli/format/text.js';
import { command, hint, type Advice } from '../lib/cli/hint.js';
import { nearest } from '../lib/cli/nearest.js';
import type { Rendering } from '../lib/cli/output.js';
import { attach, type Attached } from '../lib/queue/attach.js';
import { partitionName } from '../lib/queue/partition-name.js';
import { queuesToLookIn } from '../lib/task/find-task.js';
import { listPartitionedQueues } from '../sql/attach.js';
import { listPartitions } from '../sql/partitions.js';

export default class AttachPartition extends BaseCommand<Attached> {
  static override summary = 'Attach the tables of a detached week to their queue again';
  static override description =
    'Name one of the four tables of the week (t, r, c, w); all four are attached in one transaction. It takes the bounds of the week from the ids, and moves rows of that week from the default partition. The server checks every row, and inserts into the queue wait until it has finished. Safe to repeat.';
  static override examples = ['<%= config.bin %> attach-partition t_audit_648'];
  static override args = {
    partition: Args.string({ required: true, description: 'one of the tables of the week' }),
  };
  static override flags = {
    ...changeFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'only a partition of this queue' }),
  };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'owner',
    samples: [{ words: '<detached> -q <queue>', only: 'partitioned' }],
  };

  async execute(): Promise<Attached> {
    const { args, flags } = await this.parse(AttachPartition);
    const db = await this.db();
    const names = partitionName(args.partition);
    const some = await this.read(async (read) => {
      const readable = await queuesToLookIn(read, flags.queue);
      return (await listPartitionedQueues(read)).filter((queue) => readable.includes(queue));
    });
    const all = some.flatMap((queue) => names.flatMap((name) => partOf(name, queue)));
    // The longest name of a queue: "t_a_b_401" may be of queue "a_b".
    const [found] = all.sort((left, right) => right.queue.length - left.queue.length);
    const known = await this.read((read) => listPartitions(read, some));
    const exists = known.some(({ partition }) => names.includes(partition));
    if (found && exists) return attach(db, found.queue, found.tag);
    const former = known.filter(({ attached }) => !attached).map(({ partition }) => partition);
    const suggestion = nearest(names.at(-1) ?? '', former);
    throw refused(
      `"${args.partition}" is not a partition that can be attached`,
      suggestion === undefined ? others(former.length) : `did you mean ${suggestion}?`,
      'no_partition',
    );
  }

  render({ queue, attached, already, missing, moved, from_at: from }: Attached): Rendering {
    const week = from === null ? 'the default partitions' : `the week of ${String(from).slice(0, 10)}`;
    const done =
      attached.length === 0
        ? `Nothing to do: ${already.join(', ')} ${already.length === 1 ? 'is' : 'are'} attached already`
        : `Attached ${attached.join(', ')} to queue "${queue}" for ${week}`;
    return {
      note: [
        done,
        ...(moved > 0 ? [`Moved ${counted(moved, 'row')} out of the default partition`] : []),
        ...(missing.length > 0
          ? [
              hint`${missing.join(', ')} ${missing.length === 1 ? 'does' : 'do'} not exist: ${command('ensure-partitions', { queue })} creates them`,
            ]
          : []),
      ],
      name: attached,
    };
  }
}

/** The tag of a partition's name, where the rest of it is a table of that queue. */
function partOf(name: string, queue: string): { queue: string; tag: string }[] {
  const tag = name.slice(queue.length + 3);
  const fits = /^[trcw]_/.test(name) && name.slice(2) === `${queue}_${tag}` && /^(\d{3}|d)$/.test(tag);
  return fits ? [{ queue, tag }] : [];
}

const others = (count: number): Advice =>
  count === 0
    ? 'no partition is detached'
    : hint`${command('list-partitions')} shows the ${count === 1 ? 'one' : String(count)} that can be`;
