/** All there is of one task, read at once and laid out for a person: what `dump-task` shows. */
import { listCheckpoints, type CheckpointDetail } from '../../sql/checkpoints.js';
import type { FoundTask } from '../../sql/find-task.js';
import type { Queryable } from '../../sql/queryable.js';
import { listRuns, listWaits, type RunDetail, type WaitDetail } from '../../sql/runs.js';
import { getTask, type TaskDetail } from '../../sql/tasks.js';
import type { RawJson, Timestamp } from '../../sql/values.js';
import { notFound } from '../cli/errors.js';
import { ago } from '../cli/format/time.js';
import type { RenderContext, Rendering, Section } from '../cli/output.js';

/** More than this is cut, which the dump then says. */
const limits = { runs: 200, checkpoints: 1000 };
const noLimits = { runs: 2 ** 31, checkpoints: 2 ** 31 };

export interface TaskDump extends TaskDetail {
  queue_name: string;
  runs: RunDetail[];
  waits: WaitDetail[];
  checkpoints: CheckpointDetail[];
  /** Which of the lists were cut: only the latest runs, only the first checkpoints. */
  cut: ('runs' | 'checkpoints')[];
}

/** Reads a task that was found, `whole` or cut where it is long. Raises exit 3 when it has gone meanwhile. */
export async function readTask(db: Queryable, found: FoundTask, whole = false): Promise<TaskDump> {
  const { queue_name: queue, task_id: taskId } = found;
  const task = await getTask(db, queue, taskId);
  if (!task) throw notFound(`Task ${taskId} is gone from queue "${queue}"`, 'it was cleaned up a moment ago');
  const { runs: runLimit, checkpoints: checkpointLimit } = whole ? noLimits : limits;
  const runs = await listRuns(db, queue, taskId, { limit: runLimit + 1, wanted: found.run_id });
  const checkpoints = await listCheckpoints(db, queue, taskId, checkpointLimit + 1);
  const cut: TaskDump['cut'] = [];
  if (runs.length > runLimit + 1 || (runs.length > runLimit && (runs[0]?.attempt ?? 1) > 1)) cut.push('runs');
  if (checkpoints.length > checkpointLimit) cut.push('checkpoints');
  return {
    queue_name: queue,
    ...task,
    runs,
    waits: await listWaits(db, queue, taskId),
    checkpoints: checkpoints.slice(0, checkpointLimit),
    cut,
  };
}

/** A moment, on a terminal with how long ago that was. */
function when(time: Timestamp | null, { tty, now }: RenderContext): string | undefined {
  if (time === null) return undefined;
  return tty && time !== 'infinity' ? `${time}  (${ago(time, now)})` : time;
}

/** A failure as a part of an answer: set in, so that no line of an error's text can pass for a line of ours. */
export const failureSection = (reason: RawJson): Section => ({
  title: 'Failure',
  text: failureText(reason).replace(/^/gm, '  '),
});

/** Takes an error as the SDKs write it apart; anything else is shown as the JSON it is. */
export function failureText(reason: RawJson): string {
  const value = reason.parse();
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return reason.text;
  const { name, message, stack, ...rest } = value as Record<string, unknown>;
  if (typeof message !== 'string') return reason.text;
  const title = typeof name === 'string' ? `${name}: ${message}` : message;
  const trace = typeof stack === 'string' ? stack : '';
  // A JavaScript stack begins with the title; saying it twice helps nobody.
  const lines = [trace.startsWith(title) ? trace : [title, trace].filter((part) => part !== '').join('\n')];
  if (Object.keys(rest).length > 0) lines.push(`also: ${reason.text}`);
  return lines.join('\n');
}

function identity(dump: TaskDump, context: RenderContext): Section['record'] {
  const limit = dump.max_attempts === null ? '(no limit)' : `of ${dump.max_attempts}`;
  return {
    'Task ID': dump.task_id,
    Name: dump.task_name,
    Queue: dump.queue_name,
    State: dump.state,
    Attempts: `${dump.attempts} ${limit}`,
    'Last run': dump.last_attempt_run ?? undefined,
    Enqueued: when(dump.enqueue_at, context),
    'First started': when(dump.first_started_at, context),
    Cancelled: when(dump.cancelled_at, context),
    'Retry strategy': dump.retry_strategy ?? undefined,
    Cancellation: dump.cancellation ?? undefined,
    'Idempotency key': dump.idempotency_key ?? undefined,
    Headers: dump.headers ?? undefined,
  };
}

function waitingFor(wait: WaitDetail, context: RenderContext): string {
  const until = wait.timeout_at === null ? 'without a timeout' : `until ${when(wait.timeout_at, context)}`;
  return `${wait.event_name} in step ${wait.step_name}, since ${when(wait.created_at, context)}, ${until}`;
}

function runSections(dump: TaskDump, run: RunDetail, context: RenderContext): Section[] {
  const waits = dump.waits.filter((wait) => wait.run_id === run.run_id);
  const steps = dump.checkpoints.filter((checkpoint) => checkpoint.owner_run_id === run.run_id);
  const sections: Section[] = [
    {
      title: `Attempt ${run.attempt}`,
      record: {
        'Run ID': run.run_id,
        State: run.state,
        Worker: run.claimed_by ?? undefined,
        'Lease until': run.state === 'running' ? (when(run.claim_expires_at, context) ?? 'no lease') : undefined,
        'Available at': ['pending', 'sleeping'].includes(run.state) ? when(run.available_at, context) : undefined,
        'Waits for':
          waits.length === 0 ? (run.wake_event ?? undefined) : waits.map((w) => waitingFor(w, context)).join('; '),
        Created: when(run.created_at, context),
        'Last started': when(run.started_at, context),
        Completed: when(run.completed_at, context),
        Failed: when(run.failed_at, context),
      },
    },
  ];
  if (run.failure_reason !== null) sections.push(failureSection(run.failure_reason));
  if (steps.length > 0) sections.push(checkpointTable(`Checkpoints of attempt ${run.attempt}`, steps));
  return sections;
}

const checkpointTable = (title: string, rows: CheckpointDetail[]): Section => ({
  title,
  table: {
    columns: [
      { key: 'checkpoint_name', label: 'STEP' },
      { key: 'state', label: 'RESULT', type: 'json' },
      { key: 'updated_at', label: 'DONE', type: 'time' },
      { key: 'status', drop: 1 },
    ],
    rows,
  },
});

/** The task's own part first, then its attempts in order, each with its failure and the steps that it finished. */
export function renderTask(dump: TaskDump, context: RenderContext): Rendering {
  const owners = new Set(dump.runs.map((run) => run.run_id));
  const others = dump.checkpoints.filter((checkpoint) => !owners.has(checkpoint.owner_run_id ?? ''));
  const sections: Section[] = [
    { title: 'Parameters', json: dump.params },
    ...(dump.state === 'completed' ? [{ title: 'Result', json: dump.completed_payload }] : []),
    ...dump.runs.flatMap((run) => runSections(dump, run, context)),
    ...(others.length > 0 ? [checkpointTable('Checkpoints of no run that is shown', others)] : []),
  ];
  const note = dump.cut.map(
    (what) => `Only ${what === 'runs' ? 'the latest runs' : 'the first checkpoints'} are shown`,
  );
  return { record: identity(dump, context), sections, name: dump.task_id, note, jsonResult: dump };
}
