/** The lanes of a task's attempts: each attempt as a whole, and below it its steps and waits. */
import type { TimelineRun, TimelineStep, TimelineTask, TimelineWait } from '../../sql/timeline.js';
import type { Certainty, Lane, Outcome, Span, SpanKind } from './model.js';
import { momentOf, secondsBetween, timestampOf } from './moments.js';
import { retryDelayMs } from './retry-delay.js';
import { stepSpans, type StepSpan } from './steps.js';

export interface AttemptRows {
  task: TimelineTask;
  runs: readonly TimelineRun[];
  steps: readonly TimelineStep[];
  waits: readonly TimelineWait[];
  now: number;
}

export interface AttemptPicture {
  lanes: Lane[];
  /** Recorded times that cannot be true together. */
  contradictions: number;
}

export function attemptLanes(rows: AttemptRows): AttemptPicture {
  const lanes: Lane[] = [];
  let contradictions = 0;
  const owned = new Set(rows.runs.map(({ run_id: id }) => id));
  const strays = rows.steps.filter(({ owner_run_id: id }) => id === null || !owned.has(id));
  if (strays.length > 0) lanes.push(...strayLanes(rows, strays));
  for (const [index, run] of rows.runs.entries()) {
    const attempt = new Attempt(rows, run, index);
    lanes.push(...attempt.lanes());
    contradictions += attempt.contradictions;
  }
  return { lanes, contradictions };
}

/** Steps of attempts that are not among the runs: only their ends are known. */
function strayLanes({ task, now }: AttemptRows, steps: readonly TimelineStep[]): Lane[] {
  return steps.map((step): Lane => {
    const to = Math.min(momentOf(step.updated_at) ?? now, now);
    const from = Math.min(momentOf(step.started_at) ?? to, to);
    const span = made('step', from, to, { from_is: step.started_at === null ? 'unknown' : 'known' });
    const { task_id, queue_name } = task;
    return {
      ...{ kind: 'step', name: step.checkpoint_name, depth: 1, task_id, queue_name },
      ...{ attempt: null, state: 'completed', spans: [span] },
    };
  });
}

interface Extra {
  from_is?: Span['from_is'];
  to_is?: Certainty;
  until?: number | null;
  outcome?: Outcome | null;
  detail?: string | null;
}

function made(kind: SpanKind, from: number, to: number, extra: Extra = {}): Span {
  const { from_is = 'known', to_is = 'known', until = null, outcome = null, detail = null } = extra;
  const [begin, end] = [timestampOf(from), timestampOf(to)];
  return {
    kind,
    from: begin,
    to: end,
    from_is,
    to_is,
    seconds: from_is === 'unknown' ? null : secondsBetween(begin, end),
    until: until === null || !Number.isFinite(until) ? null : timestampOf(until),
    outcome,
    detail,
  };
}

class Attempt {
  contradictions = 0;
  private readonly created: number;
  private readonly end: number;
  /** The last claim; null where there was none. */
  private readonly claimed: number | null;
  /** From when on it could be claimed for the first time. */
  private ready: number;
  private readonly steps: StepSpan[];
  private readonly firstClaim: { at: number; is: Span['from_is'] } | null;
  private readonly spans: Span[] = [];

  constructor(
    private readonly rows: AttemptRows,
    private readonly run: TimelineRun,
    private readonly index: number,
  ) {
    const { task, now } = rows;
    const created = momentOf(run.created_at) ?? momentOf(task.enqueue_at) ?? now;
    this.created = this.held(created, -Infinity, now);
    this.end = this.endOf();
    const claimed = momentOf(run.started_at);
    this.claimed = claimed === null ? null : this.held(claimed, this.created, this.end);
    const own = rows.steps.filter(({ owner_run_id: id }) => id === run.run_id);
    const waits = rows.waits.filter(({ run_id: id }) => id === run.run_id);
    const steps = stepSpans(run, own, waits, { now, end: this.end });
    this.steps = this.withNamelessWait(steps).map((step) => {
      const to = this.held(step.to, this.created, this.end);
      return { ...step, to, from: step.from === null ? null : this.held(step.from, this.created, to) };
    });
    this.ready = this.created;
    this.firstClaim = this.claimedFirst();
  }

  lanes(): Lane[] {
    this.addPreparation();
    const steps = this.stepLanes();
    this.addRunning();
    const { task_id, queue_name } = this.rows.task;
    const { attempt, state } = this.run;
    const spans = this.spans;
    return [{ kind: 'attempt', name: String(attempt), depth: 0, task_id, queue_name, attempt, state, spans }, ...steps];
  }

  /** Keeps a moment within bounds; one that is not is a contradiction. */
  private held(at: number, from: number, to: number): number {
    // Rounding, or two clocks of one server, can differ by this much.
    if (at < from - 1 || at > to + 1) this.contradictions++;
    return Math.min(Math.max(at, from), Math.max(from, to));
  }

