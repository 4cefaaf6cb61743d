/** What retry-task, cancel-task and wake-task share when they touch many: choose, preview, ask, go through them, account for each. */
import type { BatchOutcome, ChosenTask } from '../../sql/bulk.js';
import type { TaskState } from '../../sql/description.js';
import type { Queryable } from '../../sql/queryable.js';
import { BaseCommand, patienceMs } from '../cli/base-command.js';
import { confirmMany } from '../cli/confirm.js';
import { CliError, errorCode, exit } from '../cli/errors.js';
import type { RenderContext, Rendering } from '../cli/output.js';
import type { WriteOptions } from '../connection/database.js';
import { ProgressBar } from '../cli/progress.js';
import { account, applyToAll, type BulkTask, type BulkWork, type Outcome } from './apply.js';
import { choose, type Chosen } from './choose.js';
import type { Choice } from './flags.js';
import { counted } from '../cli/format/text.js';
import { command, hint, type Advice, type CommandFlags } from '../cli/hint.js';

export interface BulkResult {
  dry_run: boolean;
  total: number;
  counts: Record<Outcome, number>;
  /** The tasks that are left are listed: the same command would take others. */
  list_left?: boolean;
  /** With --dry-run, the tasks that would be taken. */
  would_take: ChosenTask[];
  tasks: BulkTask[];
}

export interface BulkPlan {
  choice: Choice;
  /** Tasks that are taken along with those that the choice takes. */
  others?: (db: Queryable, tasks: readonly ChosenTask[]) => Promise<ChosenTask[]>;
  /** `Retry`, for questions; the outcome's word for the account. */
  verb: string;
  outcome: Outcome;
  /** Tasks in another state are skipped. */
  states: readonly TaskState[];
  rate: number | undefined;
  dryRun: boolean | undefined;
  yes: boolean | undefined;
  work: Omit<BulkWork, 'batch'> & {
    batch(db: Queryable, queueName: string, taskIds: readonly string[]): Promise<BatchOutcome[]>;
  };
  /** Why nothing is done twice when the command is typed again; null where the choice would take what was done. */
  passedOver: string | null;
  /** Longest time for one statement that chooses. */
  timeoutMs: number;
}

/** How long a batch waits for a lock that another session holds, before it is tried task by task. */
const bulkLockTimeoutMs = 2000;

export abstract class BulkCommand<Single extends object> extends BaseCommand<Single | BulkResult> {
  protected async many(plan: BulkPlan): Promise<BulkResult> {
    const chosen = await this.chosen(plan);
    const { tasks, unknown, skipped } = chosen;
    this.skip(skipped);
    if (tasks.length === 0 && 'filter' in plan.choice)
      await this.suggestName('task', plan.choice.filter.taskName, plan.choice.queue);
    const fit = tasks.filter((task) => plan.states.includes(task.state));
    const result: BulkResult = {
      dry_run: plan.dryRun === true,
      total: tasks.length + unknown.length,
      counts: { retried: 0, cancelled: 0, woken: 0, skipped: 0, failed: 0, left: 0 },
      would_take: plan.dryRun ? fit : [],
      tasks: [],
    };
    const take = (done: BulkTask[]): void => {
      for (const task of done) {
        result.counts[task.outcome]++;
        result.tasks.push(task);
      }
    };
    take(
      unknown.map((id) =>
        account(
          { task_id: id },
          'failed',
          skipped.length === 0 ? 'no queue has this id' : 'no queue that could be read has this id',
        ),
      ),
    );
    take(
      tasks
        .filter((task) => !plan.states.includes(task.state))
        .map((task) => account(task, 'skipped', `it is ${task.state}`)),
    );
    if (plan.dryRun) return result;
    if (fit.length === 0) return this.summed(result);
    await confirmMany(this.io, `${plan.verb} ${describe(fit)}?`, sample(fit), plan.yes);
    if (plan.yes) this.note(`${plan.verb}: ${describe(fit)}`);
    const bar = new ProgressBar(this.io, fit.length, 'tasks');
    let done = 0;
    const ended = await applyToAll(fit, this.batches(plan), {
      rate: plan.rate,
      nowMs: () => this.io.now().getTime(),
      pause: (ms) => this.pause(ms),
      report: async (batch) => {
        take(batch);
        bar.show((done += batch.length));
        if (this.mode() === 'ndjson') await this.show({ ...result, tasks: result.tasks.splice(0) });
      },
    });
    bar.end();
    if (ended === undefined) return this.summed(result);
    await this.show({ ...result, list_left: plan.passedOver === null });
    throw endedEarly(ended, result, plan, (left) =>
      resume(this.ctor.id, (except) => this.typedFlags(except), chosen, left, plan.passedOver),
    );
  }

