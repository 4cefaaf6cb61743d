import { Random } from './random.js';

/** What a task does, one after another: see programs/worker.mjs. */
export type Action =
  | { do: 'step'; name: string; ms: number }
  | { do: 'both'; names: string[]; ms: number }
  | { do: 'sleep'; name: string; seconds: number }
  | { do: 'await'; event: string; timeout?: number }
  | { do: 'emit'; event: string }
  | { do: 'fail'; before: number }
  | { do: 'beat'; ms: number }
  | { do: 'spawn'; key: string; script: Action[] };

export const loudFaults = [
  'kill -9',
  'stop past the lease',
  'terminate backends',
  'kill a backend',
  'crash the server',
  'jump the clock',
  'exhaust connections',
  'restart the pooler',
  'lose answers',
  'drain a worker',
] as const;
export const quietFaults = [
  'hold row locks',
  'read repeatably',
  'upgrade',
  'clean up',
  'maintain partitions',
  'cancel and retry',
  'poison',
  'toggle wake-ups',
  'pause and resume',
] as const;
export type Fault = (typeof loudFaults)[number] | (typeof quietFaults)[number];

export interface WorkerPlan {
  /** How it reaches the server. */
  way: 'direct' | 'proxy' | 'pooler';
  closeSeconds: number;
  options: Record<string, unknown>;
}

/** All that a seed decides of a round. Which of two races wins, it cannot. */
export interface Plan {
  mode: 'unpartitioned' | 'partitioned';
  wakeup: boolean;
  /** Spawns at the most, or a little more. */
  spawns: number;
  workers: WorkerPlan[];
  /** Faults that take something away, one after another, and faults that only disturb, beside them. */
  loud: Fault[];
  quiet: Fault[];
  /** For the choices that are made on the way. */
  random: Random;
}

export interface Deal {
  seed: number;
  round: number;
  /** Faults a lane; the next rounds deal the rest of them. */
  loud: number;
  quiet: number;
  spawns: number;
  /** These faults alone. */
  only?: readonly string[] | undefined;
  hasPooler: boolean;
}

/** The faults in an order that the seed decides, and so cut that every one has its turn before any has its second. */
function deal<T>(seed: number, round: number, count: number, faults: readonly T[]): T[] {
  const cards: T[] = [];
  if (faults.length === 0) return cards;
  const wanted = (round + 1) * count;
  for (let deck = 0; cards.length < wanted; deck += 1) cards.push(...new Random(seed * 31 + deck).shuffled(faults));
  return cards.slice(round * count, wanted);
}

export function plan({ seed, round, loud, quiet, spawns, only, hasPooler }: Deal): Plan {
  const random = new Random(seed * 7919 + round);
  const wanted = (fault: Fault): boolean => only === undefined || only.includes(fault);
  const loudOnes = loudFaults.filter((fault) => wanted(fault) && (hasPooler || fault !== 'restart the pooler'));
  const workers = Array.from({ length: 3 }, (_, n) =>
    planWorker(random, n === 0 ? 'proxy' : n === 2 && hasPooler ? 'pooler' : 'direct'),
  );
  return {
    mode: (seed + round) % 2 === 0 ? 'unpartitioned' : 'partitioned',
    wakeup: random.chance(0.5),
    spawns,
    workers,
    loud: deal<Fault>(seed, round, loud, loudOnes),
    quiet: deal<Fault>(seed + 1, round, quiet, quietFaults.filter(wanted)),
    random,
  };
}

function planWorker(random: Random, way: WorkerPlan['way']): WorkerPlan {
  const pool = random.chance(0.3) ? { pool: random.between(1, 2) } : {};
  return {
    way,
    closeSeconds: random.pick([0, 0.3, 10]),
    options: {
      claimTimeout: random.pick([1, 2, 2]),
      concurrency: random.pick([3, 6, 12]),
      pollInterval: random.pick([0.02, 0.1]),
      fatalOnLeaseTimeout: random.chance(0.5),
      ...pool,
    },
  };
}

/** A task's script. Its names are its own; events and keys are shared between tasks. */
export function planScript(random: Random, depth = 0): Action[] {
  const script: Action[] = [];
  const length = random.between(0, 5);
  const step = (): Action => ({ do: 'step', name: `step ${script.length}`, ms: random.pick([0, 0, 5, 30]) });
  const makers: (() => Action)[] = [
    step,
    step,
    () => ({ do: 'both', names: [`left ${script.length}`, `right ${script.length}`], ms: random.between(0, 20) }),
    () => ({ do: 'sleep', name: `sleep ${script.length}`, seconds: random.pick([0.05, 0.3, 1]) }),
    () => ({ do: 'await', event: eventName(random) }),
    () => ({ do: 'await', event: eventName(random), timeout: random.between(0, 1) }),
    () => ({ do: 'emit', event: eventName(random) }),
    () => ({ do: 'fail', before: random.between(2, 3) }),
    () => ({ do: 'beat', ms: random.pick([10, 10, 10, 1200]) }),
  ];
  if (depth === 0) {
    makers.push(() => ({ do: 'spawn', key: `child ${random.between(1, 1e9)}`, script: planScript(random, 1) }));
  }
  while (script.length < length) script.push(random.pick(makers)());
  return script;
}

export const eventName = (random: Random): string => `event ${random.between(1, 60)}`;
