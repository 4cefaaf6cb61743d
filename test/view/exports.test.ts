/** What is exported, by the rules of those that read it: XML, Chrome's trace events, OTLP. */
import { JsonTraceSerializer } from '@opentelemetry/otlp-transformer';
import { SaxesParser } from 'saxes';
import { describe, expect, test } from 'vitest';
import { chromeTrace } from '../../src/lib/view/chrome-trace.js';
import type { Timeline } from '../../src/lib/view/model.js';
import { otlpTraces, type Attribute, type OtlpSpan } from '../../src/lib/view/otlp.js';
import { timelineSvg } from '../../src/lib/view/svg.js';
import { timelineOf } from '../../src/lib/view/timeline.js';
import { at, hostile, rowsOf, runId, runRow, stepRow, taskRow, waitRow } from './rows.js';

/** A task with an attempt that failed, one that waits, steps of every kind, a child, and text that attacks. */
const full: Timeline = timelineOf(
  rowsOf({
    now: at(90_000),
    task: taskRow({ task_name: hostile, queue_name: hostile, state: 'sleeping', attempts: 2, max_attempts: 5 }),
    runs: [
      runRow({ state: 'failed', completed_at: null, failed_at: at(10), error: hostile, claimed_by: hostile }),
      runRow({
        attempt: 2,
        state: 'sleeping',
        created_at: at(10),
        started_at: at(86_500),
        available_at: 'infinity',
        completed_at: null,
        wake_event: hostile,
      }),
    ],
    steps: [
      stepRow({ checkpoint_name: hostile }),
      stepRow({ checkpoint_name: 'b', started_at: at(5), updated_at: at(9) }),
      stepRow({ checkpoint_name: 'nap', owner_run_id: runId(2), updated_at: at(20), sleep_until: at(86_420) }),
    ],
    waits: [waitRow({ run_id: runId(2), step_name: hostile, event_name: hostile, created_at: at(86_600) })],
    family: [
      {
        task: taskRow({ task_id: '019cb8a5-1400-7ccc-8ccc-cccccccccccc', task_name: hostile }),
        depth: 1,
        runs: [runRow()],
        waits: [],
      },
    ],
  }),
);

