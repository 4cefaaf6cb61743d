/** Draws for a terminal. Loaded only there, since colours and tables take time to load. */
import { Chalk, type ChalkInstance } from 'chalk';
import Table3 from 'cli-table3';
import type { RawJson } from '../../../sql/values.js';
import type { Column, Section, Table } from '../output.js';
import type { Io } from '../io.js';
import { beginning, cellOf, cellText } from './cell.js';
import { prettyJson } from './json.js';
import { type Line } from './pieces.js';
import { byteSize } from './size.js';
import { cut, displayWidth, harmless, harmlessJson } from './text.js';
import { ago, duration } from './time.js';

type Paint = (text: string) => string;

function statePaint(chalk: ChalkInstance, state: string): Paint {
  const paints: Record<string, Paint> = {
    pending: chalk.yellow,
    running: chalk.blue,
    sleeping: chalk.cyan,
    completed: chalk.green,
    failed: chalk.red,
    cancelled: chalk.gray,
  };
  return paints[state] ?? ((text) => text);
}

function plainCell(column: Column, row: object, now: Date): string {
  const cell = cellOf(row, column.key);
  if (cell === null || cell === undefined) return '-';
  if (column.draw) return harmless(column.draw(cell, row));
  // Ids are never cut; nothing else is wider than a screen.
  const text = column.type === 'id' ? cellText(cell) : beginning(cell);
  if (column.type === 'time') return ago(text, now);
  if (column.type === 'duration') return Number.isNaN(Number(text)) ? harmless(text) : duration(Number(text));
  // Quotes make blanks at the ends of a name visible.
  return column.type === 'id' && text !== text.trim() ? `"${harmless(text)}"` : harmless(text);
}

const heading = (column: Column): string => column.label ?? column.key.replaceAll('_', ' ').toUpperCase();
const gap = 2;

/**
 * Chooses what fits: columns are dropped by their `drop`, highest first; then the widest text is cut, but never below its
 * heading or 12 columns. Ids are never cut, so a table may stay wider than a very narrow terminal.
 */
function fit(columns: Column[], cells: string[][], width: number): { shown: number[]; widths: number[] } {
  const natural = columns.map((column, i) =>
    Math.max(displayWidth(heading(column)), ...cells.map((row) => displayWidth(row[i] ?? ''))),
  );
  let shown = columns.map((_, i) => i);
  const total = (): number => shown.reduce((sum, i) => sum + (widths[i] ?? 0) + gap, -gap);
  const widths = [...natural];
  while (total() > width) {
    const victim = shown
      .filter((i) => (columns[i]?.drop ?? 0) > 0)
      .sort((a, b) => (columns[b]?.drop ?? 0) - (columns[a]?.drop ?? 0))[0];
    if (victim === undefined) break;
    shown = shown.filter((i) => i !== victim);
  }
  const least = (i: number): number => Math.max(12, displayWidth(heading(columns[i] ?? { key: '' })));
  while (total() > width) {
    const widest = shown
      .filter((i) => ['text', 'json', undefined].includes(columns[i]?.type) && (widths[i] ?? 0) > least(i))
      .sort((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))[0];
    if (widest === undefined) break;
    widths[widest] = Math.max(least(widest), (widths[widest] ?? 0) - (total() - width));
  }
  return { shown, widths };
}

const borders = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'])
    .map((part) => [part, '']),
);

function drawTable(table: Table, io: Io, chalk: ChalkInstance, leftOut: Set<string>): string {
  if (table.rows.length === 0) return '';
  const now = io.now();
  const cells = table.rows.map((row) => table.columns.map((column) => plainCell(column, row, now)));
  const { shown, widths } = fit(table.columns, cells, io.width);
  for (const [i, column] of table.columns.entries()) if (!shown.includes(i)) leftOut.add(heading(column));
  const drawn = new Table3({
    chars: { ...borders, middle: ' '.repeat(gap) },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    colAligns: shown.map((i) => (table.columns[i]?.type === 'number' ? 'right' : 'left')),
    head: shown.map((i) => chalk.bold(heading(table.columns[i] ?? { key: '' }))),
  });
  for (const row of cells) {
    drawn.push(
      shown.map((i) => {
        const text = cut(row[i] ?? '', widths[i] ?? 0);
        const type = table.columns[i]?.type;
        if (text === '-') return chalk.dim(text);
        return type === 'state' ? statePaint(chalk, text)(text) : type === 'time' ? chalk.dim(text) : text;
      }),
    );
  }
  const lines = drawn.toString().split('\n');
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

function drawRecord(record: NonNullable<Section['record']>, chalk: ChalkInstance): string {
  return Object.entries(record)
    .filter(([, cell]) => cell !== undefined)
    .map(([label, cell]) => `${chalk.bold(`${label}:`)} ${harmless(cellText(cell))}`.trimEnd() + '\n')
    .join('');
}

/** Longest JSON that is formatted for people: a screen shows no more, and a pipe gets all of it. */
const jsonLength = 1_000_000;

function drawJson({ text }: RawJson): string {
  if (text.length <= jsonLength) return `${harmlessJson(prettyJson(text))}\n`;
  const rest = byteSize(text.length - jsonLength);
  return `${harmlessJson(text.slice(0, jsonLength))}…\n(${rest} more: a pipe or --json has all of it)\n`;
}

const drawLine = (line: Line, chalk: ChalkInstance): string =>
  line.map(({ text, paint }) => (paint === undefined ? harmless(text) : chalk[paint](harmless(text)))).join('') + '\n';

/** The parts of an answer, separated by empty lines, and the headings of columns that had no room. */
export function drawParts(parts: Section[], io: Io): { text: string; leftOut: string[] } {
  const leftOut = new Set<string>();
  const chalk = new Chalk({ level: io.colour ? 1 : 0 });
  const text = parts
    .map((part) => {
      let text = part.title === undefined ? '' : `${chalk.bold.underline(harmless(part.title))}\n`;
      if (part.record) text += drawRecord(part.record, chalk);
      if (part.table) text += drawTable(part.table, io, chalk, leftOut);
      if (part.json) text += drawJson(part.json);
      if (part.json === null) text += 'null\n';
      if (part.text !== undefined) text += `${harmless(part.text.replace(/\n$/, ''), { lines: true })}\n`;
      if (part.lines) text += part.lines.map((line) => drawLine(line, chalk)).join('');
      return text;
    })
    .filter((part) => part !== '')
    .join('\n');
  return { text, leftOut: [...leftOut] };
}
