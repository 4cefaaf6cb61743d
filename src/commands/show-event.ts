import * as Args from '@oclif/core/args';
import { BaseCommand, dbFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { notFound, usageError } from '../lib/cli/errors.js';
import { nearestPattern } from '../lib/cli/nearest.js';
import type { Rendering } from '../lib/cli/output.js';
import { eventNames, listEventsOf, type EventRow } from '../sql/lists.js';
import { command, hint } from '../lib/cli/hint.js';
import type { QueueReader } from '../sql/each-queue.js';

export default class ShowEvent extends BaseCommand<EventRow> {
  static override summary = 'Print the whole payload of an event as JSON';
  static override description =
    'Searches every queue without -q. Standard output gets only the JSON; --json adds the queue, the time and the number of waiting runs. An event that was not emitted has no payload: exit code 3.';
  static override examples = ['<%= config.bin %> show-event paid:42 -q mail'];
  static override args = { name: Args.string({ required: true, suggest: 'event', description: "the event's name" }) };
  static override flags = { ...dbFlags, queue: queueFlag };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: ['<event> -q <queue>'],
  };

  async execute(): Promise<EventRow> {
    const { args, flags } = await this.parse(ShowEvent);
    return this.readQueues(flags.queue, async (reader, queues) => {
      const { db } = reader;
      const found = (
        await reader.each(queues, (queue) => listEventsOf(db, queue, args.name, 1, { whole: true }))
      ).flat();
      const emitted = found.filter((event) => event.emitted_at !== null);
      if (emitted.length > 1) {
        const names = emitted.map((event) => `"${event.queue_name}"`).join(', ');
        throw usageError(`Event "${args.name}" was emitted in the queues ${names}`, 'name one with -q');
      }
      const [event] = emitted;
      if (event !== undefined) return event;
      throw await missing(reader, args.name, found[0], queues);
    });
  }

  render(event: EventRow): Rendering {
    return { json: event.payload, name: event.event_name };
  }
}

async function missing(
  reader: QueueReader,
  name: string,
  awaited: EventRow | undefined,
  queues: readonly string[],
): Promise<Error> {
  if (awaited !== undefined) {
    const { queue_name: queue, waiting } = awaited;
    return notFound(
      `Event "${name}" was never emitted; waiting for it in queue "${queue}": ${waiting}`,
      hint`${command('emit-event', name, { q: queue })} emits it; ${command('list-waits', { e: name })} shows the tasks that wait`,
      'event_not_emitted',
    );
  }
  const known = (await reader.each(queues, (queue) => eventNames(reader.db, queue, name))).flat();
  reader.finish(queues);
  const suggestion = nearestPattern(name, known);
  const read = reader.skipped.length === 0 ? '' : ' that could be read';
  const where = queues.length === 1 ? `queue "${queues[0] ?? ''}"` : `any of ${queues.length} queues${read}`;
  return notFound(
    `There is no event "${name}" in ${where}`,
    suggestion === undefined
      ? hint`${command('list-events')} shows the existing ones`
      : `did you mean "${suggestion}"?`,
    'event_not_found',
  );
}
