/** The state of `top`'s screen, and what a key or an answer makes of it. Pure: what is to be done beside it is returned as effects. */
import type { Action, Level, Look, LookRequest, Mode, Page, Preview, State } from './model.js';
import { rowsOf, sortsOf, type Row } from './rows.js';

export interface Key {
  name:
    'up' | 'down' | 'left' | 'right' | 'enter' | 'esc' | 'pageup' | 'pagedown' | 'home' | 'end' | 'backspace' | 'char';
  /** Of a `char`. */
  text?: string;
  ctrl?: boolean;
}

export type Event =
  | { type: 'key'; key: Key }
  | { type: 'looked'; request: LookRequest; look: Look; at: Date }
  | { type: 'look-failed'; request: LookRequest; error: string }
  | { type: 'previewed'; preview: Preview }
  | { type: 'performed'; text: string }
  | { type: 'refused'; error: string }
  | { type: 'resized'; columns: number; rows: number };

export type Effect =
  | { type: 'look' }
  | { type: 'preview'; action: Action }
  | { type: 'perform'; action: Action }
  | { type: 'suspend' }
  | { type: 'interrupt' }
  | { type: 'quit' };

export interface Step {
  state: State;
  effects: Effect[];
}

const historyLength = 60;

const newPage = (level: Level): Page => ({ level, filter: '', sort: 0, selected: null, index: 0 });

export function initialState(
  start: Level,
  { columns, rows, readOnly, unicode }: { columns: number; rows: number; readOnly: boolean; unicode: boolean },
): State {
  const first: Level = { kind: 'queues' };
  return {
    pages: (start.kind === 'queues' ? [start] : [first, start]).map(newPage),
    ...{ look: null, lookedAt: null, error: null, mode: { kind: 'browse' }, message: null, history: {} },
    size: { columns, rows },
    readOnly,
    unicode,
  };
}

export function pageOf({ pages }: State): Page {
  const page = pages.at(-1);
  if (page === undefined) throw new Error('top shows no page');
  return page;
}

export const requestOf = (state: State): LookRequest => {
  const { level, filter } = pageOf(state);
  return { level, filter };
};

/** Where the selection stands among the rows: by its key, or where it was. */
export function selectedIndex({ selected, index }: Page, rows: readonly Row[]): number {
  const at = selected === null ? -1 : rows.findIndex(({ key }) => key === selected);
  return Math.max(0, Math.min(rows.length - 1, at >= 0 ? at : index));
}

/** Lines for the rows of a page: all but the two above, the two below, and the one that stays empty at the bottom. */
export const bodyHeight = ({ size }: Pick<State, 'size'>): number => Math.max(1, size.rows - 6);

const still = (state: State): Step => ({ state, effects: [] });
const saying = (state: State, text: string, bad = false): Step => still({ ...state, message: { text, bad } });

function withPage(state: State, change: Partial<Page>): State {
  return { ...state, pages: [...state.pages.slice(0, -1), { ...pageOf(state), ...change }] };
}

export function reduce(state: State, event: Event): Step {
  switch (event.type) {
    case 'key':
      return onKey(state, event.key);
    case 'looked':
      if (!sameRequest(event.request, requestOf(state))) return still(state);
      return still({ ...remember(state, event.look), look: event.look, lookedAt: event.at, error: null });
    case 'look-failed':
      return still(sameRequest(event.request, requestOf(state)) ? { ...state, error: event.error } : state);
    case 'previewed':
      if (state.mode.kind !== 'preparing') return still(state);
      return still({ ...state, mode: { kind: 'confirm', action: state.mode.action, preview: event.preview } });
    case 'performed':
      return {
        state: { ...state, mode: { kind: 'browse' }, message: { text: event.text, bad: false } },
        effects: [{ type: 'look' }],
      };
    case 'refused':
      return saying({ ...state, mode: { kind: 'browse' } }, event.error, true);
    case 'resized':
      return still({ ...state, size: { columns: event.columns, rows: event.rows } });
  }
}

