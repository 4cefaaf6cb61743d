/** The whole screen as lines, from the state. Pure, and never more lines than the window has. */
import type { Line, Piece } from '../cli/format/pieces.js';
import { cut, displayWidth, hanging, harmless } from '../cli/format/text.js';
import type { Level, State } from './model.js';
import { headingOf, rowsOf, sortsOf } from './rows.js';
import { bodyHeight, pageOf, selectedIndex } from './state.js';

export interface Frame {
  /** The title, and the headings of the columns. */
  head: Line[];
  body: { line: Line; selected: boolean }[];
  /** A question, a preview or help instead of the body. */
  dialog: { title: string; lines: string[] } | null;
  /** What was said last, and the keys. */
  foot: Line[];
}

const levelTitle = (level: Level): string => {
  switch (level.kind) {
    case 'queues':
      return 'queues';
    case 'tasks':
      return level.queue;
    case 'task':
      return `task ${level.id}`;
    case 'step':
      return `step ${level.step}`;
    case 'why':
      return 'why';
  }
};

export function frameOf(state: State): Frame {
  const { columns } = state.size;
  const page = pageOf(state);
  const rows = rowsOf(state);
  const at = selectedIndex(page, rows);
  const height = bodyHeight(state);
  // The selected row stays in the middle, but for both ends of the list.
  // Text has no selected row: it scrolls.
  const above = state.look?.data.kind === 'text' ? at : at - Math.floor(height / 2);
  const first = Math.max(0, Math.min(above, rows.length - height));
  const body = rows.slice(first, first + height).map(({ line }, i) => ({ line, selected: first + i === at }));
  const empty = state.look === null ? (state.error === null ? 'Looking…' : '') : nothingHere(state);
  return {
    head: [
      title(state, rows.length === 0 ? '' : `${at + 1}/${rows.length}`),
      [{ text: headingOf(state) ?? '', paint: 'dim' }],
    ],
    body: body.length === 0 ? [{ line: [{ text: empty, paint: 'dim' }], selected: false }] : body,
    dialog: dialogOf(state),
    foot: [said(state), keys(state, columns)],
  };
}

const nothingHere = (state: State): string =>
  pageOf(state).filter === '' ? 'Nothing here' : 'Nothing matches; esc ends the filter';

function title(state: State, position: string): Line {
  const { columns } = state.size;
  const { filter, sort, level } = pageOf(state);
  const path = state.pages.map(({ level: one }) => harmless(levelTitle(one))).join(' › ');
  const order = sortsOf(level)[sort];
  const parts = [
    ...(filter === '' ? [] : [`/${harmless(filter)}`]),
    ...(order === undefined || sort === 0 ? [] : [`by ${order}`]),
    ...(state.readOnly ? ['read-only'] : []),
    position,
    state.lookedAt === null ? '' : state.lookedAt.toISOString().slice(11, 19) + 'Z',
  ];
  const right = cut(parts.filter((part) => part !== '').join('  '), Math.floor(columns / 2));
  const left = cut(state.unicode ? path : path.replaceAll(' › ', ' > '), columns - displayWidth(right) - 1);
  // As wide as the window, so that every change of its size draws the screen again.
  const between = ' '.repeat(Math.max(1, columns - displayWidth(left) - displayWidth(right)));
  return [{ text: left, paint: 'bold' }, { text: between }, { text: right, paint: 'dim' }];
}

function said({ error, message, look, size, mode }: State): Line {
  const fitted = (text: string, paint: Piece['paint']): Line => [{ text: cut(harmless(text), size.columns), paint }];
  if (mode.kind === 'preparing') return fitted('Reading what would happen…', 'dim');
  if (mode.kind === 'working') return fitted('Working…', 'dim');
  if (error !== null) return fitted(`Trying again: ${error}`, 'red');
  if (message !== null) return fitted(message.text, message.bad ? 'red' : 'green');
  return fitted(look?.notes[0] ?? '', 'yellow');
}

function keys({ mode, readOnly, pages }: State, columns: number): Line {
  const text = (): string => {
    if (mode.kind === 'input') return 'enter accepts  esc leaves it';
    if (mode.kind === 'confirm') return mode.preview.allowed ? 'y does it  esc leaves it' : 'any key goes back';
    if (mode.kind !== 'browse') return 'any key goes back';
    const changes = readOnly ? [] : ['r retry', 'c cancel', 'p pause', 'e emit'];
    const up = pages.length > 1 ? ['esc back'] : [];
    const all = ['? help', 'q quit', ...up, '/ filter', 's sort', 'w why', ...changes, 'y command', 'enter open'];
    const fits = (count: number): boolean => all.slice(0, count).join('  ').length <= columns;
    return all.filter((_, i) => fits(i + 1)).join('  ');
  };
  return [{ text: cut(text(), columns), paint: 'dim' }];
}

const help = [
  'Up Down j k      select a row          PgUp PgDn space b   a page',
  'g G Home End     first, last           enter l Right       open',
  'esc h Left       back; esc also ends a filter',
  '',
  '/   filter: part of a name; tasks also a state, or a condition such as params.order=42',
  's   next order of the list',
  'w   why the task or the queue does not move',
  'r   retry a failed task                c   cancel a task',
  'p   pause or resume the queue          e   emit an event in the queue',
  'y   the command line that shows the same',
  'q   quit                               Ctrl-Z   suspend',
  '',
  'Every change shows a preview first, and happens when you press y.',
];

function dialogOf(state: State): Frame['dialog'] {
  const { mode, look } = state;
  const wrap = (text: string, mark = ''): string[] => hanging(mark, harmless(text), state.size.columns - 4);
  switch (mode.kind) {
    case 'help':
      return { title: 'Keys', lines: help };
    case 'command':
      return { title: 'The command line that shows the same', lines: wrap(look?.command ?? 'Not known yet') };
    case 'input':
      return mode.what === 'filter'
        ? { title: 'Filter', lines: [`/${harmless(mode.text)}_`] }
        : {
            title: 'Event to emit: a name, then its payload as a JSON object (default {})',
            lines: [`${harmless(mode.text)}_`],
          };
    case 'confirm': {
      const { title: name, effects, command, allowed } = mode.preview;
      return {
        title: name,
        lines: [
          ...effects.flatMap((effect) => wrap(effect, '- ')),
          '',
          ...wrap(command),
          '',
          allowed ? 'Press y to do it, esc to leave it' : 'It cannot be done now',
        ],
      };
    }
    default:
      return null;
  }
}
