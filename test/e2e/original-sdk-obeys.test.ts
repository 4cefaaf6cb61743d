/** Workers that know only the contract obey what the engine adds to it: the published absurd-sdk, and SQL alone. */
import { Absurd, TimeoutError } from 'absurd-sdk';
import { run } from '../support/command.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';

const quiet = { log: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** Claims and completes what there is; returns the names of the tasks. */
type WorkOnce = () => Promise<string[]>;

interface Foreigner {
  name: string;
  /** A worker of queue `q`. A task `parent` waits for its child before it completes. */
  start(db: TestDatabase): WorkOnce;
}

const awaitChild = `select * from absurd.await_tasks('q', $1, $2, 'child', jsonb_build_array(jsonb_build_object('task_id', $3::text)), 'all')`;

const foreigners: Foreigner[] = [
  {
    name: 'absurd-sdk',
    start(db) {
      const app = new Absurd({ db: db.pool, queueName: 'q', log: quiet });
      let done: string[] = [];
      for (const name of ['job', 'child', 'nap', 'waiter']) {
        app.registerTask({ name }, async (_params, ctx) => {
          if (name === 'nap') await ctx.sleepFor('nap', 3600);
          if (name === 'waiter') {
            await ctx.awaitEvent('never', { timeout: 7200 }).catch((error: unknown) => {
              if (!(error instanceof TimeoutError)) throw error;
            });
          }
          done.push(name);
          return name;
        });
      }
      return async () => {
        done = [];
        await app.workBatch('theirs', 600, 10);
        return done.sort();
      };
    },
  },
  {
    name: 'SQL alone',
    start(db) {
      const slept = new Set<string>();
      return async () => {
        const done: string[] = [];
        for (const { task_name: name, task_id: task, run_id: id } of await db.claim('q', { qty: 10, timeout: 600 })) {
          if (name === 'nap' && !slept.has(task)) {
            slept.add(task);
            await db.query(`select absurd.schedule_run('q', $1, absurd.current_time() + interval '1 hour')`, [id]);
          } else if (name === 'waiter' && !slept.has(task)) {
            slept.add(task);
            await db.query(`select absurd.await_event('q', $1, $2, 'wait', 'never', 7200)`, [task, id]);
          } else {
            await db.query(`select absurd.complete_run('q', $1, to_jsonb($2::text))`, [id, name]);
            done.push(name);
          }
        }
        return done.sort();
      };
    },
  },
];

const ok = async (db: TestDatabase, ...argv: string[]): Promise<void> => {
  const { code, stderr } = await run(argv, db);
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
};

describe.for(foreigners)('$name', ({ start }) => {
  test('a pause: no new work, until it ends', async ({ db }) => {
    await db.freeze('2026-03-04T12:00:00Z');
    await db.queue('q');
    const work = start(db);
    await ok(db, 'pause-queue', 'q', '--reason', 'incident');
    await db.spawn('q', 'job');
    expect(await work()).toEqual([]);
    await ok(db, 'resume-queue', 'q');
    expect(await work()).toEqual(['job']);
    await db.spawn('q', 'job');
    await ok(db, 'pause-queue', 'q', '--for', '1h');
    await db.advance('59 minutes');
    expect(await work()).toEqual([]);
    await db.advance('2 minutes');
    expect(await work()).toEqual(['job']);
  });

  test('a delay: not before the start', async ({ db }) => {
    await db.freeze('2026-03-04T12:00:00Z');
    await db.queue('q');
    const work = start(db);
    await db.spawn('q', 'job', {}, { delay_seconds: 60 });
    await db.spawn('q', 'child', {}, { start_at: '2026-03-04T12:02:00Z' });
    await db.advance('59 seconds');
    expect(await work()).toEqual([]);
    await db.advance('1 second');
    expect(await work()).toEqual(['job']);
    await db.advance('59 seconds');
    expect(await work()).toEqual([]);
    await db.advance('1 second');
    expect(await work()).toEqual(['child']);
  });

  test('a schedule: its claim fires what is due, once', async ({ db }) => {
    await db.freeze('2026-03-04T12:00:00Z');
    await db.queue('q');
    const work = start(db);
    await db.query(`select absurd.set_schedule('s', 'q', 'job', null, '{"cron": "*/5 * * * *"}')`);
    expect(await work()).toEqual([]);
    for (let times = 0; times < 2; times += 1) {
      await db.advance('5 minutes');
      expect(await work()).toEqual(['job']);
      expect(await work()).toEqual([]);
    }
  });

  test('a parent that waits in our worker, or in SQL: the end of its child wakes it', async ({ db }) => {
    await db.freeze('2026-03-04T12:00:00Z');
    await db.queue('q');
    const work = start(db);
    const parent = await db.spawn('q', 'parent');
    const [claimed] = await db.claim('q', { worker: 'ours', timeout: 600 });
    const child = await db.spawn('q', 'child', {}, { parent: { queue: 'q', task_id: parent.task_id } });
    await db.query(awaitChild, [parent.task_id, claimed?.run_id, child.task_id]);
    expect(await db.claim('q', { worker: 'ours', qty: 5 })).toMatchObject([{ task_name: 'child' }]);
    // The claim of ours was a look: its lease is given back.
    await db.query(
      `select absurd.schedule_run('q', run_id, absurd.current_time()) from absurd.r_q where state = 'running'`,
    );
    expect(await work()).toEqual(['child']);
    expect(await db.claim('q', { worker: 'ours', qty: 5 })).toMatchObject([{ task_name: 'parent' }]);
    const { rows } = await db.query(awaitChild, [parent.task_id, claimed?.run_id, child.task_id]);
    expect(rows).toMatchObject([
      { should_suspend: false, results: [{ task_id: child.task_id, state: 'completed', result: 'child' }] },
    ]);
  });

  test('wake-task: a sleep ends now, a wait only as its timeout', async ({ db }) => {
    // The clock runs: a foreign worker decides by its own whether a sleep is over.
    await db.queue('q');
    const work = start(db);
    const nap = await db.spawn('q', 'nap');
    const waiter = await db.spawn('q', 'waiter');
    expect(await work()).toEqual([]);
    await ok(db, 'wake-task', nap.task_id);
    expect((await run(['wake-task', waiter.task_id], db)).code).toBe(4);
    expect(await work()).toEqual(['nap']);
    await ok(db, 'wake-task', waiter.task_id, '--as-timeout');
    expect(await work()).toEqual(['waiter']);
  });
});