export const sameRequest = (a: LookRequest, b: LookRequest): boolean => JSON.stringify(a) === JSON.stringify(b);

function remember(state: State, { data }: Look): State {
  if (data.kind !== 'queues') return state;
  const history: Record<string, readonly number[]> = { ...state.history };
  for (const { queue_name: name, completed_in_minute: completed } of data.queues) {
    if (completed !== undefined) history[name] = [...(history[name] ?? []), completed].slice(-historyLength);
  }
  return { ...state, history };
}

function onKey(state: State, key: Key): Step {
  if (key.ctrl === true && key.text === 'c') return { state, effects: [{ type: 'interrupt' }] };
  if (key.ctrl === true && key.text === 'z') return { state, effects: [{ type: 'suspend' }] };
  const { mode } = state;
  switch (mode.kind) {
    case 'browse':
      return key.ctrl === true ? still(state) : browse({ ...state, message: null }, key);
    case 'help':
    case 'command':
      return still({ ...state, mode: { kind: 'browse' } });
    case 'input':
      return typed(state, mode, key);
    case 'confirm':
      if (key.text === 'y' && mode.preview.allowed) {
        return {
          state: { ...state, mode: { kind: 'working', action: mode.action } },
          effects: [{ type: 'perform', action: mode.action }],
        };
      }
      if (key.name === 'esc' || key.text === 'n' || key.text === 'q' || !mode.preview.allowed) {
        const text = mode.preview.allowed ? 'Nothing was changed' : (mode.preview.effects[0] ?? 'It is refused');
        return saying({ ...state, mode: { kind: 'browse' } }, text);
      }
      return still(state);
    case 'preparing':
      return key.name === 'esc' ? still({ ...state, mode: { kind: 'browse' } }) : still(state);
    case 'working':
      return still(state);
  }
}

