import pg from 'pg';
import { Absurd, type Log } from '../../../src/sdk/index.js';
import { pgbouncer, startPooler } from '../../support/pgbouncer.js';
import { check } from '../checker/check.js';
import type { Violation } from '../checker/invariants.js';
import { noFacts, type Entry } from '../checker/types.js';
import { beginCapabilities, endSchedule, readWaits } from './capabilities.js';
import { installHistory, readHistory, readTables, recordQueue } from './history.js';
import { loud, resetClock } from './loud.js';
import { errorsOf } from './log.js';
import { plan, type Deal, type Fault } from './plan.js';
import { startProxy } from './proxy.js';
import { quiet } from './quiet.js';
import { pause, Scene, script } from './scene.js';
import { Random } from './random.js';
import { ask, type ChaosServer } from './server.js';
import { settle, workload } from './workload.js';

export interface RoundResult {
  seed: number;
  round: number;
  mode: string;
  faults: Fault[];
  tasks: number;
  violations: Violation[];
  history: Entry[];
  seconds: number;
}

const silent = (): void => undefined;
const noLog: Log = { log: silent, info: silent, warn: silent, error: silent };

async function makeDatabase(server: ChaosServer, name: string, queue: string, mode: string): Promise<string> {
  await ask(server.url, `create database "${name}"`);
  const url = server.urlOf(name);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(script);
  // The weeks of long ago: what is spawned today goes to the default partition, and moves when its week is made.
  if (mode === 'partitioned') await client.query(`set absurd.fake_now = '2024-01-01T00:00:00Z'`);
  await client.query('select absurd.create_queue($1, $2)', [queue, mode]);
  await client.query('reset absurd.fake_now');
  await installHistory(client);
  await recordQueue(client, queue);
  await client.end();
  return url;
}

async function unleash(scene: Scene): Promise<void> {
  const lane = async (faults: readonly Fault[]): Promise<void> => {
    for (const fault of faults) {
      await pause(scene.random.between(50, 400));
      const work = { ...loud, ...quiet }[fault];
      await scene.attempt(fault, () => work(scene));
    }
  };
  await Promise.all([lane(scene.plan.loud), lane(scene.plan.quiet)]);
}

/** Mends everything, waits for the last task, closes the workers, and judges the history. */
async function judge(scene: Scene, logFrom: number): Promise<{ violations: Violation[]; history: Entry[] }> {
  const { facts } = scene;
  await resetClock(scene);
  await endSchedule(scene);
  await settle(scene);
  await Promise.all(scene.workers.map((worker) => scene.drain(worker)));
  for (const worker of [...scene.workers, ...scene.past]) {
    if (worker.crash !== undefined) facts.seen.push({ invariant: 'no-unexpected-error', words: worker.crash });
  }
  facts.seen.push(...errorsOf(scene.server.log(logFrom), scene.name));
  facts.settled = true;
  await readWaits(scene);
  facts.tables = await scene.connected((client) => readTables(client, scene.queue));
  const history = await scene.connected((client) => readHistory(client));
  return { violations: check(history, facts), history };
}

/** One round: a new database, workers and a workload, the faults that the seed deals, and the verdict. */
export async function playRound(server: ChaosServer, given: Omit<Deal, 'hasPooler'>): Promise<RoundResult> {
  const began = Date.now();
  const logFrom = server.log().length;
  const planned = plan({ ...given, hasPooler: pgbouncer !== undefined });
  const name = `chaos_${given.seed}_${given.round}`;
  const url = await makeDatabase(server, name, 'work', planned.mode);
  const pooler = pgbouncer === undefined ? undefined : await startPooler(url, 4);
  const luck = new Random(given.seed + given.round);
  const proxy = await startProxy(url, () => luck.next());
  const pool = new pg.Pool({ connectionString: url, max: 8 });
  pool.on('error', silent);
  const absurd = new Absurd({ db: pool, queueName: 'work', log: noLog });
  const facts = noFacts();
  const scene = new Scene(planned, name, server, pooler, proxy, url, pool, absurd, facts);
  try {
    if (planned.wakeup) await absurd.setQueueWakeup(true);
    await beginCapabilities(scene);
    for (const worker of planned.workers) scene.startWorker(worker);
    const busy = Promise.all([workload(scene), workload(scene)]);
    await unleash(scene);
    scene.over = true;
    await busy;
    const verdict = await judge(scene, logFrom);
    return {
      ...given,
      mode: planned.mode,
      faults: [...planned.loud, ...planned.quiet],
      tasks: facts.spawned.length,
      ...verdict,
      seconds: (Date.now() - began) / 1000,
    };
  } finally {
    scene.over = true;
    for (const worker of scene.workers) await worker.kill();
    await pool.end().catch(silent);
    pooler?.stop();
    proxy.stop();
    await ask(server.url, `drop database if exists "${name}" with (force)`).catch(silent);
  }
}
