/** How a timeline's parts are called, for every face. */
import { duration } from '../cli/format/time.js';
import type { Lane, Span, SpanKind, Timeline } from './model.js';
import { momentOf } from './moments.js';

export const kindWords: Readonly<Record<SpanKind, string>> = {
  delay: 'delayed start',
  queued: 'queued',
  running: 'running',
  step: 'step',
  sleep: 'sleep',
  event: 'event wait',
  children: 'task wait',
  backoff: 'backoff',
};

/** The kinds in the order in which a task meets them: for legends and totals. */
export const kindOrder: readonly SpanKind[] = [
  'delay',
  'queued',
  'running',
  'step',
  'sleep',
  'event',
  'children',
  'backoff',
];

/** A span of time as short as it can be said: `0.4ms`, `380ms`, `4.2s`, `3m 20s`, `2h 5m`. */
export function spanText(seconds: number): string {
  if (seconds === 0) return '0s';
  if (seconds < 0.001) return `${(seconds * 1000).toFixed(1)}ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)}ms`;
  return duration(seconds);
}

/** `2026-03-04 13:00:00Z`. */
export const momentText = (moment: string): string => `${moment.slice(0, 19).replace('T', ' ')}Z`;

/** What a lane is called: `attempt 2`, a step's name, `charge` for a child. */
export const laneTitle = (lane: Lane): string => (lane.kind === 'attempt' ? `attempt ${lane.name}` : lane.name);

/** How long a lane's work took, or, where no start is known, when it ended: `4.2s`, `at +4.2s`. */
export function laneLength(lane: Lane, timeline: Pick<Timeline, 'from'>): string {
  const [first] = lane.spans;
  const last = lane.spans.at(-1);
  if (first === undefined || last === undefined) return '';
  if (lane.kind === 'step' && first.from_is === 'unknown' && first.to_is !== 'open') {
    return `at +${spanText(secondsSince(timeline.from, first.to))}`;
  }
  const about = lane.kind === 'step' && first.from_is !== 'known' ? '~' : '';
  return about + spanText(secondsSince(first.from, last.to));
}

const secondsSince = (from: string, to: string): number =>
  Math.max(0, ((momentOf(to) ?? 0) - (momentOf(from) ?? 0)) / 1000);

/** What a reader should know of a lane beyond its length: its failure, or what it waits for. */
export function laneRemark(lane: Lane, now: string): string | null {
  const last = lane.spans.at(-1);
  if (last === undefined) return null;
  const said = spanRemark(lane, last, now);
  return said !== null && lane.kind === 'child' ? `${said}; task ${lane.task_id}` : said;
}

function spanRemark({ kind: lane }: Lane, span: Span, now: string): string | null {
  const { outcome, detail, until } = span;
  if (outcome === 'failed') return detail === null ? 'failed' : `failed: ${detail}`;
  if (outcome === 'lease_expired') return `its lease expired ${spanText(secondsSince(until ?? now, now))} ago`;
  if (outcome === 'timed_out') return 'timed out';
  if (outcome === 'woken') return 'ended early';
  if (outcome === 'cancelled') return lane === 'step' ? null : 'cancelled';
  // The lane of the wait says it.
  if (span.to_is !== 'open' || (lane === 'attempt' && ['sleep', 'event', 'children'].includes(span.kind))) return null;
  const end = until === null ? '' : `until ${momentText(until)}, in ${spanText(secondsSince(now, until))}`;
  return [openWords(span), end].filter((part) => part !== '').join(' ');
}

function openWords({ kind, detail, until }: Span): string {
  switch (kind) {
    case 'event':
      return `waits for ${detail === null ? 'an event' : `event "${detail}"`}${until === null ? ' without a timeout' : ''}`;
    case 'children':
      return `waits for ${detail ?? 'tasks'}${until === null ? ' without a timeout' : ''}`;
    case 'running':
      return `running${detail === null ? '' : ` on ${detail}`}`;
    case 'queued':
      return 'waits for a worker';
    case 'sleep':
      return until === null ? 'sleeps without an end' : 'sleeps';
    case 'backoff':
      return 'not to be retried';
    case 'delay':
      return 'not to start';
    case 'step':
      return 'in progress';
  }
}

/** `running 3.2s, queued 1.1s, sleep 22h`. */
export function totalsText({ totals }: Pick<Timeline, 'totals'>): string {
  return kindOrder
    .flatMap((kind) => {
      const seconds = totals[kind];
      return seconds === undefined || seconds === 0 ? [] : [`${kindWords[kind]} ${spanText(seconds)}`];
    })
    .join(', ');
}
