import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { acrossQueues, cutNote, joinNotes, latestFirst, listFlags, type Listed } from '../lib/cli/lists.js';
import type { Rendering } from '../lib/cli/output.js';
import { listWaitsOf, scanned, type WaitRow } from '../sql/lists.js';

export default class ListWaits extends BaseCommand<Listed<WaitRow>> {
  static override summary = 'List who waits for which event, the longest waiting first';
  static override examples = ['<%= config.bin %> list-waits', '<%= config.bin %> list-waits --event order.paid:42'];
  static override flags = {
    ...dbFlags,
    ...listFlags,
    event: Flags.string({ char: 'e', helpValue: 'NAME', description: 'only waits for this event' }),
  };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: [''],
  };

  private cut = false;

  async execute(): Promise<Listed<WaitRow>> {
    const { flags } = await this.parse(ListWaits);
    const list = await this.readQueues(flags.queue, (reader, queues) =>
      acrossQueues(
        reader,
        queues,
        flags.limit,
        async (queue, limit) => {
          const { rows, cut } = await listWaitsOf(reader.db, queue, flags.event ?? null, limit);
          this.cut ||= cut;
          return rows;
        },
        (a, b) => latestFirst(b.created_at, a.created_at),
      ),
    );
    const { event, queue } = flags;
    if (event !== undefined && list.rows.length === 0) {
      const { eventMeant } = await import('../lib/task/suggest-name.js');
      const meant = await this.readRanges((db) => eventMeant(db, queue, event));
      if (meant !== undefined) this.note(meant);
    }
    return list;
  }

  render(list: Listed<WaitRow>): Rendering {
    return {
      table: {
        columns: [
          { key: 'event_name', label: 'EVENT' },
          { key: 'task_id', type: 'id' },
          { key: 'task_name', label: 'NAME', drop: 2 },
          { key: 'queue_name', label: 'QUEUE', drop: 3 },
          { key: 'created_at', label: 'SINCE', type: 'time' },
          { key: 'timeout_at', label: 'UNTIL', type: 'time', drop: 1 },
          { key: 'step_name', label: 'STEP', drop: 4 },
          { key: 'run_id', type: 'id', drop: 5 },
        ],
        rows: list.rows,
        empty: 'Nobody waits for an event here',
        truncated: joinNotes(
          cutNote(list),
          this.cut ? `of more than ${scanned} waits in a queue so many were looked at` : undefined,
        ),
      },
    };
  }
}
