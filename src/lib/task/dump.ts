/** All there is of one task, read at once and laid out for a person: what `dump-task` shows. */
import { listCheckpoints, type CheckpointDetail } from '../../sql/checkpoints.js';
import type { FoundTask } from '../../sql/find-task.js';
import type { Queryable } from '../../sql/queryable.js';
import {
  getAttempt,
  listRuns,
  listRunSpans,
  listWaits,
  type RunDetail,
  type RunSpan,
  type WaitDetail,
} from '../../sql/runs.js';
import { getTask, type TaskDetail } from '../../sql/tasks.js';
import type { RawJson, Timestamp } from '../../sql/values.js';
import { notFound } from '../cli/errors.js';
import { byteSize } from '../cli/format/size.js';
import { ago } from '../cli/format/time.js';
import { command, hint, type Advice } from '../cli/hint.js';
import { type RenderContext, type Rendering, type Section } from '../cli/output.js';
import { isDelayedStart, startsIn } from './delayed.js';
import { withoutOwnFrames } from './frames.js';

/** More than this is cut, which the dump then says. */
const limits = { runs: 200, checkpoints: 1000 };
const noLimits = { runs: 2 ** 31, checkpoints: 2 ** 31 };
/** Spans of attempts that are laid out. */
const spansShown = 50;

/** A checkpoint; `left_out` is the stored size of a state that a screen does not get. */
export type DumpedCheckpoint = CheckpointDetail & { left_out?: number };

export interface TaskDump extends TaskDetail {
  queue_name: string;
  runs: RunDetail[];
  waits: WaitDetail[];
  checkpoints: DumpedCheckpoint[];
  /** Which of the lists were cut: only the latest runs, only the first checkpoints. */
  cut: ('runs' | 'checkpoints')[];
}

export interface DumpScope {
  /** Every run and checkpoint, however many. */
  whole?: boolean;
  /** States of checkpoints of any size; otherwise of up to 10,000 bytes. */
  wide?: boolean;
  /** This attempt alone. */
  attempt?: number;
}

/** Reads a task that was found. Raises exit 3 when it no longer exists, or has no such attempt. */
export async function readTask(
  db: Queryable,
  found: FoundTask,
  { whole = false, wide = true, attempt }: DumpScope = {},
): Promise<TaskDump> {
  const { queue_name: queue, task_id: taskId } = found;
  const task = await getTask(db, queue, taskId);
  if (!task) throw notFound(`Task ${taskId} no longer exists in queue "${queue}"`, 'it was just cleaned up');
  const { runs: runLimit, checkpoints: checkpointLimit } = whole ? noLimits : limits;
  const all = await listCheckpoints(db, queue, taskId, checkpointLimit + 1, { wide });
  const checkpoints = all.map(({ left_out: bytes, ...row }) => (bytes === null ? row : { ...row, left_out: bytes }));
  const cut: TaskDump['cut'] = all.length > checkpointLimit ? ['checkpoints'] : [];
  const waits = await listWaits(db, queue, taskId);
  const shown = { queue_name: queue, ...task };
  const steps = checkpoints.slice(0, checkpointLimit);
  if (attempt !== undefined) {
    const run = await getAttempt(db, queue, taskId, attempt);
    if (!run) {
      throw notFound(
        `Task ${taskId} has no attempt ${attempt}`,
        task.attempts === 1 ? 'it has one attempt' : `its attempts are 1 to ${task.attempts}`,
        'attempt_not_found',
      );
    }
    const own = (row: { run_id?: string; owner_run_id?: string | null }): boolean =>
      (row.run_id ?? row.owner_run_id) === run.run_id;
    return { ...shown, runs: [run], waits: waits.filter(own), checkpoints: steps.filter(own), cut };
  }
  const runs = await listRuns(db, queue, taskId, { limit: runLimit + 1, wanted: found.run_id });
  if (runs.length > runLimit + 1 || (runs.length > runLimit && (runs[0]?.attempt ?? 1) > 1)) cut.unshift('runs');
  return { ...shown, runs, waits, checkpoints: steps, cut };
}

