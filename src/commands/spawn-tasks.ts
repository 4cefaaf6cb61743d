import { resolve } from 'node:path';
import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Touched } from '../lib/connection/database.js';
import type { Rendering } from '../lib/cli/output.js';
import { ProgressBar } from '../lib/cli/progress.js';
import { requireFeature } from '../lib/schema/feature.js';
import { checkLines, spawnInBatches, type CheckedLines, type SpawnedLine } from '../lib/task/spawn-batches.js';
import { readFileTwice, readPipeTwice, type ReadTwice } from '../lib/task/spool.js';

interface SpawnedTasks {
  queue_name: string;
  total: number;
  spawned: number;
  /** Whose idempotency key was known. */
  existing: number;
  dry_run: boolean;
  tasks: SpawnedLine[];
}

/** The tasks of a statement that it made. */
const spawnedBy = (rows: readonly object[]): Touched | [] => {
  const made = (rows as Partial<SpawnedLine>[]).flatMap(({ task_id: id, created }) => (created && id ? [id] : []));
  return made.length > 0 ? { tasks: made } : [];
};

const sampleLine = '{"name": "open", "params": {"n": 1}, "options": {"idempotency_key": "k"}}\n';

export default class SpawnTasks extends BaseCommand<SpawnedTasks> {
  static override summary = 'Start many tasks from a file or a pipe, one JSON object a line';
  static override description = [
    'A line is {"name": "…", "params": …, "options": {…}}; options are headers, retry_strategy, max_attempts, cancellation, idempotency_key, and start_at (a time) or delay_seconds for a later start. The delays of a retry_strategy are 0 to 86400 seconds. All lines are checked before the first task is spawned: a file is read twice, and a long pipe is kept in a private temporary file. A line may be up to 16 MB long.',
    'Tasks are spawned in batches of 500, each all or none. With idempotency keys it is safe to send the same file again after an interruption: existing tasks are returned, and no task starts twice.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> spawn-tasks mails.ndjson -q mail',
    `jq -c '{name: "import", params: ., options: {idempotency_key: .id}}' rows.json | <%= config.bin %> spawn-tasks -`,
  ];
  static override args = {
    file: Args.string({ required: true, description: 'file with the lines; - for standard input' }),
  };
  static override flags = {
    ...changeFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', default: 'default', description: 'queue to spawn in' }),
    'dry-run': Flags.boolean({ char: 'n', description: 'only check the lines' }),
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: (flags) => (flags.some((word) => word === '--dry-run' || word === '-n') ? 'none' : 'worker'),
    samples: [
      { words: '- -q <queue>', stdin: sampleLine },
      { words: '- -q <queue> -n', stdin: sampleLine },
    ],
  };

  async execute(): Promise<SpawnedTasks> {
    const { args, flags } = await this.parse(SpawnTasks);
    const dryRun = flags['dry-run'] === true;
    const input =
      args.file === '-'
        ? readPipeTwice(this.io.stdin)
        : await readFileTwice(resolve(this.io.cwd, args.file), args.file);
    try {
      const lines = await checkLines(dryRun ? input.once() : input.first());
      const summary: SpawnedTasks = {
        queue_name: flags.queue,
        total: lines.total,
        spawned: 0,
        existing: 0,
        dry_run: dryRun,
        tasks: [],
      };
      if (dryRun || lines.total === 0) return summary;
      if (lines.delayed) await this.read((db) => requireFeature(db, 'delayed_spawn', 'delay the start of a task'));
      await this.spawn(input, lines, summary);
      return summary;
    } finally {
      await input.close();
    }
  }

  private async spawn(input: ReadTwice, lines: CheckedLines, summary: SpawnedTasks): Promise<void> {
    // A table shows no tasks: their number must not cost memory.
    const kept = this.mode() !== 'table';
    const bar = new ProgressBar(this.io, lines.total, 'tasks');
    try {
      await spawnInBatches(this.eachWrite(spawnedBy), summary.queue_name, input, lines, (tasks, done) => {
        summary.spawned += tasks.filter((task) => task.created).length;
        summary.existing = done - summary.spawned;
        if (kept) summary.tasks.push(...tasks);
        bar.show(done);
      });
    } finally {
      bar.end();
    }
  }

  render(result: SpawnedTasks): Rendering {
    const { queue_name: queue, total, spawned, existing } = result;
    return {
      note: result.dry_run
        ? `${total === 1 ? '1 line is' : `${total} lines are`} valid; nothing was spawned`
        : undefined,
      record: { Queue: queue, Lines: total, Spawned: spawned, 'Already there': existing },
      name: result.tasks.map((task) => task.task_id),
    };
  }
}
