/** Tasks that waited in every way that there is, at a stopped clock: what timelines are drawn of. */
import { quoteIdent } from '../../src/sql/identifiers.js';
import type { TestDatabase } from '../support/database.js';

/** The tasks of a queue as a worker drives them. */
export class Scene {
  constructor(
    readonly db: TestDatabase,
    readonly queue = 'orders',
  ) {}

  call(sql: string, ...values: unknown[]): Promise<unknown> {
    return this.db.query(`select absurd.${sql}`, [this.queue, ...values]);
  }

  async spawn(name: string, options: Record<string, unknown> = {}): Promise<string> {
    return (await this.db.spawn(this.queue, name, {}, options)).task_id;
  }

  /** Claims the next run, after a while in the queue. */
  async claim(wait = '2 seconds', worker = 'web-1:101', timeout = 86_400): Promise<string> {
    await this.db.advance(wait);
    const [run] = await this.db.claim(this.queue, { worker, timeout });
    if (run === undefined) throw new Error('nothing to claim');
    return run.run_id;
  }

  /** A step that took so long, as an SDK that records starts saves it, or another one. */
  async step(
    task: string,
    run: string,
    name: string,
    took: string,
    { start = true, state = {} as unknown } = {},
  ): Promise<void> {
    const { rows } = await this.db.query<{ now: string }>('select absurd.current_time()::text as now');
    await this.db.advance(took);
    const value = JSON.stringify(state);
    if (!start) {
      await this.call('set_task_checkpoint_state($1, $2, $3, $4, $5)', task, name, value, run);
      return;
    }
    const step = { task_id: task, step_name: name, state, owner_run: run, started_at: rows[0]?.now };
    await this.db.query('select * from absurd.set_task_checkpoint_states($1, $2)', [
      this.queue,
      JSON.stringify([step]),
    ]);
  }

  /** A sleep as SDKs take it: its end is saved, then the run is put off until then. */
  async sleep(task: string, run: string, name: string, length: string): Promise<void> {
    const { rows } = await this.db.query<{ at: Date }>('select absurd.current_time() + $1::interval as at', [length]);
    const at = rows[0]?.at.toISOString();
    await this.call('set_task_checkpoint_state($1, $2, $3, $4, $5)', task, name, JSON.stringify(at), run);
    await this.call('schedule_run($1, $2, $3)', run, at);
  }

  fail(run: string, message = 'card declined'): Promise<unknown> {
    return this.call('fail_run($1, $2, $3)', run, JSON.stringify({ name: 'Error', message }));
  }

  complete(run: string): Promise<unknown> {
    return this.call(`complete_run($1, $2, '{}')`, run);
  }
}

