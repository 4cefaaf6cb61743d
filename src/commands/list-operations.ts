import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { cutNote, listFlags, type Listed } from '../lib/cli/lists.js';
import type { Rendering } from '../lib/cli/output.js';
import { parseMoment } from '../lib/cli/time.js';
import { taskOfOperation } from '../lib/operations/find.js';
import { actor, commandLine } from '../lib/operations/words.js';
import { requireFeature } from '../lib/schema/feature.js';
import { queuesToLookIn } from '../lib/task/find-task.js';
import { listOperations, type Operation } from '../sql/operations.js';

export default class ListOperations extends BaseCommand<Listed<Operation>> {
  static override summary = 'List operations: who changed what, when and why, the latest first';
  static override description =
    'Every command that changes something leaves a row in the transaction of the change: the command line with secrets masked, the user and host that ran it, the database role, the --reason, and the tasks that it changed (the first 1,000). With --queue also operations on several queues or on all. Programs that use an SDK or SQL leave no rows. Cleanup deletes rows that are older than 90 days and than the policy of their queue.';
  static override examples = [
    '<%= config.bin %> list-operations --since 2h',
    '<%= config.bin %> list-operations --task 019a32d3-8425-7ae2-a5af-2f17a6707666',
    '<%= config.bin %> list-operations -q mail --command cancel-task --json',
  ];
  static override flags = {
    ...dbFlags,
    ...listFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'only operations on this queue' }),
    task: Flags.string({ helpValue: 'ID', suggest: 'id', description: 'only operations that changed this task' }),
    command: Flags.string({ helpValue: 'NAME', description: 'only this command, such as cancel-task' }),
    since: Flags.string({ helpValue: 'TIME', description: 'at or after: 2h, 2026-01-02, RFC 3339' }),
    until: Flags.string({ helpValue: 'TIME', description: 'at or before' }),
  };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: ['', '-q <queue> --task <open>'],
  };

  async execute(): Promise<Listed<Operation>> {
    const { flags } = await this.parse(ListOperations);
    const { queue, limit, task, command } = flags;
    const since = parseMoment(flags.since, '--since');
    const until = parseMoment(flags.until, '--until');
    const rows = await this.read(async (db) => {
      await requireFeature(db, 'operations', 'record operations');
      const taskId = task === undefined ? undefined : await taskOfOperation(db, task);
      const found = await listOperations(db, { queueName: queue, taskId, command, since, until, limit: limit + 1 });
      // A queue that was dropped is known by its operations alone.
      if (queue !== undefined && !found.some((row) => row.queue_name === queue)) await queuesToLookIn(db, queue);
      return found;
    });
    return { rows: rows.slice(0, limit), more: rows.length > limit, limit };
  }

  render(list: Listed<Operation>): Rendering {
    return {
      table: {
        columns: [
          { key: 'performed_at', label: 'TIME', type: 'time' },
          { key: 'actor', label: 'WHO' },
          { key: 'database_role', label: 'ROLE', drop: 3 },
          { key: 'command_line', label: 'COMMAND' },
          { key: 'queue_name', label: 'QUEUE', drop: 2 },
          { key: 'task_count', label: 'TASKS', type: 'number', drop: 1 },
          { key: 'reason' },
          { key: 'operation_id', label: 'OPERATION', drop: 4 },
        ],
        rows: list.rows.map((row) => ({ ...row, actor: actor(row), command_line: commandLine(row) })),
        name: 'operation_id',
        empty: 'No operations here',
        truncated: cutNote(list),
      },
      jsonResult: list.rows,
    };
  }
}
