import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { queuesToLookIn } from '../lib/task/find-task.js';
import { parseMoment } from '../lib/cli/time.js';
import { listTasks, taskStates, type TaskFilter, type TaskList } from '../sql/list-tasks.js';
import { counted } from '../lib/cli/format/text.js';

export default class ListTasks extends BaseCommand<TaskList> {
  static override summary = 'List tasks, the latest activity first';
  static override description =
    'A task was last active when its latest attempt was claimed, made or woken. Without -q all queues are read.';
  static override examples = [
    '<%= config.bin %> list-tasks --status failed --since 2h',
    '<%= config.bin %> list-tasks -q mail -n send-mail --limit 200',
    '<%= config.bin %> list-tasks --status running --watch',
  ];
  static override flags = {
    ...dbFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'queue to look in; all when absent' }),
    'task-name': Flags.string({ char: 'n', helpValue: 'NAME', description: 'only tasks of this name' }),
    status: Flags.option({
      char: 's',
      options: taskStates,
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
      description: 'only tasks in this state; may be repeated',
    })(),
    since: Flags.string({ helpValue: 'TIME', description: 'active at or after: 2h, 2026-01-02, RFC 3339' }),
    until: Flags.string({ helpValue: 'TIME', description: 'active at or before' }),
    limit: Flags.integer({ char: 'l', min: 1, max: 10_000, default: 50, helpValue: 'N', description: 'tasks at most' }),
    watch: Flags.boolean({ description: 'look again every two seconds until Ctrl-C' }),
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'reader',
    samples: [''],
  };

  private limit = 50;

  async execute(): Promise<TaskList> {
    const { flags } = await this.parse(ListTasks);
    this.limit = flags.limit;
    const filter: TaskFilter = {
      states: flags.status ?? [],
      taskName: flags['task-name'],
      since: parseMoment(flags.since, '--since'),
      until: parseMoment(flags.until, '--until'),
      limit: flags.limit,
    };
    const look = (): Promise<TaskList> =>
      this.read(async (db) => listTasks(db, await queuesToLookIn(db, flags.queue), filter));
    if (!flags.watch) {
      const list = await look();
      if (filter.taskName !== undefined && list.rows.length === 0) await this.noteMeant(filter.taskName, flags.queue);
      return list;
    }
    for (;;) {
      // Home and clear before each look, so that the screen does not scroll away.
      const list = await look();
      if (this.io.outTty) this.io.out('\u001b[H\u001b[2J');
      await this.show(list);
      await this.pause(2000);
    }
  }

  private async noteMeant(taskName: string, queue: string | undefined): Promise<void> {
    const { taskMeant } = await import('../lib/task/suggest-name.js');
    const meant = await this.readRanges((db) => taskMeant(db, queue, taskName));
    if (meant !== undefined) this.note(meant);
  }

  render({ rows, more, stopped }: TaskList, _context: RenderContext): Rendering {
    const cut = more ? [`Showing ${counted(rows.length, 'task')}; --limit ${this.limit * 2} shows more`] : [];
    const unseen = stopped ? ['Reading stopped before all tasks were seen: name a --status, -q or --until'] : [];
    const said = [...cut, ...unseen].join('. ');
    return {
      table: {
        columns: [
          { key: 'task_id', type: 'id' },
          { key: 'queue_name', label: 'QUEUE', drop: 3 },
          { key: 'task_name', label: 'NAME' },
          { key: 'state', type: 'state' },
          { key: 'attempts', type: 'number', drop: 2 },
          { key: 'max_attempts', label: 'OF', type: 'number', drop: 6 },
          { key: 'activity_at', label: 'ACTIVE', type: 'time', drop: 1 },
          { key: 'claimed_by', label: 'WORKER', drop: 4 },
          { key: 'wake_event', label: 'EVENT', drop: 5 },
          { key: 'run_id', type: 'id', drop: 7 },
        ],
        rows,
        empty: 'No tasks here',
        truncated: said === '' ? undefined : said,
      },
    };
  }
}