  /** Batches as transactions, each with the tasks that it changed in the row of the operation. */
  private batches({ work, outcome }: BulkPlan): BulkWork {
    return {
      ...work,
      batch: (queue, ids) =>
        this.write((db) => work.batch(db, queue, ids), {
          lockTimeoutMs: bulkLockTimeoutMs,
          touched: (rows) => {
            const done = rows.filter((row) => work.outcome(row).outcome === outcome);
            const tasks = done.flatMap((row) => [...new Set([row.task_id, row.new_task_id ?? row.task_id])]);
            return done.length > 0 ? { queue, tasks, count: done.length } : [];
          },
        }),
    };
  }

  /** Does something to one task, in a transaction of its own that ends where another session does not let go of the task. */
  protected async one<T>(
    taskId: string,
    work: (db: Queryable) => Promise<T>,
    touched: WriteOptions<T>['touched'],
  ): Promise<T> {
    try {
      return await this.write(work, { touched });
    } catch (error) {
      if (errorCode(error) !== '55P03') throw error;
      throw new CliError(
        `Another session has locked task ${taskId} for ${patienceMs / 1000} seconds; nothing was changed`,
        {
          code: 'lock_timeout',
          hint: hint`${command('why', taskId)} names the session`,
          cause: error,
        },
      );
    }
  }

  private async chosen(plan: BulkPlan): Promise<Chosen> {
    try {
      return await this.readRanges(async (db) => {
        const chosen = await choose(db, plan.choice);
        const others = (await plan.others?.(db, chosen.tasks)) ?? [];
        return { ...chosen, tasks: [...chosen.tasks, ...others] };
      }, plan.timeoutMs);
    } catch (error) {
      if (errorCode(error) !== '57014') throw error;
      throw new CliError(
        `The search for tasks took longer than ${plan.timeoutMs / 1000} seconds; nothing was changed`,
        {
          code: 'statement_timeout',
          hint: 'a narrower filter (--queue, --since, a simpler expression), or --timeout SECONDS',
          cause: error,
        },
      );
    }
  }

  /** Lines for each task leave no place on standard output for the summary. */
  private summed(result: BulkResult): BulkResult {
    if (this.mode() === 'ndjson') this.io.err(`${summary(result)}\n`);
    return result;
  }

  protected override exitCode(result: Single | BulkResult): number {
    return isBulk(result) && !result.dry_run && result.counts.failed > 0 ? exit.failed : exit.done;
  }
}

export const isBulk = (result: object): result is BulkResult => 'would_take' in result;

/** How many tasks look: what was done with them, or would be. */
export function renderMany(result: BulkResult, { mode }: RenderContext): Rendering {
  if (result.dry_run) return renderChoice(result);
  const { counts } = result;
  const failed = result.tasks.filter((task) => task.outcome === 'failed');
  const left = result.list_left ? result.tasks.filter((task) => task.outcome === 'left') : [];
  const skipped = result.tasks.filter((task) => task.outcome === 'skipped');
  return {
    note: result.total === 0 ? 'No task matches' : undefined,
    foundNothing: result.total === 0,
    record: {
      Tasks: result.total,
      Retried: counts.retried || undefined,
      Cancelled: counts.cancelled || undefined,
      Woken: counts.woken || undefined,
      Skipped: counts.skipped || undefined,
      Failed: counts.failed || undefined,
      Left: counts.left || undefined,
    },
    sections: [
      ...accounts('Failed', failed),
      ...accounts('Skipped', skipped),
      ...(left.length === 0 ? [] : [{ title: 'Left', table: { columns: [{ key: 'task_id' }], rows: left } }]),
    ],
    name: result.tasks.flatMap((task) => (doneOutcomes.has(task.outcome) ? [task.new_task_id ?? task.task_id] : [])),
    jsonResult: mode === 'json' ? { ...result, would_take: undefined, list_left: undefined } : result.tasks,
  };
}

const shown = 20;
const doneOutcomes = new Set<Outcome>(['retried', 'cancelled', 'woken']);

