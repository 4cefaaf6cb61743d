import * as Args from '@oclif/core/args';
import { BaseCommand, dbFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { command, hint, type Advice } from '../lib/cli/hint.js';
import type { Column, Rendering } from '../lib/cli/output.js';
import { requireFeature } from '../lib/schema/feature.js';
import { blockers, familyTree, type TreeRow } from '../lib/task/family.js';
import { locateTask } from '../lib/task/find-task.js';
import { familyRoot, readAwaited, readFamily } from '../sql/families.js';

const drawName: Column['draw'] = (name, row) => {
  const { depth, asked } = row as TreeRow;
  return `${'  '.repeat(depth)}${String(name)}${asked && depth > 0 ? ' ←' : ''}`;
};

const drawBlocks: Column['draw'] = (_, row) => {
  const { blocks, waits_for: waits, asked } = row as TreeRow;
  if (waits.length > 0) return `waits for ${waits.length}`;
  return blocks && !asked ? 'blocks' : '-';
};

export default class ShowTree extends BaseCommand<TreeRow[]> {
  static override summary = 'Show the family of a task and what blocks it';
  static override description =
    'The tree starts at the oldest ancestor and covers all queues. A task waits for others when its handler called ctx.call or ctx.awaitTasks; BLOCKS marks those that the task waits for, directly or through others.';
  static override examples = ['<%= config.bin %> show-tree 019a32d3-8425-7ae2-a5af-2f17a6707666'];
  static override args = {
    id: Args.string({ required: true, suggest: 'id', description: 'id of a task, or of one of its runs' }),
  };
  static override flags = { ...dbFlags, queue: queueFlag };
  static declares: Declaration = { topic: 'TASKS', needs: 'reader', samples: ['<open>'] };

  async execute(): Promise<TreeRow[]> {
    const { args, flags } = await this.parse(ShowTree);
    return this.readRanges(async (db) => {
      await requireFeature(db, 'task_tree', 'tell which tasks belong together');
      const task = await locateTask(db, args.id, flags.queue);
      const root = await familyRoot(db, task.queue_name, task.task_id);
      const members = await readFamily(db, root.queue_name, root.task_id);
      return familyTree(members, await readAwaited(db, members), root.task_id, task.task_id);
    });
  }

  render(rows: TreeRow[]): Rendering {
    return {
      note: notes(rows),
      table: {
        columns: [
          { key: 'task_name', label: 'NAME', draw: drawName },
          { key: 'state', type: 'state' },
          { key: 'seconds', label: 'TOOK', type: 'duration', drop: 2 },
          { key: 'waits_for', label: 'BLOCKS', draw: drawBlocks, drop: 1 },
          { key: 'attempts', type: 'number', drop: 4 },
          { key: 'started_at', label: 'STARTED', type: 'time', drop: 3 },
          { key: 'queue_name', label: 'QUEUE', drop: 5 },
          { key: 'task_id', type: 'id' },
        ],
        name: 'task_id',
        rows,
      },
    };
  }
}

function notes(rows: readonly TreeRow[]): Advice[] {
  const asked = rows.find((row) => row.asked);
  if (rows.length === 1) return [`Task ${asked?.task_name ?? ''} has neither a parent nor children`];
  const [first, ...others] = blockers(rows);
  if (asked === undefined || first === undefined) return [];
  const more = others.length > 0 ? ` and ${others.length} more` : '';
  return [
    hint`Task ${asked.task_name} waits for ${first.task_name} (${first.state})${more}: ${command('why', first.task_id)} says why`,
  ];
}
