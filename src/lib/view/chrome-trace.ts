/**
 * A timeline in the trace event format of Chrome, which Perfetto and chrome://tracing open. A task is a process and each lane a
 * thread of its own: complete events of one thread must not overlap, and steps may.
 */
import type { Lane, Timeline } from './model.js';
import { momentOf } from './moments.js';
import { kindWords, laneTitle } from './words.js';

export interface TraceEvent {
  name: string;
  /** X: complete; M: metadata. */
  ph: 'X' | 'M';
  pid: number;
  tid: number;
  cat?: string;
  /** Microseconds. */
  ts?: number;
  dur?: number;
  args: Record<string, unknown>;
}

export interface ChromeTrace {
  displayTimeUnit: 'ms';
  otherData: Record<string, unknown>;
  traceEvents: TraceEvent[];
}

export function chromeTrace(timeline: Timeline): ChromeTrace {
  const events: TraceEvent[] = [];
  const processes = new Map<string, number>();
  const name = (of: string, pid: number, tid: number, args: Record<string, unknown>): void =>
    void events.push({ name: of, ph: 'M', pid, tid, args });
  const processOf = (id: string, title: string): number => {
    const known = processes.get(id);
    if (known !== undefined) return known;
    const pid = processes.size + 1;
    processes.set(id, pid);
    name('process_name', pid, 0, { name: title });
    name('process_sort_index', pid, 0, { sort_index: pid });
    return pid;
  };
  processOf(timeline.task_id, `${timeline.task_name} (${timeline.queue_name})`);
  for (const [index, lane] of timeline.lanes.entries()) {
    const pid = processOf(lane.task_id, `${lane.name} (${lane.queue_name})`);
    const tid = index + 1;
    name('thread_name', pid, tid, { name: laneTitle(lane) });
    name('thread_sort_index', pid, tid, { sort_index: index });
    events.push(...spansOf(lane, pid, tid));
  }
  const { task_id, task_name, queue_name, state, now, notes } = timeline;
  const said = notes.map(({ text }) => text);
  return {
    displayTimeUnit: 'ms',
    otherData: { task_id, task_name, queue_name, state, now, notes: said },
    traceEvents: events,
  };
}

const micros = (moment: string): number => Math.round((momentOf(moment) ?? 0) * 1000);

function spansOf(lane: Lane, pid: number, tid: number): TraceEvent[] {
  return lane.spans.map((span): TraceEvent => {
    const { kind, from_is, to_is, until, outcome, detail } = span;
    const args = { task_id: lane.task_id, attempt: lane.attempt, from_is, to_is, until, outcome, detail };
    const [ts, end] = [micros(span.from), micros(span.to)];
    const name = lane.kind === 'step' ? lane.name : kindWords[kind];
    return { name, cat: kind, ph: 'X', pid, tid, ts, dur: Math.max(0, end - ts), args };
  });
}
