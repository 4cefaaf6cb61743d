/** A timeline as an SVG picture for a ticket or a page: readable on light and on dark, without scripts, fonts or links. */
import { cut, displayWidth, harmless } from '../cli/format/text.js';
import { axisOf, type Axis, type AxisPart } from './axis.js';
import type { Lane, Span, SpanKind, Timeline } from './model.js';
import { kindOrder, kindWords, laneLength, laneRemark, laneTitle, momentText, spanText, totalsText } from './words.js';

const size = { width: 1040, margin: 16, left: 250, right: 90, row: 22, remark: 16, bar: 12, character: 7.25 };
const room = size.width - 2 * size.margin - size.left - size.right;

/** Colours on light and on dark: apart from each other for people who see few colours, by brightness too. */
const colours: Record<SpanKind, [string, string]> = {
  delay: ['#c9cdd3', '#4a515c'],
  queued: ['#e3b341', '#d4a72c'],
  running: ['#2f6fde', '#5b93f5'],
  step: ['#2c974b', '#3fb950'],
  sleep: ['#9ccbe0', '#3d7d97'],
  event: ['#b48ae0', '#9a6dd7'],
  children: ['#d79fd1', '#a85b9f'],
  backoff: ['#f0a68f', '#b35a3c'],
};
const failed: [string, string] = ['#d1242f', '#f85149'];

const style = (mode: 0 | 1): string => {
  const [paper, ink, faint, line] =
    mode === 0 ? ['#ffffff', '#1f2328', '#59636e', '#d1d9e0'] : ['#0d1117', '#f0f6fc', '#9198a1', '#3d444d'];
  const bars = kindOrder.map((kind) => `.${kind}{fill:${colours[kind][mode]}}`).join('');
  return (
    `.paper{fill:${paper}}text{fill:${ink}}.faint{fill:${faint}}.bad{fill:${failed[mode]}}.line{stroke:${line}}` +
    `.lead{stroke:${faint}}${bars}`
  );
};

