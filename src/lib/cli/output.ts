/**
 * Turns a typed result into output. A command's `render` returns a Rendering, pure data; `show` prints it in the
 * chosen mode. Notes go to standard error, everything else to standard output. Table, JSON, CSV and names come from
 * the same rows.
 */
import { RawJson } from '../../sql/values.js';
import { cellOf, cellText } from './format/cell.js';
import { toJson } from './format/json.js';
import { lineText, type Line } from './format/pieces.js';
import { copyEscape, csvEscape, harmless, harmlessJson } from './format/text.js';
import { adviceText, type Advice } from './hint.js';
import type { Io } from './io.js';

export type Mode = 'table' | 'json' | 'ndjson' | 'csv' | 'name';
export const modes = ['table', 'json', 'ndjson', 'csv', 'name'] as const satisfies readonly Mode[];

/**
 * How a column is drawn on a terminal. In a pipe all but `number` and `json` are the plain text, times RFC 3339 in UTC.
 *   id        never cut, never dropped          text      cut to the width when nothing else helps
 *   time      "2h ago"                          duration  a number of seconds, drawn "2h 5m"
 *   number    to the right                      json      one line of JSON, cut to the width
 *   state     a state of a task, coloured
 */
export type ColumnType = 'id' | 'text' | 'time' | 'duration' | 'number' | 'json' | 'state';

export interface Column {
  /** The member of the row, which is also its name in JSON and CSV. */
  key: string;
  /** The heading; default: the key in capitals, underscores as spaces. */
  label?: string;
  type?: ColumnType;
  /** How to write a value on a terminal, if its type is not enough: `~120`. It is escaped afterwards. */
  draw?: (value: unknown, row: object) => string;
  /** On a narrow terminal, columns with the highest number are dropped first; 0 (the default) is never dropped. */
  drop?: number;
}

/** The value of a cell: from the driver, or computed by a command. */
export type Cell = string | number | bigint | boolean | null | undefined | RawJson;

export interface Table {
  columns: Column[];
  rows: readonly object[];
  /** The note on standard error when there are no rows, such as `No queues yet: absurdctl create-queue default`. */
  empty?: Advice;
  /** Set when there is more than is shown: says how to see it, such as `Showing 50 tasks; --limit 100 shows more`. */
  truncated?: Advice;
  /** The column that `-o name` prints; default: the first. */
  name?: string;
  /** What a pipe gets: tab-separated rows without a header (default), or only the bare names. */
  pipe?: 'rows' | 'names';
}

/** One part of a longer answer. At most one of the five kinds of body. */
export interface Section {
  title?: string;
  record?: Record<string, Cell>;
  table?: Table;
  /** Printed unchanged (escaped on a terminal), ending in a newline. */
  text?: string;
  /** A drawing, coloured on a terminal. */
  lines?: readonly Line[];
  /** Pretty-printed. */
  json?: RawJson | null;
}

export interface Rendering extends Section {
  /** Notes on standard error, one line each; not in JSON modes. */
  note?: Advice | Advice[];
  /** Warnings on standard error in every mode, including JSON: what is missing from the answer, and why. */
  warning?: Advice[];
  /**
   * Whether a record says that nothing was found, perhaps because of row-level security. For tables the base finds out
   * itself.
   */
  foundNothing?: boolean;
  /** Further parts, after the first; one empty line between two. */
  sections?: Section[];
  /** What `-o name` prints for a record; default: its first value. */
  name?: string | string[];
  /** The JSON value, if it is neither the table's rows nor the result itself. */
  jsonResult?: unknown;
}

/** The context of a renderer. */
export interface RenderContext {
  /** Whether the answer goes to a terminal. */
  tty: boolean;
  now: Date;
  width: number;
  /** Whether more than ASCII can be shown: a terminal in UTF-8 that takes colours. */
  unicode: boolean;
  mode: Mode;
  /** Advice as text: its commands reach the database that was named on the command line. */
  next: (advice: Advice) => string;
}

function nameLines(rendering: Rendering): string[] {
  if (rendering.name !== undefined) return [rendering.name].flat();
  if (rendering.table) {
    const key = rendering.table.name ?? rendering.table.columns[0]?.key ?? '';
    return rendering.table.rows.map((row) => cellText(cellOf(row, key)));
  }
  if (rendering.record) return Object.values(rendering.record).slice(0, 1).map(cellText);
  return rendering.text === undefined ? [] : [rendering.text.replace(/\n$/, '')];
}

