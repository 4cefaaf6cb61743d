/** Where nothing runs. */
import { secondsBetween } from './moments.js';
import type { Idle, Lane } from './model.js';

interface Stretch {
  from: string;
  to: string;
}

/** The stretches between `from` and `to` that no running span covers, cut wherever another span begins or ends. */
export function idleStretches(lanes: readonly Lane[], from: string, to: string): Idle[] {
  const spans = lanes.flatMap((lane) => lane.spans);
  const busy = united(spans.filter(({ kind }) => kind === 'running'));
  const edges = [...new Set(spans.flatMap((span) => [span.from, span.to]))].sort();
  const idle: Idle[] = [];
  let cursor = from;
  const add = (until: string): void => {
    for (const edge of [...edges.filter((one) => one > cursor && one < until), until]) {
      if (edge <= cursor) continue;
      idle.push({ from: cursor, to: edge, seconds: secondsBetween(cursor, edge) });
      cursor = edge;
    }
  };
  for (const stretch of busy) {
    add(stretch.from);
    if (stretch.to > cursor) cursor = stretch.to;
  }
  add(to);
  return idle;
}

/** The same stretches without overlaps, in order. */
function united(stretches: readonly Stretch[]): Stretch[] {
  const result: Stretch[] = [];
  for (const { from, to } of [...stretches].sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0))) {
    const last = result.at(-1);
    if (last !== undefined && from <= last.to) last.to = to > last.to ? to : last.to;
    else result.push({ from, to });
  }
  return result;
}