/** The first of those tasks, each with its reason. */
const accounts = (title: string, tasks: readonly BulkTask[]) =>
  tasks.length === 0
    ? []
    : [
        {
          title,
          table: {
            columns: [
              { key: 'task_id', type: 'id' as const },
              { key: 'task_name', label: 'NAME', drop: 1 },
              { key: 'reason' },
            ],
            rows: tasks.slice(0, shown),
            truncated: tasks.length > shown ? `${title}: ${tasks.length - shown} more; --json names all` : undefined,
          },
        },
      ];

function renderChoice({ would_take: rows, total, counts }: BulkResult): Rendering {
  const others = total - rows.length;
  return {
    note: [
      `${counted(rows.length, 'task')} would be changed; nothing was changed`,
      ...(others > 0 ? [`${others} would not: ${counts.skipped} in another state, ${counts.failed} unknown`] : []),
    ],
    table: {
      columns: [
        { key: 'task_id', type: 'id' },
        { key: 'queue_name', label: 'QUEUE', drop: 2 },
        { key: 'task_name', label: 'NAME' },
        { key: 'state', type: 'state' },
        { key: 'attempts', type: 'number', drop: 1 },
      ],
      rows,
      empty: 'No task matches',
    },
  };
}

/** `1200 tasks (1000 send-mail, 200 charge)`, the five most frequent names. */
function describe(tasks: readonly ChosenTask[]): string {
  const counts = new Map<string, number>();
  for (const { task_name: name } of tasks) counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = [...counts].sort((a, b) => b[1] - a[1]);
  const said = names.slice(0, 5).map(([name, n]) => `${n} ${name}`);
  const more = names.length > 5 ? [`${names.length - 5} other names`] : [];
  const queues = new Set(tasks.map((task) => task.queue_name));
  const where = queues.size === 1 ? `in queue "${tasks[0]?.queue_name ?? ''}"` : `in ${queues.size} queues`;
  return `${counted(tasks.length, 'task')} ${where} (${[...said, ...more].join(', ')})`;
}

const sample = (tasks: readonly ChosenTask[]): string[] => [
  ...tasks.slice(0, 5).map((task) => `${task.task_id}  ${task.task_name}  ${task.state}, attempt ${task.attempts}`),
  ...(tasks.length > 5 ? [`… and ${tasks.length - 5} more; --dry-run lists all`] : []),
];

/** `12 tasks: 10 retried, 2 failed`. */
function summary({ total, counts }: BulkResult): string {
  const parts = Object.entries(counts).flatMap(([outcome, n]) => (n > 0 ? [`${n} ${outcome}`] : []));
  return parts.length === 0 ? counted(total, 'task') : `${counted(total, 'task')}: ${parts.join(', ')}`;
}

function endedEarly(cause: CliError, result: BulkResult, plan: BulkPlan, resumed: (left: number) => Advice): CliError {
  const { counts, total } = result;
  const what = cause.exitCode === exit.interrupted ? 'Interrupted' : cause.message;
  return new CliError(
    `${what}; ${counts[plan.outcome]} of ${counted(total, 'task')} are ${plan.outcome}, ${counts.left} are left`,
    {
      exitCode: cause.exitCode,
      code: cause.code,
      hint: resumed(counts.left),
      cause,
    },
  );
}

/** Ids that are typed again; more are left to the line that was typed. */
const idsTyped = 20;

/**
 * The command that takes exactly what is left. Spans of time have moved on by then, and a task that was retried may have failed
 * again: so a filter resumes with the points in time that it meant.
 */
function resume(
  id: string,
  typed: (except: readonly string[]) => CommandFlags,
  { choice, at }: Chosen,
  left: number,
  passedOver: string | null,
): Advice {
  if (passedOver === null)
    return hint`the ids that are left have "outcome": "left" in JSON; ${command(id, '-', typed(['since', 'until', 'limit', 'all']))} takes them from standard input`;
  if ('ids' in choice) {
    if (choice.ids.length > idsTyped) return `this command continues: ${passedOver}`;
    return hint`${command(id, ...choice.ids, typed([]))} continues: ${passedOver}`;
  }
  const { since, until } = choice.filter;
  const flags = {
    ...typed(['since', 'until', 'limit', 'all']),
    since: since !== undefined && 'at' in since ? since.at : undefined,
    until: until !== undefined && 'at' in until ? until.at : at,
    limit: choice.limit === undefined ? undefined : left,
  };
  return hint`${command(id, flags)} continues: ${passedOver}`;
}