function typed(state: State, mode: Extract<Mode, { kind: 'input' }>, key: Key): Step {
  if (key.name === 'esc') return still({ ...state, mode: { kind: 'browse' } });
  if (key.name === 'backspace')
    return still({ ...state, mode: { ...mode, text: [...mode.text].slice(0, -1).join('') } });
  if (key.name === 'char' && key.ctrl !== true)
    return still({ ...state, mode: { ...mode, text: mode.text + (key.text ?? '') } });
  if (key.name !== 'enter') return still(state);
  const browsing: State = { ...state, mode: { kind: 'browse' } };
  const text = mode.text.trim();
  if (mode.what === 'filter') return filtered(browsing, text);
  const queue = queueOf(state, selectedRow(state));
  if (text === '' || queue === undefined) return still(browsing);
  const [, event = text, payload = '{}'] = /^(\S+)\s+(\{[^]*)$/.exec(text) ?? [];
  return prepare(browsing, { kind: 'emit', queue, event, payload });
}

const filtered = (state: State, filter: string): Step =>
  filter === pageOf(state).filter
    ? still(state)
    : {
        state: { ...withPage(state, { filter, selected: null, index: 0 }), look: null, error: null },
        effects: [{ type: 'look' }],
      };

const selectedRow = (state: State): Row | undefined => {
  const rows = rowsOf(state);
  return rows[selectedIndex(pageOf(state), rows)];
};

function browse(state: State, key: Key): Step {
  const page = pageOf(state);
  const move = (by: number): Step => {
    const rows = rowsOf(state);
    const index = Math.max(0, Math.min(rows.length - 1, selectedIndex(page, rows) + by));
    return still(withPage(state, { index, selected: rows[index]?.key ?? null }));
  };
  switch (key.name) {
    case 'up':
      return move(-1);
    case 'down':
      return move(1);
    case 'pageup':
      return move(-bodyHeight(state));
    case 'pagedown':
      return move(bodyHeight(state));
    case 'home':
      return move(-Infinity);
    case 'end':
      return move(Infinity);
    case 'right':
    case 'enter':
      return open(state, selectedRow(state)?.opens);
    case 'left':
      return back(state);
    case 'esc':
      return page.filter === '' ? back(state) : filtered(state, '');
    case 'backspace':
      return still(state);
    case 'char':
      return letter(state, key.text ?? '');
  }
}

const letters: Readonly<Record<string, Key['name']>> = {
  ...{ j: 'down', k: 'up', h: 'left', l: 'right', g: 'home', G: 'end', ' ': 'pagedown', b: 'pageup' },
};

function letter(state: State, text: string): Step {
  const moves = letters[text];
  if (moves !== undefined) return browse(state, { name: moves });
  const row = selectedRow(state);
  const queue = queueOf(state, row);
  const id = taskOf(state, row);
  switch (text) {
    case 'q':
      return { state, effects: [{ type: 'quit' }] };
    case '?':
      return still({ ...state, mode: { kind: 'help' } });
    case 'y':
      return still({ ...state, mode: { kind: 'command' } });
    case '/':
      return input(state, 'filter', pageOf(state).filter);
    case 's':
      return sorted(state);
    case 'w':
      if (queue === undefined) return saying(state, 'Select a queue or a task first');
      return open(state, { kind: 'why', queue, id: id ?? null });
    case 'r':
    case 'c':
      if (queue === undefined || id === undefined) return saying(state, 'Select a task first');
      return prepare(state, { kind: text === 'r' ? 'retry' : 'cancel', queue, id });
    case 'p':
      return queue === undefined ? saying(state, 'Select a queue first') : prepare(state, { kind: 'pause', queue });
    case 'e':
      if (state.readOnly) return saying(state, refusal, true);
      return queue === undefined ? saying(state, 'Select a queue first') : input(state, 'event', row?.awaits ?? '');
    default:
      return still(state);
  }
}

const refusal = 'This screen is read-only: start top without --read-only to change something';

const input = (state: State, what: 'filter' | 'event', text: string): Step => {
  const { kind } = pageOf(state).level;
  if (what === 'filter' && kind !== 'queues' && kind !== 'tasks')
    return saying(state, 'Lists of queues and of tasks can be filtered');
  return still({ ...state, mode: { kind: 'input', what, text } });
};

const prepare = (state: State, action: Action): Step =>
  state.readOnly
    ? saying(state, refusal, true)
    : { state: { ...state, mode: { kind: 'preparing', action } }, effects: [{ type: 'preview', action }] };

function sorted(state: State): Step {
  const page = pageOf(state);
  const sorts = sortsOf(page.level);
  if (sorts.length === 0) return saying(state, 'Lists of queues and of tasks can be sorted');
  const sort = (page.sort + 1) % sorts.length;
  return saying(withPage(state, { sort, selected: null, index: 0 }), `Sorted by ${sorts[sort] ?? ''}`);
}

function open(state: State, level: Level | undefined): Step {
  if (level === undefined) return still(state);
  const rows = rowsOf(state);
  const page = pageOf(state);
  // The selection is found again on the way back.
  const index = selectedIndex(page, rows);
  const kept = withPage(state, { index, selected: rows[index]?.key ?? null });
  return {
    state: { ...kept, pages: [...kept.pages, newPage(level)], look: null, error: null },
    effects: [{ type: 'look' }],
  };
}

const back = (state: State): Step =>
  state.pages.length === 1
    ? still(state)
    : { state: { ...state, pages: state.pages.slice(0, -1), look: null, error: null }, effects: [{ type: 'look' }] };

function queueOf(state: State, row: Row | undefined): string | undefined {
  const { level } = pageOf(state);
  return level.kind === 'queues' ? row?.queue : level.queue;
}

function taskOf(state: State, row: Row | undefined): string | undefined {
  const { level } = pageOf(state);
  if (level.kind === 'tasks') return row?.task;
  return level.kind === 'queues' ? undefined : level.kind === 'why' ? (level.id ?? undefined) : level.id;
}
