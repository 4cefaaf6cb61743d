import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { CliError, errorCode } from '../lib/cli/errors.js';
import { readJsonFlags } from '../lib/task/json-params.js';
import type { Rendering } from '../lib/cli/output.js';
import { emitEvent, type EmittedEvent } from '../sql/events.js';
import { counted } from '../lib/cli/format/text.js';
import { command, hint, type Advice } from '../lib/cli/hint.js';

const lockTimeoutMs = 10_000;

export default class EmitEvent extends BaseCommand<EmittedEvent> {
  static override summary = 'Emit an event, which wakes the tasks that wait for it';
  static override description =
    'The first emission of a name wins for ever: a later one changes nothing and wakes nobody. The payload is an object, {} when nothing is given.';
  static override examples = [
    '<%= config.bin %> emit-event order.paid:42 -P amount:=1999 -P currency=EUR',
    `<%= config.bin %> emit-event approved -q reviews --payload '{"by": "ann"}'`,
  ];
  static override args = { name: Args.string({ required: true, suggest: 'event', description: "the event's name" }) };
  static override flags = {
    ...dbFlags,
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

  /** A name like it that is waited for, where this one is not. */
  private near: string | undefined;
  /** Other queues where this name is waited for, and the payload to emit there. */
  private elsewhere: { queue_name: string; waiting: number }[] = [];
  private payload = '';

  async execute(): Promise<EmittedEvent> {
    const { args, flags } = await this.parse(EmitEvent);
    const payload = await readJsonFlags(this.io, {
      base: flags.payload,
      assignments: flags.param,
      baseFlag: '--payload',
      assignmentFlag: '-P',
      mustBeObject: true,
    });
    const event = await this.emit({ queueName: flags.queue, eventName: args.name, payload });
    if (event.first && event.waiting === 0) {
      this.payload = payload;
      const { waitedElsewhere, waitedNear } = await import('../lib/task/suggest-name.js');
      this.elsewhere = await this.readRanges((db) => waitedElsewhere(db, flags.queue, args.name)).catch(() => []);
      if (this.elsewhere.length > 0) return event;
      this.near = await this.readRanges((db) => waitedNear(db, flags.queue, args.name)).catch(() => undefined);
    }
    return event;
  }

  /** In a transaction that ends where another session does not let go of the event, or of a task that waits for it. */
  private async emit(what: Parameters<typeof emitEvent>[1]): Promise<EmittedEvent> {
    try {
      return await (await this.db()).transaction((db) => emitEvent(db, what), { lockTimeoutMs });
    } catch (error) {
      if (errorCode(error) !== '55P03') throw error;
      throw new CliError(
        `Another session has held event "${what.eventName}", or a task that waits for it, for ${lockTimeoutMs / 1000} seconds; nothing was emitted`,
        {
          code: 'lock_timeout',
          hint: hint`${command('doctor', { 'idle-age': 1, 'transaction-age': 5 })} names the session`,
          cause: error,
        },
      );
    }
  }

  render({ queue_name, event_name, first, emitted_at, waiting }: EmittedEvent): Rendering {
    const woken = `${counted(waiting, 'run')} ${waiting === 1 ? 'was' : 'were'} waiting for it`;
    const near = this.near === undefined ? [] : [`Somebody waits for "${this.near}" there: did you mean that?`];
    return {
      note: first
        ? [`Emitted "${event_name}" in queue "${queue_name}"; ${woken}`, ...this.others(event_name), ...near]
        : `"${event_name}" was emitted before, at ${emitted_at}: its first payload stays and nobody is woken`,
      name: event_name,
    };
  }

  private others(event: string): Advice[] {
    return this.elsewhere.slice(0, 5).map(({ queue_name: queue, waiting }) => {
      const waits = `${counted(waiting, 'run')} ${waiting === 1 ? 'waits' : 'wait'} for it in queue "${queue}"`;
      if (this.payload.length > 500)
        return hint`${waits}: ${command('emit-event', event, { queue })}, with the same payload`;
      return hint`${waits}: ${command('emit-event', event, { queue, payload: this.payload })}`;
    });
  }
}
