import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { errorCode, notFound, usageError } from '../lib/cli/errors.js';
import type { Rendering } from '../lib/cli/output.js';
import { checkExport } from '../lib/task/export.js';
import { findImported, importTask, type ImportedTask } from '../sql/import-task.js';
import { createQueue, listRegisteredQueues } from '../sql/queues.js';
import { command, hint } from '../lib/cli/hint.js';

interface Imported {
  task: ImportedTask;
  madeQueue: boolean;
}

export default class ImportTask extends BaseCommand<Imported> {
  static override summary = 'Load a task that export-task wrote, under new ids';
  static override description = [
    'Keeps state, attempts, failures and finished steps. A claimed run becomes pending. Cancellation limits and the idempotency key are not imported. The header imported_from names the origin. A parent stays the parent where it exists in this database, or was imported before.',
    'Creates the queue if it does not exist. Importing the same export again returns the same task; --again creates another one.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> import-task task.json -d embedded:',
    '<%= config.bin %> export-task 019a32d3-8425-7ae2-a5af-2f17a6707666 | <%= config.bin %> import-task - -d embedded:',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'file that export-task wrote; - for standard input' }),
  };
  static override flags = {
    ...changeFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'queue to load it into; default: its own' }),
    again: Flags.boolean({ description: 'import it again as another task' }),
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'worker',
    samples: ['<exported> -q <queue>'],
  };

  async execute(): Promise<Imported> {
    const { args, flags } = await this.parse(ImportTask);
    const json = await this.readFile(args.file);
    const { queueName, key } = checkExport(json, args.file);
    const name = flags.queue ?? queueName;
    return this.write(
      async (db) => {
        let queue = (await listRegisteredQueues(db)).find((one) => one.queue_name === name);
        const madeQueue = queue === undefined;
        if (queue === undefined) {
          await createQueue(db, name);
          queue = { queue_name: name, storage_mode: 'unpartitioned', complete: true };
        }
        const partitioned = queue.storage_mode === 'partitioned';
        const before = flags.again ? undefined : await findImported(db, name, { key, partitioned });
        const task = before ?? (await importTask(db, name, { json, key: flags.again ? null : key, partitioned }));
        return { task, madeQueue, found: before !== undefined };
      },
      { touched: ({ task, found }) => (found ? [] : { queue: name, tasks: [task.task_id] }) },
    );
  }

  private async readFile(file: string): Promise<string> {
    if (file === '-' && this.io.inTty) throw usageError('- reads a pipe, and standard input is a terminal');
    try {
      const content = await text(file === '-' ? this.io.stdin : createReadStream(resolve(this.io.cwd, file)));
      return content.replace(/^\ufeff/, '');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') throw notFound(`There is no file ${file}`, undefined, 'file_not_found');
      throw usageError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  render({ task, madeQueue }: Imported): Rendering {
    const { queue_name: queue, task_id, run_id, state, created } = task;
    const next =
      state === 'failed' ? hint`${command('retry-task', task_id)} gives it another attempt` : command('why', task_id);
    return {
      note: [
        ...(madeQueue ? [`Created queue "${queue}"`] : []),
        created ? next : 'This export was imported before as this task; --again creates another one',
      ],
      record: { 'Task ID': task_id, 'Run ID': run_id, Queue: queue, State: state },
      jsonResult: task,
    };
  }
}
