import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { acrossQueues, cutNote, joinNotes, latestFirst, listFlags, type Listed } from '../lib/cli/lists.js';
import type { Rendering } from '../lib/cli/output.js';
import { listWaitsOf, scanned, type WaitRow } from '../sql/lists.js';

interface ListedWaits extends Listed<WaitRow> {
  /** Not all waits of a queue were looked at. */
  cut: boolean;
}

export default class ListWaits extends BaseCommand<ListedWaits> {
  static override summary = 'List tasks that wait for events, the longest wait first';
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

  async execute(): Promise<ListedWaits> {
    const { flags } = await this.parse(ListWaits);
    let someCut = false;
    const list = await this.readQueues(flags.queue, (reader, queues) =>
      acrossQueues(
        reader,
        queues,
        flags.limit,
        async (queue, limit) => {
          const { rows, cut } = await listWaitsOf(reader.db, queue, flags.event ?? null, limit);
          someCut ||= cut;
          return rows;
        },
        (a, b) => latestFirst(b.created_at, a.created_at),
      ),
    );
    if (list.rows.length === 0) await this.suggestName('event', flags.event, flags.queue);
    return { ...list, cut: someCut };
  }

  render(list: ListedWaits): Rendering {
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
        empty: 'No task waits for an event',
        truncated: joinNotes(
          cutNote(list),
          list.cut ? `of more than ${scanned} waits in a queue, that many were read` : undefined,
        ),
      },
    };
  }
}
