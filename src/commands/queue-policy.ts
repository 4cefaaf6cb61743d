import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Need } from '../lib/grants/kinds.js';
import { unknownQueue } from '../lib/cli/explain.js';
import type { Queryable } from '../sql/queryable.js';
import type { Rendering } from '../lib/cli/output.js';
import { lacksUnit } from '../lib/cli/time.js';
import { getQueuePolicy, setQueuePolicy, setQueueWakeup, type QueuePolicyRow } from '../sql/policy.js';
import { listQueueNames } from '../sql/schema.js';
import { wholeNumberFlag } from '../lib/cli/flags.js';

const span = (description: string) => Flags.string({ helpValue: 'INTERVAL', description });

/** A trigger is its table's owner's to make, a row of the policy an operator's to change. */
const needs = (flags: readonly string[]): Need => {
  if (flags.some((word) => word.startsWith('--wakeup'))) return 'owner';
  return flags.some((word) => /^--(default-partition|partition-|cleanup-|detach-)/.test(word)) ? 'operator' : 'reader';
};

export default class QueuePolicy extends BaseCommand<QueuePolicyRow> {
  static override summary = 'Show or set the retention and the partitions of a queue';
  static override description =
    'Without flags it shows the policy. Flags change only the settings that they name. cleanup, ensure-partitions and the jobs of pg_cron follow it.';
  static override examples = [
    '<%= config.bin %> queue-policy mail',
    `<%= config.bin %> queue-policy mail --cleanup-ttl '14 days' --cleanup-limit 5000`,
  ];
  static override args = { name: Args.string({ required: true, suggest: 'queue', description: 'name of the queue' }) };
  static override flags = {
    ...changeFlags,
    'default-partition': Flags.option({
      options: ['enabled', 'disabled'] as const,
      description: 'a partition for rows outside of all weeks',
    })(),
    'partition-lookahead': span('how far ahead to create weeks'),
    'partition-lookback': span('how far back to create weeks'),
    'cleanup-ttl': span('how long to keep finished tasks and emitted events'),
    'cleanup-limit': wholeNumberFlag({ min: 1, helpValue: 'N', description: 'rows per batch of the cleanup' }),
    'detach-mode': Flags.option({
      options: ['none', 'empty'] as const,
      description: 'which partitions may be detached',
    })(),
    'detach-min-age': span('how old a week must be to be detached'),
    wakeup: Flags.option({
      options: ['on', 'off'] as const,
      description: 'wake workers at once by NOTIFY; makes each spawn slightly slower',
    })(),
  };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs,
    samples: ['<queue> --wakeup on', '<queue> --cleanup-ttl 8days', '<queue>'],
  };

  async execute(): Promise<QueuePolicyRow> {
    const { args, flags } = await this.parse(QueuePolicy);
    const policy = Object.fromEntries(
      Object.entries({
        default_partition: flags['default-partition'],
        partition_lookahead: flags['partition-lookahead'],
        partition_lookback: flags['partition-lookback'],
        cleanup_ttl: flags['cleanup-ttl'],
        cleanup_limit: flags['cleanup-limit'],
        detach_mode: flags['detach-mode'],
        detach_min_age: flags['detach-min-age'],
      }).filter(([, value]) => value !== undefined),
    );
    if ((await this.read((db) => getQueuePolicy(db, args.name))) === undefined) {
      throw unknownQueue(args.name, await this.read(listQueueNames));
    }
    const { wakeup } = flags;
    const changed = Object.keys(policy).length > 0 || wakeup !== undefined;
    const set = async (db: Queryable): Promise<void> => {
      if (Object.keys(policy).length > 0) await setQueuePolicy(db, args.name, policy);
      if (wakeup !== undefined) await setQueueWakeup(db, args.name, wakeup === 'on');
    };
    if (changed) await this.write(set, { touched: () => ({ queue: args.name }) });
    for (const [key, value] of Object.entries(policy)) {
      if (typeof value !== 'string' || !lacksUnit(value)) continue;
      this.note(`--${key.replaceAll('_', '-')} ${value} is seconds: write '${value.trim()} days' for days`);
    }
    const after = await this.read((db) => getQueuePolicy(db, args.name));
    if (after === undefined) throw unknownQueue(args.name, await this.read(listQueueNames));
    return after;
  }

  render(policy: QueuePolicyRow): Rendering {
    return { record: { ...policy } };
  }
}