  private get open(): boolean {
    return ['pending', 'running', 'sleeping'].includes(this.run.state);
  }

  private endOf(): number {
    const { run, rows } = this;
    if (this.open) return Math.max(rows.now, this.created);
    const ended =
      momentOf(run.completed_at) ??
      momentOf(run.failed_at) ??
      momentOf(rows.task.cancelled_at) ??
      momentOf(run.started_at);
    return this.held(ended ?? this.created, this.created, Math.max(rows.now, this.created));
  }

  /** Some SDKs let a run sleep without a checkpoint: then the run's own row is all there is. */
  private withNamelessWait(steps: StepSpan[]): StepSpan[] {
    const { run, rows } = this;
    const asleep = run.state === 'sleeping' && this.claimed !== null;
    if (!asleep || steps.some(({ to_is: is, kind }) => kind !== 'step' && is === 'open')) return steps;
    const wake = momentOf(run.available_at) ?? Infinity;
    const slept = steps.some(({ kind, to }) => kind !== 'step' && Math.abs(to - wake) <= 1);
    if (slept) return steps;
    const over = wake <= rows.now;
    const span: StepSpan = {
      name: run.wake_event ?? '(sleep)',
      kind: run.wake_event === null ? 'sleep' : 'event',
      from: null,
      to: over ? Math.max(wake, this.claimed ?? wake) : this.end,
      to_is: over ? 'known' : 'open',
      until: over ? null : wake,
      outcome: null,
      detail: run.wake_event,
    };
    return [...steps, span];
  }

  /** When the run was claimed first. Its row has the last claim; the task has its very first. */
  private claimedFirst(): { at: number; is: Span['from_is'] } | null {
    const { run, rows, claimed } = this;
    if (claimed === null) return null;
    const first = momentOf(rows.task.first_started_at);
    if (run.attempt === 1 && first !== null) return { at: this.held(first, this.created, claimed), is: 'known' };
    if (this.steps.every(({ kind }) => kind === 'step')) return { at: claimed, is: 'known' };
    const seen = this.steps.map(({ from, to }) => from ?? to);
    const ready = this.created + this.backoffMs();
    return { at: Math.max(this.created, Math.min(ready, claimed, ...seen)), is: 'estimated' };
  }

  private backoffMs(): number {
    const { run, rows, index } = this;
    if (run.attempt <= 1) return 0;
    const before = rows.runs[index - 1];
    const failed = before === undefined ? null : momentOf(before.failed_at);
    // A retry by hand is made long after the failure, and waits for nothing.
    if (failed !== null && Math.abs(failed - this.created) > 1000) return 0;
    return retryDelayMs(rows.task.retry_strategy?.parse(), run.attempt - 1);
  }

  /** What comes before the first claim: a delay or a backoff, then the queue. */
  private addPreparation(): void {
    const { run, rows, created, end, firstClaim } = this;
    const available = momentOf(run.available_at) ?? created;
    const kind = run.attempt <= 1 ? 'delay' : 'backoff';
    const limit = Math.min(firstClaim?.at ?? end, end);
    if (firstClaim === null) {
      // Never claimed: its row still says from when on it may be.
      const planned = this.open
        ? available
        : kind === 'delay'
          ? (momentOf(rows.task.enqueue_at) ?? created)
          : available;
      if (planned > created + 1) {
        const over = planned <= limit;
        const to_is = over ? 'known' : this.open ? 'open' : 'known';
        const until = over || !this.open ? null : planned;
        this.spans.push(made(kind, created, Math.min(planned, limit), { to_is, until }));
        this.ready = Math.min(planned, limit);
        if (!over) return;
      }
      const outcome = run.state === 'cancelled' || run.state === 'failed' ? run.state : null;
      const extra: Extra = { to_is: this.open ? 'open' : 'known', outcome, detail: run.error };
      if (limit > this.ready || outcome !== null || this.open)
        this.spans.push(made('queued', this.ready, limit, extra));
      return;
    }
    const start = kind === 'delay' ? (momentOf(rows.task.enqueue_at) ?? created) : created + this.backoffMs();
    const estimated = kind === 'backoff';
    if (start > created + 1) {
      this.ready = Math.min(start, limit);
      this.spans.push(made(kind, created, this.ready, { to_is: estimated ? 'estimated' : 'known' }));
    }
    if (limit > this.ready) {
      const from_is = estimated && this.ready > created ? 'estimated' : 'known';
      this.spans.push(
        made('queued', this.ready, limit, { from_is, to_is: firstClaim.is === 'known' ? 'known' : 'estimated' }),
      );
    }
  }

