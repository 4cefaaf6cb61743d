/** Follows tasks to their ends: says what happens on the way, and comes back with how they ended. */
import {
  getProgress,
  listFailuresAfter,
  listStepsSince,
  type FailedAttempt,
  type FinishedStep,
  type TaskProgress,
} from '../../sql/follow.js';
import type { Queryable } from '../../sql/queryable.js';
import type { RawJson } from '../../sql/values.js';
import { CliError, exit, notFound, toCliError } from '../cli/errors.js';
import { cut } from '../cli/format/text.js';
import type { Section } from '../cli/output.js';
import { failureSection, failureText } from './dump.js';
import { command, hint, type Advice } from '../cli/hint.js';

export interface FollowedTask {
  queue_name: string;
  task_id: string;
  task_name: string;
  state: string;
  attempts: number;
  /** Of a completed task. */
  result: RawJson | null;
  /** Of a failed task's last attempt. */
  failure_reason: RawJson | null;
  /** True when waiting ended before the task did. */
  timed_out: boolean;
}

export interface FollowOptions {
  read<T>(work: (db: Queryable) => Promise<T>): Promise<T>;
  /** Waits; rejects on Ctrl-C. */
  pause(ms: number): Promise<void>;
  now(): Date;
  /** One line for a person. */
  say(line: string): void;
  /** Milliseconds; absent: without end. */
  timeoutMs?: number;
  /** Called with every look that saw something new. */
  onChange?(progress: TaskProgress): Promise<void>;
}

const firstPauseMs = 50;
const longestPauseMs = 1000;
const stepsAtOnce = 200;
const ended = new Set(['completed', 'failed', 'cancelled']);

const outcome = (task: Followed, progress: TaskProgress, timedOut: boolean): FollowedTask => ({
  queue_name: task.queue_name,
  task_id: task.task_id,
  task_name: progress.task_name,
  state: progress.state,
  attempts: progress.attempts,
  result: progress.state === 'completed' ? progress.completed_payload : null,
  failure_reason: progress.state === 'failed' ? progress.failure_reason : null,
  timed_out: timedOut,
});

/** When a step that saved this would wake, in milliseconds; null where it is not what a sleep saves. */
function wakeTime({ state }: FinishedStep): number | null {
  const text = state !== null && state.text.length < 50 ? state.parse() : null;
  if (typeof text !== 'string' || !/^\d{4}-\d\d-\d\dT/.test(text)) return null;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at;
}

/** Saved times and the server's differ by rounding at most. */
const sameMomentMs = 1000;

/** What a person is told of a state, once each time it changes; `step` is the one that sleeps. */
function describe(progress: TaskProgress, step: string | undefined): string {
  const { state, run_state: run, wake_event: event, available_at: at, claimed_by: worker } = progress;
  if (state === 'sleeping' && event !== null) {
    return `waits for event "${event}"${at === null || at === 'infinity' ? '' : `, until ${at}`}`;
  }
  if (state === 'sleeping' && at !== null) {
    const until = at === 'infinity' ? 'without an end' : `until ${at}`;
    return step === undefined ? `sleeps ${until}` : `step ${step} sleeps ${until}`;
  }
  if (state === 'running' && run === 'running') return `running${worker === null ? '' : ` on ${worker}`}`;
  return state === 'pending' ? 'waits for a worker' : state;
}

/** Steps and failures as they happened. */
function inOrder(steps: FinishedStep[], failures: FailedAttempt[]): (FinishedStep | FailedAttempt)[] {
  const at = (event: FinishedStep | FailedAttempt): string => ('attempt' in event ? event.failed_at : event.updated_at);
  // Sorting is stable: what a failed attempt saved in the same moment came before its failure.
  return [...steps, ...failures].sort((a, b) => (at(a) < at(b) ? -1 : at(a) > at(b) ? 1 : 0));
}

export interface Followed {
  queue_name: string;
  task_id: string;
}

class Follower {
  private since = '-infinity';
  private readonly seen = new Set<string>();
  private said = '';
  private failedAttempt = 0;
  /** The step that sleeps now: its checkpoint is saved when the sleep begins. */
  private asleepIn: string | undefined;
  progress: TaskProgress | undefined;

  constructor(
    readonly task: Followed,
    private readonly options: FollowOptions,
    private readonly prefix: string,
  ) {}

  get done(): boolean {
    return ended.has(this.progress?.state ?? '');
  }

