import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { acrossQueues, cutNote, latestFirst, listFlags, type Listed } from '../lib/cli/lists.js';
import type { Rendering } from '../lib/cli/output.js';
import { schemaFeatures } from '../sql/features.js';
import { listWorkersOf, mayReadRegistry, type WorkerRow } from '../sql/list-workers.js';

/** `registry_hidden`: the schema has a registry, and this role may not read it. */
type WorkerList = Listed<WorkerRow> & { registry_hidden?: boolean };

export default class ListWorkers extends BaseCommand<WorkerList> {
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

  async execute(): Promise<WorkerList> {
    const { flags } = await this.parse(ListWorkers);
    return this.readQueues(flags.queue, async (reader, queues) => {
      const exists = (await schemaFeatures(reader.db)).includes('worker_registry');
      const registry = exists && (await mayReadRegistry(reader.db));
      const list = await acrossQueues(
        reader,
        queues,
        flags.limit,
        (queue) => listWorkersOf(reader.db, queue, registry),
        (a, b) => latestFirst(signOfLife(a), signOfLife(b)),
      );
      return { ...list, registry_hidden: exists && !registry };
    });
  }

  render(list: WorkerList): Rendering {
    return {
      warning: list.registry_hidden
        ? [
            'This role may not read the registry of workers (grant select on absurd.workers to it): all workers are inferred',
          ]
        : [],
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
        empty: 'No workers found',
        truncated: cutNote(list),
      },
    };
  }
}

const signOfLife = ({ last_heartbeat: beat, last_claim: claim }: WorkerRow): string | null =>
  (beat ?? '') > (claim ?? '') ? beat : claim;
