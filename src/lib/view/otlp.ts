/**
 * A timeline as OpenTelemetry's OTLP in JSON: the body that a collector takes at /v1/traces. The task is the root of the trace, its id
 * the trace's; attempts are below it, and their waits and steps below them. Ids derive from the rows, so that the same task sent again
 * is the same trace.
 */
import type { Lane, Span, Timeline } from './model.js';
import { momentOf } from './moments.js';
import { kindWords, laneTitle } from './words.js';

interface AnyValue {
  stringValue?: string;
  boolValue?: boolean;
  intValue?: string;
}

export interface Attribute {
  key: string;
  value: AnyValue;
}

export interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  /** 1: internal. */
  kind: 1;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  /** 0: unset, 1: ok, 2: error. */
  status: { code: 0 | 1 | 2; message?: string };
}

export interface OtlpTraces {
  resourceSpans: {
    resource: { attributes: Attribute[] };
    scopeSpans: { scope: { name: string }; spans: OtlpSpan[] }[];
  }[];
}

export function otlpTraces(timeline: Timeline): OtlpTraces {
  const traceId = timeline.task_id.replaceAll('-', '');
  const { task_id, task_name, queue_name, state } = timeline;
  const root = spanId(task_id);
  const spans: OtlpSpan[] = [
    {
      ...{ traceId, spanId: root, name: task_name, kind: 1 },
      ...{ startTimeUnixNano: nanos(timeline.from), endTimeUnixNano: nanos(timeline.to) },
      attributes: attributes({
        'absurd.task.id': task_id,
        'absurd.queue': queue_name,
        'absurd.state': state,
        'absurd.open': !timeline.ended,
      }),
      status: status(state === 'failed' || state === 'cancelled' ? 'failed' : state, state),
    },
  ];
  // A step's parent is the attempt above it; one whose attempt is not shown hangs on the task.
  const attempts = new Map<number, string>();
  for (const [index, lane] of timeline.lanes.entries()) {
    const parent = (lane.kind === 'step' && lane.attempt !== null ? attempts.get(lane.attempt) : undefined) ?? root;
    if (lane.kind === 'step') {
      spans.push(...lane.spans.map((span, i) => ofSpan(traceId, parent, lane, span, `${index} ${i}`, lane.name)));
      continue;
    }
    const id = spanId(`${lane.task_id} ${index}`);
    if (lane.attempt !== null) attempts.set(lane.attempt, id);
    const whole = wholeOf(lane);
    if (whole === undefined) continue;
    spans.push({ ...ofSpan(traceId, root, lane, whole, '', laneTitle(lane)), spanId: id });
    spans.push(...lane.spans.map((span, i) => ofSpan(traceId, id, lane, span, `${index} ${i}`, kindWords[span.kind])));
  }
  const resource = { attributes: attributes({ 'service.name': 'absurd', 'absurd.queue': queue_name }) };
  return { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: 'absurdctl' }, spans }] }] };
}

/** From the beginning of a lane to its end, with how that was. */
function wholeOf(lane: Lane): Span | undefined {
  const [first] = lane.spans;
  const last = lane.spans.at(-1);
  return first === undefined || last === undefined ? undefined : { ...last, from: first.from, from_is: first.from_is };
}

function ofSpan(traceId: string, parentSpanId: string, lane: Lane, span: Span, place: string, name: string): OtlpSpan {
  return {
    ...{ traceId, spanId: spanId(`${lane.task_id} ${place}`), parentSpanId, name, kind: 1 },
    ...{ startTimeUnixNano: nanos(span.from), endTimeUnixNano: nanos(span.to) },
    attributes: attributes({
      ...{ 'absurd.kind': span.kind, 'absurd.task.id': lane.task_id, 'absurd.queue': lane.queue_name },
      ...{ 'absurd.attempt': lane.attempt, 'absurd.detail': span.detail, 'absurd.outcome': span.outcome },
      ...{ 'absurd.start': span.from_is, 'absurd.end': span.to_is, 'absurd.until': span.until },
    }),
    status: status(span.outcome, span.detail),
  };
}

function status(outcome: string | null, message: string | null): OtlpSpan['status'] {
  if (outcome === 'failed' || outcome === 'timed_out' || outcome === 'lease_expired') {
    return message === null ? { code: 2 } : { code: 2, message };
  }
  return { code: outcome === 'completed' ? 1 : 0 };
}

function attributes(values: Record<string, string | number | boolean | null>): Attribute[] {
  return Object.entries(values).flatMap(([key, value]): Attribute[] => {
    if (value === null) return [];
    if (typeof value === 'boolean') return [{ key, value: { boolValue: value } }];
    return [{ key, value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value } }];
  });
}

/** Nanoseconds as a decimal text, which is how JSON carries 64 bits. Nothing was before 1970 there. */
const nanos = (moment: string): string => `${BigInt(Math.max(0, Math.round((momentOf(moment) ?? 0) * 1000))) * 1000n}`;

/** Eight bytes that are always the same for the same text, and never all zero: FNV-1a of 64 bits. */
function spanId(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return (hash === 0n ? 1n : hash).toString(16).padStart(16, '0');
}
