import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/base-command.js';
import { refused } from '../lib/errors.js';
import { nearest } from '../lib/nearest.js';
import type { Rendering } from '../lib/output.js';
import {
  detachPartition,
  dropDetachedPartition,
  hasDefaultPartition,
  listDetachCandidates,
  type DetachCandidate,
} from '../sql/partitions.js';

interface Detached extends DetachCandidate {
  concurrently: boolean;
  dropped: boolean;
}

/** A partition that is in use is not waited for longer than this. */
const lockTimeoutMs = 10_000;

/** `t_q_401` of `t_q_401`, `absurd.t_q_401`, `"t_q_401"`, `absurd."t_q_401"` and `"absurd"."t_q_401"`. */
function bareName(typed: string): string {
  const quoted = /^(?:(?:absurd|"absurd")\.)?"((?:[^"]|"")+)"$/.exec(typed)?.[1];
  return quoted === undefined ? typed.replace(/^(?:absurd|"absurd")\./, '') : quoted.replaceAll('""', '"');
}

export default class DetachCandidateCommand extends BaseCommand<Detached> {
  static override summary = 'Detach one old, empty partition';
  static override description =
    'Only one that list-detach-candidates names. It is detached concurrently where its table has no default partition; PostgreSQL allows it nowhere else.';
  static override examples = ['<%= config.bin %> detach-candidate t_mail_401 --drop'];
  static override args = { partition: Args.string({ required: true, description: 'the partition' }) };
  static override flags = {
    ...dbFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'only look at this queue' }),
    drop: Flags.boolean({ description: 'drop it afterwards' }),
  };

  async execute(): Promise<Detached> {
    const { args, flags } = await this.parse(DetachCandidateCommand);
    const db = await this.db();
    const candidates = await db.read((read) => listDetachCandidates(read, flags.queue ?? null));
    const names = new Set([args.partition, bareName(args.partition)]);
    const candidate = candidates.find(({ partition }) => names.has(partition));
    if (candidate === undefined) {
      const meant = nearest(
        bareName(args.partition),
        candidates.map(({ partition }) => partition),
      );
      throw refused(
        `"${args.partition}" is no partition that may be detached`,
        meant === undefined ? others(candidates.length) : `did you mean ${meant}?`,
        'no_candidate',
      );
    }
    const concurrently = !(await db.read((read) => hasDefaultPartition(read, candidate.parent)));
    if (concurrently) await detachPartition(db, candidate, true);
    else await db.transaction((transaction) => detachPartition(transaction, candidate, false), { lockTimeoutMs });
    const dropped = flags.drop === true && (await dropDetachedPartition(db, candidate.partition));
    return { ...candidate, concurrently, dropped };
  }

  render({ partition, parent, concurrently, dropped }: Detached): Rendering {
    const how = concurrently ? ' concurrently' : '';
    return {
      note: `Detached ${partition} from ${parent}${how}${dropped ? ' and dropped it' : '; it is a table of its own now'}`,
      name: partition,
    };
  }
}

const others = (count: number): string =>
  count === 0
    ? 'none may be now: they must be empty, old, and of a queue with queue-policy --detach-mode empty'
    : `absurdctl list-detach-candidates shows ${count === 1 ? 'the one' : `the ${count}`} that may`;
