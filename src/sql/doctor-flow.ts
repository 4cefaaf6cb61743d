import { ms, type BoundedReader, type Readable } from './bounded.js';
import { readQueueFlow, type QueueFlow } from './diagnosis-queues.js';
import { runs } from './identifiers.js';
import { uuidFloor } from './doctor-queue.js';

/** A queue with more unfinished or recent runs than this is measured by itself, at the ends of its indexes. */
const SMALL = 300;

type SmallFlow = QueueFlow & { at: number; unfinished: number; recent: number; runs: number };

/** Further results of counting a flow. */
export interface FlowShape {
  /** Whether there is an unfinished run, and whether there is a run at all. */
  unfinished: boolean;
  runs: boolean;
  /** Too many runs to read at once. */
  large: boolean;
}

const counts = [
  'unfinished, pending_ready, sleeping_ready, oldest_ready_at, running, expired, oldest_expired_at, without_lease',
  'sleeping, sleeping_forever, next_wake_at, recent, window_created, window_failed, window_completed',
  'runs, window_running + window_completed + window_failed as window_claims',
].join(', ');

/** The times by which flows are counted. */
export interface FlowMoment {
  /** In milliseconds since 1970, and as text. */
  now: number;
  nowText: string;
  windowSeconds: number;
  /** How far back a claim still counts as recent. */
  claimSeconds: number;
}

/**
 * The flow of every queue. Most queues have few runs that are unfinished or recent: those are read once and counted together,
 * for many queues in one statement. The others are counted one by one, as `readQueueFlow` does it.
 * Returns what could not be read.
 */
export async function readFlows<I extends Readable & { queue: string }>(
  reader: BoundedReader,
  queues: readonly I[],
  { now, nowText, windowSeconds, claimSeconds }: FlowMoment,
  set: (queue: I, flow: QueueFlow, shape: FlowShape) => void,
): Promise<I[]> {
  const large: I[] = [];
  const values = [nowText, windowSeconds, Math.max(windowSeconds, claimSeconds), uuidFloor(now - windowSeconds * 1000)];
  const failed = await reader.batch<I, SmallFlow>(
    queues,
    (some) => ({ text: some.map(({ queue }, at) => smallFlow(queue, at)).join(' union all '), values }),
    (queue, row) => {
      const { at: _at, unfinished, recent, runs: known, ...flow } = row;
      if (unfinished > SMALL || recent > SMALL || flow.window_created > SMALL) large.push(queue);
      else set(queue, flow, { unfinished: unfinished > 0, runs: known > 0, large: false });
    },
  );
  for (const queue of large) {
    const flow = await readQueueFlow(reader, queue.queue, nowText, windowSeconds);
    await reader.pause();
    if (flow) set(queue, flow, { unfinished: true, runs: true, large: true });
    else failed.push(queue);
  }
  return failed;
}

/** Parameters: the time, the window, how far back claims are looked for, the first id of the window. */
function smallFlow(queue: string, at: number): string {
  const r = runs(queue);
  const ready = `available_at <= $1::timestamptz`;
  const inWindow = `${ready} and available_at > $1::timestamptz - make_interval(secs => $2)`;
  const expired = `state = 'running' and claim_expires_at <= $1::timestamptz`;
  return `
    (select ${at} as at, ${counts},
            ${ms('greatest(u_claim, f_claim, l_claim)')} as last_claim_at
       from (select count(*)::int as unfinished,
                    count(*) filter (where state = 'pending' and ${ready})::int as pending_ready,
                    count(*) filter (where state = 'sleeping' and ${ready})::int as sleeping_ready,
                    ${ms(`min(available_at) filter (where state <> 'running' and ${ready})`)} as oldest_ready_at,
                    count(*) filter (where state = 'running')::int as running,
                    count(*) filter (where ${expired})::int as expired,
                    ${ms(`min(claim_expires_at) filter (where ${expired})`)} as oldest_expired_at,
                    count(*) filter (where state = 'running' and claim_expires_at is null)::int as without_lease,
                    count(*) filter (where state = 'sleeping')::int as sleeping,
                    count(*) filter (where state = 'sleeping' and available_at = 'infinity')::int as sleeping_forever,
                    ${ms(`min(available_at) filter (where state = 'sleeping' and not ${ready} and available_at < 'infinity')`)} as next_wake_at,
                    count(*) filter (where state = 'running' and ${inWindow})::int as window_running,
                    max(started_at) as u_claim
               from (select r.state, r.available_at, r.claim_expires_at, r.started_at from ${r} r
                      where r.state = any ('{pending,sleeping,running}') limit ${SMALL + 1}) as x) as u,
            (select count(*)::int as recent,
                    count(*) filter (where state = 'completed' and ${inWindow})::int as window_completed,
                    count(*) filter (where state = 'failed' and ${inWindow})::int as window_failed,
                    max(started_at) as f_claim
               from (select r.state, r.available_at, r.started_at from ${r} r
                      where r.state = any ('{completed,failed,cancelled}') and r.available_at <= $1::timestamptz
                        and r.available_at > $1::timestamptz - make_interval(secs => $3) limit ${SMALL + 1}) as x) as f,
            (select count(*) filter (where run_id >= $4::uuid)::int as window_created, count(*)::int as runs,
                    max(started_at) as l_claim
               from (select r.run_id, r.started_at from ${r} r order by r.run_id desc limit ${SMALL + 1}) as x) as l)`;
}
