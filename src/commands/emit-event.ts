import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags, patienceMs } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { CliError, errorCode } from '../lib/cli/errors.js';
import { readJsonFlags } from '../lib/task/json-params.js';
import type { Rendering } from '../lib/cli/output.js';
import { emitEvent, type EmittedEvent } from '../sql/events.js';
import { counted } from '../lib/cli/format/text.js';
import { command, hint, type Advice } from '../lib/cli/hint.js';

interface Emission {
  event: EmittedEvent;
  payload: string;
  /** Other queues where this name is waited for. */
  elsewhere: { queue_name: string; waiting: number }[];
  /** A name like it that is waited for, where this one is not. */
  near: string | undefined;
}

export default class EmitEvent extends BaseCommand<Emission> {
  static override summary = 'Emit an event, which wakes the tasks that wait for it';
  static override description =
    'The first emission of a name is final: a later one changes nothing and wakes no task. The payload is an object; default {}.';
  static override examples = [
    '<%= config.bin %> emit-event order.paid:42 -P amount:=1999 -P currency=EUR',
    `<%= config.bin %> emit-event approved -q reviews --payload '{"by": "ann"}'`,
  ];
  static override args = { name: Args.string({ required: true, suggest: 'event', description: "the event's name" }) };
  static override flags = {
    ...changeFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', default: 'default', description: 'queue of the event' }),
    param: Flags.string({
      char: 'P',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'KEY=VALUE',
      description: 'a member of the payload: k=text, k:=json, a.b=text',
    }),
    payload: Flags.string({
      helpValue: 'JSON',
      description: 'the payload: a JSON object, @file, or - for standard input',
    }),
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'worker',
    samples: ['go -q <queue>'],
  };

  async execute(): Promise<Emission> {
    const { args, flags } = await this.parse(EmitEvent);
    const payload = await readJsonFlags(this.io, {
      base: flags.payload,
      assignments: flags.param,
      baseFlag: '--payload',
      assignmentFlag: '-P',
      mustBeObject: true,
    });
    const event = await this.emit({ queueName: flags.queue, eventName: args.name, payload });
    const emission: Emission = { event, payload, elsewhere: [], near: undefined };
    if (!event.first || event.waiting > 0) return emission;
    const { waitedElsewhere, waitedNear } = await import('../lib/task/suggest-name.js');
    const elsewhere = await this.readRanges((db) => waitedElsewhere(db, flags.queue, args.name)).catch(() => []);
    if (elsewhere.length > 0) return { ...emission, elsewhere };
    const near = await this.readRanges((db) => waitedNear(db, flags.queue, args.name)).catch(() => undefined);
    return { ...emission, near };
  }

  /** In a transaction that fails if another session keeps the event, or a task that waits for it, locked. */
  private async emit(what: Parameters<typeof emitEvent>[1]): Promise<EmittedEvent> {
    try {
      return await this.write((db) => emitEvent(db, what));
    } catch (error) {
      if (errorCode(error) !== '55P03') throw error;
      throw new CliError(
        `Another session has locked event "${what.eventName}", or a task that waits for it, for ${patienceMs / 1000} seconds; nothing was emitted`,
        {
          code: 'lock_timeout',
          hint: hint`${command('doctor', { 'idle-age': 1, 'transaction-age': 5 })} names the session`,
          cause: error,
        },
      );
    }
  }

  render(emission: Emission): Rendering {
    const { queue_name, event_name, first, emitted_at, waiting } = emission.event;
    const woken = `${counted(waiting, 'run')} ${waiting === 1 ? 'was' : 'were'} waiting for it`;
    const near = emission.near === undefined ? [] : [`A task waits for "${emission.near}" there: did you mean that?`];
    return {
      note: first
        ? [`Emitted "${event_name}" in queue "${queue_name}"; ${woken}`, ...others(emission), ...near]
        : `"${event_name}" was emitted before, at ${emitted_at}: its first payload stays, and no task is woken`,
      name: event_name,
      jsonResult: emission.event,
    };
  }
}

function others({ event, payload, elsewhere }: Emission): Advice[] {
  return elsewhere.slice(0, 5).map(({ queue_name: queue, waiting }) => {
    const waits = `${counted(waiting, 'run')} ${waiting === 1 ? 'waits' : 'wait'} for it in queue "${queue}"`;
    return payload.length > 500
      ? hint`${waits}: ${command('emit-event', event.event_name, { queue })}, with the same payload`
      : hint`${waits}: ${command('emit-event', event.event_name, { queue, payload })}`;
  });
}
