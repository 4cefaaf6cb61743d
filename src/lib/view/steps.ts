/** What a checkpoint says of its step: work, a sleep, or a wait, and when it began and ended as far as that is recorded. */
import type { TimelineRun, TimelineStep, TimelineWait } from '../../sql/timeline.js';
import type { Certainty, Outcome, SpanKind } from './model.js';
import { momentOf } from './moments.js';

/** Times in milliseconds. */
export interface StepSpan {
  name: string;
  kind: Extract<SpanKind, 'step' | 'sleep' | 'event' | 'children'>;
  /** Null where it is not recorded. */
  from: number | null;
  to: number;
  to_is: Certainty;
  until: number | null;
  outcome: Outcome | null;
  detail: string | null;
}

const deadline = '$deadline:';
const timeout = '$timeout:';
const awaitEvent = '$awaitEvent:';

/** What is not over by a certain moment ends there. */
export interface Horizon {
  now: number;
  /** When the run ended, or now. */
  end: number;
}

/** The steps and waits of one run, in the order of their ends. */
export function stepSpans(
  run: TimelineRun,
  steps: readonly TimelineStep[],
  waits: readonly TimelineWait[],
  horizon: Horizon,
): StepSpan[] {
  // A wait with a timeout that was registered together with others keeps its deadline from the moment on at which it began.
  const began = new Map<string, number | null>();
  for (const { checkpoint_name: name, updated_at: at } of steps) {
    if (name.startsWith(deadline)) began.set(name.slice(deadline.length), momentOf(at));
  }
  const shown = steps.filter(({ checkpoint_name: name }) => !name.startsWith(deadline));
  const done = new Set(shown.map(({ checkpoint_name: name }) => name));
  const spans = [
    ...shown.map((step) => spanOf(run, step, began, horizon)),
    ...waits
      .filter(({ step_name: name }) => !done.has(name) && !done.has(timeout + name))
      .map((wait) => openWait(run, wait, horizon)),
  ];
  return spans.sort((a, b) => a.to - b.to || (a.from ?? a.to) - (b.from ?? b.to));
}

function spanOf(
  run: TimelineRun,
  step: TimelineStep,
  began: ReadonlyMap<string, number | null>,
  horizon: Horizon,
): StepSpan {
  const name = step.checkpoint_name;
  const saved = momentOf(step.updated_at) ?? horizon.now;
  const started = momentOf(step.started_at);
  const span = { name, from: started, to: saved, to_is: 'known' as const, until: null, outcome: null, detail: null };
  if (name.startsWith(timeout)) {
    const awaited = name.slice(timeout.length);
    const from = started ?? began.get(awaited) ?? null;
    // The handler notes it when it is awake again: after the claim that followed.
    const claimed = momentOf(run.started_at);
    const over = claimed !== null && claimed < saved ? claimed : saved;
    const ended = { to: Math.max(over, from ?? over), to_is: 'estimated' as const };
    return { ...span, ...ended, name: awaited, kind: 'event', from, outcome: 'timed_out', detail: eventIn(awaited) };
  }
  // Nothing has claimed the run since: it did not sleep, the answer was there at once.
  const atOnce = !wasClaimedAfter(run, saved) ? saved : null;
  if (step.children !== null) {
    const detail = step.children === 1 ? '1 task' : `${step.children} tasks`;
    return { ...span, kind: 'children', from: started ?? atOnce, detail };
  }
  if (step.event_name !== null || name.startsWith(awaitEvent)) {
    const woken = step.event_name === null ? atOnce : null;
    const from = started ?? began.get(name) ?? woken;
    return { ...span, kind: 'event', from, detail: step.event_name ?? eventIn(name) };
  }
  const wake = momentOf(step.sleep_until);
  if (wake !== null && wasAsleep(run, saved, wake, horizon)) {
    return { ...span, kind: 'sleep', from: Math.min(started ?? saved, saved), ...wakeUp(run, saved, wake, horizon) };
  }
  return { ...span, kind: 'step' };
}

const eventIn = (step: string): string | null =>
  step.startsWith(awaitEvent) ? step.slice(awaitEvent.length).replace(/#\d+$/, '') : null;

/** A sleep is saved when it begins, with the moment of its end. A step may return a moment as well: but then the run goes on. */
function wasAsleep(run: TimelineRun, saved: number, wake: number, { now }: Horizon): boolean {
  if (wake <= saved) return false;
  const ready = momentOf(run.available_at) ?? 0;
  // A sleep that has not ended wakes the run at its end, if nothing else does before.
  if (run.state === 'sleeping' && wake > now && ready > wake + 1000) return false;
  return wasClaimedAfter(run, saved) || (run.state === 'cancelled' && wake > now);
}

/** Whether the run was released, and claimed again or is to be. */
function wasClaimedAfter(run: TimelineRun, saved: number): boolean {
  const claimed = momentOf(run.started_at);
  return run.state === 'sleeping' || run.state === 'pending' || (claimed !== null && claimed > saved);
}

function wakeUp(
  run: TimelineRun,
  saved: number,
  wake: number,
  { now, end }: Horizon,
): Pick<StepSpan, 'to' | 'to_is' | 'until' | 'outcome'> {
  const claimed = momentOf(run.started_at);
  const ready = momentOf(run.available_at);
  if (run.state === 'sleeping' && wake > now) {
    return { to: now, to_is: 'open', until: Number.isFinite(wake) ? wake : null, outcome: null };
  }
  // Woken before its time: the last claim, or the moment from which it may be claimed, is earlier than the end that was planned.
  const resumed = run.state === 'pending' ? ready : claimed;
  if (resumed !== null && resumed > saved && resumed < wake) {
    return { to: resumed, to_is: run.state === 'pending' ? 'known' : 'estimated', until: null, outcome: 'woken' };
  }
  if (wake > end)
    return { to: end, to_is: 'known', until: null, outcome: run.state === 'cancelled' ? 'cancelled' : null };
  return { to: wake, to_is: 'known', until: null, outcome: null };
}

/** What a run is registered for. A run that is awake was woken by something else, and the wait lasted until then at least. */
function openWait(run: TimelineRun, wait: TimelineWait, { now, end }: Horizon): StepSpan {
  const from = momentOf(wait.created_at);
  const until = momentOf(wait.timeout_at);
  const asleep = run.state === 'sleeping';
  const over = run.state === 'pending' ? momentOf(run.available_at) : momentOf(run.started_at);
  const passed = until !== null && until <= now;
  return {
    name: wait.step_name,
    kind: wait.event_name === null ? 'children' : 'event',
    from,
    to: passed ? until : asleep ? now : Math.min(over ?? end, end),
    to_is: passed ? 'known' : asleep ? 'open' : 'estimated',
    until: asleep && !passed ? until : null,
    outcome: passed ? 'timed_out' : null,
    detail: wait.event_name ?? (wait.children === 1 ? '1 task' : `${wait.children ?? 0} tasks`),
  };
}
