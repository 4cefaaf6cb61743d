import { Absurd } from '../../src/sdk/index.js';
import { Statements } from '../../src/sdk/statements.js';
import { describe, expect, FakeDatabase, KeptLog, runsOf, test } from './support.js';

const refusal = (code: string): Error => Object.assign(new Error(`refused with ${code}`), { code });

describe('a database whose default isolation is serializable', () => {
  test.for(['a pool of the client’s own', 'an object that has only query'])(
    'fails no run: %s',
    async (kind, { db, make }) => {
      await db.query(`alter database "${db.name}" set default_transaction_isolation = 'serializable'`);
      const absurd =
        kind === 'a pool of the client’s own' ? make() : make({ db: { query: (...q) => db.pool.query(...q) } });
      await absurd.createQueue();
      absurd.registerTask({ name: 'job', defaultMaxAttempts: 2 }, async (n: number, ctx) => {
        const one = await ctx.step('one', async () => n);
        return ctx.step('two', async () => one + 1);
      });
      const spawned = await absurd.spawnMany(Array.from({ length: 200 }, (_, n) => ({ name: 'job', params: n })));
      const workers = [1, 2].map(() => absurd.startWorker({ concurrency: 8, pollInterval: 0.02 }));
      for (const [n, { taskID }] of spawned.entries()) {
        expect(await absurd.awaitTaskResult(taskID, { timeout: 60 })).toEqual({ state: 'completed', result: n + 1 });
      }
      for (const worker of await Promise.all(workers)) await worker.close();
      const { rows } = await db.query('select state, attempt, count(*)::int as n from absurd.r_default group by 1, 2');
      expect(rows).toEqual([{ state: 'completed', attempt: 1, n: 200 }]);
    },
  );
});

describe('a statement in conflict with another transaction', () => {
  test.for(['40001', '40P01'])('is sent again: %s', async (code) => {
    let refusals = 3;
    const fake = new FakeDatabase(() => {
      if (refusals-- > 0) throw refusal(code);
      return [{ queue_name: 'q' }];
    });
    expect(await new Absurd({ db: fake }).listQueues()).toEqual(['q']);
    expect(fake.queries).toHaveLength(4);
  });

  test('within the caller’s transaction fails with the conflict, for the caller to begin again', async ({
    db,
    make,
  }) => {
    const absurd = make();
    await absurd.createQueue();
    const connection = await db.pool.connect();
    const bound = absurd.bindToConnection(connection);
    await connection.query('begin isolation level serializable');
    await connection.query('select count(*) from absurd.r_default');
    await connection.query(
      'create function pg_temp.conflict() returns trigger language plpgsql as $$ begin raise serialization_failure; end $$',
    );
    await connection.query(
      'create trigger conflict before insert on absurd.t_default execute function pg_temp.conflict()',
    );
    await expect(bound.spawn('job', {}, { queue: 'default' })).rejects.toMatchObject({ code: '40001' });
    await connection.query('rollback');
    connection.release();
    const { taskID } = await absurd.spawn('job', {}, { queue: 'default' });
    expect(await runsOf(db, taskID)).toHaveLength(1);
  });

  test('in the verdict on one of many is called again alone', async ({ make, db }) => {
    let refused = 0;
    const absurd = make({
      db: {
        async query(text, values) {
          const answer = await db.pool.query(text, values);
          if (refused === 0 && text.includes('complete_runs') && answer.rows.length > 1) {
            // The element that the server left alone: its run is still to be completed.
            const [row] = answer.rows as { run_id: string; error_code: string | null }[];
            await db.query(`update absurd.r_default set state = 'running', completed_at = null where run_id = $1`, [
              row?.run_id,
            ]);
            if (row) row.error_code = '40001';
            refused++;
          }
          return answer;
        },
      },
      log: new KeptLog(),
    });
    await absurd.createQueue();
    absurd.registerTask({ name: 'job' }, async () => 'done');
    const spawned = await absurd.spawnMany(Array.from({ length: 40 }, () => ({ name: 'job' })));
    const worker = await absurd.startWorker({ concurrency: 40, pollInterval: 0.02 });
    for (const { taskID } of spawned) await absurd.awaitTaskResult(taskID, { timeout: 20 });
    await worker.close();
    expect(refused).toBe(1);
    const { rows } = await db.query('select state, attempt, count(*)::int as n from absurd.r_default group by 1, 2');
    expect(rows).toEqual([{ state: 'completed', attempt: 1, n: 40 }]);
  });

  test('is one wrapper for each connection', () => {
    const fake = new FakeDatabase();
    expect(Statements.over(fake)).toBe(Statements.over(fake));
    expect(Statements.over(Statements.over(fake))).toBe(Statements.over(fake));
  });
});