/** What each of them draws; each returns the id of its task. Clocks start at noon. */
export const scenes: Record<string, (scene: Scene) => Promise<string>> = {
  async 'steps with and without a recorded start'(s) {
    const task = await s.spawn('charge', { max_attempts: 3 });
    const run = await s.claim();
    await s.step(task, run, 'reserve', '3 seconds');
    await s.step(task, run, 'capture', '400 milliseconds', { start: false });
    await s.step(task, run, 'receipt', '1 second');
    await s.complete(run);
    return task;
  },
  async 'a worker at work'(s) {
    const task = await s.spawn('charge');
    const run = await s.claim();
    await s.step(task, run, 'reserve', '3 seconds');
    await s.db.advance('5 seconds');
    return task;
  },
  async 'in the queue'(s) {
    const task = await s.spawn('charge');
    await s.db.advance('14 minutes');
    return task;
  },
  async 'a delayed start, still to come'(s) {
    const task = await s.spawn('charge', { delay_seconds: 3600 });
    await s.db.advance('10 minutes');
    return task;
  },
  async 'a delayed start, over'(s) {
    const task = await s.spawn('charge', { delay_seconds: 60 });
    await s.db.advance('60 seconds');
    const run = await s.claim();
    await s.step(task, run, 'reserve', '3 seconds');
    await s.complete(run);
    return task;
  },
  async 'a sleep of a day'(s) {
    const task = await s.spawn('remind');
    const run = await s.claim();
    await s.step(task, run, 'first mail', '2 seconds');
    await s.sleep(task, run, 'a day', '1 day');
    await s.db.advance('1 day');
    await s.claim('3 seconds');
    await s.step(task, run, 'second mail', '2 seconds');
    await s.complete(run);
    return task;
  },
  async asleep(s) {
    const task = await s.spawn('remind');
    const run = await s.claim();
    await s.step(task, run, 'first mail', '2 seconds');
    await s.sleep(task, run, 'a day', '1 day');
    await s.db.advance('2 hours');
    return task;
  },
  async 'a sleep that was ended early'(s) {
    const task = await s.spawn('remind');
    const run = await s.claim();
    await s.sleep(task, run, 'a day', '1 day');
    await s.db.advance('1 minute');
    await s.call('wake_task($1, $2)', task);
    await s.claim();
    await s.step(task, run, 'mail', '2 seconds');
    await s.complete(run);
    return task;
  },
  async 'asleep without a checkpoint'(s) {
    const task = await s.spawn('remind');
    const run = await s.claim();
    await s.step(task, run, 'first mail', '2 seconds');
    await s.call(`schedule_run($1, $2, absurd.current_time() + interval '1 hour')`, run);
    await s.db.advance('5 minutes');
    return task;
  },
  async 'an event that came'(s) {
    const task = await s.spawn('ship');
    const run = await s.claim();
    await s.step(task, run, 'pack', '4 seconds');
    await s.call(`await_event($1, $2, $3, '$awaitEvent:paid:42', 'paid:42', 3600)`, task, run);
    await s.db.advance('20 minutes');
    await s.call(`emit_event($1, 'paid:42', '{}')`);
    await s.claim();
    await s.step(task, run, 'send', '3 seconds');
    await s.complete(run);
    return task;
  },
  async 'an event that is awaited'(s) {
    const task = await s.spawn('ship');
    const run = await s.claim();
    await s.step(task, run, 'pack', '4 seconds');
    await s.call(`await_event($1, $2, $3, 'payment', 'paid:42', 3600)`, task, run);
    await s.db.advance('20 minutes');
    return task;
  },
  async 'an event that did not come in time'(s) {
    const task = await s.spawn('ship');
    const run = await s.claim();
    await s.call(`await_event($1, $2, $3, '$awaitEvent:paid:42', 'paid:42', 60)`, task, run);
    await s.db.advance('60 seconds');
    await s.claim();
    await s.step(task, run, '$timeout:$awaitEvent:paid:42', '5 milliseconds', { start: false });
    await s.fail(run, 'Timed out waiting for event "paid:42"');
    return task;
  },
  async 'an event that was there already'(s) {
    const task = await s.spawn('ship');
    await s.call(`emit_event($1, 'paid:42', '{}')`);
    const run = await s.claim();
    await s.step(task, run, 'pack', '4 seconds');
    await s.call(`await_event($1, $2, $3, '$awaitEvent:paid:42', 'paid:42', 60)`, task, run);
    await s.step(task, run, 'send', '3 seconds');
    await s.complete(run);
    return task;
  },
  async 'retries with a backoff'(s) {
    const retry = { kind: 'exponential', base_seconds: 10, factor: 3 };
    const task = await s.spawn('charge', { max_attempts: 3, retry_strategy: retry });
    for (const backoff of ['10 seconds', '30 seconds', '0 seconds']) {
      const run = await s.claim();
      await s.step(task, run, `reserve ${backoff}`, '3 seconds');
      await s.db.advance('1 second');
      await s.fail(run);
      await s.db.advance(backoff);
    }
    return task;
  },
  async 'a retry that is put off'(s) {
    const task = await s.spawn('charge', { retry_strategy: { kind: 'fixed', base_seconds: 300 } });
    const run = await s.claim();
    await s.db.advance('4 seconds');
    await s.fail(run);
    await s.db.advance('1 minute');
    return task;
  },
  async 'retried by hand'(s) {
    const task = await s.spawn('charge', { max_attempts: 1 });
    const first = await s.claim();
    await s.db.advance('4 seconds');
    await s.fail(first);
    await s.db.advance('6 hours');
    await s.call('retry_task($1, $2)', task);
    const second = await s.claim();
    await s.db.advance('4 seconds');
    await s.complete(second);
    return task;
  },
  async 'a lease that expired'(s) {
    const task = await s.spawn('charge');
    await s.claim('2 seconds', 'web-1:101', 30);
    await s.db.advance('10 minutes');
    return task;
  },
  async 'cancelled asleep'(s) {
    const task = await s.spawn('remind');
    const run = await s.claim();
    await s.sleep(task, run, 'a day', '1 day');
    await s.db.advance('2 hours');
    await s.call('cancel_task($1, $2)', task);
    await s.db.advance('1 hour');
    return task;
  },
  async 'a family'(s) {
    const parent = await s.spawn('order');
    const run = await s.claim();
    await s.step(parent, run, 'split', '1 second');
    const option = { parent: { task_id: parent, queue: s.queue } };
    const ids = [await s.spawn('parcel', option), await s.spawn('parcel', option)];
    const mail = new Scene(s.db, 'mail');
    ids.push(await mail.spawn('notify', option));
    const children = ids.map((id, i) => ({ task_id: id, queue: i === 2 ? 'mail' : s.queue }));
    await s.call(`await_tasks($1, $2, $3, '$awaitTasks', $4, 'all')`, parent, run, JSON.stringify(children));
    const first = await s.claim('2 seconds', 'web-2:202');
    const second = await s.claim('1 second', 'web-3:303');
    await s.db.advance('7 seconds');
    await s.complete(first);
    await mail.complete(await mail.claim());
    await s.db.advance('9 seconds');
    await s.complete(second);
    await s.claim();
    await s.step(parent, run, 'close', '2 seconds');
    await s.complete(run);
    return parent;
  },
  async 'an order from end to end, with its family'(s) {
    const retry = { kind: 'fixed', base_seconds: 30 };
    const order = await s.spawn('fulfil-order', { max_attempts: 5, retry_strategy: retry });
    const first = await s.claim('4 seconds', 'web-1:101');
    await s.step(order, first, 'reserve stock', '3 seconds', { state: { sku: 'A-1' } });
    await s.db.advance('2 seconds');
    await s.fail(first, 'connect ECONNREFUSED 10.0.0.7:443');
    await s.db.advance('30 seconds');
    const run = await s.claim('1 second', 'web-2:202');
    await s.step(order, run, 'charge card', '6 seconds');
    await s.step(order, run, 'invoice', '900 milliseconds', { start: false });
    await s.call(`await_event($1, $2, $3, '$awaitEvent:packed:42', 'packed:42', 86400)`, order, run);
    await s.db.advance('5 hours');
    await s.call(`emit_event($1, 'packed:42', '{}')`);
    await s.claim('2 seconds', 'web-2:202');
    const parent = { task_id: order, queue: s.queue };
    const label = await s.spawn('print-label', { parent });
    const mail = new Scene(s.db, 'mail');
    const notice = await mail.spawn('send-mail', { parent });
    const children = JSON.stringify([{ task_id: label }, { task_id: notice, queue: 'mail' }]);
    await s.call(`await_tasks($1, $2, $3, '$awaitTasks', $4, 'all')`, order, run, children);
    const labelRun = await s.claim('1 second', 'print-1:303');
    const mailRun = await mail.claim('1 second', 'mailer-1:404');
    await s.db.advance('4 seconds');
    await s.complete(labelRun);
    await s.db.advance('3 seconds');
    await mail.complete(mailRun);
    await s.claim('1 second', 'web-1:101');
    await s.sleep(order, run, 'cool down', '1 day');
    await s.db.advance('1 day');
    await s.claim('2 seconds', 'web-1:101');
    await s.step(order, run, 'ask for a review', '3 seconds');
    await s.complete(run);
    return order;
  },
  async 'a family that is awaited'(s) {
    const parent = await s.spawn('order');
    const run = await s.claim();
    const child = await s.spawn('parcel', { parent: { task_id: parent, queue: s.queue } });
    await s.call(
      `await_tasks($1, $2, $3, '$awaitTasks', $4, 'all', 600)`,
      parent,
      run,
      JSON.stringify([{ task_id: child }]),
    );
    const own = await s.claim('2 seconds', 'web-2:202');
    await s.step(child, own, 'label', '3 seconds');
    return parent;
  },
};

/** A scene in a database of its own queues, with the clock at noon. */
export async function stage(db: TestDatabase, name: string): Promise<string> {
  await db.freeze('2026-03-04T12:00:00Z');
  for (const queue of ['orders', 'mail']) {
    await db.queue(queue);
    await db.query(`delete from absurd.${quoteIdent(`t_${queue}`)}`);
  }
  const make = scenes[name];
  if (make === undefined) throw new Error(`no scene ${name}`);
  return make(new Scene(db));
}
