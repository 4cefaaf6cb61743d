import * as Args from '@oclif/core/args';
import { BaseCommand, dbFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { byteSize } from '../lib/cli/format/size.js';
import { cutNote, joinNotes, listFlags, wideNote, type Listed } from '../lib/cli/lists.js';
import { cellText } from '../lib/cli/format/cell.js';
import type { Rendering } from '../lib/cli/output.js';
import { locateTask } from '../lib/task/find-task.js';
import { listCheckpointRows, type CheckpointRow } from '../sql/checkpoints.js';

export default class ListCheckpoints extends BaseCommand<Listed<CheckpointRow>> {
  static override summary = "List a task's checkpoints, the oldest first";
  static override description =
    'A checkpoint is the saved result of a finished step. A terminal shows the beginning of each. Results of more than 10,000 bytes are omitted; show-checkpoint prints them.';
  static override examples = ['<%= config.bin %> list-checkpoints 019a32d3-8425-7ae2-a5af-2f17a6707666'];
  static override args = { id: Args.string({ required: true, description: 'id of a task or a run' }) };
  static override flags = { ...dbFlags, queue: queueFlag, limit: listFlags.limit };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: ['<failed>'],
  };

  async execute(): Promise<Listed<CheckpointRow>> {
    const { args, flags } = await this.parse(ListCheckpoints);
    const { limit } = flags;
    return this.readRanges(async (db) => {
      const task = await locateTask(db, args.id, flags.queue);
      const rows = await listCheckpointRows(db, task.queue_name, task.task_id, limit + 1);
      return { rows: rows.slice(0, limit), more: rows.length > limit, limit };
    });
  }

  render(list: Listed<CheckpointRow>): Rendering {
    return {
      table: {
        columns: [
          { key: 'checkpoint_name', label: 'STEP' },
          { key: 'queue_name', label: 'QUEUE', drop: 5 },
          { key: 'task_id', type: 'id', drop: 7 },
          { key: 'status', drop: 4 },
          { key: 'attempt', type: 'number', drop: 2 },
          { key: 'owner_run_id', label: 'RUN ID', type: 'id', drop: 6 },
          { key: 'updated_at', label: 'DONE', type: 'time', drop: 1 },
          { key: 'bytes', label: 'SIZE', type: 'number', drop: 3, draw: byteSize },
          { key: 'state', label: 'RESULT', type: 'json', draw: beginning },
        ],
        rows: list.rows,
        empty: 'No step of this task has finished yet',
        truncated: joinNotes(cutNote(list), wideNote(list.rows, 'show-checkpoint ID STEP')),
      },
    };
  }
}

/** Only so much that the other columns keep their place. */
const beginning = (state: unknown): string => {
  const text = cellText(state);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
};
