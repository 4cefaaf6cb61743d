import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { notFound } from '../lib/cli/errors.js';
import { readJsonFlags } from '../lib/task/json-params.js';
import { nearest } from '../lib/cli/nearest.js';
import type { Rendering } from '../lib/cli/output.js';
import { unreadableCancellation, unusableStrategy } from '../lib/diagnosis/settings.js';
import { locateTask } from '../lib/task/find-task.js';
import { checkpointNames, getCheckpoint } from '../sql/checkpoints.js';
import type { FoundTask } from '../sql/find-task.js';
import { forkTask, stepsBefore } from '../sql/fork.js';
import { getTask, type TaskDetail } from '../sql/tasks.js';
import { counted } from '../lib/cli/format/text.js';
import { command, hint as advise } from '../lib/cli/hint.js';

type Setting = 'retry_strategy' | 'cancellation';

interface Forked {
  queue_name: string;
  forked_from: string;
  from_step: string | null;
  /** The steps whose results were taken over. */
  steps: string[];
  /** Settings of the old task that were not copied because a spawn would refuse them. */
  not_copied: Setting[];
  /** Null with --dry-run. */
  task_id: string | null;
  run_id: string | null;
  attempt: number | null;
}

export default class ForkTask extends BaseCommand<Forked> {
  static override summary = 'Start a new task that resumes from a step of another';
  static override description = [
    'The new task has the inputs of the old one and the results of the steps that finished before --from-step, or of all finished steps. The old task is not changed. The header forked_from of the new task names the old one.',
    '-P changes single parameters, --params replaces all of them. Copied steps keep their results from the old parameters.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> fork-task 019a32d3-8425-7ae2-a5af-2f17a6707666 --from-step charge-card',
    '<%= config.bin %> fork-task 019a32d3-8425-7ae2-a5af-2f17a6707666 --from-step render -P size:=2 --dry-run',
  ];
  static override args = { id: Args.string({ required: true, description: 'id of a task or a run' }) };
  static override flags = {
    ...changeFlags,
    queue: queueFlag,
    'from-step': Flags.string({
      helpValue: 'STEP',
      description: 'first step to run again, as list-checkpoints names it',
    }),
    param: Flags.string({
      char: 'P',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'KEY=VALUE',
      description: 'a parameter to change: k=text, k:=json, a.b=text',
    }),
    params: Flags.string({ helpValue: 'JSON', description: 'all parameters: JSON, @file, or - for standard input' }),
    'dry-run': Flags.boolean({ description: 'list the steps that would be copied, start nothing' }),
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'worker',
    samples: ['<failed> --from-step <step>', '<failed> --dry-run'],
  };

  async execute(): Promise<Forked> {
    const { args, flags } = await this.parse(ForkTask);
    const fromStep = flags['from-step'] ?? null;
    const { task, old } = await this.read(async (db) => {
      const found = await locateTask(db, args.id, flags.queue);
      const { queue_name: queue, task_id: id } = found;
      if (fromStep !== null && (await getCheckpoint(db, queue, id, fromStep)) === undefined) {
        throw unknownStep(found, fromStep, await checkpointNames(db, queue, id));
      }
      return { task: found, old: await getTask(db, queue, id) };
    });
    const params = await readJsonFlags(this.io, {
      base: flags.params ?? old?.params.text,
      assignments: flags.param,
      baseFlag: flags.params === undefined ? "the task's parameters" : '--params',
      assignmentFlag: '-P',
    });
    const { queue_name, task_id: forked_from } = task;
    const not_copied = unusable(old);
    const about = { queue_name, forked_from, from_step: fromStep, not_copied };
    return this.write(
      async (db) => {
        const steps = await stepsBefore(db, queue_name, forked_from, fromStep);
        if (flags['dry-run']) return { ...about, steps, task_id: null, run_id: null, attempt: null };
        const made = await forkTask(db, {
          queueName: queue_name,
          taskId: forked_from,
          fromStep,
          params,
          steps,
          without: not_copied,
        });
        if (made === undefined) throw notFound(`Task ${forked_from} no longer exists`, 'it was just cleaned up');
        return { ...about, steps, task_id: made.task_id, run_id: made.run_id, attempt: made.attempt };
      },
      { touched: ({ task_id: id }) => ({ queue: queue_name, tasks: id === null ? [] : [id] }) },
    );
  }

  render({ task_id, run_id, attempt, steps, from_step: step, not_copied }: Forked): Rendering {
    const next = step === null ? 'it resumes after the last of them' : `it resumes with ${step}`;
    const taken = steps.length === 0 ? 'No step' : counted(steps.length, 'step');
    const odd =
      not_copied.length === 0
        ? ''
        : `; ${not_copied.join(' and ')} cannot be used and ${not_copied.length === 1 ? 'is' : 'are'} not copied`;
    if (task_id === null) {
      return {
        note: `${taken} would be taken over; nothing was started${odd}`,
        table: { columns: [{ key: 'step' }], rows: steps.map((name) => ({ step: name })) },
      };
    }
    return {
      note:
        (steps.length === 0 ? 'No step was copied: it starts from the beginning' : `${taken} taken over; it ${next}`) +
        odd,
      record: { 'Task ID': task_id, 'Run ID': run_id, Attempt: attempt, Steps: steps.length },
    };
  }
}

/** The old task's settings that a spawn would refuse: older clients could store anything. */
function unusable(old: TaskDetail | undefined): Setting[] {
  const faults: [Setting, string | null][] = [
    ['retry_strategy', unusableStrategy(old?.retry_strategy?.text ?? null)],
    ['cancellation', unreadableCancellation(old?.cancellation?.text ?? null)],
  ];
  return faults.flatMap(([setting, fault]) => (fault === null ? [] : [setting]));
}

function unknownStep(task: FoundTask, step: string, names: readonly string[]): Error {
  const suggestion = nearest(step, names);
  const hint =
    names.length === 0
      ? 'none of its steps has finished; without --from-step only its inputs are copied'
      : advise`${command('list-checkpoints', task.task_id)}; without --from-step all finished steps are copied`;
  return notFound(
    `Task ${task.task_id} has no finished step "${step}"`,
    suggestion === undefined ? hint : `did you mean "${suggestion}"?`,
    'checkpoint_not_found',
  );
}
