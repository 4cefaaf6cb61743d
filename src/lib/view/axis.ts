/**
 * Where moments lie across a picture. Long stretches in which nothing runs are shortened, so that what runs stays visible next to a
 * sleep of a week. Pure: for any face that draws.
 */
import type { Timeline } from './model.js';
import { momentOf, timestampOf } from './moments.js';

/** A part of the time, and the part of the width that it gets; `at` and `width` are fractions of the whole. */
export interface AxisPart {
  from: string;
  to: string;
  seconds: number;
  at: number;
  width: number;
  /** Drawn shorter than it was. */
  shortened: boolean;
}

export interface Axis {
  parts: AxisPart[];
  /** What to label: each shortened part by itself, or, where there is no room for that, those next to each other as one. */
  shortened: { whole: AxisPart; parts: AxisPart[] }[];
  /** The fraction of the width at which a moment lies. */
  place(moment: string): number;
  /** The moment at a fraction of the width. */
  momentAt(fraction: number): string;
}

/** Idle time longer than this many times the busy time is shortened. */
const idleShare = 2;

/** All idle time together is then drawn as long as this many times the busy time. */
const idleDrawn = 1.5;

/** What would be shortened by less keeps its length. */
const leastShortening = 1.5;

interface Stretch {
  from: number;
  to: number;
  idle: boolean;
}

export function axisOf(timeline: Pick<Timeline, 'from' | 'to' | 'idle'>): Axis {
  const stretches = stretchesOf(timeline);
  const cap = capOf(stretches);
  const drawn = stretches.map(({ from, to, idle }) => (idle && to - from > cap * leastShortening ? cap : to - from));
  const total = drawn.reduce((sum, length) => sum + length, 0) || 1;
  let at = 0;
  const parts = stretches.map(({ from, to }, i): AxisPart => {
    const width = (drawn[i] ?? 0) / total;
    const part = {
      ...{ from: timestampOf(from), to: timestampOf(to), seconds: (to - from) / 1000 },
      ...{ at, width, shortened: (drawn[i] ?? 0) < to - from },
    };
    at += width;
    return part;
  });
  return {
    parts,
    shortened: joined(parts),
    place: (moment) => place(parts, moment),
    momentAt: (x) => momentAt(parts, x),
  };
}

function stretchesOf({ from, to, idle }: Pick<Timeline, 'from' | 'to' | 'idle'>): Stretch[] {
  const stretches: Stretch[] = [];
  let cursor = momentOf(from) ?? 0;
  const end = momentOf(to) ?? cursor;
  for (const part of idle) {
    const [begin, until] = [momentOf(part.from) ?? cursor, momentOf(part.to) ?? cursor];
    if (begin > cursor) stretches.push({ from: cursor, to: begin, idle: false });
    if (until > begin) stretches.push({ from: begin, to: until, idle: true });
    cursor = Math.max(cursor, until);
  }
  if (end > cursor || stretches.length === 0) stretches.push({ from: cursor, to: end, idle: false });
  return stretches;
}

/** No idle stretch is drawn longer than this, in milliseconds. */
function capOf(stretches: readonly Stretch[]): number {
  const lengths = (idle: boolean): number[] =>
    stretches.filter((one) => one.idle === idle).map(({ from, to }) => to - from);
  const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
  const busy = sum(lengths(false));
  const idle = lengths(true).sort((a, b) => a - b);
  if (busy === 0 || sum(idle) <= busy * idleShare) return Infinity;
  // The shortest keep their length; the others share what is left of the room.
  let room = busy * idleDrawn;
  for (const [i, length] of idle.entries()) {
    const each = room / (idle.length - i);
    if (length > each) return each;
    room -= length;
  }
  return Infinity;
}

function joined(parts: readonly AxisPart[]): Axis['shortened'] {
  const result: Axis['shortened'] = [];
  for (const part of parts) {
    if (!part.shortened) continue;
    const last = result.at(-1);
    if (last !== undefined && last.whole.to === part.from) {
      const { whole } = last;
      last.whole = { ...whole, to: part.to, seconds: whole.seconds + part.seconds, width: whole.width + part.width };
      last.parts.push(part);
    } else result.push({ whole: part, parts: [part] });
  }
  return result;
}

function place(parts: readonly AxisPart[], moment: string): number {
  let low = 0;
  let high = parts.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (moment <= (parts[middle]?.to ?? '')) high = middle;
    else low = middle + 1;
  }
  const part = parts[low];
  if (part === undefined || part.seconds === 0) return 0;
  const within = ((momentOf(moment) ?? 0) - (momentOf(part.from) ?? 0)) / 1000 / part.seconds;
  return part.at + Math.min(Math.max(within, 0), 1) * part.width;
}

function momentAt(parts: readonly AxisPart[], fraction: number): string {
  const part = parts.find(({ at, width }) => fraction <= at + width) ?? parts.at(-1);
  if (part === undefined) return '';
  const within = part.width === 0 ? 0 : Math.min(Math.max((fraction - part.at) / part.width, 0), 1);
  return timestampOf((momentOf(part.from) ?? 0) + within * part.seconds * 1000);
}
