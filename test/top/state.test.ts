/** The reducer of `top` and what it draws: no terminal, no database. */
import { describe, expect, test } from 'vitest';
import { lineText } from '../../src/lib/cli/format/pieces.js';
import { displayWidth } from '../../src/lib/cli/format/text.js';
import { frameOf } from '../../src/lib/top/draw.js';
import type { Level, Look, QueueLine, State } from '../../src/lib/top/model.js';
import { rowsOf, sparkline } from '../../src/lib/top/rows.js';
import {
  initialState,
  pageOf,
  reduce,
  requestOf,
  selectedIndex,
  type Effect,
  type Event,
  type Key,
} from '../../src/lib/top/state.js';
import type { TaskRow } from '../../src/sql/list-tasks.js';

const at = new Date('2026-01-02T03:04:05Z');

const queue = (name: string, more: Partial<QueueLine> = {}): QueueLine => ({
  ...{
    queue_name: name,
    storage_mode: 'unpartitioned',
    oldest_waiting_at: null,
    at_least: [],
    estimated: [],
    error: null,
  },
  ...{ pending: 0, running: 0, sleeping: 0, completed: 0, failed: 0, cancelled: 0 },
  ...{ completed_in_minute: 0, failed_in_hour: 0, workers: 0 },
  ...{ paused_at: null, paused_until: null, paused_by: null, pause_reason: null },
  ...more,
});

const task = (id: string, more: Partial<TaskRow> = {}): TaskRow => ({
  ...{ task_id: id, queue_name: 'mail', task_name: 'send', state: 'failed', attempts: 1, max_attempts: 3 },
  ...{ activity_at: '2026-01-02T03:00:00Z', started_at: null, run_id: id, enqueue_at: '2026-01-02T03:00:00Z' },
  ...{ available_at: '2026-01-02T03:00:00Z', wake_event: null, claimed_by: null, claim_expires_at: null },
  ...more,
});

const queuesLook = (...queues: QueueLine[]): Look => ({ data: { kind: 'queues', queues }, notes: [], command: 'c' });
const tasksLook = (...tasks: TaskRow[]): Look => ({ data: { kind: 'tasks', tasks }, notes: [], command: 'c' });

const start = (level: Level = { kind: 'queues' }, readOnly = false): State =>
  initialState(level, { columns: 80, rows: 24, readOnly, unicode: true });

const keyOf = (typed: string): Key => {
  const known: Record<string, Key> = {
    ...{ '\r': { name: 'enter' }, '\u001b': { name: 'esc' }, '\b': { name: 'backspace' } },
    ...{ '\u0003': { name: 'char', text: 'c', ctrl: true }, '\u001a': { name: 'char', text: 'z', ctrl: true } },
  };
  return known[typed] ?? { name: 'char', text: typed };
};

/** A character is a key. */
function play(state: State, ...events: (string | Event)[]): { state: State; effects: Effect[] } {
  let effects: Effect[] = [];
  for (const event of events.flatMap((one): (string | Event)[] => (typeof one === 'string' ? [...one] : [one]))) {
    const step = reduce(state, typeof event === 'string' ? { type: 'key', key: keyOf(event) } : event);
    ({ state, effects } = step);
  }
  return { state, effects };
}

const seen = (state: State, look: Look): State =>
  reduce(state, { type: 'looked', request: requestOf(state), look, at }).state;

const screen = (state: State): string => {
  const { head, body, dialog, foot } = frameOf(state);
  const middle = dialog === null ? body.map(({ line }) => lineText(line)) : [dialog.title, ...dialog.lines];
  return [...head.map(lineText), ...middle, ...foot.map(lineText)].join('\n');
};

