import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { defaultThresholds } from '../lib/diagnosis/thresholds.js';
import { whyId, whyQueue, whyTaskName, type WhyResult } from '../lib/diagnosis/why.js';
import { quoted } from '../lib/diagnosis/words.js';
import { hanging } from '../lib/cli/format/text.js';
import { watchFlag } from '../lib/cli/watch.js';
import { usageError } from '../lib/cli/errors.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { requireId } from '../lib/task/find-task.js';
import { command, hint } from '../lib/cli/hint.js';
import { wholeNumberFlag } from '../lib/cli/flags.js';

interface WhyFlags {
  queue?: string;
  'task-name'?: string;
  window: number;
  timeout: number;
  retries: number;
  polling: number;
  'large-mb': number;
}

export default class Why extends BaseCommand<WhyResult> {
  static override summary = 'Explain why a task, a run, a queue or a task name does not move';
  static override description =
    'Answers in one sentence, then the evidence (known, or inferred if the rows only suggest it), then the next commands. ' +
    'Works on any schema since 0.2.0, writes nothing and locks no rows. docs/why.md explains every cause.';
  static override examples = [
    '<%= config.bin %> why 019a32d3-8425-7ae2-a5af-2f17a6707666',
    '<%= config.bin %> why --queue mail',
    '<%= config.bin %> why --task-name send-mail --json',
  ];
  static override args = { id: Args.string({ description: 'id of a task or a run' }) };
  static override flags = {
    ...dbFlags,
    queue: queueFlag,
    'task-name': Flags.string({ char: 'n', helpValue: 'NAME', description: 'ask about the tasks of this name' }),
    window: wholeNumberFlag({
      min: 1,
      default: 300,
      helpValue: 'SECONDS',
      description: 'time span in which claims are counted',
    }),
    watch: watchFlag,
    retries: wholeNumberFlag({
      min: 2,
      default: defaultThresholds.retries,
      helpValue: 'N',
      description: 'consecutive failures with the same error that are too many without a limit',
    }),
    polling: wholeNumberFlag({
      min: 1,
      default: defaultThresholds.polling,
      helpValue: 'N',
      description: 'sleeps per minute that count as polling',
    }),
    'large-mb': wholeNumberFlag({
      min: 1,
      default: defaultThresholds.largeBytes / 1024 / 1024,
      helpValue: 'MB',
      description: 'stored size of all checkpoints of a task that is large',
    }),
    timeout: wholeNumberFlag({
      min: 1,
      default: 5,
      helpValue: 'SECONDS',
      description: 'time limit of a statement',
    }),
  };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: ['<open>', '--queue <queue>', '--task-name open'],
  };

  async execute(): Promise<WhyResult> {
    const { args, flags } = await this.parse(Why);
    const look = (): Promise<WhyResult> => this.ask(args.id, flags);
    return flags.watch ? this.watch(look) : look();
  }

  private async ask(id: string | undefined, flags: WhyFlags): Promise<WhyResult> {
    const { queue, 'task-name': name } = flags;
    const options = {
      windowSeconds: flags.window,
      timeoutMs: flags.timeout * 1000,
      thresholds: { retries: flags.retries, polling: flags.polling, largeBytes: flags['large-mb'] * 1024 * 1024 },
    };
    if (id !== undefined && name !== undefined) throw usageError('Use either an id or --task-name, not both');
    if (id !== undefined) return whyId(await this.db(), requireId(id), queue, options);
    if (name !== undefined) return whyTaskName(await this.db(), name, queue, options);
    if (queue !== undefined) return whyQueue(await this.db(), queue, options);
    throw usageError('Why what?', hint`${command('why', 'ID')}, why --queue QUEUE, or why --task-name NAME`);
  }

  render(result: WhyResult, { next, tty, width: columns }: RenderContext): Rendering {
    const width = Math.max(0, ...result.evidence.map(({ what }) => what.length));
    // Lines are broken for a screen alone: a pipe gets each whole. A command to type is never broken.
    const line = (mark: string, text: string): string[] => (tty ? hanging(mark, text, columns) : [mark + text]);
    const unseen = result.sees_sessions || ['ended', 'fine'].includes(result.verdict) ? [] : [blind];
    const clock = result.clock_stopped_at;
    const stopped = `the clock is stopped at ${clock ?? ''} (absurd.fake_now): ages and future times are unreliable`;
    const lines = [
      ...unseen.flatMap((text) => line('', text)),
      ...line('', sentenceCase(result.sentence)),
      ...subject(result),
      ...(clock === null ? [] : line('  ', stopped)),
      '',
      ...result.evidence.flatMap(({ certainty, what, value }) =>
        line(`  ${certainty.padEnd(8)}  ${what.padEnd(width)}  `, value),
      ),
      ...result.also.flatMap(({ sentence }) => line('  also: ', sentence)),
      ...result.unread.flatMap(({ what, reason }) => line('  not read: ', `${what} (${reason})`)),
      '',
      ...result.next.map((step) => `  → ${next(step)}`),
    ];
    return { text: `${lines.join('\n')}\n`, name: result.code };
  }
}

/** Said before all else: an answer that could not see a lock's holder may name the wrong cause. */
const blind =
  'This role cannot see what other sessions do (grant pg_read_all_stats to it): a session that holds a lock may be missing here.';

/** Which task that is: an id that was typed may have been a run's, and says nothing to a reader. */
function subject({ task_id: id, task_name: name, queue }: WhyResult): string[] {
  if (id === null || name === null || queue === null) return [];
  return [`  task ${id}, ${quoted(name)} in queue ${quoted(queue)}`];
}

const sentenceCase = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('?') ? '' : '.'}`;
