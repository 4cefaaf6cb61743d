import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { acrossQueues, cutNote, latestFirst, listFlags, type Listed } from '../lib/cli/lists.js';
import type { Rendering } from '../lib/cli/output.js';
import { schemaFeatures } from '../sql/features.js';
import { listWorkersOf, type WorkerRow } from '../sql/list-workers.js';

export default class ListWorkers extends BaseCommand<Listed<WorkerRow>> {
  static override summary = 'List workers, the latest sign of life first';
  static override description = [
    'Workers of absurdctl and its SDK register themselves: their task names, version and last heartbeat are known. After a minute without a heartbeat they are "stale".',
    'Others are "inferred" from runs: what is running, and the latest 1,000 that completed or failed in each queue. One that claims nothing leaves no trace, so an inferred worker that is missing here may be idle.',
  ].join('\n');
  static override examples = ['<%= config.bin %> list-workers', '<%= config.bin %> list-workers -q mail'];
  static override flags = { ...dbFlags, ...listFlags };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: [''],
  };

  async execute(): Promise<Listed<WorkerRow>> {
    const { flags } = await this.parse(ListWorkers);
    return this.readQueues(flags.queue, async (reader, queues) => {
      const registry = (await schemaFeatures(reader.db)).includes('worker_registry');
      return acrossQueues(
        reader,
        queues,
        flags.limit,
        (queue) => listWorkersOf(reader.db, queue, registry),
        (a, b) => latestFirst(signOfLife(a), signOfLife(b)),
      );
    });
  }

  render(list: Listed<WorkerRow>): Rendering {
    return {
      table: {
        columns: [
          { key: 'worker' },
          { key: 'queue_name', label: 'QUEUE' },
          { key: 'state' },
          { key: 'running', type: 'number' },
          {
            key: 'task_names',
            label: 'TASKS',
            drop: 1,
            draw: (value) => (value as string[] | null)?.join(', ') ?? '-',
          },
          { key: 'program_version', label: 'VERSION', drop: 2 },
          { key: 'last_heartbeat', label: 'HEARTBEAT', type: 'time' },
          { key: 'oldest_lease', label: 'OLDEST LEASE', type: 'time', drop: 3 },
          { key: 'last_claim', label: 'LAST CLAIM', type: 'time' },
        ],
        rows: list.rows,
        empty: 'No workers here',
        truncated: cutNote(list),
      },
    };
  }
}

const signOfLife = ({ last_heartbeat: beat, last_claim: claim }: WorkerRow): string | null =>
  (beat ?? '') > (claim ?? '') ? beat : claim;
