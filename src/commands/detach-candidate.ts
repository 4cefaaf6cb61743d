import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { detach, dropFormer, finish, type Detached } from '../lib/queue/detach.js';
import { refused } from '../lib/cli/errors.js';
import { nearest } from '../lib/cli/nearest.js';
import { bareName, partitionName } from '../lib/queue/partition-name.js';
import type { Rendering } from '../lib/cli/output.js';
import { queuesToLookIn } from '../lib/task/find-task.js';
import { listDetachCandidates, listHalfDetached, listPartitions } from '../sql/partitions.js';
import { command, hint, type Advice } from '../lib/cli/hint.js';

export default class DetachCandidateCommand extends BaseCommand<Detached> {
  static override summary = 'Detach one old, empty partition';
  static override description =
    'Takes only a partition that list-detach-candidates lists. It detaches concurrently if the table has no default partition (PostgreSQL allows it only then), and finishes an interrupted detach. With --drop it also drops an empty partition that was detached before, so it is safe to repeat.';
  static override examples = ['<%= config.bin %> detach-candidate t_mail_401 --drop'];
  static override args = { partition: Args.string({ required: true, description: 'the partition' }) };
  static override flags = {
    ...changeFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'only this queue' }),
    drop: Flags.boolean({ description: 'drop it afterwards' }),
  };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'owner',
    samples: [{ words: '<candidate> -q <queue>', only: 'partitioned' }],
  };

  async execute(): Promise<Detached> {
    const { args, flags } = await this.parse(DetachCandidateCommand);
    const db = await this.db();
    const queues = await this.read((read) => queuesToLookIn(read, flags.queue));
    const candidates = await db.read((read) => listDetachCandidates(read, flags.queue ?? null));
    const names = partitionName(args.partition);
    const candidate = candidates.find(({ partition }) => names.includes(partition));
    if (candidate !== undefined) return detach(db, candidate, flags.drop === true);

    const half = (await this.read((read) => listHalfDetached(read, queues))).find(({ partition }) =>
      names.includes(partition),
    );
    if (half !== undefined) return finish(db, half, flags.drop === true);

    const former = (await this.read((read) => listPartitions(read, queues))).find(
      ({ partition, attached }) => !attached && names.includes(partition),
    );
    if (former === undefined) {
      const suggestion = nearest(
        bareName(args.partition),
        candidates.map(({ partition }) => partition),
      );
      throw refused(
        `"${args.partition}" is not a partition that can be detached`,
        suggestion === undefined ? others(candidates.length) : `did you mean ${suggestion}?`,
        'no_candidate',
      );
    }
    if (!flags.drop) throw refused(`"${former.partition}" is detached already`, '--drop drops it', 'already_detached');
    const { partition, queue_name: queue, parent } = former;
    return { partition, queue, parent, concurrently: false, dropped: await dropFormer(db, { partition, queue }) };
  }

  render({ partition, parent, concurrently, dropped }: Detached): Rendering {
    const how = concurrently ? ' concurrently' : '';
    return {
      note: `Detached ${partition} from ${parent}${how}${dropped ? ' and dropped it' : '; it is a table of its own now'}`,
      name: partition,
    };
  }
}

const others = (count: number): Advice =>
  count === 0
    ? 'none can be detached now: a partition must be empty, old, and belong to a queue with queue-policy --detach-mode empty'
    : hint`${command('list-detach-candidates')} shows ${count === 1 ? 'the one' : `the ${count}`} that may`;
