import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { acrossQueues, cutNote, latestFirst, listFlags, type Listed } from '../lib/cli/lists.js';
import type { Rendering } from '../lib/cli/output.js';
import { listWorkersOf, type WorkerRow } from '../sql/lists.js';

export default class ListWorkers extends BaseCommand<Listed<WorkerRow>> {
  static override summary = 'List workers by what they claimed, the latest claim first';
  static override description =
    'Read from runs: what is running, and the latest 1,000 that completed or failed in each queue. A worker that claims nothing leaves no row, so one that is missing here may be idle.';
  static override examples = ['<%= config.bin %> list-workers', '<%= config.bin %> list-workers -q mail'];
  static override flags = { ...dbFlags, ...listFlags };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: [''],
  };

  async execute(): Promise<Listed<WorkerRow>> {
    const { flags } = await this.parse(ListWorkers);
    return this.readQueues(flags.queue, (reader, queues) =>
      acrossQueues(
        reader,
        queues,
        flags.limit,
        (queue) => listWorkersOf(reader.db, queue),
        (a, b) => latestFirst(a.last_claim, b.last_claim),
      ),
    );
  }

  render(list: Listed<WorkerRow>): Rendering {
    return {
      table: {
        columns: [
          { key: 'worker' },
          { key: 'queue_name', label: 'QUEUE' },
          { key: 'running', type: 'number' },
          { key: 'oldest_lease', label: 'OLDEST LEASE', type: 'time', drop: 1 },
          { key: 'last_claim', label: 'LAST CLAIM', type: 'time' },
        ],
        rows: list.rows,
        empty: 'No claims here',
        truncated: cutNote(list),
      },
    };
  }
}
