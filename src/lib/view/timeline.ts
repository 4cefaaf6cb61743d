/**
 * One task as a picture of lanes and spans: what the terminal, the browser and the exports draw. Pure, without anything of Node: rows
 * in, a model out that is JSON as it stands.
 *
 * A run's row keeps its last claim and its end, a checkpoint keeps its end and, from newer SDKs, its start. The rest is inferred from
 * the rows around, and each span says so: `from_is` and `to_is`.
 */
import type { TimelineRun, TimelineStep, TimelineTask, TimelineWait } from '../../sql/timeline.js';
import { attemptLanes, type AttemptPicture } from './attempt.js';
import { idleStretches } from './idle.js';
import type { Lane, Note, NoteCode, Timeline } from './model.js';
import { momentOf, secondsBetween, timestampOf } from './moments.js';

export interface TimelineRows {
  now: string;
  /** Where the session's clock is stopped (absurd.fake_now). */
  clock_stopped?: boolean;
  task: TimelineTask;
  /** Oldest first. */
  runs: TimelineRun[];
  /** Oldest first: the latest of `steps_total`. */
  steps: TimelineStep[];
  steps_total: number;
  waits: TimelineWait[];
  family: { task: TimelineTask; depth: number; runs: TimelineRun[]; waits: TimelineWait[] }[];
  /** Whether there are more of the family. */
  family_cut: boolean;
}

const terminalStates: readonly string[] = ['completed', 'failed', 'cancelled'];

export function timelineOf(rows: TimelineRows): Timeline {
  const { task } = rows;
  const now = momentOf(rows.now) ?? 0;
  const own = attemptLanes({ task, runs: rows.runs, steps: rows.steps, waits: rows.waits, now });
  const family = rows.family.map((member) => childLane(member, now));
  const lanes = [...own.lanes, ...family.map(({ lane }) => lane)];
  const moments = lanes.flatMap(({ spans }) => spans.flatMap((span) => [span.from, span.to]));
  // RFC 3339 in UTC with the same number of digits sorts as text.
  const from = moments.reduce(
    (a, b) => (b < a ? b : a),
    moments[0] ?? timestampOf(Math.min(momentOf(task.enqueue_at) ?? now, now)),
  );
  const to = moments.reduce((a, b) => (b > a ? b : a), from);
  const { task_id, task_name, queue_name, state, attempts, max_attempts, parent_task_id } = task;
  return {
    ...{ task_id, task_name, queue_name, state, attempts, max_attempts, parent_task_id },
    now: timestampOf(now),
    from,
    to,
    seconds: secondsBetween(from, to),
    ended: terminalStates.includes(state),
    lanes,
    idle: idleStretches(lanes, from, to),
    totals: totalsOf(own.lanes),
    notes: notesOf(rows, own, family),
  };
}

interface FamilyMember {
  lane: Lane;
  picture: AttemptPicture;
}

/** All attempts at a child in one lane. */
function childLane({ task, depth, runs, waits }: TimelineRows['family'][number], now: number): FamilyMember {
  const picture = attemptLanes({ task, runs, steps: [], waits, now });
  const spans = picture.lanes.filter(({ kind }) => kind === 'attempt').flatMap((lane) => lane.spans);
  const { task_id, queue_name, task_name: name, state } = task;
  return { lane: { kind: 'child', name, depth, task_id, queue_name, attempt: null, state, spans }, picture };
}

function totalsOf(lanes: readonly Lane[]): Timeline['totals'] {
  const totals: Timeline['totals'] = {};
  for (const lane of lanes) {
    if (lane.kind !== 'attempt') continue;
    for (const span of lane.spans) {
      totals[span.kind] = Math.round(((totals[span.kind] ?? 0) + secondsBetween(span.from, span.to)) * 1e6) / 1e6;
    }
  }
  return totals;
}

function notesOf(rows: TimelineRows, own: AttemptPicture, family: readonly FamilyMember[]): Note[] {
  const notes: Note[] = [];
  const grouped = (count: number): string => count.toLocaleString('en-US');
  const say = (code: NoteCode, text: string): void => void notes.push({ code, text });
  const { task, runs, steps, steps_total: total } = rows;
  if (rows.clock_stopped === true) say('clock_stopped', 'The clock is stopped (absurd.fake_now): "now" is that moment');
  const contradictions = own.contradictions + family.reduce((sum, { picture }) => sum + picture.contradictions, 0);
  if (contradictions > 0) {
    const times = contradictions === 1 ? 'recorded time contradicts' : 'recorded times contradict';
    say('contradiction', `${grouped(contradictions)} ${times} the others; such spans are cut to fit`);
  }
  if (steps.length < total)
    say('steps_cut', `The latest ${grouped(steps.length)} of ${grouped(total)} steps are shown`);
  if (runs.length < task.attempts && runs.length > 0) {
    say('attempts_cut', `The latest ${grouped(runs.length)} of ${grouped(task.attempts)} attempts are shown`);
  }
  if (rows.family_cut) say('children_cut', `The first ${grouped(rows.family.length)} tasks of the family are shown`);
  const spans = own.lanes.flatMap((lane) => lane.spans);
  const unknown = spans.filter((span) => span.from_is === 'unknown').length;
  if (unknown > 0) {
    say(
      'starts_unknown',
      `${unknown === 1 ? 'The start of 1 step was' : `The starts of ${grouped(unknown)} steps were`} not recorded`,
    );
  }
  if (spans.some((span) => span.from_is === 'estimated' || span.to_is === 'estimated')) {
    say('estimated', 'Some moments are estimated: no row keeps them');
  }
  return notes;
}
