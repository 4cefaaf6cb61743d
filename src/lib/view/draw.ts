/** A timeline as lines of characters for a terminal. Pure: lines of pieces with the names of their colours. */
import type { Line, Paint, Piece } from '../cli/format/pieces.js';
import { cut, displayWidth, harmless } from '../cli/format/text.js';
import { axisOf, type Axis, type AxisPart } from './axis.js';
import type { Lane, Span, SpanKind, Timeline } from './model.js';
import { kindOrder, kindWords, laneLength, laneRemark, laneTitle, momentText, spanText, totalsText } from './words.js';

export interface DrawOptions {
  width: number;
  /** Block characters; otherwise ASCII. */
  unicode: boolean;
  /** Lines at most: the steps of attempts that are over make room first, the oldest first. */
  height?: number;
}

interface Glyphs {
  spans: Record<SpanKind, string>;
  /** Before an end whose start is unknown, and that end. */
  lead: string;
  end: string;
  /** The end of what is still going on. */
  open: string;
  /** Where time is shortened. */
  fold: string;
}

const ascii: Glyphs = {
  spans: { delay: 'd', queued: '.', running: '#', step: '=', sleep: 'z', event: 'e', children: 't', backoff: 'b' },
  ...{ lead: '-', end: '|', open: '>', fold: '/' },
};
const blocks: Glyphs = {
  spans: { delay: '╌', queued: '░', running: '█', step: '━', sleep: '┄', event: '╍', children: '═', backoff: '▒' },
  ...{ lead: '╌', end: '◆', open: '▶', fold: '╱' },
};

const paints: Record<SpanKind, Paint> = {
  ...{ delay: 'gray', queued: 'yellow', running: 'blue', step: 'green' },
  ...{ sleep: 'cyan', event: 'magenta', children: 'magenta', backoff: 'red' },
};

/** Remarks begin below the name of their lane. */
const indent = 2;

export function drawTimeline(timeline: Timeline, { width, unicode, height = Infinity }: DrawOptions): Line[] {
  const glyphs = unicode ? blocks : ascii;
  const lanes = timeline.lanes.map((lane) => ({
    lane,
    title: ' '.repeat(lane.depth * indent) + harmless(laneTitle(lane)),
    length: laneLength(lane, timeline),
  }));
  const widest = (texts: string[]): number => Math.max(0, ...texts.map(displayWidth));
  const right = Math.max(6, widest(lanes.map(({ length }) => length)));
  const left = Math.max(8, Math.min(widest(lanes.map(({ title }) => title)), Math.floor(width * 0.3)));
  const room = Math.max(10, width - left - right - 4);
  const axis = axisOf(timeline);
  const picture = { timeline, axis, glyphs, room };
  const head = [...header(timeline, width), [], axisLine(picture, left)];
  const foot = legend(timeline, glyphs, axis, width);
  const drawn = lanes.map(({ lane, title, length }) => ({
    lane,
    lines: [
      [
        { text: padded(cut(title, left), left) + '  ', paint: lane.kind === 'step' ? undefined : ('bold' as const) },
        ...bar(picture, lane.spans),
        { text: `  ${length.padStart(right)}`, paint: 'dim' as const },
      ],
      ...remark(lane, timeline, width),
    ],
  }));
  return [...head, ...fitted(drawn, height - head.length - foot.length), [], ...foot].map(trimmed);
}

function header(timeline: Timeline, width: number): Line[] {
  const { task_id: id, task_name: name, queue_name: queue, state, attempts, max_attempts: limit } = timeline;
  const of = limit === null ? '' : ` of ${limit}`;
  const title = `${harmless(name)} in queue ${harmless(queue)}`;
  const tries = `${attempts}${of} ${attempts === 1 && limit === null ? 'attempt' : 'attempts'}`;
  const length = `${spanText(timeline.seconds)}${timeline.ended ? '' : ' so far'}`;
  const totals = totalsText(timeline);
  return [
    [
      { text: cut(title, Math.max(20, width - state.length - 2)), paint: 'bold' },
      { text: `  ${state}`, paint: statePaint(state) },
    ],
    [{ text: `${id}, ${tries}`, paint: 'dim' }],
    [{ text: `from ${momentText(timeline.from)}, ${length}` }],
    ...(totals === '' ? [] : [[{ text: cut(totals, width) }]]),
  ];
}

function statePaint(state: string): Paint | undefined {
  const known: Record<string, Paint> = {
    ...{ pending: 'yellow', running: 'blue', sleeping: 'cyan' },
    ...{ completed: 'green', failed: 'red', cancelled: 'gray' },
  };
  return known[state];
}

interface Picture {
  timeline: Timeline;
  axis: Axis;
  glyphs: Glyphs;
  /** Columns of the bars. */
  room: number;
}

const padded = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - displayWidth(text)));

/** Between two labels of the axis. */
const gap = 2;
const tickEvery = 18;

/** Times since the beginning, and how long the shortened stretches are. */
function axisLine({ timeline, axis, room, glyphs }: Picture, left: number): Line {
  const cells: string[] = Array<string>(room).fill(' ');
  const fits = (at: number, text: string): boolean =>
    at >= 0 &&
    at + text.length <= room &&
    cells.slice(Math.max(0, at - gap), at + text.length + gap).every((cell) => cell === ' ');
  const put = (at: number, text: string): boolean => {
    const room = fits(at, text);
    if (room) for (const [i, character] of [...text].entries()) cells[at + i] = character;
    return room;
  };
  const name = (part: AxisPart): boolean => {
    const text = `${glyphs.fold} ${spanText(part.seconds)} ${glyphs.fold}`;
    return put(Math.round((part.at + part.width / 2) * room - text.length / 2), text);
  };
  put(0, '0s');
  for (const { whole, parts } of axis.shortened) if (parts.map(name).every((named) => !named)) name(whole);
  let before = '';
  for (let column = tickEvery; column < room; column += tickEvery) {
    const at = column / room;
    if (axis.parts.some((part) => part.shortened && at > part.at && at < part.at + part.width)) continue;
    const since = (Date.parse(axis.momentAt(at)) - Date.parse(timeline.from)) / 1000;
    const text = `+${spanText(since)}`;
    if (text !== before && put(column, text)) before = text;
  }
  return [{ text: ' '.repeat(left + 2) + cells.join(''), paint: 'dim' }];
}

