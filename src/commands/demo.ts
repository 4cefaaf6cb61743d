import { BaseCommand } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { demoQueue, runDemo } from '../lib/work/demo.js';
import { followedExitCode } from '../lib/task/follow.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { readFolded, renderTask, type FoldedTask } from '../lib/task/dump.js';
import { locateTask } from '../lib/task/find-task.js';

interface Demonstrated {
  task: FoldedTask;
  /** How the task ended. */
  code: number;
}

export default class Demo extends BaseCommand<Demonstrated> {
  static override summary = 'Run a workflow on an embedded PostgreSQL and show its history';
  static override description =
    "Starts this folder's embedded server (absurdctl dev), runs one task with steps, a failure and its retry, a sleep and an event, shows the commands of an operator, and ends with the task's history. It uses no other database and is safe to repeat.";
  static override examples = ['<%= config.bin %> demo', '<%= config.bin %> demo --json'];
  static declares: Declaration = {
    topic: 'SERVER',
    needs: 'none',
    changesMachine: true,
    samples: [''],
  };

  async execute(): Promise<Demonstrated> {
    await this.parse(Demo);
    this.tell('absurdctl dev --detach');
    this.useDatabase('embedded:');
    const { WorkerPool } = await import('../lib/connection/pool.js');
    const pool = await WorkerPool.open(await this.settings(), this.io, 4);
    try {
      const task = await runDemo(pool, {
        read: (work) => this.read(work),
        pause: (ms) => this.pause(ms),
        now: () => this.io.now(),
        say: (line) => this.note(`  ${line}`),
        tell: (line) => this.tell(line),
      });
      const dump = await this.read(async (db) => readFolded(db, await locateTask(db, task.task_id, demoQueue)));
      return { task: dump, code: followedExitCode([task]) };
    } finally {
      await pool.close();
    }
  }

  protected override exitCode({ code }: Demonstrated): number {
    return code;
  }

  private tell(command: string): void {
    this.note(`$ ${command}`);
  }

  render({ task }: Demonstrated, context: RenderContext): Rendering {
    const rendering = renderTask(task, context);
    return {
      ...rendering,
      jsonResult: rendering.jsonResult ?? task,
      note: [
        'The server keeps running until it has had no client for half an hour: every absurdctl command in this folder finds it.',
        'Next: absurdctl list-tasks · absurdctl why ID · absurdctl --help · absurdctl dev --stop',
      ],
    };
  }
}
