import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { createDatabase, test, type Connection, type TestDatabase } from '../support/database.js';

const pids = new WeakMap<Connection, number>();

/** Resolves once that backend waits for a lock (or, where it tries in steps, sleeps between two tries). */
async function blocked(watcher: Connection, waiting: Connection): Promise<void> {
  // Asked before it was busy: it cannot answer now.
  const pid = pids.get(waiting);
  await expect
    .poll(
      async () => {
        const { rows } = await watcher.query<{ type: string | null; event: string | null }>(
          'select wait_event_type as type, wait_event as event from pg_stat_activity where pid = $1',
          [pid],
        );
        return rows[0]?.type === 'Lock' || rows[0]?.event === 'PgSleep';
      },
      { timeout: 60_000, interval: 10 },
    )
    .toBe(true);
}

/** Starts a statement whose end is looked at later. */
const start = (connection: Connection, sql: string, values: unknown[] = []): Promise<string> =>
  connection.query(sql, values).then(
    () => 'done',
    (error: unknown) => String((error as { code?: string }).code),
  );

interface Trio {
  db: TestDatabase;
  a: Connection;
  b: Connection;
}

for (const kind of ['current', 'older'] as const) {
  const race = (name: string, body: (trio: Trio) => Promise<void>): void =>
    test(`${name} (${kind})`, async () => {
      const { database: db, close } = await createDatabase(kind, true);
      try {
        await db.queue('q');
        const [a, b] = [await db.connect(), await db.connect()];
        for (const one of [a, b]) pids.set(one, await one.pid());
        await body({ db, a, b });
      } finally {
        await close();
      }
    });

  race('parallel claimers never get the same run', async ({ db }) => {
    await db.query(`select absurd.spawn_task('q', 'job', '{}') from generate_series(1, 400)`);
    const claimers = await Promise.all(Array.from({ length: 8 }, () => db.connect()));
    const taken = await Promise.all(
      claimers.map(async (claimer, n) => {
        const ids: unknown[] = [];
        for (;;) {
          const { rows } = await claimer.query(`select run_id from absurd.claim_task('q', $1, 60, 7)`, [`w${n}`]);
          if (rows.length === 0) return ids;
          ids.push(...rows.map((row) => row['run_id']));
        }
      }),
    );
    const all = taken.flat();
    expect(all).toHaveLength(400);
    expect(new Set(all).size).toBe(400);
  });

  for (const mode of ['unpartitioned', 'partitioned'] as const) {
    race(`a keyed spawn waits for the one that came first (${mode})`, async ({ db, a, b }) => {
      await db.queue('k', mode);
      const spawn = `select * from absurd.spawn_task('k', 'job', '{}', '{"idempotency_key": "key"}')`;
      await a.query('begin');
      const first = (await a.query(spawn)).rows[0];
      const second = b.query(spawn);
      await blocked(db, b);
      await a.query('commit');
      expect((await second).rows).toEqual([{ ...first, created: false }]);
      expect((await db.query('select count(*)::int as n from absurd.t_k')).rows).toEqual([{ n: 1 }]);
    });

    race(`a keyed spawn takes the key over when the first is rolled back (${mode})`, async ({ db, a, b }) => {
      await db.queue('k', mode);
      const spawn = `select * from absurd.spawn_task('k', 'job', '{}', '{"idempotency_key": "key"}')`;
      await a.query('begin');
      await a.query(spawn);
      const second = b.query(spawn);
      await blocked(db, b);
      await a.query('rollback');
      expect((await second).rows).toMatchObject([{ created: true }]);
    });

    race(`twenty racing spawns of one key make one task (${mode})`, async ({ db }) => {
      await db.queue('k', mode);
      const clients = await Promise.all(Array.from({ length: 20 }, () => db.connect()));
      const spawned = await Promise.all(
        clients.map((one) =>
          one.query(`select * from absurd.spawn_task('k', 'job', '{}', '{"idempotency_key": "key"}')`),
        ),
      );
      expect(new Set(spawned.map(({ rows }) => rows[0]?.['task_id'])).size).toBe(1);
      expect(spawned.filter(({ rows }) => rows[0]?.['created'] === true)).toHaveLength(1);
    });
  }

  const awaitEvent = `select * from absurd.await_event('q', $1, $2, 's', 'go')`;

  race('an emission that comes while an await is not committed yet wakes it', async ({ db, a, b }) => {
    await db.spawn('q', 'job');
    const [run] = await db.claim('q');
    await a.query('begin');
    await a.query(awaitEvent, [run?.task_id, run?.run_id]);
    const emitted = start(b, `select absurd.emit_event('q', 'go', '1')`);
    await blocked(db, b);
    await a.query('commit');
    expect(await emitted).toBe('done');
    expect(await db.claim('q')).toMatchObject([{ run_id: run?.run_id, event_payload: 1 }]);
  });

  race('an await that comes while an emission is not committed yet gets its payload', async ({ db, a, b }) => {
    await db.spawn('q', 'job');
    const [run] = await db.claim('q');
    await a.query('begin');
    await a.query(`select absurd.emit_event('q', 'go', '1')`);
    const awaited = b.query(awaitEvent, [run?.task_id, run?.run_id]);
    await blocked(db, b);
    await a.query('commit');
    expect((await awaited).rows).toEqual([{ should_suspend: false, payload: 1 }]);
  });

  race('an await whose emission is rolled back suspends, and a later one wakes it', async ({ db, a, b }) => {
    await db.spawn('q', 'job');
    const [run] = await db.claim('q');
    await a.query('begin');
    await a.query(`select absurd.emit_event('q', 'go', '1')`);
    const awaited = b.query(awaitEvent, [run?.task_id, run?.run_id]);
    await blocked(db, b);
    await a.query('rollback');
    expect((await awaited).rows).toEqual([{ should_suspend: true, payload: null }]);
    await db.query(`select absurd.emit_event('q', 'go', '2')`);
    expect(await db.claim('q')).toMatchObject([{ event_payload: 2 }]);
  });

  race('of two emissions at once the first to commit wins', async ({ db, a, b }) => {
    await a.query('begin');
    await a.query(`select absurd.emit_event('q', 'go', '1')`);
    const second = start(b, `select absurd.emit_event('q', 'go', '2')`);
    await blocked(db, b);
    await a.query('commit');
    expect(await second).toBe('done');
    expect((await db.query(`select payload from absurd.e_q`)).rows).toEqual([{ payload: 1 }]);
  });

  race('awaits and emissions of many tasks, again and again: no wake-up is lost, nothing deadlocks', async ({ db }) => {
    for (let round = 0; round < 25; round++) {
      const spawned = await db.spawn('q', 'job');
      const claims = await db.claim('q', { qty: 10 });
      const run = claims.find(({ run_id: id }) => id === spawned.run_id);
      const [a, b] = [db.pool, db.pool];
      const event = `go ${round}`;
      await Promise.all([
        a.query(`select absurd.await_event('q', $1, $2, 's', $3)`, [run?.task_id, run?.run_id, event]),
        b.query(`select absurd.emit_event('q', $1, '1')`, [event]),
      ]);
      const { rows } = await db.query('select state from absurd.r_q where run_id = $1', [run?.run_id]);
      expect(['pending', 'running']).toContain(rows[0]?.['state']);
      await db.query('select absurd.cancel_task($1, $2)', ['q', run?.task_id]);
    }
  });

  for (const [finisher, values] of [
    ['complete_run', [] as unknown[]],
    ['fail_run', ['{}']],
  ] as const) {
    race(`cancel_task waits for ${finisher}, and the task keeps its end`, async ({ db, a, b }) => {
      await db.spawn('q', 'job', {}, { max_attempts: 1 });
      const [run] = await db.claim('q');
      const call = `select absurd.${finisher}('q', $1${values.map((_, n) => `, $${n + 2}`).join('')})`;
      await a.query('begin');
      await a.query(call, [run?.run_id, ...values]);
      const cancelled = start(b, `select absurd.cancel_task('q', $1)`, [run?.task_id]);
      await blocked(db, b);
      await a.query('commit');
      expect(await cancelled).toBe('done');
      const state = finisher === 'complete_run' ? 'completed' : 'failed';
      expect((await db.query('select state from absurd.t_q')).rows).toEqual([{ state }]);
      expect((await db.query('select state from absurd.r_q')).rows).toEqual([{ state }]);
    });

    race(`${finisher} waits for cancel_task, and hears of it`, async ({ db, a, b }) => {
      await db.spawn('q', 'job');
      const [run] = await db.claim('q');
      await a.query('begin');
      await a.query(`select absurd.cancel_task('q', $1)`, [run?.task_id]);
      const finished = start(b, `select absurd.${finisher}('q', $1${values.map((_, n) => `, $${n + 2}`).join('')})`, [
        run?.run_id,
        ...values,
      ]);
      await blocked(db, b);
      await a.query('commit');
      expect(await finished).toBe('AB001');
      expect((await db.query('select state from absurd.r_q')).rows).toEqual([{ state: 'cancelled' }]);
    });
  }

  race('cancel_task beside a failure that makes another attempt cancels that too', async ({ db, a, b }) => {
    await db.spawn('q', 'job');
    const [run] = await db.claim('q');
    await a.query('begin');
    await a.query(`select absurd.fail_run('q', $1, '{}')`, [run?.run_id]);
    const cancelled = start(b, `select absurd.cancel_task('q', $1)`, [run?.task_id]);
    await blocked(db, b);
    await a.query('commit');
    expect(await cancelled).toBe('done');
    expect((await db.query('select state from absurd.r_q order by attempt')).rows).toEqual([
      { state: 'failed' },
      { state: 'cancelled' },
    ]);
    expect((await db.query('select state from absurd.t_q')).rows).toEqual([{ state: 'cancelled' }]);
  });

  race('cancel, complete and fail of the same tasks in parallel do not deadlock', async ({ db }) => {
    await db.query(`select absurd.spawn_task('q', 'job', '{}', '{"max_attempts": 1}') from generate_series(1, 60)`);
    const runs = await db.claim('q', { qty: 60 });
    const codes = await Promise.all(
      runs.flatMap(({ run_id: run, task_id: task }) => [
        start(
          { ...db, query: (sql, values) => db.pool.query(sql, values) as never },
          `select absurd.complete_run('q', $1)`,
          [run],
        ),
        start(
          { ...db, query: (sql, values) => db.pool.query(sql, values) as never },
          `select absurd.cancel_task('q', $1)`,
          [task],
        ),
        start(
          { ...db, query: (sql, values) => db.pool.query(sql, values) as never },
          `select absurd.fail_run('q', $1, '{}')`,
          [run],
        ),
      ]),
    );
    expect(codes).not.toContain('40P01');
    const { rows } = await db.query(
      `select count(*)::int as n from absurd.t_q t join absurd.r_q r using (task_id) where t.state <> r.state`,
    );
    expect(rows).toEqual([{ n: 0 }]);
  });

  race('two batches of completions in opposite orders do not deadlock', async ({ db }) => {
    await db.query(`select absurd.spawn_task('q', 'job', '{}') from generate_series(1, 100)`);
    const runs = (await db.claim('q', { qty: 100 })).map(({ run_id: id }) => ({ run_id: id }));
    const both = [runs, [...runs].reverse()].map((list) =>
      db.pool.query(`select error_code from absurd.complete_runs('q', $1)`, [JSON.stringify(list)]),
    );
    const codes = (await Promise.all(both)).flatMap(({ rows }) =>
      rows.map((row: { error_code: string | null }) => row.error_code),
    );
    expect(codes.filter((code) => code === null)).toHaveLength(100);
    expect(codes.filter((code) => code === '55000')).toHaveLength(100);
  });

  race(
    'a default partition comes while nobody looks: a reader that saw it half made would fail',
    async ({ db, a, b }) => {
      await db.queue('p', 'partitioned');
      await db.query(`select absurd.set_queue_policy('p', '{"default_partition": "disabled"}')`);
      await a.query('begin; select from absurd.t_p');
      const enabled = start(b, `select absurd.set_queue_policy('p', '{"default_partition": "enabled"}')`);
      await blocked(a, b);
      await a.query('commit');
      expect(await enabled).toBe('done');
      await db.query(`select absurd.spawn_task('p', 'job', '{}')`);
    },
  );

  race('a run that starts while a batch of completions waits for another is not said to be completed', async (trio) => {
    const { db, a, b } = trio;
    await db.query(`select absurd.spawn_task('q', 'job', '{}') from generate_series(1, 2)`);
    const [asleep, running] = await db.claim('q', { qty: 2 });
    await db.query(`select absurd.schedule_run('q', $1, absurd.current_time())`, [asleep?.run_id]);
    const complete = async (...ids: unknown[]) =>
      (
        await b.query(`select run_id, error_code from absurd.complete_runs('q', $1)`, [
          JSON.stringify(ids.map((id) => ({ run_id: id, state: 1 }))),
        ])
      ).rows;

    await a.query('begin');
    await a.query('select from absurd.r_q where run_id = $1 for update', [running?.run_id]);
    const verdicts = complete(asleep?.run_id, running?.run_id, null);
    await blocked(db, b);
    expect(await db.claim('q')).toMatchObject([{ run_id: asleep?.run_id }]);
    await a.query('commit');

    expect(await verdicts).toEqual([
      { run_id: asleep?.run_id, error_code: '40001' },
      { run_id: running?.run_id, error_code: null },
      { run_id: null, error_code: 'P0002' },
    ]);
    expect(await complete(asleep?.run_id)).toEqual([{ run_id: asleep?.run_id, error_code: null }]);
  });

  race('disabling the default partition waits for a spawn under way, then sees its row', async ({ db, a, b }) => {
    await db.queue('p', 'partitioned');
    await a.query('begin');
    await a.query(`insert into absurd.c_p (task_id, checkpoint_name) values (absurd.uuidv7_floor('2001-01-01Z'), 's')`);
    const disabled = start(b, `select absurd.set_queue_policy('p', '{"default_partition": "disabled"}')`);
    await blocked(db, b);
    await a.query('commit');
    expect(await disabled).toMatch(/^\w{5}$/);
    expect((await db.query('select count(*)::int as n from absurd.c_p')).rows).toEqual([{ n: 1 }]);
  });

  race('who makes, makes sure of, drops or upgrades the same queue waits for the other', async ({ db, a, b }) => {
    const script = readFileSync(new URL('../../sql/absurd.sql', import.meta.url), 'utf8');
    const [create, ensure, drop] = ['create_queue', 'ensure_queue_tables', 'drop_queue'].map(
      (name) => `select absurd.${name}('q')`,
    ) as [string, string, string];
    for (const [first, second] of [
      [create, drop],
      [drop, create],
      [ensure, ensure],
      [ensure, drop],
      [drop, script],
      [script, drop],
    ] as const) {
      await db.queue('q');
      await a.query('begin');
      await a.query(first);
      const other = start(b, second);
      await blocked(db, b);
      await a.query('commit');
      expect(await other, `${second} after ${first}`.slice(-60)).toBe('done');
    }
  });

  race(
    'an upgrade waits for a program that makes a queue or makes sure of it, and the other way round',
    async ({ db, a, b }) => {
      const script = readFileSync(new URL('../../sql/absurd.sql', import.meta.url), 'utf8');
      const create = (queue: string): string => `select absurd.create_queue('${queue}')`;
      for (const [first, second] of [
        [create('q'), script],
        [create('new'), script],
        [script, create('q')],
        // A migration that goes on to make its queue.
        [`${script}; ${create('q')}`, create('q')],
      ] as const) {
        await a.query('begin');
        await a.query(first);
        const other = start(b, second);
        await blocked(db, b);
        await a.query('commit');
        expect(await other).toBe('done');
      }
    },
  );

  race('an upgrade under claims from other connections: nothing fails, nothing is claimed twice', async ({ db }) => {
    const script = readFileSync(new URL('../../sql/absurd.sql', import.meta.url), 'utf8');
    await db.query(`select absurd.spawn_task('q', 'job', '{}') from generate_series(1, 300)`);
    let upgrading = true;
    const claimed: string[] = [];
    const claim = async (): Promise<void> => {
      const claimer = await db.connect();
      for (;;) {
        const { rows } = await claimer.query<{ run_id: string }>(
          `select run_id from absurd.claim_task('q', 'w', 600, 1)`,
        );
        claimed.push(...rows.map((row) => row.run_id));
        if (rows.length > 0) await claimer.query(`select absurd.complete_run('q', $1)`, [rows[0]?.run_id]);
        else if (!upgrading) return;
      }
    };
    const workers = [claim(), claim()];
    for (let n = 0; n < 3; n++) await db.query(script);
    upgrading = false;
    await Promise.all(workers);
    expect(new Set(claimed).size).toBe(claimed.length);
    expect(claimed).toHaveLength(300);
  });
}
