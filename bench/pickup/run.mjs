// From spawn to handler on an idle worker: node bench/pickup/run.mjs [--tasks N] [--rounds N]
// Each way runs in this process on a database of its own; its tasks are spawned one at a time, 5 to 405 ms after the last was
// picked up, so that the worker is idle and no poll is in step with a spawn. Then: what a queue without wake-ups pays for their
// being there, and one with them, in spawns a second.
import { parseArgs } from 'node:util';
import pg from 'pg';
import { Absurd as Sdk } from 'absurd-sdk';
import { makeWorkerUtils, run } from 'graphile-worker';
import { Absurd } from '../../dist/sdk/index.js';
import { median, quantile, table, timed } from '../lib/figures.mjs';
import { install, withServer } from '../lib/server.mjs';

const { values } = parseArgs({
  options: { tasks: { type: 'string', default: '150' }, rounds: { type: 'string', default: '5' } },
});
const count = Number(values.tasks);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const quiet = { log() {}, info() {}, warn: console.warn, error: console.error };

const absurd = (Client, { wakeup, pollInterval }) => ({
  async start(url, onTask) {
    await install(url);
    const app = new Client({ db: url, queueName: 'bench', log: quiet });
    await app.createQueue();
    if (wakeup) await app.setQueueWakeup(true);
    app.registerTask({ name: 'job' }, async () => onTask());
    const worker = await app.startWorker({ concurrency: 4, ...(pollInterval && { pollInterval }) });
    return {
      spawn: () => app.spawn('job', {}),
      stop: async () => {
        await worker.close();
        await app.close();
      },
    };
  },
});

const ways = {
  'absurdctl, wake-ups on': absurd(Absurd, { wakeup: true }),
  'absurdctl, polling (0.25 s)': absurd(Absurd, {}),
  'absurd-sdk, polling (0.25 s)': absurd(Sdk, {}),
  'graphile-worker (LISTEN)': {
    async start(url, onTask) {
      const utils = await makeWorkerUtils({ connectionString: url });
      await utils.migrate();
      const logger = { error: console.error, warn() {}, info() {}, debug() {}, scope: () => logger };
      const runner = await run({
        logger,
        noHandleSignals: true,
        taskList: { job: async () => onTask() },
        preset: { worker: { connectionString: url, concurrentJobs: 4 } },
      });
      return {
        spawn: () => utils.addJob('job', {}),
        stop: async () => {
          await runner.stop();
          await utils.release();
        },
      };
    },
  },
};

/** Milliseconds from the call that spawns to the handler. */
async function latencies(url, way) {
  let picked = () => {};
  const worker = await way.start(url, () => picked());
  const times = [];
  for (let i = -10; i < count; i++) {
    await pause(5 + (((i + 10) * 137) % 401));
    const begun = performance.now();
    const seen = new Promise((resolve) => (picked = () => resolve(performance.now() - begun)));
    await worker.spawn();
    // The first ones open connections and make plans.
    if (i >= 0) times.push(await seen);
    else await seen;
  }
  await worker.stop();
  return times;
}

/** Spawns a second, one at a time on one connection. */
async function spawnRate(client, queue, tasks = 500) {
  const seconds = await timed(async () => {
    for (let i = 0; i < tasks; i++) await client.query(`select absurd.spawn_task('${queue}', 'job', '{}')`);
  });
  return tasks / seconds;
}

await withServer(async (database) => {
  console.log(`\n${count} spawns on an idle worker; milliseconds to its handler`);
  const rows = [['', 'p50', 'p95', 'p99', 'most']];
  for (const [name, way] of Object.entries(ways)) {
    const times = await latencies(await database('bench_pickup'), way);
    rows.push([name, ...[0.5, 0.95, 0.99, 1].map((q) => quantile(times, q).toFixed(1))]);
  }
  table(rows);

  const url = await database('bench_pickup');
  await install(url);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`select absurd.create_queue('off'), absurd.create_queue('on'), absurd.create_queue('was_on')`);
  await client.query(`select absurd.set_queue_wakeup('on', true), absurd.set_queue_wakeup('was_on', true)`);
  await client.query(`select absurd.set_queue_wakeup('was_on', false)`);
  const rates = { off: [], on: [], was_on: [] };
  for (const queue of Object.keys(rates)) await spawnRate(client, queue, 100);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const queue of Object.keys(rates)) rates[queue].push(await spawnRate(client, queue));
  }
  await client.end();
  const ratio = (queue) => median(rates[queue].map((rate, i) => rate / rates.off[i])).toFixed(2);
  console.log(`\nSpawns a second, one at a time, median of ${values.rounds} rounds of 500`);
  table([
    ['', 'a second', 'beside never on'],
    ['never on', median(rates.off).toFixed(0), '1.00'],
    ['on, then off again', median(rates.was_on).toFixed(0), ratio('was_on')],
    ['on', median(rates.on).toFixed(0), ratio('on')],
  ]);
});
