import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags, patienceMs } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { errorCode, interrupted, isServerError, toCliError, usageError } from '../lib/cli/errors.js';
import { secondsFlag } from '../lib/cli/flags.js';
import { adviceText, command, hint } from '../lib/cli/hint.js';
import { takesUnicode } from '../lib/cli/io.js';
import type { Rendering } from '../lib/cli/output.js';
import { queuesToLookIn } from '../lib/task/find-task.js';
import type { Action, TopPort } from '../lib/top/model.js';

export default class Top extends BaseCommand<null> {
  static override summary = 'Watch and operate queues and tasks on a live screen';
  static override description = [
    'Queues, the tasks of a queue, one task with its timeline, steps and error, and the value of a step: enter goes down, esc goes back, ? shows all keys. Retry, cancel, pause, resume and emit show a preview and ask first. Each change is recorded as the command that does the same.',
    'It reads a bounded number of rows at each look: 200 queues, 200 tasks. Off a terminal, queue-stats --watch shows queues.',
  ].join('\n');
  static override examples = ['<%= config.bin %> top', '<%= config.bin %> top -q mail --read-only'];
  static override flags = {
    ...dbFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'queue whose tasks to show first' }),
    interval: secondsFlag({ min: 0.2, default: 2, description: 'pause between two looks' }),
    'read-only': Flags.boolean({ description: 'refuse every change' }),
  };
  // It needs a terminal, which the tests over samples do not have.
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: ['--help'],
  };

  /** What asks the database, one after the other: there is one connection. */
  private last: Promise<unknown> = Promise.resolve();

  async execute(): Promise<null> {
    const { flags } = await this.parse(Top);
    const { io } = this;
    if (!io.outTty || !io.inTty || this.mode() !== 'table') {
      throw usageError(
        'top draws a screen, and this is not a terminal',
        hint`${command('queue-stats', { watch: true })} shows queues anywhere`,
      );
    }
    // A wrong address, a missing right or an unknown queue is an error before there is a screen.
    await this.read((db) => queuesToLookIn(db, flags.queue));
    const { runTop } = await import('../lib/top/run.js');
    const quitByHand = await runTop(
      this.port(),
      {
        start: flags.queue === undefined ? { kind: 'queues' } : { kind: 'tasks', queue: flags.queue },
        intervalMs: flags.interval * 1000,
        readOnly: flags['read-only'],
        colour: io.colour,
        unicode: takesUnicode(io),
      },
      (stop) => io.onInterrupt(stop),
    );
    if (quitByHand) throw interrupted();
    return null;
  }

  private port(): TopPort {
    const text = (advice: Parameters<typeof adviceText>[0]): string => adviceText(advice, this.place());
    return {
      look: (request) =>
        this.inTurn(async () => {
          const { readPage } = await import('../lib/top/read.js');
          const seen = await readPage(await this.db(), request, text);
          return { ...seen, command: text(seen.command) };
        }),
      preview: (action) =>
        this.inTurn(async () => {
          const { planOf } = await import('../lib/top/change.js');
          const { title, allowed, effects, command: line } = await this.readRanges((db) => planOf(db, action));
          return { title, allowed, effects, command: text(line) };
        }),
      perform: (action) => this.inTurn(() => this.change(action)),
      explain: async (error) => (await this.explain(error, undefined)).message,
    };
  }

  /** Does what was previewed, if it still can be done, and records it as the command that does the same. */
  private async change(action: Action): Promise<string> {
    const { planOf, wordsOf } = await import('../lib/top/change.js');
    const { OperationLog } = await import('../lib/operations/log.js');
    const plan = await this.readRanges((db) => planOf(db, action));
    if (!plan.allowed) throw usageError(plan.effects[0] ?? 'It cannot be done now');
    const { id, args } = wordsOf(plan);
    const database = await this.db();
    database.recorder = new OperationLog({
      ...{ command: id, argv: args, reason: undefined, queue: plan.touched.queue, env: this.io.env },
      bringsSchema: false,
    });
    try {
      return await this.write((db) => plan.perform(db), { lockTimeoutMs: patienceMs, touched: () => plan.touched });
    } finally {
      database.recorder = undefined;
    }
  }

  /** One after the other. Where the connection may be lost, the next one opens another. */
  private inTurn<R>(work: () => Promise<R>): Promise<R> {
    const next = this.last.then(async () => {
      try {
        return await work();
      } catch (error) {
        const lost = !isServerError(error) || /^(57P|08)/.test(errorCode(error) ?? '');
        if (lost && toCliError(error).exitCode !== 2) await this.closeDatabase();
        throw error;
      }
    });
    this.last = next.catch(() => undefined);
    return next;
  }

  render(): Rendering {
    return {};
  }
}
