import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { byteSize } from '../lib/cli/format/size.js';
import type { Rendering } from '../lib/cli/output.js';
import { listPartitions, type PartitionRow } from '../sql/partitions.js';
import { command, hint } from '../lib/cli/hint.js';

export default class ListPartitions extends BaseCommand<PartitionRow[]> {
  static override summary = 'List the weekly partitions of queues';
  static override description =
    "Shows their weeks, rows and sizes, and whether they are attached. Rows are the planner's estimate (~), but counted in default partitions: such rows belong to no existing week, and ensure-partitions moves them when it creates their week. A detached partition is a table of its own until it is dropped.";
  static override examples = ['<%= config.bin %> list-partitions', '<%= config.bin %> list-partitions -q audit --json'];
  static override flags = {
    ...dbFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'only this queue' }),
  };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'reader',
    samples: [''],
  };

  async execute(): Promise<PartitionRow[]> {
    const { flags } = await this.parse(ListPartitions);
    return this.readQueues(flags.queue, async (reader, queues) =>
      (await reader.some(queues, (some) => listPartitions(reader.db, some))).flat(),
    );
  }

  render(rows: PartitionRow[]): Rendering {
    const detached = rows.filter((row) => !row.attached).length;
    const filled = rows.filter((row) => row.is_default && (row.rows ?? 0) > 0).length;
    return {
      note: [
        ...(filled > 0 ? [hint`Rows lie in ${filled} default partitions: ${command('ensure-partitions')}`] : []),
        ...(detached > 0
          ? [
              hint`Detached: ${detached}; ${command('detach-candidate', 'PARTITION', { drop: true })} drops one that is empty`,
            ]
          : []),
      ],
      table: {
        columns: [
          { key: 'partition', type: 'id' },
          { key: 'queue_name', label: 'QUEUE', drop: 4 },
          { key: 'parent', drop: 5 },
          { key: 'from_at', label: 'FROM', draw: day, drop: 2 },
          { key: 'to_at', label: 'TO', draw: day, drop: 3 },
          {
            key: 'rows',
            type: 'number',
            draw: (rows, row) => `${(row as PartitionRow).rows_exact ? '' : '~'}${String(rows)}`,
          },
          { key: 'bytes', label: 'SIZE', type: 'number', draw: byteSize, drop: 1 },
          { key: 'attached', draw: (attached) => (attached === true ? 'yes' : 'no') },
        ],
        rows,
        empty: 'No queue is partitioned (create-queue --storage-mode partitioned)',
      },
    };
  }
}

const day = (at: unknown): string => String(at).slice(0, 10);
