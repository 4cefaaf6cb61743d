/** The rows of a page, from the latest look at it: what is drawn, and what a key on it means. Pure. */
import type { Line, Paint, Piece } from '../cli/format/pieces.js';
import { byteSize } from '../cli/format/size.js';
import { cut, displayWidth, hanging, harmless } from '../cli/format/text.js';
import { ago } from '../cli/format/time.js';
import type { TaskRow } from '../../sql/list-tasks.js';
import { drawTimeline } from '../view/draw.js';
import type { Level, Page, QueueLine, State, StepLine } from './model.js';

export interface Row {
  key: string;
  line: Line;
  /** The page that it opens. */
  opens?: Level;
  queue?: string;
  task?: string;
  /** The event that it waits for. */
  awaits?: string;
}

const queueSorts = ['name', 'backlog', 'oldest waiting', 'throughput', 'failures'] as const;
const taskSorts = ['latest activity', 'name', 'state', 'attempts'] as const;

/** The orders of a kind of page, by their names. */
export const sortsOf = ({ kind }: Level): readonly string[] =>
  kind === 'queues' ? queueSorts : kind === 'tasks' ? taskSorts : [];

type Drawn = Pick<State, 'pages' | 'look' | 'lookedAt' | 'history' | 'size' | 'unicode'>;

const pageOf = ({ pages }: Drawn): Page | undefined => pages.at(-1);

export function rowsOf(state: Drawn): Row[] {
  const page = pageOf(state);
  const data = state.look?.data;
  if (page === undefined || data === undefined) return [];
  const { level } = page;
  if (data.kind === 'queues') return queueRows(state, sortedQueues(data.queues, page.sort));
  if (data.kind === 'tasks') return taskRows(state, sortedTasks(data.tasks, page.sort));
  if (data.kind === 'task' && level.kind === 'task') {
    const { columns: width } = state.size;
    const timeline = drawTimeline(data.timeline, { width: width - marker, unicode: state.unicode });
    const steps = data.steps.map((step): Row => ({
      key: `step ${step.name}`,
      line: stepLine(step, state),
      opens: { kind: 'step', queue: level.queue, id: level.id, step: step.name },
    }));
    const heading = `Steps${steps.length === 0 ? ': none has finished' : ' (enter shows the value)'}`;
    return [
      ...timeline.map((line, i) => ({ key: `timeline ${i}`, line })),
      ...[
        { key: 'above steps', line: [] },
        { key: 'steps', line: [{ text: heading, paint: 'bold' as const }] },
      ],
      ...steps,
      ...(data.failure === null
        ? []
        : textRows(`\nError of the last attempt that failed\n${data.failure}`, width - marker)),
    ];
  }
  return data.kind === 'text' ? textRows(data.text, state.size.columns) : [];
}

/** Lines of a text, broken where the window ends. */
function textRows(text: string, width: number): Row[] {
  const lines = text
    .replace(/\n$/, '')
    .split('\n')
    .flatMap((line) => broken(harmless(line, { lines: true }), width));
  return lines.map((line, i) => ({ key: `line ${i}`, line: [{ text: line.replaceAll('\t', '  ') }] }));
}