describe('moving', () => {
  test('the selection stays on its row when the rows change, and within them', () => {
    let state = seen(start(), queuesLook(queue('a'), queue('b'), queue('c')));
    ({ state } = play(state, 'jj'));
    expect(selectedIndex(pageOf(state), rowsOf(state))).toBe(2);
    state = seen(state, queuesLook(queue('0'), queue('a'), queue('b'), queue('c')));
    expect(selectedIndex(pageOf(state), rowsOf(state))).toBe(3);
    state = seen(state, queuesLook(queue('a')));
    expect(selectedIndex(pageOf(state), rowsOf(state))).toBe(0);
    ({ state } = play(state, 'kkk'));
    expect(selectedIndex(pageOf(state), rowsOf(state))).toBe(0);
  });

  test('an empty list takes every key', () => {
    const empty = seen(start(), queuesLook());
    for (const key of ['j', 'k', 'G', '\r', '\u001b', 'h', 'l', 's', 'w', 'r', 'c', 'p', 'e', 'y', '?', '/', '\b'])
      expect(() => frameOf(play(empty, key).state), key).not.toThrow();
  });

  test('down and back: each page is looked at at once, and the selection is found again', () => {
    let { state, effects } = play(seen(start(), queuesLook(queue('mail'), queue('orders'))), 'j\r');
    expect(pageOf(state).level).toEqual({ kind: 'tasks', queue: 'orders' });
    expect(effects).toEqual([{ type: 'look' }]);
    expect(screen(state)).toContain('Looking…');
    ({ state, effects } = play(state, '\u001b'));
    expect(effects).toEqual([{ type: 'look' }]);
    state = seen(state, queuesLook(queue('mail'), queue('orders')));
    expect(selectedIndex(pageOf(state), rowsOf(state))).toBe(1);
    expect(play(state, '\u001b').state.pages).toHaveLength(1);
  });

  test('a look at a page that was left changes nothing', () => {
    const before = seen(start(), queuesLook(queue('mail')));
    const old = requestOf(before);
    const { state } = play(before, '\r');
    expect(reduce(state, { type: 'looked', request: old, look: queuesLook(queue('x')), at }).state).toEqual(state);
    expect(reduce(state, { type: 'look-failed', request: old, error: 'late' }).state).toEqual(state);
  });
});

test('an error stays on the screen with the last look, until a look succeeds', () => {
  let state = seen(start(), queuesLook(queue('mail')));
  state = reduce(state, { type: 'look-failed', request: requestOf(state), error: 'No server answers' }).state;
  expect(screen(state)).toMatch(/mail[^]*Trying again: No server answers/);
  expect(screen(seen(state, queuesLook(queue('mail'))))).not.toContain('Trying again');
});

test('a filter and an order', () => {
  const tasks = tasksLook(task('1', { task_name: 'b' }), task('2', { task_name: 'a' }));
  let state = seen(start({ kind: 'tasks', queue: 'mail' }), tasks);
  const names = (): string[] => rowsOf(state).map(({ key }) => key);
  expect(names()).toEqual(['1', '2']);
  ({ state } = play(state, 's'));
  expect(names()).toEqual(['2', '1']);
  expect(screen(state)).toContain('Sorted by name');
  const typed = play(state, '/failx\b');
  expect(screen(typed.state)).toContain('/fail_');
  expect(pageOf(play(typed.state, '\u001b').state).filter).toBe('');
  const done = play(typed.state, '\r');
  expect(done.effects).toEqual([{ type: 'look' }]);
  expect(requestOf(done.state)).toEqual({ level: { kind: 'tasks', queue: 'mail' }, filter: 'fail' });
  // The first esc ends the filter, the second goes back.
  const ended = play(done.state, '\u001b');
  expect([pageOf(ended.state).filter, ended.state.pages.length]).toEqual(['', 2]);
  expect(play(ended.state, '\u001b').state.pages).toHaveLength(1);
});

