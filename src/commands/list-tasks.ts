import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { drawState, drawWake, filterFlags } from '../lib/cli/lists.js';
import { usageError } from '../lib/cli/errors.js';
import { readError } from '../lib/bulk/flags.js';
import { watchFlag } from '../lib/cli/watch.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { parseMoment } from '../lib/cli/time.js';
import { taskStates } from '../sql/description.js';
import { requireFeature } from '../lib/schema/feature.js';
import { locateTask } from '../lib/task/find-task.js';
import { listTasks, type TaskFilter, type TaskList } from '../sql/list-tasks.js';
import { listWhere, type WhereCut } from '../sql/list-where.js';
import { parseWhere } from '../lib/task/where.js';
import { cutNotes, lookBackFlag, whereFlag } from '../lib/task/where-flags.js';
import { counted } from '../lib/cli/format/text.js';
import { wholeNumberFlag } from '../lib/cli/flags.js';

interface LimitedList extends TaskList {
  limit: number;
  /** With --where: the queues that were not looked through to their first task. */
  cut?: WhereCut[];
  lookBack: number;
}

export default class ListTasks extends BaseCommand<LimitedList> {
  static override summary = 'List tasks, the latest activity first';
  static override description =
    'Activity is the time when the latest attempt was claimed, created or woken. Reads all queues without -q. --where searches what tasks hold, the newest tasks first, and says how far back it looked.';
  static override examples = [
    '<%= config.bin %> list-tasks --status failed --since 2h',
    '<%= config.bin %> list-tasks -q mail -n send-mail --limit 200',
    "<%= config.bin %> list-tasks --where params.order=42 --where 'result.total>100'",
    '<%= config.bin %> list-tasks --parent 019a32d3-8425-7ae2-a5af-2f17a6707666 --status failed',
    '<%= config.bin %> list-tasks --status running --watch',
  ];
  static override flags = {
    ...dbFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'queue to search; default: all' }),
    ...filterFlags,
    where: whereFlag(),
    'look-back': lookBackFlag(),
    status: Flags.option({
      char: 's',
      options: taskStates,
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
      description: 'only tasks in this state; may be repeated',
    })(),
    parent: Flags.string({
      helpValue: 'ID',
      description: 'only children of this task, in all queues or in that of -q',
    }),
    limit: wholeNumberFlag({
      char: 'l',
      min: 1,
      max: 10_000,
      default: 50,
      helpValue: 'N',
      description: 'maximum number of tasks',
    }),
    watch: watchFlag,
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'reader',
    samples: ['', '--where params.order=42', '--parent <open>'],
  };

  async execute(): Promise<LimitedList> {
    const { flags } = await this.parse(ListTasks);
    const filter: TaskFilter = {
      states: flags.status ?? [],
      taskName: flags['task-name'],
      since: parseMoment(flags.since, '--since'),
      until: parseMoment(flags.until, '--until'),
      error: flags.error === undefined ? undefined : readError(flags.error),
      worker: flags.worker,
      key: flags.key,
      parent: flags.parent === undefined ? undefined : await this.parentId(flags.parent),
      limit: flags.limit,
    };
    const where = (flags.where ?? []).map((typed) => parseWhere(typed));
    if (where.length > 0 && filter.key !== undefined) throw usageError('Use either --where or --key, not both');
    const lookBack = flags['look-back'];
    const look = async (): Promise<LimitedList> => {
      const list = await this.readQueues<TaskList & { cut?: WhereCut[] }>(flags.queue, async (reader, queues) => {
        if (where.length === 0) return listTasks(reader, queues, filter);
        return { ...(await listWhere(reader, queues, { ...filter, where }, lookBack)), stopped: false };
      });
      return { ...list, limit: flags.limit, lookBack };
    };
    if (flags.watch) return this.watch(look);
    const list = await look();
    if (list.rows.length === 0) await this.suggestName('task', filter.taskName, flags.queue);
    return list;
  }

  private parentId(id: string): Promise<string> {
    return this.readRanges(async (db) => {
      await requireFeature(db, 'task_tree', 'tell which tasks are children of a task');
      return (await locateTask(db, id, undefined)).task_id;
    });
  }

  render({ rows, more, stopped, limit, cut: unread = [], lookBack }: LimitedList, { now }: RenderContext): Rendering {
    const cut = more ? [`Showing ${counted(rows.length, 'task')}; --limit ${limit * 2} shows more`] : [];
    const unseen = stopped
      ? ['Stopped before all tasks were read: narrow the search with --status, -q or --until']
      : [];
    const said = [...cut, ...unseen].join('. ');
    return {
      table: {
        columns: [
          { key: 'task_id', type: 'id' },
          { key: 'queue_name', label: 'QUEUE', drop: 3 },
          { key: 'task_name', label: 'NAME' },
          { key: 'state', type: 'state', draw: drawState(now) },
          { key: 'attempts', type: 'number', drop: 2 },
          { key: 'max_attempts', label: 'OF', type: 'number', drop: 6 },
          { key: 'activity_at', label: 'ACTIVE', type: 'time', drop: 1 },
          { key: 'claimed_by', label: 'WORKER', drop: 5 },
          { key: 'wake_event', label: 'EVENT', drop: 8 },
          { key: 'run_id', type: 'id', drop: 7 },
          { key: 'available_at', label: 'WAKES', drop: 4, draw: drawWake(now) },
        ],
        rows,
        empty: 'No tasks found',
        truncated: said === '' ? undefined : said,
      },
      warning: cutNotes(unread, lookBack),
    };
  }
}
