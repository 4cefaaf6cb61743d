/** The life of `absurdctl work`: load, work, and load again or end. Knows of no flags. */
import { resolve } from 'node:path';
import { processIdentity } from '../../sdk/identity.js';
import { CliError } from '../cli/errors.js';
import type { Io } from '../cli/io.js';
import type { WorkerPool } from '../connection/pool.js';
import { reporter, type EventName, type Report } from './events.js';
import { watchFaults, type Fault, type FaultWatch } from './faults.js';
import { loadModules } from './load.js';
import { versionOf } from './program-version.js';
import { onChange } from './watch.js';
import { Crew } from './workers.js';

export interface WorkOptions {
  /** Modules as typed. */
  files: readonly string[];
  queue?: string | undefined;
  concurrency: number;
  claimTimeout: number;
  pollInterval: number;
  adaptivePolling: boolean;
  workerId?: string | undefined;
  /** Absent: the version of the package that the first module belongs to. */
  programVersion?: string | undefined;
  /** Seconds to wait for what runs at the end; absent: as long as it takes. */
  drainTimeoutSeconds?: number | undefined;
  listenUrl?: string | undefined;
  burst: boolean;
  watch: boolean;
  /** Events as NDJSON. */
  asJson: boolean;
  /** Raises CliError where one of the queues to work on does not exist. */
  checkQueues(queues: string[]): void;
}

/** What a worker did from start to end. */
export interface WorkReport {
  queues: string[];
  completed: number;
  failed: number;
  suspended: number;
}

type Reason = 'interrupted' | 'empty' | 'changed' | 'refused' | 'fault';

/** How long a worker that loads its modules again waits for what runs; the rest is released and starts again. */
const reloadDrainSeconds = 2;

/** Runs workers until a signal, an empty queue (`burst`), an error at the start or outside a task, or a refused first claim. */
export async function runWork(io: Io, pool: WorkerPool, options: WorkOptions): Promise<WorkReport> {
  const done: WorkReport = { queues: [], completed: 0, failed: 0, suspended: 0 };
  const report = counting(reporter(io, options.asJson), done);
  const interrupt = new AbortController();
  const unwatch = io.onInterrupt(() => interrupt.abort());
  const faults = watchFaults();
  try {
    // The files of the last load that went well: after a bad one their next change counts.
    const watched = options.files.map((file) => resolve(io.cwd, file));
    for (let again = false; ; again = true) {
      const round = { io, pool, options, report, done, watched, again, interrupted: interrupt.signal, faults };
      if ((await workOnce(round)) !== 'changed') break;
    }
  } finally {
    unwatch();
    faults.end();
  }
  const { completed, failed, suspended } = done;
  report('worker_stopped', `${completed} completed, ${failed} failed, ${suspended} suspended`, {
    completed,
    failed,
    suspended,
  });
  return done;
}

interface Round {
  io: Io;
  pool: WorkerPool;
  options: WorkOptions;
  report: Report;
  done: WorkReport;
  /** Files to watch; replaced by what a load reads. */
  watched: string[];
  /** Not the first round: modules are read afresh, and an error is no end. */
  again: boolean;
  interrupted: AbortSignal;
  faults: FaultWatch;
}