  /** Steps without a recorded start are drawn from what came before them, and what is known of their starts is filled in. */
  private stepLanes(): Lane[] {
    const { task_id, queue_name } = this.rows.task;
    const lanes: Lane[] = [];
    for (const step of this.steps) {
      const from = step.from ?? this.before(step);
      const { kind, to, to_is, until, outcome, detail } = step;
      const span = made(kind, from, to, { to_is, until, outcome, detail, from_is: startOf(step) });
      lanes.push({
        ...{ kind: 'step', name: step.name, depth: 1, task_id, queue_name, attempt: this.run.attempt },
        ...{ state: to_is === 'open' ? 'open' : 'completed', spans: [span] },
      });
    }
    return lanes.sort(
      (a, b) =>
        compare(a.spans[0]?.from ?? '', b.spans[0]?.from ?? '') || compare(a.spans[0]?.to ?? '', b.spans[0]?.to ?? ''),
    );
  }

  /** The latest recorded moment of the attempt before the end of the step. */
  private before(step: StepSpan): number {
    const begun = this.firstClaim?.at ?? this.created;
    const moments = this.steps.filter((other) => other !== step && other.to_is !== 'open').map(({ to }) => to);
    // A step runs under one claim; a wait may have begun under an earlier one.
    if (step.kind === 'step' && this.claimed !== null) moments.push(this.claimed);
    return Math.max(Math.min(begun, step.to), ...moments.filter((at) => at < step.to));
  }

  /** From the first claim to the end: running, but for its waits, and for the time until a worker took it up again. */
  private addRunning(): void {
    const { run, claimed, firstClaim, end } = this;
    if (firstClaim === null || claimed === null) return;
    let cursor = firstClaim.at;
    let is = firstClaim.is;
    const running = (to: number, extra: Extra = {}): void => {
      const last = this.spans.at(-1);
      const unfinished = extra.outcome === 'cancelled' || extra.outcome === 'failed';
      if (to <= cursor && unfinished && last !== undefined && last.kind !== 'running') {
        // It ended while it was waiting.
        Object.assign(last, { outcome: extra.outcome, detail: extra.detail ?? last.detail });
      } else if (to > cursor || extra.outcome !== undefined) {
        this.spans.push(
          made('running', cursor, Math.max(to, cursor), { from_is: is, detail: run.claimed_by, ...extra }),
        );
      }
      cursor = Math.max(to, cursor);
    };
    const waits = this.suspensions();
    for (const [index, wait] of waits.entries()) {
      running(wait.from, { to_is: wait.from_is === 'known' ? 'known' : 'estimated' });
      const from = Math.max(wait.from, cursor);
      if (wait.to > from || wait.to_is === 'open') {
        this.spans.push(made(wait.kind, from, Math.max(wait.to, from), wait));
      }
      cursor = Math.max(wait.to, from);
      is = 'estimated';
      const last = index === waits.length - 1;
      if (wait.to_is === 'open') return;
      if (!last) continue;
      if (this.isWaiting()) {
        if (end > cursor) this.spans.push(made('queued', cursor, end, { to_is: this.open ? 'open' : 'known' }));
        return;
      }
      if (claimed > cursor) this.spans.push(made('queued', cursor, claimed));
      if (claimed >= cursor) [cursor, is] = [claimed, 'known'];
    }
    if (this.isWaiting()) {
      // Handed back by a worker without a wait: ready since then.
      const ready = this.held(momentOf(run.available_at) ?? end, cursor, end);
      running(ready, { to_is: 'known' });
      if (end > cursor) this.spans.push(made('queued', cursor, end, { to_is: 'open' }));
      return;
    }
    running(end, { to_is: this.open ? 'open' : 'known', ...this.ending() });
  }

  /** Whether it has been claimed, and waits for another claim. */
  private isWaiting(): boolean {
    return this.run.state === 'pending' || this.run.state === 'sleeping';
  }

  private ending(): Extra {
    const { run, rows } = this;
    if (run.state === 'running') {
      const lease = momentOf(run.claim_expires_at);
      return lease !== null && lease <= rows.now ? { outcome: 'lease_expired', until: lease } : {};
    }
    if (run.state === 'failed') return { outcome: 'failed', detail: run.error };
    if (run.state === 'cancelled') return { outcome: 'cancelled' };
    return run.state === 'completed' ? { outcome: 'completed' } : {};
  }

  /** The waits as the attempt's lane shows them: where several overlap, the first one until the first of them ends. */
  private suspensions(): (Extra & { kind: SpanKind; from: number; to: number; from_is: Span['from_is'] })[] {
    return this.steps
      .filter(({ kind }) => kind !== 'step')
      .map((step) => {
        const { kind, to, to_is, until, outcome, detail } = step;
        return {
          kind,
          from: step.from ?? this.before(step),
          from_is: startOf(step),
          to,
          to_is,
          until,
          outcome,
          detail,
        };
      })
      .filter(({ from, to, to_is: is }) => to > from || is === 'open')
      .sort((a, b) => a.from - b.from || a.to - b.to);
  }
}

/** A run goes to sleep when it has nothing else to do: a wait began about when the step before it ended. Of a step nothing follows. */
const startOf = ({ from, kind }: StepSpan): Span['from_is'] =>
  from !== null ? 'known' : kind === 'step' ? 'unknown' : 'estimated';

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