/** A task with its attempts folded, for `renderTask`. */
export interface FoldedTask {
  dump: TaskDump;
  spans: RunSpan[];
}

/** As `readTask`, and which attempts in a row ended alike. */
export async function readFolded(db: Queryable, found: FoundTask, scope: DumpScope = {}): Promise<FoldedTask> {
  const dump = await readTask(db, found, scope);
  const alone = dump.runs.find((run) => run.attempt === scope.attempt);
  if (alone !== undefined) return { dump, spans: [spanOf(alone)] };
  return { dump, spans: await listRunSpans(db, dump.queue_name, dump.task_id, spansShown + 1) };
}

const spanOf = ({ attempt, run_id, state }: RunDetail): RunSpan => ({
  ...{ first_attempt: attempt, last_attempt: attempt, run_id, state, identical: true },
});

/** A moment, on a terminal with how long ago that was. */
function when(time: Timestamp | null, { tty, now }: RenderContext): string | undefined {
  if (time === null) return undefined;
  if (!tty) return time;
  return time === 'infinity' ? 'never' : `${time}  (${ago(time, now)})`;
}

/** A failure as a part of an answer: set in, so that no line of an error's text can pass for a line of ours. */
export const failureSection = (reason: RawJson, { allFrames = true } = {}): Section => ({
  title: 'Failure',
  text: (allFrames ? failureText(reason) : withoutOwnFrames(failureText(reason))).replace(/^/gm, '  '),
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

/** On a terminal, when a task starts that its spawn delayed. */
function startOf({ runs, last_attempt_run: last }: TaskDump, { tty, now }: RenderContext): string | undefined {
  const run = runs.find((one) => one.run_id === last);
  return tty && run !== undefined ? startsIn(run, now) : undefined;
}

function identity(dump: TaskDump, context: RenderContext): Section['record'] {
  const limit = dump.max_attempts === null ? '(no limit)' : `of ${dump.max_attempts}`;
  return {
    'Task ID': dump.task_id,
    Name: dump.task_name,
    Queue: dump.queue_name,
    State: startOf(dump, context) ?? dump.state,
    Attempts: `${dump.attempts} ${limit}`,
    Parent:
      dump.parent_task_id === null
        ? undefined
        : `${dump.parent_task_id} in queue ${dump.parent_queue ?? dump.queue_name}`,
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

/** The part of one attempt, or of several that ended alike: then that of the last of them. */
function runSections({ dump, runs, span, run, verbose }: SpanView, context: RenderContext): Section[] {
  const waits = dump.waits.filter((wait) => wait.run_id === run.run_id);
  const ids = new Set(runs.map(({ run_id: id }) => id));
  const steps = dump.checkpoints.filter((checkpoint) => ids.has(checkpoint.owner_run_id ?? ''));
  const name = spanName(span);
  const sections: Section[] = [
    {
      title: `${name.charAt(0).toUpperCase()}${name.slice(1)}${repeatNote(span)}`,
      record: {
        'Run ID': run.run_id,
        State: (context.tty ? startsIn(run, context.now) : undefined) ?? run.state,
        Worker: run.claimed_by ?? undefined,
        'Lease until': run.state === 'running' ? (when(run.claim_expires_at, context) ?? 'no lease') : undefined,
        Starts: isDelayedStart(run) ? when(run.available_at, context) : undefined,
        'Available at':
          !isDelayedStart(run) && ['pending', 'sleeping'].includes(run.state)
            ? when(run.available_at, context)
            : undefined,
        'Waits for':
          waits.length === 0 ? (run.wake_event ?? undefined) : waits.map((w) => waitingFor(w, context)).join('; '),
        Created: when(run.created_at, context),
        'Last started': when(run.started_at, context),
        Completed: when(run.completed_at, context),
        Failed: when(run.failed_at, context),
      },
    },
  ];
  if (run.failure_reason !== null) sections.push(failureSection(run.failure_reason, { allFrames: verbose }));
  if (steps.length > 0) sections.push(checkpointTable(`Checkpoints of ${name}`, steps));
  return sections;
}

const grouped = (count: number): string => count.toLocaleString('en-US');

const spanName = ({ first_attempt: first, last_attempt: last }: RunSpan): string =>
  first === last
    ? `attempt ${grouped(first)}`
    : `attempts ${grouped(first)} ${last === first + 1 ? 'and' : 'to'} ${grouped(last)}`;

function repeatNote({ first_attempt: first, last_attempt: last, identical }: RunSpan): string {
  if (first === last) return '';
  return identical ? ': the same; the last of them' : ': the same except for numbers and ids; the last of them';
}

const checkpointTable = (title: string, rows: DumpedCheckpoint[]): Section => ({
  title,
  table: {
    columns: [
      { key: 'checkpoint_name', label: 'STEP' },
      { key: 'state', label: 'RESULT', type: 'json' },
      { key: 'updated_at', label: 'DONE', type: 'time' },
      { key: 'status', drop: 1 },
    ],
    rows: rows.map(({ left_out: bytes, ...row }) =>
      bytes === undefined ? row : { ...row, state: `${byteSize(bytes)} stored, not shown` },
    ),
  },
});

interface SpanView {
  dump: TaskDump;
  span: RunSpan;
  /** The last run of the span. */
  run: RunDetail;
  /** Those of its runs that were read. */
  runs: RunDetail[];
  verbose: boolean;
}

/**
 * The task's own part first, then its attempts, the latest first, each with its failure and the steps that it finished. Attempts
 * in a row that failed alike are one part. Frames of this package's own code are left out of stacks unless `verbose`.
 */
export function renderTask({ dump, spans }: FoldedTask, context: RenderContext, verbose = false): Rendering {
  const owners = new Set(dump.runs.map((run) => run.run_id));
  const others = dump.checkpoints.filter((checkpoint) => !owners.has(checkpoint.owner_run_id ?? ''));
  const views = spans.slice(0, spansShown).flatMap((span): SpanView[] => {
    const run = dump.runs.find((one) => one.run_id === span.run_id);
    const runs = dump.runs.filter(({ attempt }) => attempt >= span.first_attempt && attempt <= span.last_attempt);
    return run === undefined ? [] : [{ dump, span, run, runs, verbose }];
  });
  const sections: Section[] = [
    { title: 'Parameters', json: dump.params },
    ...(dump.state === 'completed' ? [{ title: 'Result', json: dump.completed_payload }] : []),
    ...views.flatMap((view) => runSections(view, context)),
    ...(others.length > 0 ? [checkpointTable('Checkpoints of attempts that are not shown', others)] : []),
  ];
  return {
    record: identity(dump, context),
    sections,
    name: dump.task_id,
    note: notes(dump, spans, views),
    jsonResult: dump,
  };
}

function notes(dump: TaskDump, spans: RunSpan[], views: SpanView[]): Advice[] {
  const said: Advice[] = [];
  const [oldest] = views.slice(-1);
  if (spans.length > views.length && oldest !== undefined) {
    const one = command('dump-task', dump.task_id, { attempt: oldest.span.first_attempt - 1 });
    said.push(hint`Attempts before ${grouped(oldest.span.first_attempt)} are not shown; ${one} shows one`);
  }
  if (dump.cut.includes('checkpoints')) said.push('Only the first checkpoints are shown');
  const large = dump.checkpoints.filter(({ left_out: bytes }) => bytes !== undefined);
  const [first] = large;
  if (first !== undefined) {
    const are = large.length === 1 ? 'A large result is' : `${large.length} large results are`;
    said.push(
      hint`${are} not shown; ${command('show-checkpoint', dump.task_id, first.checkpoint_name)} prints the whole value`,
    );
  }
  return said;
}
