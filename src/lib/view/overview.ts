/** How all queues stand, as one picture: what the dashboard's first page shows. Rows in, model out; the reading is bounded. */
import { busiestQueues, readServerNow, type ServerNow } from '../../sql/dashboard.js';
import { QueueReader } from '../../sql/each-queue.js';
import { schemaFeatures } from '../../sql/features.js';
import { listPauses, type QueuePause } from '../../sql/pauses.js';
import type { Queryable } from '../../sql/queryable.js';
import { countTasks, uncounted, type QueueOverview } from '../../sql/queue-counts.js';
import { listRegisteredQueues, type RegisteredQueue } from '../../sql/queues.js';
import { readThroughput, type Throughput, type ThroughputBucket } from '../../sql/throughput.js';
import type { Timestamp } from '../../sql/values.js';

/** A queue on the overview. */
export interface QueueView extends QueueOverview {
  /** The pause in force; null where there is none. */
  pause: QueuePause | null;
  /** Runs that ended, of those claimed within the span. */
  completed_runs: number;
  failed_runs: number;
  /** Share of failed ones among them; null where none ended. */
  failure_rate: number | null;
  /** Runs that ended, bucket by bucket; the last bucket is still filling. */
  completed_by_bucket: number[];
  failed_by_bucket: number[];
  /** Nothing before this moment was counted, because there was too much; null where all of the span was. */
  cut_before: Timestamp | null;
}

export interface OverviewTotals {
  pending: number;
  running: number;
  sleeping: number;
  /** Some of the three sums hold a count that stopped at 10,000. */
  at_least: boolean;
  oldest_waiting_at: Timestamp | null;
  completed_runs: number;
  failed_runs: number;
  failure_rate: number | null;
  paused_queues: number;
}

export interface Overview {
  /** The server's clock. */
  at: Timestamp;
  server: Omit<ServerNow, 'now'>;
  /** In order of name. Of very many queues those with the most writes. */
  queues: QueueView[];
  queues_total: number;
  totals: OverviewTotals;
  /** The chart's buckets: the beginning of each, and what ended of the runs claimed within it in all queues shown. */
  throughput: {
    bucket_seconds: number;
    at: Timestamp[];
    completed: number[];
    failed: number[];
    cut_before: Timestamp | null;
  };
}

/** Queues that are shown. */
export const queuesShown = 200;
/** Every table and index of a queue takes a lock while it is counted. */
const queuesAtOnce = 50;
const spanSeconds = 900;
const bucketSeconds = 15;

/** Runs a bounded, read-only piece of work in a transaction of its own. */
type Read = <T>(work: (db: Queryable) => Promise<T>) => Promise<T>;

interface Counted {
  overview: QueueOverview[];
  throughput: Throughput;
}

/** Reads some queues at a time, each group in a transaction of its own. A queue that cannot be read has an `error`. */
export async function readOverview(read: Read): Promise<Overview> {
  const { server, names, total, registered, pauses } = await read(async (db) => {
    const features = await schemaFeatures(db);
    const { names, total } = await busiestQueues(db, queuesShown);
    return {
      server: await readServerNow(db),
      names,
      total,
      registered: await listRegisteredQueues(db),
      pauses: features.includes('pause') ? await listPauses(db) : [],
    };
  });
  const shown = new Set(names);
  const queues = registered.filter(({ queue_name: name }) => shown.has(name));
  const nowMs = Date.parse(server.now);
  const first = Math.floor(nowMs / 1000 / bucketSeconds) - spanSeconds / bucketSeconds + 1;
  const counted: Counted[] = [];
  for (let from = 0; from < queues.length; from += queuesAtOnce) {
    const some = queues.slice(from, from + queuesAtOnce);
    counted.push(await read((db) => countSome(db, some, first * bucketSeconds * 1000)));
  }
  return overviewOf(server, total, counted, pauses, first);
}

