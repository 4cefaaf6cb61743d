import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { usageError } from '../lib/cli/errors.js';
import { redactFlag } from '../lib/cli/flags.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { redacted } from '../lib/task/redact.js';
import { readTask, renderTask, type TaskDump } from '../lib/task/dump.js';
import { locateTask } from '../lib/task/find-task.js';
import { command, hint } from '../lib/cli/hint.js';

export default class DumpTask extends BaseCommand<TaskDump> {
  static override summary = 'Show all there is of a task: its runs, waits and checkpoints';
  static override description = 'The id may be that of a task or of one of its runs; every queue is searched.';
  static override examples = [
    '<%= config.bin %> dump-task 019a32d3-8425-7ae2-a5af-2f17a6707666',
    "<%= config.bin %> dump-task 019a32d3-8425-7ae2-a5af-2f17a6707666 --redact params.card --redact '**.token'",
    '<%= config.bin %> dump-task --run-id 019a32d3-8431-7cc2-9f0a-d2dd4f6be9e0 --json',
  ];
  static override args = { id: Args.string({ description: "a task's id or a run's" }) };
  static override flags = {
    ...dbFlags,
    queue: queueFlag,
    'task-id': Flags.string({ helpValue: 'ID', description: 'id of the task' }),
    redact: redactFlag,
    'run-id': Flags.string({ helpValue: 'ID', description: 'id of one of its runs' }),
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'reader',
    samples: ['--task-id <failed>'],
  };

  async execute(): Promise<TaskDump> {
    const { args, flags } = await this.parse(DumpTask);
    const ids = [args.id, flags['task-id'], flags['run-id']].filter((id) => id !== undefined);
    const [id] = ids;
    if (id === undefined || ids.length > 1) {
      throw usageError(
        'Give exactly one id',
        hint`${command('dump-task', 'ID')}, with --task-id ID, or with --run-id ID`,
      );
    }
    const dump = await this.readRanges(async (db) => readTask(db, await locateTask(db, id, flags.queue)));
    return redacted(this.io, dump, flags.redact);
  }

  render(dump: TaskDump, context: RenderContext): Rendering {
    return renderTask(dump, context);
  }
}