function csvLines(rendering: Rendering, result: unknown): string[] {
  const line = (cells: unknown[]): string => cells.map((cell) => csvEscape(cellText(cell))).join(',');
  if (rendering.table) {
    const keys = rendering.table.columns.map((column) => column.key);
    return [line(keys), ...rendering.table.rows.map((row) => line(keys.map((key) => cellOf(row, key))))];
  }
  const rows = (Array.isArray(result) ? result : [result]).filter((row) => typeof row === 'object' && row !== null);
  const keys = Object.keys((rows[0] ?? {}) as object);
  return [line(keys), ...rows.map((row: object) => line(keys.map((key) => cellOf(row, key))))];
}

function pipeText(part: Section): string {
  const lines: string[] = [];
  if (part.title !== undefined) lines.push(copyEscape(part.title));
  if (part.record) {
    for (const [label, cell] of Object.entries(part.record)) {
      if (cell !== undefined) lines.push(`${label}: ${copyEscape(cellText(cell))}`.trimEnd());
    }
  }
  if (part.table) {
    const { columns, rows, pipe, name } = part.table;
    const keys = pipe === 'names' ? [name ?? columns[0]?.key ?? ''] : columns.map((column) => column.key);
    for (const row of rows) lines.push(keys.map((key) => copyEscape(cellText(cellOf(row, key)))).join('\t'));
  }
  if (part.json !== undefined) lines.push(part.json === null ? 'null' : part.json.text);
  if (part.text !== undefined) lines.push(part.text.replace(/\n$/, ''));
  if (part.lines) lines.push(...part.lines.map((line) => copyEscape(lineText(line))));
  return lines.map((line) => `${line}\n`).join('');
}

const parts = (rendering: Rendering): Section[] => {
  const first =
    rendering.record ?? rendering.table ?? rendering.text ?? rendering.lines ?? rendering.json ?? rendering.title;
  return [...(first === undefined ? [] : [rendering]), ...(rendering.sections ?? [])];
};

/** The notes of an answer: its own, and those of its empty tables. */
function notes(rendering: Rendering): Advice[] {
  const said: Advice[] = rendering.note === undefined ? [] : [rendering.note].flat();
  for (const { table } of parts(rendering)) {
    if (table?.rows.length === 0 && table.empty) said.push(table.empty);
    if (table?.truncated) said.push(table.truncated);
  }
  return said;
}

/** Draws the answer on a terminal, or in the pager if it is long. Returns the headings of columns that had no room. */
async function draw(io: Io, rendering: Rendering): Promise<string[]> {
  const { text, leftOut } = (await import('./format/terminal.js')).drawParts(parts(rendering), io);
  const long = io.pageOver !== undefined && text.split('\n').length > io.pageOver;
  if (!long || !(await io.page?.(text))) io.out(text);
  return leftOut;
}

/** Writes the answer. `result` is the JSON value if the rendering has no table; `say` prints notes. */
export async function show(
  io: Io,
  mode: Mode,
  rendering: Rendering,
  result: unknown,
  say: (note: Advice) => string = adviceText,
): Promise<void> {
  const data =
    rendering.jsonResult !== undefined ? rendering.jsonResult : rendering.table ? rendering.table.rows : result;
  let leftOut: string[] = [];
  const lines = (list: string[]): void => io.out(list.map((line) => `${line}\n`).join(''));
  const safe = (list: string[], how: (line: string) => string): void => lines(io.outTty ? list.map(how) : list);
  if (mode === 'json') safe([toJson(data, 2)], harmlessJson);
  else if (mode === 'ndjson')
    safe(
      (Array.isArray(data) ? data : [data]).map((row) => toJson(row)),
      harmlessJson,
    );
  else if (mode === 'csv') safe(csvLines(rendering, data), (line) => harmless(line));
  else if (mode === 'name') lines(nameLines(rendering).map(io.outTty ? (name) => harmless(name) : copyEscape));
  else if (io.outTty) leftOut = await draw(io, rendering);
  else io.out(parts(rendering).map(pipeText).join('\n'));
  const said = mode === 'json' || mode === 'ndjson' ? notes({ ...rendering, note: undefined }) : notes(rendering);
  if (leftOut.length > 0)
    said.push(`Columns that do not fit: ${leftOut.join(', ')}; a wider window, a pipe or --json shows them`);
  for (const note of [...said, ...(rendering.warning ?? [])]) io.err(`${harmless(say(note))}\n`);
}
