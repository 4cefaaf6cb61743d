/**
 * Reads the facts of queues: many in one statement, in short transactions, and only if a cheaper question found
 * something.
 */
import type { BoundedReader } from '../../sql/bounded.js';
import { readRowLockHolders } from '../../sql/diagnosis-locks.js';
import { isWhole, type QueueList } from '../../sql/diagnosis-queues.js';
import { readFlows } from '../../sql/doctor-flow.js';
import {
  readCheckpointLoad,
  readEndedEarly,
  readErrors,
  readTaskEnds,
  readUnfinished,
  readWaitSample,
  type QueueTarget,
  type SampledRun,
} from '../../sql/doctor-queue.js';
import type { SurveyedTable } from '../../sql/doctor-survey.js';
import type { QueueFacts } from './check.js';
import type { Thresholds } from './thresholds.js';

/** A queue, its readable tables, and its facts so far. */
interface Asked extends QueueTarget {
  facts: QueueFacts;
  /** Letters of the tables that can be read. */
  open: string;
}

/** Maximum number of tasks with many checkpoints to examine; each costs a statement. */
const closely = 10;
/** Tasks with this many checkpoints in the sample are examined. */
const manyCheckpoints = 60;

/** Tables that this role can read: not locked, not refused, not filtered. */
export const isOpen = ({ readable, filtered, locked }: SurveyedTable): boolean => readable && !filtered && !locked;

export async function readQueueFacts(
  reader: BoundedReader,
  { queues, now, now_text: nowText }: QueueList,
  tables: ReadonlyMap<string, SurveyedTable>,
  thresholds: Thresholds,
): Promise<QueueFacts[]> {
  const all = queues.filter(isWhole).map((queue): Asked => {
    const { queue_name: name, cleanup_ttl_seconds: ttl } = queue;
    const own = [...'trcew'].map((letter) => tables.get(`${letter}_${name}`));
    return {
      queue: name,
      what: `queue ${name}`,
      locks: own.reduce((sum, table) => sum + (table?.locks ?? 5), 0),
      keptSeconds: ttl === null ? null : ttl + thresholds['cleanup-grace'],
      open: own.map((table) => (table && isOpen(table) ? table.table_name.charAt(0) : '')).join(''),
      facts: {
        queue,
        flow: null,
        unfinished: [],
        deadEnds: [],
        errors: [],
        endedEarly: [],
        waits: [],
        leftovers: null,
        loads: [],
        locks: [],
      },
    };
  });
  const lost = new Set<QueueTarget>();
  /** The queues whose tables can be read, and that have answered so far. */
  const among = (letters: string, some: readonly Asked[] = all): Asked[] =>
    some.filter((one) => !lost.has(one) && [...letters].every((letter) => one.open.includes(letter)));
  const missed = (failed: readonly QueueTarget[]): void => failed.forEach((one) => lost.add(one));
  const of = (target: QueueTarget): QueueFacts => (target as Asked).facts;

  const small: Asked[] = [];
  const large: Asked[] = [];
  const empty = new Set<Asked>();
  const hasRows = ({ queue }: Asked): boolean =>
    ['t', 'e'].some((letter) => tables.get(`${letter}_${queue}`)?.may_have_rows !== false);
  const { window: windowSeconds, 'ready-age': claimSeconds } = thresholds;
  missed(
    await readFlows(reader, among('r'), { now, nowText, windowSeconds, claimSeconds }, (one, flow, shape) => {
      one.facts.flow = flow;
      if (shape.unfinished) (shape.large ? large : small).push(one);
      if (!shape.runs && !hasRows(one)) empty.add(one);
    }),
  );
  const flows = all.flatMap((one) => (one.facts.flow ? [{ one, flow: one.facts.flow }] : []));
  const where = (rule: (flow: NonNullable<QueueFacts['flow']>) => boolean): Asked[] =>
    flows.filter(({ flow }) => rule(flow)).map(({ one }) => one);
  const seen = new Set<string>();
  const far = thresholds['far-future'];
  const add = (target: QueueTarget, run: SampledRun): void => {
    if (seen.has(run.run_id)) return;
    seen.add(run.run_id);
    of(target).unfinished.push(run);
  };
  missed(await readUnfinished(reader, among('rtc', small), nowText, far, 'small', add));
  missed(await readUnfinished(reader, among('rtc', large), nowText, far, 'large', add));
  missed(
    await readTaskEnds(
      reader,
      among('tre').filter((one) => !empty.has(one)),
      nowText,
      (target, { deadEnds, leftovers }) => {
        Object.assign(of(target), { deadEnds, leftovers });
      },
    ),
  );
  const failing = where(({ window_failed: failed }) => failed > 0);
  missed(
    await readEndedEarly(reader, among('rt', failing), nowText, windowSeconds, (target, task) =>
      of(target).endedEarly.push(task),
    ),
  );
  missed(
    await readErrors(
      reader,
      among(
        'rt',
        where(({ window_failed: failed }) => failed > 0),
      ),
      nowText,
      windowSeconds,
      (target, error) => of(target).errors.push(error),
    ),
  );
  missed(
    await readWaitSample(
      reader,
      among(
        'rwe',
        where(({ sleeping }) => sleeping > 0),
      ),
      (target, wait) => of(target).waits.push(wait),
    ),
  );
  await readLoads(reader, among('c'), nowText, windowSeconds);
  await readHeadLocks(reader, among('rt', [...small, ...large]), now);
  return all.map(({ facts }) => facts);
}

async function readLoads(
  reader: BoundedReader,
  asked: readonly Asked[],
  nowText: string,
  windowSeconds: number,
): Promise<void> {
  const heavy = asked
    .flatMap(({ facts }) => facts.unfinished.map((run) => ({ facts, run })))
    .filter(({ run }) => run.task_name !== null && run.checkpoints >= manyCheckpoints)
    .sort((left, right) => right.run.checkpoint_bytes - left.run.checkpoint_bytes || 0)
    .sort((left, right) => (right.run.checkpoint_at ?? 0) - (left.run.checkpoint_at ?? 0))
    .slice(0, closely);
  for (const { facts, run } of heavy) {
    const load = await readCheckpointLoad(reader, facts.queue.queue_name, run.task_id, nowText, windowSeconds);
    if (load) facts.loads.push({ run, load });
    await reader.pause();
  }
}

/** Number of runs at the head of a queue that are checked for locks. */
const head = 20;

/** Sessions that have locked rows at the head of a queue, by queue. */
async function readHeadLocks(reader: BoundedReader, asked: readonly Asked[], now: number): Promise<void> {
  const holding = asked.flatMap(({ facts }) => {
    const line = facts.unfinished
      .filter((run) => run.state !== 'running' && run.available_at <= now)
      .sort((left, right) => left.available_at - right.available_at || (left.run_id < right.run_id ? -1 : 1))
      .slice(0, head);
    const xmaxes = line.flatMap((run) => [run.xmax, run.task_xmax ?? '0']).filter((xmax) => xmax !== '0');
    return xmaxes.length > 0 ? [{ facts, xmaxes }] : [];
  });
  if (holding.length === 0) return;
  // Ask about all of them at once; find the queue only if a session holds a lock.
  const anyone = await readRowLockHolders(
    reader,
    holding.flatMap(({ xmaxes }) => xmaxes),
  );
  for (const { facts, xmaxes } of anyone.length > 0 ? holding : [])
    facts.locks.push(...(await readRowLockHolders(reader, xmaxes)));
  await reader.pause();
}
