import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { exit } from '../lib/cli/errors.js';
import { maintain, type Chore } from '../lib/queue/maintain.js';
import type { Rendering } from '../lib/cli/output.js';
import { queuesToLookIn } from '../lib/task/find-task.js';
import { command, hint } from '../lib/cli/hint.js';

export default class Maintain extends BaseCommand<Chore[]> {
  static override summary = 'Run the maintenance that pg_cron would run';
  static override description =
    'For servers without pg_cron: run it every hour from cron or a CI schedule. For each queue it creates the partitions that the policy requires, deletes one batch of finished tasks and events older than cleanup_ttl (cleanup --all deletes all batches), and detaches and drops one old, empty partition per table. If one queue fails, it continues with the others and exits with 1.';
  static override examples = ['<%= config.bin %> maintain', '<%= config.bin %> maintain -q audit --json'];
  static override flags = {
    ...changeFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'only this queue' }),
  };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'owner',
    samples: [{ words: '--queue <queue>', only: 'partitioned' }],
  };

  async execute(): Promise<Chore[]> {
    const { flags } = await this.parse(Maintain);
    const queues = await this.read((db) => queuesToLookIn(db, flags.queue));
    return maintain(await this.db(), queues);
  }

  protected override exitCode(chores: Chore[]): number {
    return chores.some(({ error }) => error !== null) ? exit.failed : exit.done;
  }

  render(chores: Chore[]): Rendering {
    return {
      note: chores.flatMap(({ chore, queue_name: queue, error }) =>
        error === null ? [] : [`${chore} of queue "${queue}" failed: ${error}`],
      ),
      table: {
        columns: [
          { key: 'queue_name', label: 'QUEUE', type: 'id' },
          { key: 'chore' },
          { key: 'partitions_created', label: 'MADE', type: 'number' },
          { key: 'tasks_deleted', label: 'TASKS', type: 'number' },
          { key: 'events_deleted', label: 'EVENTS', type: 'number' },
          { key: 'partition', label: 'DROPPED', drop: 1 },
          { key: 'error', drop: 2 },
        ],
        rows: chores,
        empty: hint`No queues yet: ${command('create-queue', 'default')}`,
      },
    };
  }
}
