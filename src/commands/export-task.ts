import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { writeNewFile } from '../lib/cli/files.js';
import { redactFlag } from '../lib/cli/flags.js';
import { toJson } from '../lib/cli/format/json.js';
import type { Rendering } from '../lib/cli/output.js';
import { redacted } from '../lib/task/redact.js';
import { exportTask, type TaskExport } from '../lib/task/export.js';
import { locateTask } from '../lib/task/find-task.js';

interface Exported {
  exported: TaskExport;
  /** The file that was written; without one the export is printed. */
  file: string | undefined;
}

export default class ExportTask extends BaseCommand<Exported> {
  static override summary = 'Write everything about a task as one JSON document';
  static override description =
    'Contains inputs, runs, waits and checkpoints, with every digit as stored. import-task loads it into another database under new ids, so you can reproduce a failure in production on your machine. Without FILE it goes to standard output. --redact takes paths below the task: params.card, checkpoints.state.token.';
  static override examples = [
    '<%= config.bin %> export-task 019a32d3-8425-7ae2-a5af-2f17a6707666 task.json --redact params.card',
    '<%= config.bin %> export-task 019a32d3-8425-7ae2-a5af-2f17a6707666 | <%= config.bin %> import-task - -d embedded:',
  ];
  static override args = {
    id: Args.string({ required: true, description: 'id of a task or a run' }),
    file: Args.string({ description: 'file to write; an existing file needs --force' }),
  };
  static override flags = {
    ...dbFlags,
    queue: queueFlag,
    redact: redactFlag,
    force: Flags.boolean({ description: 'replace an existing file' }),
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'reader',
    samples: ['<failed>'],
  };

  async execute(): Promise<Exported> {
    const { args, flags } = await this.parse(ExportTask);
    const whole = await this.readRanges(async (db) =>
      exportTask(db, await locateTask(db, args.id, flags.queue), this.io.now()),
    );
    const exported = { ...whole, task: redacted(this.io, whole.task, flags.redact) };
    const file = args.file === '-' ? undefined : args.file;
    if (file !== undefined) {
      writeNewFile(this.io.cwd, file, `${toJson(exported, 2)}\n`, { force: flags.force === true });
    }
    return { exported, file };
  }

  render({ exported, file }: Exported): Rendering {
    const { task } = exported;
    if (file === undefined) return { text: toJson(exported, 2), name: task.task_id, jsonResult: exported };
    return {
      record: {
        'Task ID': task.task_id,
        Runs: task.runs.length,
        Checkpoints: task.checkpoints.length,
        File: file,
      },
      jsonResult: exported,
    };
  }
}