/** The columns of one lane. Of several spans in a column the one that began last wins. */
function bar({ axis, glyphs, room }: Picture, spans: readonly Span[]): Piece[] {
  const cells: Piece[] = Array.from({ length: room }, () => ({ text: ' ' }));
  const shortened = axis.parts.filter((part) => part.shortened);
  const folds = new Set(shortened.map(({ at, width }) => Math.floor((at + width / 2) * room)));
  const column = (moment: string): number => Math.min(room - 1, Math.floor(axis.place(moment) * room));
  for (const span of spans) {
    const from = column(span.from);
    const to = Math.max(from, Math.min(room, Math.ceil(axis.place(span.to) * room)) - 1);
    const paint = spanPaint(span);
    const unknown = span.from_is === 'unknown';
    for (let i = from; i <= to; i++) {
      const text =
        folds.has(i) && span.kind !== 'running' ? glyphs.fold : unknown ? glyphs.lead : glyphs.spans[span.kind];
      cells[i] = { text, paint: unknown ? 'dim' : paint };
    }
    if (span.to_is === 'open') cells[to] = { text: glyphs.open, paint };
    else if (unknown) cells[to] = { text: glyphs.end, paint };
  }
  return joined(cells);
}

const spanPaint = ({ kind, outcome }: Span): Paint =>
  outcome === 'failed' || outcome === 'lease_expired' || outcome === 'timed_out' ? 'red' : paints[kind];

/** Pieces of one colour next to each other as one. */
function joined(cells: readonly Piece[]): Piece[] {
  const pieces: Piece[] = [];
  for (const { text, paint } of cells) {
    const last = pieces.at(-1);
    if (last !== undefined && last.paint === paint) last.text += text;
    else pieces.push({ text, paint });
  }
  return pieces;
}

function remark(lane: Lane, { now }: Timeline, width: number): Line[] {
  const text = laneRemark(lane, now);
  if (text === null) return [];
  const failed = ['failed', 'timed_out', 'lease_expired'].includes(lane.spans.at(-1)?.outcome ?? '');
  const blanks = ' '.repeat((lane.depth + 1) * indent);
  return [[{ text: blanks + cut(harmless(text), Math.max(20, width - blanks.length)), paint: failed ? 'red' : 'dim' }]];
}

/** Only the kinds that are there. */
function legend({ lanes }: Timeline, glyphs: Glyphs, { shortened }: Axis, width: number): Line[] {
  const spans = lanes.flatMap((lane) => lane.spans);
  const items: Line[] = kindOrder
    .filter((kind) => spans.some((span) => span.kind === kind && span.from_is !== 'unknown'))
    .map((kind) => [
      { text: glyphs.spans[kind], paint: paints[kind] },
      { text: ` ${kindWords[kind]}`, paint: 'dim' },
    ]);
  if (spans.some((span) => span.from_is === 'unknown')) {
    items.push([{ text: glyphs.end }, { text: ' end, start not recorded', paint: 'dim' }]);
  }
  if (spans.some((span) => span.to_is === 'open'))
    items.push([{ text: glyphs.open }, { text: ' not over', paint: 'dim' }]);
  if (shortened.length > 0) items.push([{ text: glyphs.fold }, { text: ' shortened', paint: 'dim' }]);
  const lines: Line[] = [];
  let used = Infinity;
  for (const item of items) {
    const length = item.reduce((sum, { text }) => sum + displayWidth(text), 0);
    if (used + 2 + length > width) {
      lines.push([...item]);
      used = length;
    } else {
      lines.push([...(lines.pop() ?? []), { text: '  ' }, ...item]);
      used += 2 + length;
    }
  }
  return lines;
}

interface DrawnLane {
  lane: Lane;
  lines: Line[];
}

function fitted(drawn: readonly DrawnLane[], height: number): Line[] {
  // The oldest step makes room first, then the oldest attempt; what is not over stays to the end.
  const isOld = ({ lane }: DrawnLane): boolean => lane.kind === 'step' && lane.spans.at(-1)?.to_is !== 'open';
  const victims = [...drawn.filter(isOld), ...drawn.filter((one) => !isOld(one))].slice(0, -1);
  let size = drawn.reduce((sum, { lines }) => sum + lines.length, 0);
  const hidden = new Set<DrawnLane>();
  for (const victim of victims) {
    if (size <= height - 1 - Math.sign(hidden.size)) break;
    hidden.add(victim);
    size -= victim.lines.length;
  }
  const left = drawn.filter((one) => !hidden.has(one));
  const text = `(${hidden.size} earlier not shown; a taller window shows more)`;
  const said: Line[] = hidden.size === 0 ? [] : [[{ text, paint: 'dim' }]];
  return [...said, ...left.flatMap(({ lines }) => lines)];
}

function trimmed(line: Line): Line {
  const pieces = [...line];
  for (let last = pieces.at(-1); last !== undefined; last = pieces.at(-1)) {
    const text = last.text.trimEnd();
    pieces.pop();
    if (text === '') continue;
    pieces.push({ ...last, text });
    break;
  }
  return pieces;
}
