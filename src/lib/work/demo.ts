/**
 * The demonstration: one workflow with everything that makes a task durable (steps, a failure and its retry, a sleep, an
 * event), worked on in this process and watched from outside, as an operator would.
 */
import { randomUUID } from 'node:crypto';
import { Absurd, type TaskContext } from '../../sdk/index.js';
import type { WorkerPool } from '../connection/pool.js';
import { followTasks, type FollowedTask, type FollowOptions } from '../task/follow.js';

export const demoQueue = 'demo';
const taskName = 'order';

export interface DemoOptions extends Pick<FollowOptions, 'read' | 'pause' | 'now'> {
  /** A line of what happens. */
  say: (line: string) => void;
  /** A command that an operator would type here, or a comment on what comes next. */
  tell: (line: string) => void;
}

/** The workflow. Its steps run once each, however many attempts and wake-ups it takes. */
async function fulfilOrder(params: { order: string; cents: number }, ctx: TaskContext): Promise<unknown> {
  const stock = await ctx.step('reserve-stock', async () => ({ shelf: 'B7' }));
  const payment = await ctx.step('charge-card', async () => {
    if (ctx.attempt === 1) throw withoutStack('the card terminal did not answer');
    return { cents: params.cents };
  });
  await ctx.sleepFor('let-it-settle', 1);
  const parcel = await ctx.awaitEvent(`packed:${params.order}`, { timeout: 60 });
  return ctx.step('send-receipt', async () => ({ ...stock, ...payment, parcel }));
}

/** The inside of this program is no part of what there is to see. */
function withoutStack(message: string): Error {
  const error = new Error(message);
  error.stack = String(error);
  return error;
}

const silent = { log: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** Runs it from an empty queue to the finished task. */
export async function runDemo(pool: WorkerPool, options: DemoOptions): Promise<FollowedTask> {
  const { say, tell } = options;
  const app = new Absurd({ db: pool, queueName: demoQueue, log: silent });
  tell(`absurdctl create-queue ${demoQueue}`);
  await app.createQueue();
  app.registerTask({ name: taskName }, fulfilOrder);
  const worker = await app.startWorker({ concurrency: 2, pollInterval: 0.1, workerId: 'demo-worker' });
  try {
    const order = randomUUID().slice(0, 8);
    const retries = '--max-attempts 3 --retry-kind fixed --retry-base 1';
    tell(`absurdctl spawn-task ${taskName} -q ${demoQueue} -P order=${order} -P cents:=1999 ${retries} --wait`);
    const { taskID } = await app.spawn(
      taskName,
      { order, cents: 1999 },
      { maxAttempts: 3, retryStrategy: { kind: 'fixed', baseSeconds: 1 } },
    );
    let emitted = false;
    const [task] = await followTasks([{ queue_name: demoQueue, task_id: taskID }], {
      ...options,
      say,
      timeoutMs: 60_000,
      async onChange({ state, wake_event: event }) {
        if (emitted || state !== 'sleeping' || event === null) return;
        emitted = true;
        tell(`absurdctl emit-event ${event} -q ${demoQueue} -P weight_grams:=450`);
        await app.emitEvent(event, { weight_grams: 450 });
      },
    });
    if (task === undefined) throw new Error(`Task ${taskID} was not followed`);
    tell(`absurdctl dump-task ${taskID}`);
    return task;
  } finally {
    await worker.close();
    await app.close();
  }
}