describe('SVG', () => {
  interface Element {
    name: string;
    attributes: Record<string, string>;
    text: string;
  }

  function parse(svg: string): Element[] {
    const elements: Element[] = [];
    const open: Element[] = [];
    const parser = new SaxesParser();
    parser.on('error', (error) => {
      throw error;
    });
    parser.on('opentag', ({ name, attributes }) => {
      const element = { name, attributes, text: '' };
      elements.push(element);
      open.push(element);
    });
    parser.on('text', (text) => {
      const last = open.at(-1);
      if (last !== undefined) last.text += text;
    });
    parser.on('closetag', () => void open.pop());
    parser.write(svg).close();
    return elements;
  }

  test('is XML, whatever the names are, and says them', () => {
    const elements = parse(timelineSvg(full));
    expect(new Set(elements.map(({ name }) => name))).toEqual(
      new Set(['svg', 'title', 'style', 'rect', 'text', 'line', 'g', 'path']),
    );
    expect(elements[0]?.attributes.xmlns).toBe('http://www.w3.org/2000/svg');
    const texts = elements.filter(({ name }) => name === 'text').map(({ text }) => text);
    expect(texts.some((text) => text.startsWith('"><script>&]]>\\x00\\x1b[2J'))).toBe(true);
    expect(texts.join('')).not.toMatch(/[\p{Cc}\u202e]/u);
  });

  test('has colours for light and for dark, and nothing from elsewhere', () => {
    const svg = timelineSvg(full);
    const [style] = parse(svg).filter(({ name }) => name === 'style');
    expect(style?.text).toContain('prefers-color-scheme:dark');
    expect(svg.match(/https?:[^"]*/g)).toEqual(['http://www.w3.org/2000/svg']);
    expect(svg).not.toMatch(/<script|<image|<foreignObject|href|url\(|@import/);
  });

  test('stays within its frame', () => {
    const elements = parse(timelineSvg(full));
    const [, , width, height] = (elements[0]?.attributes.viewBox ?? '').split(' ').map(Number);
    for (const { name, attributes } of elements.filter((one) => ['rect', 'line', 'text'].includes(one.name))) {
      for (const [key, limit] of [
        ['x', width],
        ['x2', width],
        ['y', height],
        ['y2', height],
      ] as const) {
        const value = attributes[key];
        if (value === undefined) continue;
        expect(Number(value), `${key} of a ${name}`).toBeGreaterThanOrEqual(0);
        expect(Number(value), `${key} of a ${name}`).toBeLessThanOrEqual(limit ?? 0);
      }
    }
  });
});

describe('Chrome trace', () => {
  test('keeps the rules of the trace event format', () => {
    const trace = JSON.parse(JSON.stringify(chromeTrace(full))) as ReturnType<typeof chromeTrace>;
    expect(['ms', 'ns']).toContain(trace.displayTimeUnit);
    const named = new Set<string>();
    const ends = new Map<string, number>();
    for (const event of trace.traceEvents) {
      expect(typeof event.name).toBe('string');
      expect(Number.isInteger(event.pid) && Number.isInteger(event.tid)).toBe(true);
      if (event.ph === 'M') {
        expect(['process_name', 'process_sort_index', 'thread_name', 'thread_sort_index']).toContain(event.name);
        const key = event.name.endsWith('name') ? 'name' : 'sort_index';
        expect(typeof event.args[key]).toBe(key === 'name' ? 'string' : 'number');
        named.add(`${event.name} ${event.pid} ${event.name.startsWith('thread') ? event.tid : ''}`);
        continue;
      }
      expect(event.ph).toBe('X');
      expect(Number.isSafeInteger(event.ts) && Number.isSafeInteger(event.dur)).toBe(true);
      expect(event.dur).toBeGreaterThanOrEqual(0);
      // Of one thread they follow each other: a viewer nests what overlaps, and drops what cannot be nested.
      const thread = `${event.pid} ${event.tid}`;
      expect(event.ts).toBeGreaterThanOrEqual(ends.get(thread) ?? 0);
      ends.set(thread, (event.ts ?? 0) + (event.dur ?? 0));
      expect(named).toContain(`process_name ${event.pid} `);
      expect(named).toContain(`thread_name ${thread}`);
    }
    expect(trace.traceEvents.filter(({ ph }) => ph === 'X')).toHaveLength(
      full.lanes.flatMap(({ spans }) => spans).length,
    );
  });
});

describe('OTLP', () => {
  const traces = otlpTraces(full);
  const spans = traces.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));

  const native = (attributes: readonly Attribute[]): Record<string, string | number | boolean> =>
    Object.fromEntries(
      attributes.map(({ key, value }) => [key, value.stringValue ?? value.boolValue ?? Number(value.intValue)]),
    );
  const hrTime = (nanos: string): [number, number] => [
    Number(BigInt(nanos) / 1_000_000_000n),
    Number(BigInt(nanos) % 1_000_000_000n),
  ];

  /** The same spans as OpenTelemetry's SDK has them in memory. */
  const resource = { attributes: {} };
  type ReadableSpan = Parameters<typeof JsonTraceSerializer.serializeRequest>[0][number];
  const readable = (span: OtlpSpan): ReadableSpan =>
    ({
      spanContext: () => ({ traceId: span.traceId, spanId: span.spanId, traceFlags: 1 }),
      parentSpanContext:
        span.parentSpanId === undefined
          ? undefined
          : { traceId: span.traceId, spanId: span.parentSpanId, traceFlags: 1 },
      ...{ name: span.name, kind: span.kind - 1, status: span.status, attributes: native(span.attributes) },
      ...{ startTime: hrTime(span.startTimeUnixNano), endTime: hrTime(span.endTimeUnixNano), ended: true },
      ...{
        links: [],
        events: [],
        droppedAttributesCount: 0,
        droppedEventsCount: 0,
        droppedLinksCount: 0,
        duration: [0, 0],
      },
      ...{ resource, instrumentationScope: { name: 'absurdctl' } },
    }) as unknown as ReadableSpan;

  test("is what OpenTelemetry's own exporter would send", () => {
    const sent = JSON.parse(
      new TextDecoder().decode(JsonTraceSerializer.serializeRequest(spans.map(readable))),
    ) as typeof traces;
    const theirs = sent.resourceSpans[0]?.scopeSpans[0]?.spans ?? [];
    expect(theirs).toHaveLength(spans.length);
    for (const [i, span] of spans.entries()) {
      const { attributes, ...rest } = JSON.parse(JSON.stringify(span)) as OtlpSpan;
      expect(theirs[i]).toMatchObject(rest);
      expect(native(attributes)).toEqual(native(theirs[i]?.attributes ?? []));
    }
    expect(Object.keys(traces)).toEqual(Object.keys(sent));
    expect(sent.resourceSpans[0]?.scopeSpans[0]?.scope).toMatchObject({ name: 'absurdctl' });
  });

  test('is one trace, a tree whose ids are well-formed and used once', () => {
    const ids = spans.map(({ spanId }) => spanId);
    expect(new Set(ids).size).toBe(ids.length);
    const roots = spans.filter(({ parentSpanId }) => parentSpanId === undefined);
    expect(roots).toHaveLength(1);
    for (const span of spans) {
      expect(span.traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
      expect(span.spanId).toMatch(/^(?!0{16})[0-9a-f]{16}$/);
      expect(span.parentSpanId === undefined || ids.includes(span.parentSpanId)).toBe(true);
      for (const time of [span.startTimeUnixNano, span.endTimeUnixNano]) expect(time).toMatch(/^\d{19}$/);
      expect(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano)).toBe(true);
      for (const { value } of span.attributes) expect(Object.keys(value)).toHaveLength(1);
    }
    expect(spans.filter(({ status }) => status.code === 2).length).toBeGreaterThan(0);
  });

  test('is the same trace when it is sent again', () => {
    expect(otlpTraces(full)).toEqual(traces);
  });
});
