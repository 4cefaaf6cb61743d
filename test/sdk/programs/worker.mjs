// A worker of its own process, for tests that kill, stop and restart it. It runs the built SDK.
// Configuration by environment: WORKER_URL, WORKER_ID (empty: the default), WORKER_OPTIONS (JSON of WorkerOptions), WORKER_PID (the
// process number that it believes to have, as every process of a container is number 1). Every side effect of a task is a
// row of `ledger`, so that what ran twice shows.
import pg from 'pg';
import { Absurd } from '../../../dist/sdk/index.js';

if (process.env.WORKER_PID) Object.defineProperty(process, 'pid', { value: Number(process.env.WORKER_PID) });
const say = (event) => process.stdout.write(`${event}\n`);
const ledger = new pg.Pool({ connectionString: process.env.WORKER_URL, max: 2 });
ledger.on('error', () => undefined);
const note = async (ctx, step) => {
  await ledger.query('insert into ledger (task_id, attempt, step, worker) values ($1, $2, $3, $4)', [
    ctx.taskID,
    ctx.attempt,
    step,
    ctx.workerID,
  ]);
  return step;
};

const absurd = new Absurd({ db: process.env.WORKER_URL });

absurd.registerTask({ name: 'two steps' }, async (params, ctx) => {
  await ctx.step('one', () => note(ctx, 'one'));
  if (ctx.workerID === params.stuckOn) {
    say(`stuck ${ctx.taskID}`);
    const goesOnAtMs = params.holdMs === undefined ? Infinity : Date.now() + params.holdMs;
    while (Date.now() < goesOnAtMs) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await ctx.step('two', () => note(ctx, 'two'));
  return ctx.workerID;
});

absurd.registerTask({ name: 'quick' }, async (params, ctx) => {
  await ctx.step('one', () => note(ctx, 'one'));
  return { n: params.n, by: ctx.workerID };
});

absurd.registerTask({ name: 'said' }, async (params, ctx) => {
  say(`ran ${ctx.taskID} ${ctx.attempt}`);
  await new Promise((resolve) => setTimeout(resolve, params.ms));
});

await absurd.startWorker({
  pollInterval: 0.02,
  ...JSON.parse(process.env.WORKER_OPTIONS ?? '{}'),
  ...(process.env.WORKER_ID && { workerId: process.env.WORKER_ID }),
});
say('ready');
