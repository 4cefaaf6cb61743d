import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { usageError } from '../lib/cli/errors.js';
import { redactFlag, wholeNumberFlag } from '../lib/cli/flags.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { redacted } from '../lib/task/redact.js';
import { readFolded, renderTask, type FoldedTask } from '../lib/task/dump.js';
import { locateTask } from '../lib/task/find-task.js';
import { command, hint } from '../lib/cli/hint.js';

interface Dumped extends FoldedTask {
  verbose: boolean;
}

export default class DumpTask extends BaseCommand<Dumped> {
  static override summary = 'Show everything about a task: runs, waits and checkpoints';
  static override description =
    "Takes the id of a task or a run and searches every queue. Shows the latest attempt first, and consecutive attempts with the same error as one. A terminal shows the beginning of results and omits absurdctl's own stack frames (-v shows them); a pipe and JSON get whole results.";
  static override examples = [
    '<%= config.bin %> dump-task 019a32d3-8425-7ae2-a5af-2f17a6707666',
    "<%= config.bin %> dump-task 019a32d3-8425-7ae2-a5af-2f17a6707666 --redact params.card --redact '**.token'",
    '<%= config.bin %> dump-task --run-id 019a32d3-8431-7cc2-9f0a-d2dd4f6be9e0 --json',
  ];
  static override args = { id: Args.string({ description: 'id of a task or a run' }) };
  static override flags = {
    ...dbFlags,
    queue: queueFlag,
    'task-id': Flags.string({ helpValue: 'ID', description: 'id of the task' }),
    attempt: wholeNumberFlag({ min: 1, helpValue: 'N', description: 'show only this attempt' }),
    redact: redactFlag,
    'run-id': Flags.string({ helpValue: 'ID', description: 'id of one of its runs' }),
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'reader',
    samples: ['--task-id <failed>'],
  };

  async execute(): Promise<Dumped> {
    const { args, flags } = await this.parse(DumpTask);
    const ids = [args.id, flags['task-id'], flags['run-id']].filter((id) => id !== undefined);
    const [id] = ids;
    if (id === undefined || ids.length > 1) {
      throw usageError(
        'Give exactly one id',
        hint`${command('dump-task', 'ID')}, with --task-id ID, or with --run-id ID`,
      );
    }
    // A screen shows the beginning of a result: what is large does not cross the network for it.
    const wide = this.mode() !== 'table' || !this.io.outTty;
    const { dump, spans } = await this.readRanges(async (db) =>
      readFolded(db, await locateTask(db, id, flags.queue), { wide, attempt: flags.attempt }),
    );
    return { dump: redacted(this.io, dump, flags.redact), spans, verbose: flags.verbose === true };
  }

  render(task: Dumped, context: RenderContext): Rendering {
    return renderTask(task, context, task.verbose);
  }
}
