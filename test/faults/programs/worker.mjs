// A worker of its own process that does what the params of its tasks say, and notes in the history what it did. It runs the
// built SDK. By environment: WORKER_URL, HISTORY_URL, WORKER_QUEUE, WORKER_OPTIONS (JSON: WorkerOptions, and `pool` for a pool of
// so many connections that is given to the client). SIGTERM closes it in good order.
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { Absurd, TimeoutError } from '../../../dist/sdk/index.js';

const { WORKER_URL, HISTORY_URL, WORKER_QUEUE: queueName } = process.env;
const { pool: poolSize, closeSeconds, ...options } = JSON.parse(process.env.WORKER_OPTIONS ?? '{}');
const say = (event) => process.stdout.write(`${event}\n`);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const history = new pg.Pool({ connectionString: HISTORY_URL, max: 2 });
history.on('error', () => undefined);
/** A note that cannot be taken is left out: the checker then knows less, and nothing wrong. */
const note = (what) =>
  history
    .query(`insert into history.entry (kind, op, new) values ('note', 'note', $1)`, [JSON.stringify(what)])
    .catch(() => undefined);

const silent = () => undefined;
const log = {
  log: silent,
  info: silent,
  warn: silent,
  error: (...args) => String(args[0]).includes('ending the process') && say('fatal'),
};
const db = poolSize === undefined ? WORKER_URL : new pg.Pool({ connectionString: WORKER_URL, max: poolSize });
if (typeof db !== 'string') db.on('error', () => undefined);
const absurd = new Absurd({ db, queueName, log, ...(typeof db === 'string' ? {} : { listenUrl: HISTORY_URL }) });

const actions = {
  async step({ name, ms }, { ctx, exec, steps }) {
    steps[name] = await ctx.step(name, async () => {
      await note({ note: 'ran', exec, task: ctx.taskID, run: ctx.runID, step: name });
      await pause(ms);
      return `${exec} ${name}`;
    });
  },
  async both({ names, ms }, execution) {
    await Promise.all(names.map((name) => actions.step({ name, ms }, execution)));
  },
  async sleep({ name, seconds }, { ctx }) {
    await ctx.sleepFor(name, seconds);
  },
  async await({ event, timeout }, { ctx, steps, awaited }) {
    awaited[event] = (awaited[event] ?? 0) + 1;
    const suffix = awaited[event] === 1 ? '' : `#${awaited[event]}`;
    try {
      steps[`$awaitEvent:${event}${suffix}`] = await ctx.awaitEvent(event, { timeout });
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
    }
  },
  async emit({ event }, { ctx, exec }) {
    await ctx.emitEvent(event, exec);
  },
  async fail({ before }, { ctx }) {
    if (ctx.attempt < before) throw new Error(`attempt ${ctx.attempt} fails`);
  },
  async beat({ ms }, { ctx }) {
    for (let left = ms; left > 0; left -= 400) {
      await ctx.heartbeat();
      await pause(Math.min(left, 400));
    }
  },
  async spawn({ key, script }, { ctx, steps }) {
    const name = `spawn ${key}`;
    steps[name] = await ctx.step(name, async () => {
      const { taskID } = await absurd.spawn('scripted', { script }, { idempotencyKey: key, maxAttempts: 50 });
      return taskID;
    });
  },
};

absurd.registerTask({ name: 'scripted' }, async ({ script }, ctx) => {
  const execution = { ctx, exec: randomUUID(), steps: {}, awaited: {} };
  const { taskID: task, runID: run, attempt } = ctx;
  await note({ note: 'begin', exec: execution.exec, task, run, attempt, worker: ctx.workerID });
  for (const action of script) await actions[action.do](action, execution);
  return { steps: execution.steps };
});

const worker = await absurd.startWorker({
  ...options,
  onError: (error) => say(`error ${JSON.stringify({ code: error.code, message: error.message })}`),
});
process.once('SIGTERM', async () => {
  await worker.close({ timeout: closeSeconds });
  say('drained');
  process.exit(0);
});
say(`worker ${worker.workerId}`);
say('ready');