describe('changes', () => {
  const preview = {
    title: 'Retry send',
    allowed: true,
    effects: ['Attempt 2 will wait'],
    command: 'absurdctl retry-task 1',
  };
  const action = { kind: 'retry', queue: 'mail', id: '1' } as const;
  const tasks = (readOnly = false): State =>
    seen(start({ kind: 'tasks', queue: 'mail' }, readOnly), tasksLook(task('1')));

  test('only y after the preview performs one', () => {
    const asked = play(tasks(), 'r');
    expect(asked.effects).toEqual([{ type: 'preview', action }]);
    // An answer is awaited: y means nothing yet.
    expect(play(asked.state, 'y').effects).toEqual([]);
    const { state } = play(asked.state, { type: 'previewed', preview });
    expect(screen(state)).toMatch(/Retry send[^]*Attempt 2 will wait[^]*absurdctl retry-task 1/);
    for (const key of ['\r', 'r', 'x', ' ', 'j']) expect(play(state, key).effects, key).toEqual([]);
    for (const key of ['n', 'q', '\u001b']) {
      const left = play(state, key);
      expect(left.effects).toEqual([]);
      expect(left.state.mode.kind).toBe('browse');
      expect(screen(left.state)).toContain('Nothing was changed');
    }
    const yes = play(state, 'y');
    expect(yes.effects).toEqual([{ type: 'perform', action }]);
    expect(play(yes.state, 'yyq').effects).toEqual([]);
    const done = play(yes.state, { type: 'performed', text: 'Attempt 2 is waiting' });
    expect(done.effects).toEqual([{ type: 'look' }]);
    expect(screen(done.state)).toContain('Attempt 2 is waiting');
  });

  test('one that is refused is not performed', () => {
    const refusal = { ...preview, allowed: false, effects: ['The task is completed'] };
    const { state } = play(play(tasks(), 'r').state, { type: 'previewed', preview: refusal });
    expect(play(state, 'y').effects).toEqual([]);
    expect(screen(play(state, 'y').state)).toContain('The task is completed');
    const failed = play(play(tasks(), 'c').state, { type: 'refused', error: 'permission denied' });
    expect([failed.state.mode.kind, failed.state.message]).toEqual([
      'browse',
      { text: 'permission denied', bad: true },
    ]);
  });

  test('a preview that comes after esc is not shown', () => {
    const left = play(tasks(), 'r\u001b');
    expect(play(left.state, { type: 'previewed', preview }).state.mode.kind).toBe('browse');
  });

  test('read-only asks for none', () => {
    for (const key of ['r', 'c', 'p', 'e']) {
      const { state, effects } = play(tasks(true), key);
      expect([effects, state.mode.kind, state.message?.bad], key).toEqual([[], 'browse', true]);
    }
  });

  test('an event is typed with its payload, and the awaited one is offered', () => {
    const waiting = seen(start({ kind: 'tasks', queue: 'mail' }), tasksLook(task('1', { wake_event: 'paid' })));
    const { effects } = play(waiting, 'e {"by": "ann"}\r');
    const emitted = { kind: 'emit', queue: 'mail', event: 'paid', payload: '{"by": "ann"}' };
    expect(effects).toEqual([{ type: 'preview', action: emitted }]);
    expect(play(tasks(), 'e\r').effects).toEqual([]);
  });

  test('queues are paused from their list, tasks are not retried there', () => {
    const queues = seen(start(), queuesLook(queue('mail')));
    expect(play(queues, 'p').effects).toEqual([{ type: 'preview', action: { kind: 'pause', queue: 'mail' } }]);
    expect(play(queues, 'r').effects).toEqual([]);
  });
});

test('Ctrl-C and Ctrl-Z work in every mode, q only where no text is typed', () => {
  const state = seen(start(), queuesLook(queue('mail')));
  for (const keys of ['', '?', '/', 'y', 'p', 'e']) {
    expect(play(state, `${keys}\u0003`).effects, keys).toEqual([{ type: 'interrupt' }]);
    expect(play(state, `${keys}\u001a`).effects, keys).toEqual([{ type: 'suspend' }]);
  }
  expect(play(state, 'q').effects).toEqual([{ type: 'quit' }]);
  expect(play(state, '/q').effects).toEqual([]);
});

describe('drawing', () => {
  test.for([
    [40, 10],
    [80, 24],
    [200, 60],
  ] as const)('never more than the window of %i by %i', ([columns, rows], { expect }) => {
    const queues = Array.from({ length: 100 }, (_, i) =>
      queue(`queue-${i}-with-a-name-that-is-long`, { pending: 10_000 }),
    );
    let state = initialState({ kind: 'queues' }, { columns, rows, readOnly: false, unicode: true });
    state = seen(state, queuesLook(...queues));
    for (const keys of ['', 'G', '/abc', '?']) {
      const { head, body, foot } = frameOf(play(state, keys).state);
      expect(head.length + body.length + foot.length).toBeLessThanOrEqual(rows - 1);
      for (const line of [...(columns < 80 ? [] : head), ...foot])
        expect(displayWidth(lineText(line))).toBeLessThanOrEqual(columns);
      if (columns >= 80)
        for (const { line } of body) expect(displayWidth(lineText(line)) + 2).toBeLessThanOrEqual(columns);
    }
  });

  test('the trend shows the latest looks', () => {
    expect(sparkline([], 4, true)).toBe('    ');
    expect(sparkline([0, 0, 5, 10], 3, true)).toBe('▁▅█');
    expect(sparkline([1], 3, false)).toBe('  @');
    let state = start();
    for (const done of [1, 2, 3]) state = seen(state, queuesLook(queue('mail', { completed_in_minute: done })));
    expect(state.history).toEqual({ mail: [1, 2, 3] });
  });

  test('stored text has no control character left', () => {
    const evil = '\u001b[31m\u0007\u202e';
    const look = tasksLook(task('1', { task_name: evil, wake_event: evil }));
    const state = seen(start({ kind: 'tasks', queue: evil }), look);
    expect(screen(state)).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  });
});