/** From loading the modules to the end of the workers that run them. */
async function workOnce(round: Round): Promise<Reason> {
  const { options, report } = round;
  let crew: Crew | undefined;
  const end = whatComes(round.interrupted);
  round.faults.onFault = (fault) => {
    reportFault(report, fault, crew);
    end.come('fault');
    // Also where the crew is being stopped already, and waits.
    void crew?.stop(0);
  };
  if (round.faults.first !== undefined) end.come('fault');
  const sinceMs = Date.now();
  try {
    crew = await loadAndStart(round, end);
  } catch (error) {
    // A file that was saved half-way is no reason to end a watch: the next save will do.
    if (!round.again) throw error;
    const message = error instanceof Error ? error.message : String(error);
    report('worker_error', message, { error: message });
  }
  const unwatch = options.watch ? onChange(round.watched, sinceMs, () => end.come('changed')) : (): void => undefined;
  const reason = await end.reason.finally(unwatch);
  if (end.refusal !== undefined) {
    await crew?.stop(0);
    throw end.refusal;
  }
  if (reason === 'changed') report('worker_reloading', 'a file has changed');
  else if (reason === 'interrupted')
    report('worker_stopping', 'waiting for running tasks; the next signal ends at once');
  const drainSeconds: Partial<Record<Reason, number>> = { changed: reloadDrainSeconds, fault: 0 };
  await crew?.stop(drainSeconds[reason] ?? options.drainTimeoutSeconds);
  const fault = round.faults.first;
  if (fault !== undefined) {
    throw new CliError(`${fault.kind}: ${fault.text}`, { code: 'module_failed', cause: fault.error });
  }
  if (reason === 'empty' && crew !== undefined && crew.unstored.count > 0) {
    const { count, reason: why } = crew.unstored;
    throw new CliError(`The end of ${count === 1 ? '1 run' : `${count} runs`} could not be stored: ${why}`, {
      code: 'end_not_stored',
      hint: 'the run stays running until its lease expires; then the task is retried',
    });
  }
  return round.interrupted.aborted ? 'interrupted' : reason;
}

/** The tasks in progress show what may have thrown: the error itself often does not. */
function reportFault(report: Report, { kind, text }: Fault, crew: Crew | undefined): void {
  const tasks = (crew?.running ?? []).map(({ task_name: name, task_id: id }) => `${name} ${id}`).join(', ');
  report('worker_error', `${kind}: ${text}; in progress: ${tasks || 'no task'}`, { error: text, tasks });
}

async function loadAndStart(round: Round, end: End): Promise<Crew> {
  const { io, pool, options, report, done } = round;
  const { concurrency, claimTimeout, pollInterval, adaptivePolling, listenUrl } = options;
  const client = Crew.client(pool, report, () => io.now(), options.queue ?? 'default');
  const loaded = await loadModules(options.files, client, io.cwd, round.again);
  round.watched.splice(0, Infinity, ...loaded);
  done.queues = options.queue === undefined ? Crew.queuesOf(client) : [options.queue];
  options.checkQueues(client.registry.size === 0 ? [] : done.queues);
  const programVersion = options.programVersion ?? versionOf(options.files[0] ?? '', io.cwd);
  const crew = await Crew.start(client, report, {
    ...(options.queue === undefined ? {} : { queue: options.queue }),
    ...(options.burst ? { onEmpty: () => end.come('empty') } : {}),
    onRefused: (error) => {
      end.refusal ??= error;
      end.come('refused');
    },
    ...(listenUrl === undefined ? {} : { listenUrl }),
    ...(options.workerId === undefined ? {} : { workerId: options.workerId }),
    ...(programVersion === undefined ? {} : { programVersion }),
    concurrency,
    claimTimeout,
    pollInterval,
    adaptivePolling,
  });
  const tasks = [...client.registry.keys()].sort().join(', ');
  const queues = done.queues.join(', ');
  const workerId = options.workerId ?? processIdentity();
  report('worker_started', `${workerId} works on ${queues}: ${tasks}`, {
    worker_id: workerId,
    queues,
    tasks,
    concurrency,
  });
  return crew;
}

interface End {
  reason: Promise<Reason>;
  come(reason: Reason): void;
  /** Why the server refuses this worker. */
  refusal?: Error;
}

function whatComes(interrupted: AbortSignal): End {
  let come: (reason: Reason) => void = () => undefined;
  const reason = new Promise<Reason>((resolve) => (come = resolve));
  if (interrupted.aborted) come('interrupted');
  interrupted.addEventListener('abort', () => come('interrupted'), { once: true });
  return { reason, come };
}

function counting(report: Report, done: WorkReport): Report {
  const counted: Partial<Record<EventName, 'completed' | 'failed' | 'suspended'>> = {
    run_completed: 'completed',
    run_failed: 'failed',
    run_suspended: 'suspended',
  };
  return (event, text, fields) => {
    const counter = counted[event];
    if (counter !== undefined) done[counter]++;
    report(event, text, fields);
  };
}