  /** Looks once; true when something was new. */
  async look(): Promise<boolean> {
    const { queue_name: queue, task_id: id } = this.task;
    // What has happened first, and the state last: then nothing is said of a state before what led to it.
    const { progress, steps, failures } = await this.options.read(async (db) => {
      const readEvents = async () => ({
        steps: await listStepsSince(db, queue, id, this.since, stepsAtOnce),
        failures: await listFailuresAfter(db, queue, id, this.failedAttempt, stepsAtOnce),
      });
      const events = await readEvents();
      const progress = await getProgress(db, queue, id);
      // The task may have ended since the events were read, and no other look follows.
      return { progress, ...(ended.has(progress?.state ?? '') ? await readEvents() : events) };
    });
    if (progress === undefined) {
      throw notFound(
        `Task ${id} no longer exists in queue "${queue}"`,
        'it was cleaned up while this command waited for it',
      );
    }
    this.progress = progress;
    // Steps that share the last moment come again: only their names tell what is new.
    const fresh = steps.filter((step) => !this.seen.has(step.checkpoint_name));
    if (this.asleepIn !== undefined && progress.state !== 'sleeping') {
      this.say(`step ${this.asleepIn} done`);
      this.asleepIn = undefined;
    }
    for (const event of inOrder(fresh, failures)) {
      if ('attempt' in event) this.sayFailure(event);
      else this.sayStep(event, progress);
    }
    const state = describe(progress, this.asleepIn);
    const key = [progress.state, progress.wake_event, progress.run_id, progress.available_at].join(' ');
    const changed = key !== this.said;
    if (changed) this.say(state);
    this.said = key;
    return changed || failures.length > 0 || fresh.length > 0;
  }

  private sayStep(step: FinishedStep, { state, wake_event: event, available_at: at }: TaskProgress): void {
    const { checkpoint_name: name, updated_at: savedAt } = step;
    this.seen.add(name);
    this.since = savedAt;
    const wake = wakeTime(step);
    const sleeps = wake !== null && wake > Date.parse(savedAt) && at !== null;
    if (sleeps && state === 'sleeping' && event === null && Math.abs(Date.parse(at) - wake) < sameMomentMs) {
      this.asleepIn = name;
      return;
    }
    // A running run whose step has just saved a time to come is about to sleep: the next look will see it, or not.
    if (sleeps && state === 'running' && !this.deferred.has(name)) {
      this.deferred.add(name);
      this.seen.delete(name);
      return;
    }
    this.say(`step ${name} done${step.state === null ? '' : `: ${cut(step.state.text, 100)}`}`);
  }

  private readonly deferred = new Set<string>();

  private sayFailure({ attempt, failure_reason: reason }: FailedAttempt): void {
    this.failedAttempt = attempt;
    const first = reason === null ? 'no reason given' : (failureText(reason).split('\n')[0] ?? '');
    this.say(`attempt ${attempt} failed: ${first}`);
  }

  private say(line: string): void {
    this.options.say(this.prefix + line);
  }
}

/**
 * Follows all of them at once, on one connection. Looks come quickly while something happens and once a second otherwise.
 * Raises exit 3 when one of them is cleaned up meanwhile.
 */
export async function followTasks(list: readonly Followed[], options: FollowOptions): Promise<FollowedTask[]> {
  const followers = list.map((task) => new Follower(task, options, list.length > 1 ? `${task.task_id} ` : ''));
  const deadline = options.timeoutMs === undefined ? Infinity : options.now().getTime() + options.timeoutMs;
  let pauseMs = firstPauseMs;
  for (;;) {
    let news = false;
    for (const follower of followers) {
      if (follower.done) continue;
      const changed = await follower.look();
      news ||= changed;
      if (changed && follower.progress !== undefined) await options.onChange?.(follower.progress);
    }
    const left = deadline - options.now().getTime();
    if (followers.every((follower) => follower.done) || left <= 0) break;
    pauseMs = news ? firstPauseMs : Math.min(pauseMs * 1.5, longestPauseMs);
    await options.pause(Math.min(pauseMs, left));
  }
  return followers.flatMap((follower) =>
    follower.progress === undefined ? [] : [outcome(follower.task, follower.progress, !follower.done)],
  );
}

/** The exit code that tells how they ended: 6 when one failed or was cancelled, else 7 when one is not over, else 0. */
export function followedExitCode(list: readonly FollowedTask[]): number {
  if (list.some(({ state }) => state === 'failed' || state === 'cancelled')) return exit.taskFailed;
  return list.some((task) => task.timed_out) ? exit.waitTimedOut : exit.done;
}

/** The result of a completed task, or why it failed; nothing for the rest. */
export function outcomeSections(task: FollowedTask): Section[] {
  if (task.state === 'completed') return [{ title: 'Result', json: task.result }];
  if (task.failure_reason !== null) return [failureSection(task.failure_reason)];
  return [];
}

/** What is said when waiting ended before the tasks did. */
export const stillGoing = (ids: readonly string[]): Advice =>
  hint`Not finished yet; ${command('await-task', ...ids)} continues waiting, ${command('why', ids[0] ?? 'ID')} says what it waits for`;

/** Ctrl-C and a lost connection end the waiting, not the task: says how to go on. Any other error comes back as it is. */
export function waitingInterrupted(error: unknown, ids: readonly string[]): unknown {
  const { exitCode, code, message } = toCliError(error);
  const next = hint`${command('await-task', ...ids)} continues waiting`;
  if (exitCode === exit.unreachable) return new CliError(message, { exitCode, code, hint: next, cause: error });
  if (exitCode !== exit.interrupted) return error;
  const said = ids.length === 1 ? 'Interrupted; the task continues' : 'Interrupted; the tasks continue';
  return new CliError(said, { exitCode, code, hint: next });
}
