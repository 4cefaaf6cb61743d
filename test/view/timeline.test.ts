/** Rows that contradict each other, or are many: a timeline is drawn of them all the same. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RawJson } from '../../src/sql/values.js';
import { lineText } from '../../src/lib/cli/format/pieces.js';
import { displayWidth } from '../../src/lib/cli/format/text.js';
import { axisOf } from '../../src/lib/view/axis.js';
import { chromeTrace } from '../../src/lib/view/chrome-trace.js';
import { drawTimeline } from '../../src/lib/view/draw.js';
import type { Timeline } from '../../src/lib/view/model.js';
import { momentOf, timestampOf } from '../../src/lib/view/moments.js';
import { otlpTraces } from '../../src/lib/view/otlp.js';
import { timelineSvg } from '../../src/lib/view/svg.js';
import { retryDelayMs } from '../../src/lib/view/retry-delay.js';
import { timelineOf } from '../../src/lib/view/timeline.js';
import { at, hostile, rowsOf, runId, runRow, stepRow, taskRow, waitRow } from './rows.js';

/** What holds of every timeline. */
function sound(timeline: Timeline): void {
  expect(JSON.parse(JSON.stringify(timeline))).toEqual(timeline);
  for (const { spans } of timeline.lanes) {
    for (const span of spans) {
      expect(span.from <= span.to, `${span.kind} ${span.from} ${span.to}`).toBe(true);
      expect(span.from >= timeline.from && span.to <= timeline.to).toBe(true);
      expect(span.seconds === null || span.seconds >= 0).toBe(true);
    }
  }
  const axis = axisOf(timeline);
  const width = axis.parts.reduce((sum, part) => sum + part.width, 0);
  expect(width === 0 || Math.abs(width - 1) < 1e-9).toBe(true);
  for (const columns of [40, 80, 200]) {
    for (const line of drawTimeline(timeline, { width: columns, unicode: true })) {
      expect(displayWidth(lineText(line)), lineText(line)).toBeLessThanOrEqual(Math.max(columns, 60));
      expect(lineText(line)).not.toMatch(/[\p{Cc}\u202e]/u);
    }
  }
  expect(timelineSvg(timeline)).not.toContain('NaN');
  expect(JSON.stringify([otlpTraces(timeline), chromeTrace(timeline)])).not.toMatch(/NaN|null,"dur"/);
}

const codes = (timeline: Timeline): string[] => timeline.notes.map(({ code }) => code);

test('an end before its start is cut to nothing, and said', () => {
  const timeline = timelineOf(
    rowsOf({ runs: [runRow({ started_at: at(8), completed_at: at(3) })], task: taskRow({ first_started_at: at(8) }) }),
  );
  sound(timeline);
  expect(codes(timeline)).toContain('contradiction');
});

test('a clock that was set back makes no span of negative length', () => {
  const runs = [runRow({ created_at: at(100), started_at: at(50), completed_at: at(40) })];
  const timeline = timelineOf(rowsOf({ now: at(60), runs, task: taskRow({ first_started_at: at(50) }) }));
  sound(timeline);
  expect(codes(timeline)).toContain('contradiction');
});

test('rows that agree have no contradiction', () => {
  const timeline = timelineOf(rowsOf());
  sound(timeline);
  expect(codes(timeline)).toEqual(['starts_unknown']);
});

test('names cannot move a cursor, break a line or leave their place', () => {
  const task = taskRow({ task_name: hostile, queue_name: hostile, state: 'failed' });
  const runs = [runRow({ state: 'failed', completed_at: null, failed_at: at(9), error: hostile, claimed_by: hostile })];
  sound(timelineOf(rowsOf({ task, runs, steps: [stepRow({ checkpoint_name: hostile })] })));
});

test('20,000 steps of which 200 were read are said to be a part', () => {
  const steps = Array.from({ length: 200 }, (_, i) =>
    stepRow({ checkpoint_name: `s${i}`, updated_at: at(3 + i / 100) }),
  );
  const timeline = timelineOf(rowsOf({ steps, steps_total: 20_000 }));
  sound(timeline);
  expect(timeline.notes.find(({ code }) => code === 'steps_cut')?.text).toBe(
    'The latest 200 of 20,000 steps are shown',
  );
});

test('10,000 steps and 200 attempts are drawn in moments, and fit a window', () => {
  const runs = Array.from({ length: 200 }, (_, i) =>
    runRow({
      attempt: i + 1,
      state: 'failed',
      created_at: at(i * 100),
      started_at: at(i * 100 + 60),
      completed_at: null,
      failed_at: at(i * 100 + 99),
    }),
  );
  const steps = Array.from({ length: 10_000 }, (_, i) =>
    stepRow({
      checkpoint_name: `s${i}`,
      owner_run_id: runId(1 + (i % 200)),
      updated_at: at((i % 200) * 100 + 61 + i / 1000),
    }),
  );
  const timeline = timelineOf(
    rowsOf({ now: at(30_000), task: taskRow({ attempts: 300, state: 'failed' }), runs, steps }),
  );
  expect(codes(timeline)).toContain('attempts_cut');
  expect(timeline.lanes).toHaveLength(10_200);
  const lines = drawTimeline(timeline, { width: 80, unicode: false, height: 24 });
  expect(lines.length).toBeLessThanOrEqual(24);
  expect(lines.map(lineText).join('\n')).toMatch(/attempt 200/);
});

test('a step that returned a time to come is no sleep where the run went on', () => {
  const steps = [stepRow({ sleep_until: at(1000) }), stepRow({ checkpoint_name: 'b', updated_at: at(6) })];
  const kinds = timelineOf(rowsOf({ steps })).lanes.flatMap(({ spans }) => spans.map(({ kind }) => kind));
  expect(kinds).not.toContain('sleep');
});

