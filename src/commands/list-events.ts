import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { byteSize } from '../lib/cli/format/size.js';
import { acrossQueues, cutNote, joinNotes, latestFirst, listFlags, wideNote, type Listed } from '../lib/cli/lists.js';
import type { Rendering } from '../lib/cli/output.js';
import { listEventsOf, type EventRow } from '../sql/lists.js';

export default class ListEvents extends BaseCommand<Listed<EventRow>> {
  static override summary = 'List events, the latest emission first';
  static override description =
    'An awaited event that was never emitted has no time and comes last. Payloads of more than 10,000 bytes are omitted; show-event prints them.';
  static override examples = ['<%= config.bin %> list-events -q mail', '<%= config.bin %> list-events --event paid:42'];
  static override flags = {
    ...dbFlags,
    ...listFlags,
    event: Flags.string({ char: 'e', helpValue: 'NAME', description: 'only this event' }),
  };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: [''],
  };

  async execute(): Promise<Listed<EventRow>> {
    const { flags } = await this.parse(ListEvents);
    const list = await this.readQueues(flags.queue, (reader, queues) =>
      acrossQueues(
        reader,
        queues,
        flags.limit,
        (queue, limit) => listEventsOf(reader.db, queue, flags.event ?? null, limit, { whole: false }),
        (a, b) => latestFirst(a.emitted_at, b.emitted_at),
      ),
    );
    if (list.rows.length === 0) await this.suggestName('event', flags.event, flags.queue);
    return list;
  }

  render(list: Listed<EventRow>): Rendering {
    return {
      table: {
        columns: [
          { key: 'event_name', label: 'EVENT' },
          { key: 'queue_name', label: 'QUEUE', drop: 2 },
          { key: 'emitted_at', label: 'EMITTED', type: 'time' },
          { key: 'waiting', type: 'number', drop: 1 },
          { key: 'bytes', label: 'SIZE', type: 'number', drop: 4, draw: byteSize },
          { key: 'payload', type: 'json', drop: 3 },
        ],
        rows: list.rows,
        empty: 'No events found',
        truncated: joinNotes(cutNote(list), wideNote(list.rows, 'show-event NAME')),
      },
    };
  }
}
