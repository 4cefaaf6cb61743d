import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { command, hint } from '../lib/cli/hint.js';
import { cutNote, listFlags, type Listed } from '../lib/cli/lists.js';
import type { Rendering } from '../lib/cli/output.js';
import { scheduleState, timing } from '../lib/schedule/show.js';
import { requireFeature } from '../lib/schema/feature.js';
import { queuesToLookIn } from '../lib/task/find-task.js';
import { listSchedules, type Schedule } from '../sql/schedules.js';

type Row = Schedule & { times: string; state: string };

export default class ListSchedules extends BaseCommand<Listed<Row>> {
  static override summary = 'List schedules, the next to fire first';
  static override examples = ['<%= config.bin %> list-schedules', '<%= config.bin %> list-schedules -q mail --json'];
  static override flags = { ...dbFlags, ...listFlags };
  static declares: Declaration = { topic: 'SCHEDULES', needs: 'reader', samples: [''] };

  async execute(): Promise<Listed<Row>> {
    const { flags } = await this.parse(ListSchedules);
    const { queue, limit } = flags;
    const rows = await this.read(async (db) => {
      await requireFeature(db, 'schedules', 'keep schedules');
      if (queue !== undefined) await queuesToLookIn(db, queue);
      return listSchedules(db, { queueName: queue, limit: limit + 1 });
    });
    return {
      rows: rows.slice(0, limit).map((row) => ({ ...row, times: timing(row), state: scheduleState(row) })),
      more: rows.length > limit,
      limit,
    };
  }

  render(list: Listed<Row>): Rendering {
    return {
      table: {
        columns: [
          { key: 'schedule_name', label: 'SCHEDULE', type: 'id' },
          { key: 'queue_name', label: 'QUEUE', drop: 3 },
          { key: 'task_name', label: 'TASK' },
          { key: 'times' },
          { key: 'next_at', label: 'NEXT', type: 'time' },
          { key: 'last_at', label: 'LAST', type: 'time', drop: 2 },
          { key: 'state', drop: 1 },
          { key: 'last_error', label: 'ERROR', drop: 4 },
        ],
        rows: list.rows,
        empty: hint`No schedules exist: ${command('create-schedule', { help: true })}`,
        truncated: cutNote(list),
      },
      jsonResult: list.rows.map(({ times: _times, state: _state, ...schedule }) => schedule),
    };
  }
}
