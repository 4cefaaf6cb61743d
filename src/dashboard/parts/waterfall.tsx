/** One task's time as a waterfall. Stretches in which nothing runs are shortened, and say how long they are. */
import type { JSX } from 'preact';
import type { Timeline } from '../lib/types.js';
import { duration, moment, plain } from '../lib/text.js';

type Span = Timeline['lanes'][number]['spans'][number];

interface Axis {
  /** From a moment to a share of the width. */
  at(ms: number): number;
  breaks: { from: number; to: number; seconds: number }[];
  ticks: { share: number; seconds: number }[];
}

/** A shortened stretch takes this share of what is not. */
const breakShare = 0.07;

function axisOf({ from, to, idle }: Timeline): Axis {
  const [start, end] = [Date.parse(from), Math.max(Date.parse(to), Date.parse(from) + 1)];
  const idles = idle.map((one) => ({ ...one, start: Date.parse(one.from), end: Date.parse(one.to) }));
  const idleMs = idles.reduce((sum, one) => sum + one.end - one.start, 0);
  const busyMs = Math.max(1, end - start - idleMs);
  const short = idles.filter((one) => one.end - one.start > busyMs * breakShare);
  const points: [ms: number, weight: number][] = [[start, 0]];
  let weight = 0;
  let last = start;
  for (const one of short) {
    weight += one.start - last;
    points.push([one.start, weight]);
    weight += busyMs * breakShare;
    points.push([one.end, weight]);
    last = one.end;
  }
  weight += end - last;
  points.push([end, weight]);
  const at = (ms: number): number => {
    const next = Math.max(
      1,
      points.findIndex(([point]) => point >= ms),
    );
    const [[left, low], [right, high]] = [points[next - 1] ?? [start, 0], points[next] ?? [end, weight]];
    const inside = right === left ? 0 : (Math.min(Math.max(ms, left), right) - left) / (right - left);
    return (low + inside * (high - low)) / weight;
  };
  const back = (share: number): number => {
    const wanted = share * weight;
    const next = Math.max(
      1,
      points.findIndex(([, one]) => one >= wanted),
    );
    const [[left, low], [right, high]] = [points[next - 1] ?? [start, 0], points[next] ?? [end, weight]];
    return high === low ? left : left + ((wanted - low) / (high - low)) * (right - left);
  };
  return {
    at,
    breaks: short.map((one) => ({ from: at(one.start), to: at(one.end), seconds: one.seconds })),
    ticks: [0, 0.25, 0.5, 0.75, 1].map((share) => ({ share, seconds: (back(share) - start) / 1000 })),
  };
}

const words: Record<Span['kind'], string> = {
  delay: 'delayed start',
  queued: 'in the queue',
  running: 'running',
  step: 'step',
  sleep: 'asleep',
  event: 'waits for event',
  children: 'waits for children',
  backoff: 'backoff before a retry',
};

function title(span: Span): string {
  const long =
    span.seconds === null ? 'start not recorded' : `${duration(span.seconds)}${span.to_is === 'open' ? ' so far' : ''}`;
  const sure = span.from_is === 'estimated' || span.to_is === 'estimated' ? ', estimated' : '';
  const outcome = span.outcome === null ? '' : `, ${span.outcome.replace('_', ' ')}`;
  const detail = span.detail === null ? '' : `: ${plain(span.detail).slice(0, 200)}`;
  return `${words[span.kind]} ${long}${sure}${outcome}${detail} (${moment(span.from)} to ${moment(span.to)})`;
}

const percent = (share: number): string => `${(share * 100).toFixed(3)}%`;

function Bar({ span, axis }: { span: Span; axis: Axis }): JSX.Element {
  const [left, right] = [axis.at(Date.parse(span.from)), axis.at(Date.parse(span.to))];
  const kind = `bar bar-${span.kind}`;
  const more = [
    span.outcome === 'failed' || span.outcome === 'lease_expired' ? 'bad' : '',
    span.to_is === 'open' ? 'open' : '',
    span.from_is === 'unknown' ? 'unsure' : '',
  ];
  return (
    <span
      class={[kind, ...more].join(' ').trim()}
      style={{ left: percent(left), width: `max(3px, ${percent(right - left)})` }}
      title={title(span)}
    />
  );
}

/** Those whose labels do not run into the one before. */
function apart(breaks: Axis['breaks']): Axis['breaks'] {
  let last = -1;
  return breaks.filter(({ from, to }) => {
    const middle = (from + to) / 2;
    if (middle - last < labelShare) return false;
    last = middle;
    return true;
  });
}

/** What a label takes of the width. */
const labelShare = 0.12;

const lengthOf = (spans: readonly Span[]): string => {
  const known = spans.flatMap(({ seconds }) => seconds ?? []);
  return known.length === 0 ? '' : duration(known.reduce((sum, one) => sum + one, 0));
};

export function Waterfall({ of }: { of: Timeline }): JSX.Element {
  const axis = axisOf(of);
  return (
    <div class="waterfall">
      <div class="ticks" aria-hidden="true">
        {axis.ticks.map(({ share, seconds }) => (
          <span style={{ left: percent(share) }} class={share === 1 ? 'last' : ''}>
            +{duration(seconds)}
          </span>
        ))}
      </div>
      <ol>
        {of.lanes.map((lane) => (
          <li class={`lane lane-${lane.kind}`}>
            <span class="label" title={plain(lane.name)}>
              {lane.kind === 'attempt' ? `Attempt ${plain(lane.name)}` : plain(lane.name)}
            </span>
            <span class="track">
              {axis.breaks.map(({ from, to }) => (
                <span class="break" style={{ left: percent(from), width: percent(to - from) }} />
              ))}
              {lane.spans.map((span) => (
                <Bar span={span} axis={axis} />
              ))}
            </span>
            <span class="length">
              {lengthOf(lane.spans)}
              <span class="unseen">, {lane.spans.map(title).join('; ')}</span>
            </span>
          </li>
        ))}
      </ol>
      {axis.breaks.length > 0 && (
        <div class="ticks breaks" aria-hidden="true">
          {apart(axis.breaks).map(({ from, to, seconds }) => (
            <span style={{ left: percent((from + to) / 2) }} class="middle">
              {duration(seconds)} idle
            </span>
          ))}
        </div>
      )}
      <ul class="legend">
        {Object.keys(of.totals).map((kind) => (
          <li>
            <span class={`bar bar-${kind}`} /> {words[kind as Span['kind']]}{' '}
            {duration(of.totals[kind as Span['kind']] ?? 0)}
          </li>
        ))}
      </ul>
      {of.notes.map(({ text }) => (
        <p class="muted">{plain(text)}</p>
      ))}
    </div>
  );
}