/** A text for XML: what XML cannot hold becomes visible, as on a terminal. */
function xmlText(text: string): string {
  const safe = harmless(text).replace(/\p{Cs}|[\ufffe\uffff]/gu, '\ufffd');
  return safe.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export function timelineSvg(timeline: Timeline): string {
  const axis = axisOf(timeline);
  const top = size.margin + 88;
  let y = top;
  const rows = timeline.lanes.map((lane) => {
    const drawn = drawLane(lane, timeline, axis, y);
    y += drawn.height;
    return drawn.text;
  });
  const bottom = y;
  const legend = drawLegend(timeline, axis, bottom + 14);
  const notes = timeline.notes.map(({ text }, i) =>
    label(size.margin, legend.bottom + 18 + i * 16, text, 'faint', size.width),
  );
  const height = legend.bottom + 18 + timeline.notes.length * 16 + size.margin;
  const id = xmlText(`${timeline.task_name} ${timeline.task_id}`);
  return [
    `<?xml version="1.0" encoding="UTF-8"?>`,
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${height}" viewBox="0 0 ${size.width} ${height}" role="img" aria-label="${id}">`,
    `<title>${id}</title>`,
    `<style>text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre}.big{font-weight:700;font-size:15px}` +
      `${style(0)}@media (prefers-color-scheme:dark){${style(1)}}</style>`,
    `<rect class="paper" width="${size.width}" height="${height}" rx="6"/>`,
    ...header(timeline),
    ...drawAxis(timeline, axis, top, bottom),
    ...rows,
    ...legend.lines,
    ...notes,
    '</svg>',
    '',
  ].join('\n');
}

const x = (fraction: number): number => size.margin + size.left + fraction * room;
const n = (value: number): string => String(Math.round(value * 100) / 100);

/** A line of text that begins at a place, cut to its columns of pixels. */
function label(left: number, y: number, text: string, as: string, pixels: number): string {
  const columns = Math.max(4, Math.floor((pixels - (left === size.margin ? size.margin * 2 : 0)) / size.character));
  return `<text x="${n(left)}" y="${n(y)}"${as === '' ? '' : ` class="${as}"`}>${xmlText(cut(harmless(text), columns))}</text>`;
}

function header(timeline: Timeline): string[] {
  const { task_name: name, queue_name: queue, state, task_id: id, attempts, max_attempts: limit } = timeline;
  const of = limit === null ? '' : ` of ${limit}`;
  const time = `from ${momentText(timeline.from)}, ${spanText(timeline.seconds)}${timeline.ended ? '' : ' so far'}`;
  return [
    label(size.margin, size.margin + 14, `${name} in queue ${queue}: ${state}`, 'big', size.width * 0.78),
    label(size.margin, size.margin + 34, `${id}, ${attempts}${of} attempts, ${time}`, 'faint', size.width),
    label(size.margin, size.margin + 50, totalsText(timeline), 'faint', size.width),
  ];
}

function drawAxis(timeline: Timeline, axis: Axis, top: number, bottom: number): string[] {
  const lines: string[] = [];
  const taken: [number, number][] = [];
  const put = (middle: number, text: string): boolean => {
    const half = (displayWidth(text) * size.character) / 2 + 6;
    if (taken.some(([from, to]) => middle + half > from && middle - half < to)) return false;
    taken.push([middle - half, middle + half]);
    lines.push(`<text x="${n(middle)}" y="${top - 8}" class="faint" text-anchor="middle">${xmlText(text)}</text>`);
    return true;
  };
  const name = ({ at, width, seconds }: AxisPart): boolean => put(x(at + width / 2), `⁄ ${spanText(seconds)} ⁄`);
  for (const { whole, parts } of axis.shortened) if (parts.map(name).every((named) => !named)) name(whole);
  for (const part of axis.parts) {
    if (!part.shortened) continue;
    const [from, width] = [x(part.at), part.width * room];
    lines.push(
      `<rect x="${n(from)}" y="${top}" width="${n(width)}" height="${n(bottom - top)}" class="lead" fill="none" stroke-dasharray="2 4" stroke-opacity="0.6"/>`,
    );
  }
  let before = '';
  for (let i = 0; i <= 8; i++) {
    const at = i / 8;
    if (axis.parts.some((part) => part.shortened && at > part.at && at < part.at + part.width)) continue;
    const since = (Date.parse(axis.momentAt(at)) - Date.parse(timeline.from)) / 1000;
    lines.push(
      `<line x1="${n(x(at))}" x2="${n(x(at))}" y1="${top}" y2="${n(bottom)}" class="line" stroke-opacity="0.7"/>`,
    );
    const text = i === 0 ? '0s' : `+${spanText(since)}`;
    if (text !== before && put(x(at), text)) before = text;
  }
  return lines;
}

function drawLane(lane: Lane, timeline: Timeline, axis: Axis, y: number): { text: string; height: number } {
  const indent = lane.depth * 14;
  const remark = laneRemark(lane, timeline.now);
  const bad = ['failed', 'timed_out', 'lease_expired'].includes(lane.spans.at(-1)?.outcome ?? '');
  const lines = [
    label(size.margin + indent, y + 14, laneTitle(lane), '', size.left - indent - 8),
    ...lane.spans.map((span) => drawSpan(span, axis, y + (size.row - size.bar) / 2)),
    `<text x="${size.width - size.margin}" y="${n(y + 14)}" class="faint" text-anchor="end">${xmlText(laneLength(lane, timeline))}</text>`,
  ];
  if (remark === null) return { text: lines.join('\n'), height: size.row };
  lines.push(
    label(
      size.margin + indent + 14,
      y + size.row + 8,
      remark,
      bad ? 'bad' : 'faint',
      size.width - size.margin * 2 - indent - 14,
    ),
  );
  return { text: lines.join('\n'), height: size.row + size.remark };
}

function drawSpan(span: Span, axis: Axis, y: number): string {
  const [from, to] = [x(axis.place(span.from)), x(axis.place(span.to))];
  const middle = y + size.bar / 2;
  const said = [kindWords[span.kind], span.detail, span.outcome?.replaceAll('_', ' '), `${span.from} to ${span.to}`];
  const title = `<title>${xmlText(said.filter((part) => part !== null && part !== undefined).join(', '))}</title>`;
  const kind = ['failed', 'timed_out', 'lease_expired'].includes(span.outcome ?? '') ? 'bad' : span.kind;
  if (span.from_is === 'unknown' && span.to_is !== 'open') {
    const lead = `<line x1="${n(from)}" x2="${n(to)}" y1="${n(middle)}" y2="${n(middle)}" class="lead" stroke-dasharray="3 3"/>`;
    const mark = `<path d="M${n(to)} ${n(middle - 6)}l5 6l-5 6l-5 -6z" class="${kind}"/>`;
    return `<g>${title}${lead}${mark}</g>`;
  }
  const width = Math.max(2, to - from);
  const box = `<rect x="${n(from)}" y="${n(y)}" width="${n(width)}" height="${size.bar}" rx="2" class="${kind}"/>`;
  if (span.to_is !== 'open') return `<g>${title}${box}</g>`;
  const arrow = `<path d="M${n(from + width)} ${n(y)}l7 6l-7 6z" class="${kind}"/>`;
  return `<g>${title}${box}${arrow}</g>`;
}

function drawLegend({ lanes }: Timeline, axis: Axis, y: number): { lines: string[]; bottom: number } {
  const spans = lanes.flatMap((lane) => lane.spans);
  const lines: string[] = [];
  let at = size.margin;
  const item = (mark: string, text: string): void => {
    lines.push(mark, `<text x="${n(at + 18)}" y="${n(y + 10)}" class="faint">${xmlText(text)}</text>`);
    at += 18 + text.length * size.character + 16;
  };
  for (const kind of kindOrder) {
    if (!spans.some((span) => span.kind === kind && span.from_is !== 'unknown')) continue;
    item(`<rect x="${n(at)}" y="${n(y)}" width="12" height="12" rx="2" class="${kind}"/>`, kindWords[kind]);
  }
  if (spans.some((span) => span.from_is === 'unknown')) {
    item(`<path d="M${n(at + 6)} ${n(y)}l5 6l-5 6l-5 -6z" class="step"/>`, 'end, start not recorded');
  }
  if (axis.shortened.length > 0) {
    const box = `<rect x="${n(at)}" y="${n(y)}" width="12" height="12" class="lead" fill="none" stroke-dasharray="2 2"/>`;
    item(box, 'shortened');
  }
  return { lines, bottom: y + 12 };
}