test('a delay of a retry follows the strategy, as the schema reads it', () => {
  expect(retryDelayMs({ kind: 'fixed' }, 3)).toBe(60_000);
  expect(retryDelayMs({ kind: 'fixed', base_seconds: '5' }, 3)).toBe(5000);
  expect(retryDelayMs({ kind: 'exponential' }, 3)).toBe(120_000);
  expect(retryDelayMs({ kind: 'exponential', base_seconds: 10, factor: 3, max_seconds: 50 }, 3)).toBe(50_000);
  expect(retryDelayMs({ kind: 'exponential', factor: 10 }, 10_000)).toBe(86_400_000);
  for (const odd of [null, [], 'fixed', {}, { kind: 'none' }, { kind: 'fixed', base_seconds: -1 }]) {
    expect(retryDelayMs(odd, 2)).toBe(0);
  }
});

test('moments keep their microseconds both ways, and what RFC 3339 cannot say has a place', () => {
  for (const text of [
    '2026-03-04T12:00:00.123456Z',
    '1970-01-01T00:00:00.000001Z',
    '0001-01-01T00:00:00.000000Z',
    '9999-12-31T00:00:00.000000Z',
  ]) {
    expect(timestampOf(momentOf(text) ?? NaN)).toBe(text);
  }
  expect(momentOf('infinity')).toBe(Infinity);
  expect(momentOf('294276-01-01 00:00:00+00')).toBe(Infinity);
  expect(momentOf('4713-01-01 00:00:00+00 BC')).toBe(-Infinity);
  expect(momentOf('soon')).toBeNull();
  expect(momentOf('2026-03-04 12:00:00+05:30')).toBe(Date.UTC(2026, 2, 4, 6, 30));
});

describe('a shortened axis', () => {
  const runs = [runRow({ state: 'running', available_at: at(100_000), started_at: at(100_000), completed_at: null })];
  const steps = [stepRow({ checkpoint_name: 'nap', updated_at: at(4), sleep_until: at(100_000) })];
  const timeline = timelineOf(rowsOf({ now: at(100_004), task: taskRow({ state: 'running' }), runs, steps }));

  test('gives what runs most of the width, and places every moment in order', () => {
    const axis = axisOf(timeline);
    expect(axis.shortened.map(({ whole }) => Math.round(whole.seconds))).toEqual([99_996]);
    const places = [0, 2, 4, 50_000, 100_000, 100_004].map((seconds) => axis.place(at(seconds)));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect((places[2] ?? 0) - (places[1] ?? 0)).toBeGreaterThan(0.1);
  });

  test('gives back the moment of a place', () => {
    const axis = axisOf(timeline);
    for (const seconds of [1, 3, 40_000, 100_002]) {
      const back = momentOf(axis.momentAt(axis.place(at(seconds)))) ?? 0;
      expect(Math.abs(back - (momentOf(at(seconds)) ?? 0))).toBeLessThan(5);
    }
  });
});

const moment = fc.oneof(
  fc.integer({ min: -1000, max: 200_000 }).map(at),
  fc.constantFrom('infinity', '-infinity', '294276-01-01 00:00:00+00', '4713-01-01 00:00:00+00 BC'),
);
const perhaps = fc.option(moment);
const state = fc.constantFrom('pending', 'running', 'sleeping', 'completed', 'failed', 'cancelled', 'odd');
const name = fc.oneof(
  fc.constantFrom(hostile, '$awaitEvent:x', '$timeout:$awaitEvent:x', '$deadline:a', 'a'),
  fc.string({ unit: 'binary' }),
);

test('whatever rows say, there is a timeline', () => {
  const run = fc.record({
    ...{ attempt: fc.integer({ min: 1, max: 4 }), state, claimed_by: fc.option(name), claim_expires_at: perhaps },
    ...{ available_at: moment, wake_event: fc.option(name), created_at: moment, started_at: perhaps },
    ...{ completed_at: perhaps, failed_at: perhaps, error: fc.option(name) },
  });
  const step = fc.record({
    ...{
      checkpoint_name: name,
      owner_run_id: fc.option(fc.integer({ min: 1, max: 5 }).map(runId)),
      updated_at: moment,
    },
    ...{
      started_at: perhaps,
      sleep_until: fc.option(fc.oneof(moment, name)),
      children: fc.option(fc.nat(3)),
      event_name: fc.option(name),
    },
  });
  const wait = fc.record({
    ...{ run_id: fc.integer({ min: 1, max: 5 }).map(runId), step_name: name, event_name: fc.option(name) },
    ...{ children: fc.option(fc.nat(3)), timeout_at: perhaps, created_at: moment },
  });
  const task = fc.record({
    task_name: name,
    state,
    enqueue_at: moment,
    first_started_at: perhaps,
    cancelled_at: perhaps,
  });
  const property = fc.property(
    ...([
      moment,
      task,
      fc.array(run, { maxLength: 4 }),
      fc.array(step, { maxLength: 6 }),
      fc.array(wait, { maxLength: 3 }),
      fc.json(),
    ] as const),
    (now, taskOver, runs, steps, waits, strategy) => {
      const runRows = runs.map(runRow);
      const own = taskRow({ ...taskOver, retry_strategy: new RawJson(strategy) });
      sound(
        timelineOf(
          rowsOf({
            ...{ now, task: own, runs: runRows, steps: steps.map(stepRow), waits: waits.map(waitRow) },
            family: [{ task: own, depth: 1, runs: runRows, waits: [] }],
          }),
        ),
      );
    },
  );
  fc.assert(property, { numRuns: 300 });
});