/** At blanks where it says something in words; whatever is still too long is broken anywhere. */
function broken(typed: string, width: number): string[] {
  const indent = /^ */.exec(typed)?.[0] ?? '';
  const words = /^[\s{}[\]"]/.test(typed) ? [typed] : hanging(indent, typed.slice(indent.length), width);
  return words.flatMap((line) => brokenAnywhere(line, width));
}

function brokenAnywhere(line: string, width: number): string[] {
  const parts = [''];
  let used = 0;
  for (const character of line) {
    const size = displayWidth(character);
    if (used + size > width) {
      parts.push('');
      used = 0;
    }
    parts[parts.length - 1] += character;
    used += size;
  }
  return parts;
}

interface Cell {
  text: string;
  paint?: Paint;
}

interface Column<T> {
  label: string;
  /** Columns; the first column takes what is left. */
  width: number;
  right?: boolean;
  /** From so many columns of the window on. */
  from?: number;
  cell(row: T, state: Drawn): Cell;
}

/** Before a row: the mark of the selected one. */
const marker = 2;
/** Looks that the trend shows. */
const trend = 8;
const gap = 1;

function shown<T>(columns: readonly Column<T>[], { size }: Drawn): { column: Column<T>; width: number }[] {
  const fitting = columns.filter(({ from = 0 }) => size.columns >= from);
  const fixed = fitting.slice(1).reduce((sum, { width }) => sum + width + gap, marker);
  return fitting.map((column, i) => ({
    column,
    width: i === 0 ? Math.max(12, size.columns - fixed) : column.width,
  }));
}

function place(text: string, width: number, right = false): string {
  const fitted = cut(harmless(text), width);
  const blanks = ' '.repeat(Math.max(0, width - displayWidth(fitted)));
  return right ? blanks + fitted : fitted + blanks;
}

function tableLine<T>(columns: readonly Column<T>[], row: T, state: Drawn): Line {
  return shown(columns, state).flatMap(({ column, width }, i): Piece[] => {
    const { text, paint } = column.cell(row, state);
    return [{ text: (i === 0 ? '' : ' ') + place(text, width, column.right), paint }];
  });
}

/** The headings of the page; null where it has none. */
export function headingOf(state: Drawn): string | null {
  const data = state.look?.data;
  const line = <T>(columns: readonly Column<T>[]): string =>
    shown(columns, state)
      .map(({ column, width }) => place(column.label, width, column.right))
      .join(' ');
  if (data?.kind === 'queues') return ' '.repeat(marker) + line(queueColumns);
  return data?.kind === 'tasks' ? ' '.repeat(marker) + line(taskColumns) : null;
}

const since = (time: string | null, { lookedAt }: Drawn): string =>
  time === null || lookedAt === null ? '-' : ago(time, lookedAt).replace(/ ago$/, '');

const count = (row: QueueLine, state: 'pending' | 'running' | 'sleeping'): string =>
  row.error !== null ? '-' : `${row[state] ?? '-'}${row.at_least.includes(state) ? '+' : ''}`;

const queueColumns: readonly Column<QueueLine>[] = [
  { label: 'QUEUE', width: 0, cell: ({ queue_name: name }) => ({ text: name, paint: 'bold' }) },
  { label: 'PENDING', width: 7, right: true, cell: (row) => ({ text: count(row, 'pending'), paint: 'yellow' }) },
  { label: 'RUNNING', width: 7, right: true, cell: (row) => ({ text: count(row, 'running'), paint: 'blue' }) },
  {
    label: 'SLEEPING',
    width: 8,
    right: true,
    from: 92,
    cell: (row) => ({ text: count(row, 'sleeping'), paint: 'cyan' }),
  },
  { label: 'OLDEST', width: 6, right: true, cell: ({ oldest_waiting_at: at }, state) => ({ text: since(at, state) }) },
  {
    ...{ label: 'DONE/MIN', width: 8, right: true },
    cell: ({ completed_in_minute: done }) => ({ text: done === undefined ? '-' : String(done), paint: 'green' }),
  },
  {
    ...{ label: 'TREND', width: trend },
    cell: ({ queue_name: name }, state) => ({
      text: sparkline(state.history[name] ?? [], trend, state.unicode),
      paint: 'green',
    }),
  },
  {
    ...{ label: 'FAIL/H', width: 6, right: true },
    cell: ({ failed_in_hour: failed }) => ({
      text: failed === undefined ? '-' : String(failed),
      paint: failed === undefined || failed === 0 ? 'dim' : 'red',
    }),
  },
  {
    ...{ label: 'WKRS', width: 4, right: true },
    cell: ({ workers }) => ({ text: workers === undefined ? '-' : String(workers) }),
  },
  {
    ...{ label: 'STATE', width: 6 },
    cell: ({ error, paused_at: paused }) =>
      error !== null ? { text: error, paint: 'red' } : { text: paused === null ? '' : 'paused', paint: 'magenta' },
  },
];

const statePaint: Readonly<Record<string, Paint>> = {
  ...{ pending: 'yellow', running: 'blue', sleeping: 'cyan' },
  ...{ completed: 'green', failed: 'red', cancelled: 'gray' },
};

const taskColumns: readonly Column<TaskRow>[] = [
  { label: 'NAME', width: 0, cell: ({ task_name: name }) => ({ text: name, paint: 'bold' }) },
  { label: 'STATE', width: 9, cell: ({ state }) => ({ text: state, paint: statePaint[state] }) },
  {
    ...{ label: 'TRY', width: 5, right: true },
    cell: ({ attempts, max_attempts: limit }) => ({ text: limit === null ? `${attempts}` : `${attempts}/${limit}` }),
  },
  { label: 'ACTIVE', width: 6, right: true, cell: ({ activity_at: at }, state) => ({ text: since(at, state) }) },
  {
    ...{ label: 'WAITS FOR, WORKER', width: 20, from: 100 },
    cell: ({ wake_event: event, claimed_by: worker, state }) => ({
      text: state === 'sleeping' && event !== null ? event : state === 'running' ? (worker ?? '') : '',
      paint: 'dim',
    }),
  },
  { label: 'TASK ID', width: 36, cell: ({ task_id: id }) => ({ text: id, paint: 'dim' }) },
];

const queueRows = (state: Drawn, queues: readonly QueueLine[]): Row[] =>
  queues.map((row) => ({
    key: row.queue_name,
    line: tableLine(queueColumns, row, state),
    opens: { kind: 'tasks', queue: row.queue_name },
    queue: row.queue_name,
  }));

const taskRows = (state: Drawn, tasks: readonly TaskRow[]): Row[] =>
  tasks.map((row) => ({
    key: row.task_id,
    line: tableLine(taskColumns, row, state),
    opens: { kind: 'task', queue: row.queue_name, id: row.task_id },
    queue: row.queue_name,
    task: row.task_id,
    awaits: row.wake_event ?? undefined,
  }));

function stepLine({ name, attempt, updated_at: at, bytes, value }: StepLine, state: Drawn): Line {
  const width = Math.max(12, Math.floor(state.size.columns * 0.3));
  const size = bytes === null ? '' : byteSize(bytes);
  const text = value ?? 'large: enter shows it';
  const rest = Math.max(8, state.size.columns - marker - width - 26);
  return [
    { text: place(name, width), paint: 'green' },
    { text: ` ${place(attempt === null ? '' : `try ${attempt}`, 7)}`, paint: 'dim' },
    { text: ` ${place(since(at, state), 5, true)} ${place(size, 9, true)} `, paint: 'dim' },
    { text: place(text, rest) },
  ];
}

const bars = '▁▂▃▄▅▆▇█';
const asciiBars = '.:-=+*#@';

/** The latest numbers as bars, the highest of them as the full height. */
export function sparkline(numbers: readonly number[], width: number, unicode: boolean): string {
  const glyphs = [...(unicode ? bars : asciiBars)];
  const latest = numbers.slice(-width);
  const most = Math.max(1, ...latest);
  return latest
    .map((one) => glyphs[Math.min(glyphs.length - 1, Math.round((one / most) * (glyphs.length - 1)))] ?? '')
    .join('')
    .padStart(width);
}

function sortedQueues(queues: readonly QueueLine[], sort: number): QueueLine[] {
  const most = (number: (row: QueueLine) => number): QueueLine[] => [...queues].sort((a, b) => number(b) - number(a));
  switch (queueSorts[sort]) {
    case 'backlog':
      return most(({ pending }) => pending ?? -1);
    case 'oldest waiting':
      return most(({ oldest_waiting_at: at }) => (at === null ? -Infinity : -Date.parse(at)));
    case 'throughput':
      return most(({ completed_in_minute: done }) => done ?? -1);
    case 'failures':
      return most(({ failed_in_hour: failed }) => failed ?? -1);
    default:
      return [...queues].sort((a, b) => compared(a.queue_name, b.queue_name));
  }
}

function sortedTasks(tasks: readonly TaskRow[], sort: number): TaskRow[] {
  switch (taskSorts[sort]) {
    case 'name':
      return [...tasks].sort((a, b) => compared(a.task_name, b.task_name));
    case 'state':
      return [...tasks].sort((a, b) => compared(a.state, b.state));
    case 'attempts':
      return [...tasks].sort((a, b) => b.attempts - a.attempts);
    default:
      return [...tasks];
  }
}

const compared = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