async function countSome(db: Queryable, queues: readonly RegisteredQueue[], fromMs: number): Promise<Counted> {
  const reader = new QueueReader(db);
  const named = new Map(queues.map((queue) => [queue.queue_name, queue]));
  const both = async (names: string[]): Promise<Counted> => ({
    overview: await countTasks(
      db,
      names.flatMap((name) => named.get(name) ?? []),
    ),
    throughput: await readThroughput(
      db,
      names.filter((name) => named.get(name)?.complete === true),
      { fromMs, bucketSeconds },
    ),
  });
  const answers = await reader.some([...named.keys()], both);
  const found = new Map(answers.flatMap(({ overview }) => overview).map((row) => [row.queue_name, row]));
  const reasons = new Map(reader.skipped.map(({ queue_name: name, reason }) => [name, reason]));
  return {
    overview: queues.map(
      (queue) => found.get(queue.queue_name) ?? uncounted(queue, reasons.get(queue.queue_name) ?? 'not read'),
    ),
    throughput: {
      buckets: answers.flatMap(({ throughput }) => throughput.buckets),
      cutBefore: new Map(answers.flatMap(({ throughput }) => [...throughput.cutBefore])),
    },
  };
}

const rate = (completed: number, failed: number): number | null =>
  completed + failed === 0 ? null : failed / (completed + failed);

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

/** The model, from rows: pure. */
function overviewOf(
  { now, ...server }: ServerNow,
  total: number,
  counted: readonly Counted[],
  pauses: readonly QueuePause[],
  first: number,
): Overview {
  const length = spanSeconds / bucketSeconds;
  const of = (buckets: readonly ThroughputBucket[], state: 'completed' | 'failed'): number[] => {
    const list = Array.from({ length }, () => 0);
    for (const one of buckets) {
      const at = one.bucket - first;
      if (at >= 0 && at < length) list[at] = (list[at] ?? 0) + one[state];
    }
    return list;
  };
  const buckets = counted.flatMap(({ throughput }) => throughput.buckets);
  const cuts = new Map(counted.flatMap(({ throughput }) => [...throughput.cutBefore]));
  const byQueue = new Map<string, ThroughputBucket[]>();
  for (const one of buckets) byQueue.set(one.queue_name, [...(byQueue.get(one.queue_name) ?? []), one]);
  const queues = counted
    .flatMap(({ overview }) => overview)
    .map((row): QueueView => {
      const own = byQueue.get(row.queue_name) ?? [];
      const [completed, failed] = [of(own, 'completed'), of(own, 'failed')];
      return {
        ...row,
        pause: pauses.find(({ queue_name: name }) => name === row.queue_name) ?? null,
        completed_runs: sum(completed),
        failed_runs: sum(failed),
        failure_rate: rate(sum(completed), sum(failed)),
        completed_by_bucket: completed,
        failed_by_bucket: failed,
        cut_before: cuts.get(row.queue_name) ?? null,
      };
    });
  return {
    at: now,
    server,
    queues,
    queues_total: total,
    totals: totalsOf(queues),
    throughput: {
      bucket_seconds: bucketSeconds,
      at: Array.from({ length }, (_, i) => new Date((first + i) * bucketSeconds * 1000).toISOString()),
      completed: of(buckets, 'completed'),
      failed: of(buckets, 'failed'),
      cut_before: [...cuts.values()].sort().at(-1) ?? null,
    },
  };
}

function totalsOf(queues: readonly QueueView[]): OverviewTotals {
  const all = (key: 'pending' | 'running' | 'sleeping' | 'completed_runs' | 'failed_runs'): number =>
    sum(queues.map((queue) => queue[key] ?? 0));
  const oldest = queues.flatMap(({ oldest_waiting_at: at }) => at ?? []).sort();
  return {
    pending: all('pending'),
    running: all('running'),
    sleeping: all('sleeping'),
    at_least: queues.some((queue) => queue.at_least.length > 0),
    oldest_waiting_at: oldest[0] ?? null,
    completed_runs: all('completed_runs'),
    failed_runs: all('failed_runs'),
    failure_rate: rate(all('completed_runs'), all('failed_runs')),
    paused_queues: queues.filter((queue) => queue.pause !== null).length,
  };
}
