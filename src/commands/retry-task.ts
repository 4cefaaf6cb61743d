import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { changeFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { readIds } from '../lib/bulk/choose.js';
import { BulkCommand, isBulk, renderMany, type BulkResult } from '../lib/bulk/command.js';
import { bulkFlags, readChoice, statusFlag } from '../lib/bulk/flags.js';
import { CliError, errorCode, refused, toCliError } from '../lib/cli/errors.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { locateTask } from '../lib/task/find-task.js';
import { retryTasks } from '../sql/bulk.js';
import { retryTask, type SpawnedTask } from '../sql/tasks.js';
import { command, hint } from '../lib/cli/hint.js';
import { wholeNumberFlag } from '../lib/cli/flags.js';

const states = ['failed'] as const;

export default class RetryTask extends BulkCommand<SpawnedTask> {
  static override summary = 'Give failed tasks another attempt';
  static override description = [
    'Finished steps are kept: the new attempt resumes after the last one. --spawn-new starts a new task with the same inputs instead.',
    'For many tasks: several ids, - for ids from standard input, or a filter. It shows them and asks (--yes without a terminal), then retries them in batches. It skips tasks that are not failed, so it is safe to repeat after an interruption.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> retry-task 019a32d3-8425-7ae2-a5af-2f17a6707666',
    '<%= config.bin %> retry-task 019a32d3-8425-7ae2-a5af-2f17a6707666 --max-attempts 8',
    "<%= config.bin %> retry-task -q mail --task-name send-mail --since 2h --error 'connect ECONNREFUSED' --dry-run",
    '<%= config.bin %> list-tasks -s failed -o name | <%= config.bin %> retry-task - --yes --rate 50',
  ];
  static override args = {
    id: Args.string({
      multiple: true,
      suggest: 'failed-id',
      description: 'ids of failed tasks or their runs; - for standard input',
    }),
  };
  static override flags = {
    ...changeFlags,
    queue: queueFlag,
    'max-attempts': wholeNumberFlag({ min: 1, description: 'new limit of attempts, including past attempts' }),
    'spawn-new': Flags.boolean({ description: 'start a new task instead' }),
    status: statusFlag(states),
    ...bulkFlags,
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'worker',
    samples: ['<failed>', '<failed> --spawn-new', '-q <queue> --all --yes', '-q <queue> --all --dry-run'],
  };

  async execute(): Promise<SpawnedTask | BulkResult> {
    const { args, flags } = await this.parse(RetryTask);
    const typed = args.id ?? [];
    const options = { maxAttempts: flags['max-attempts'], spawnNew: flags['spawn-new'] };
    const choice = readChoice('retry-task', await readIds(this.io, typed), flags, states);
    const [only] = typed;
    if (only !== undefined && only !== '-' && typed.length === 1 && !flags['dry-run']) {
      const task = await this.read((db) => locateTask(db, only, flags.queue));
      const { queue_name: queueName, task_id: taskId } = task;
      return this.one(
        taskId,
        (db) => retryTask(db, { queueName, taskId, ...options }),
        ({ task_id: id }) => ({ queue: queueName, tasks: [...new Set([taskId, id])], count: 1 }),
      ).catch((error: unknown) => {
        throw notFailed(error, taskId);
      });
    }
    return this.many({
      choice,
      verb: flags['spawn-new'] ? 'Start again' : 'Retry',
      outcome: 'retried',
      states,
      rate: flags.rate,
      dryRun: flags['dry-run'],
      yes: flags.yes,
      work: {
        batch: (db, queue, ids) => retryTasks(db, queue, ids, options),
        outcome: () => ({ outcome: 'retried', reason: null }),
        refused: (_code, message) => (message.includes('not currently failed') ? 'skipped' : 'failed'),
      },
      timeoutMs: flags.timeout * 1000,
      passedOver: flags['spawn-new'] ? null : 'tasks that are no longer failed are skipped',
    });
  }

  render(result: SpawnedTask | BulkResult, context: RenderContext): Rendering {
    if (isBulk(result)) return renderMany(result, context);
    return {
      note: result.created
        ? 'Started a new task with the same inputs'
        : `Attempt ${result.attempt} is waiting for a worker of queue "${result.queue_name}"`,
      record: { 'Task ID': result.task_id, 'Run ID': result.run_id, Attempt: result.attempt },
    };
  }
}

/** Where the task is in another state, or cannot be spawned again as it is: what is possible instead. */
function notFailed(error: unknown, taskId: string): unknown {
  const { message, exitCode, code } = toCliError(error);
  if (errorCode(error) === 'AB003') {
    const wayOut = hint`without --spawn-new the task gets another attempt; ${command('fork-task', taskId)} starts a new one without its retry_strategy`;
    return new CliError(message, { exitCode, code, hint: wayOut, cause: error });
  }
  if (errorCode(error) !== '55000') return error;
  const state = /not currently failed: it is (\w+)$/.exec(message)?.[1];
  if (state === undefined) return error;
  const wayOut = ['completed', 'cancelled'].includes(state)
    ? hint`${command('fork-task', taskId)} starts a new one, with its finished steps`
    : hint`${command('why', taskId)} says what it waits for`;
  return refused(message, hint`only a failed task can be retried; ${wayOut}`, 'wrong_state');
}
