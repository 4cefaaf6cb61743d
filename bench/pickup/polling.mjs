// Pickup without wake-ups while tasks arrive: node bench/pickup/polling.mjs [--seconds N] [--rates 1,5,10,20,50,100] [--rounds N]
// Tasks arrive one at a time with random gaps; one worker with concurrency 8 runs handlers that end at once. Prints milliseconds from
// the spawn to the handler, and the claims a task, by way of polling: fixed, adaptive, and with wake-ups on.
import { parseArgs } from 'node:util';
import { Absurd } from '../../dist/sdk/index.js';
import { median, quantile, table } from '../lib/figures.mjs';
import { install, withServer } from '../lib/server.mjs';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rates: { type: 'string', default: '1,5,10,20,50,100' },
    rounds: { type: 'string', default: '5' },
  },
});
const seconds = Number(values.seconds);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const quiet = { log() {}, info() {}, warn: console.warn, error: console.error };

const ways = {
  fixed: { adaptivePolling: false },
  adaptive: {},
  'wake-ups on': { wakeup: true },
};

/** The gaps are the same in each round and way. */
function arrivals(rate) {
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const times = [];
  for (let at = 0; at < seconds; at += -Math.log(random()) / rate) times.push(at * 1000);
  return times;
}

async function measure(url, { wakeup = false, ...options }, rate) {
  await install(url);
  const app = new Absurd({ db: url, queueName: 'bench', log: quiet });
  await app.createQueue();
  if (wakeup) await app.setQueueWakeup(true);
  const spawned = new Map();
  const waited = [];
  app.registerTask({ name: 'job' }, async ({ n }) => void waited.push(performance.now() - spawned.get(n)));
  let claims = 0;
  const claim = app.claimTasks.bind(app);
  app.claimTasks = (asked) => {
    claims += 1;
    return claim(asked);
  };
  const worker = await app.startWorker({ concurrency: 8, ...options });
  spawned.set(-1, performance.now());
  await app.spawn('job', { n: -1 });
  // Connections are open, plans are made, and the listener listens.
  await pause(2000);
  waited.length = 0;
  claims = 0;
  const begun = performance.now();
  const times = arrivals(rate);
  for (const [n, at] of times.entries()) {
    await pause(Math.max(at - (performance.now() - begun), 0));
    spawned.set(n, performance.now());
    await app.spawn('job', { n });
  }
  while (waited.length < times.length) await pause(5);
  const counted = claims;
  const took = (performance.now() - begun) / 1000;
  await worker.close();
  await app.close();
  return {
    p50: quantile(waited, 0.5),
    p95: quantile(waited, 0.95),
    perTask: counted / times.length,
    perSecond: counted / took,
  };
}

await withServer(async (database) => {
  console.log(`\nMedians of ${values.rounds} rounds of ${seconds} s`);
  const rows = [['tasks a second', 'polling', 'p50 ms', 'p95 ms', 'claims a task', 'claims a second']];
  for (const rate of values.rates.split(',').map(Number)) {
    const rounds = new Map();
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const [name, way] of Object.entries(ways)) {
        const result = await measure(await database('bench_polling'), way, rate);
        rounds.set(name, [...(rounds.get(name) ?? []), result]);
      }
    }
    for (const [name, results] of rounds) {
      const figure = (what, digits) => median(results.map((result) => result[what])).toFixed(digits);
      rows.push([rate, name, figure('p50', 1), figure('p95', 1), figure('perTask', 2), figure('perSecond', 1)]);
    }
  }
  table(rows);
});
