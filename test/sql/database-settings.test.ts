/** The whole cycle works under settings that a database can have. */
import { run } from '../support/command.js';
import {
  createDatabase,
  describe,
  expect,
  test,
  type Connection,
  type Row,
  type TestDatabase,
} from '../support/database.js';
import { applySettings, databaseSettings } from '../support/database-settings.js';
import { catalogOf, script } from './older.js';

/** A name with all that literals and identifiers have to escape. */
const odd = String.raw`it's a \ "q" $$`;

class Cycle {
  constructor(
    private readonly db: Connection,
    private readonly queue: string,
  ) {}

  async call<T = unknown>(sql: string, ...values: unknown[]): Promise<T> {
    const { rows } = await this.db.query(`select to_jsonb(f) as value from absurd.${sql} f`, [this.queue, ...values]);
    return rows.map(({ value }) => value) as T;
  }

  async spawn(name: string, options: Row = {}): Promise<{ task_id: string; run_id: string }> {
    const [task] = await this.call<{ task_id: string; run_id: string }[]>(
      'spawn_task($1, $2, $3, $4)',
      name,
      JSON.stringify({ n: 1.5, text: String.raw`\u00e9 \\ '` }),
      JSON.stringify(options),
    );
    if (!task) throw new Error('no task');
    return task;
  }

  async claim(quantity = 1): Promise<Row[]> {
    return this.call<Row[]>('claim_task($1, $2, 60, $3)', 'w', quantity);
  }

  async clock(at: string): Promise<void> {
    await this.db.query(`select set_config('absurd.fake_now', $1, false)`, [at]);
  }

  async state(taskId: string): Promise<unknown> {
    const [result] = await this.call<{ state: string }[]>('get_task_result($1, $2)', taskId);
    return result?.state;
  }

  /** Spawned with a limit, failed, tried again after its delay, done. */
  async retries(): Promise<void> {
    await this.clock('2026-03-04T12:00:00Z');
    const options = {
      max_attempts: 2,
      retry_strategy: { kind: 'exponential', base_seconds: '1.5', factor: 2 },
      headers: { h: null },
      idempotency_key: String.raw`k\1`,
      cancellation: { max_duration: 3600 },
    };
    const { task_id: id } = await this.spawn('job', options);
    expect((await this.spawn('job', options)).task_id).toBe(id);
    expect(await this.claim(5)).toMatchObject([{ task_id: id, attempt: 1, max_attempts: 2, params: { n: 1.5 } }]);
    const [, first] = [id, (await this.spawn('job', options)).run_id];
    await this.call('set_task_checkpoint_state($1, $2, $3, $4, $5, 90)', id, String.raw`a\b`, '{"at": 0.1}', first);
    await this.call('extend_claim($1, $2, 30)', first);
    await this.call('fail_run($1, $2, $3)', first, '{"message": "x"}');
    expect(await this.claim()).toEqual([]);
    await this.clock('2026-03-04T12:00:01.5Z');
    const [again] = await this.claim();
    expect(again).toMatchObject({ task_id: id, attempt: 2 });
    const seen = await this.call('get_task_checkpoint_states($1, $2, $3)', id, again?.['run_id']);
    expect(seen).toMatchObject([{ checkpoint_name: String.raw`a\b`, state: { at: 0.1 }, owner_run_id: first }]);
    await this.call('complete_run($1, $2, $3)', again?.['run_id'], '{"ok": 1}');
    expect(await this.call('get_task_result($1, $2)', id)).toMatchObject([{ state: 'completed', result: { ok: 1 } }]);
  }

  /** A wait, a timeout, and an event that wakes. */
  async events(): Promise<void> {
    await this.clock('2026-03-04T13:00:00Z');
    const { task_id: id, run_id: runId } = await this.spawn('waits');
    await this.claim();
    const wait = 'await_event($1, $2, $3, $4, $5, 60)';
    expect(await this.call(wait, id, runId, 's', String.raw`e\1`)).toMatchObject([{ should_suspend: true }]);
    await this.clock('2026-03-04T13:01:00Z');
    expect(await this.claim()).toMatchObject([{ task_id: id, wake_event: String.raw`e\1`, event_payload: null }]);
    expect(await this.call(wait, id, runId, 's', String.raw`e\1`)).toMatchObject([{ should_suspend: false }]);
    expect(await this.call(wait, id, runId, 't', 'e2')).toMatchObject([{ should_suspend: true }]);
    await this.call('emit_event($1, $2, $3)', 'e2', '[1]');
    expect(await this.claim()).toMatchObject([{ task_id: id, event_payload: [1] }]);
    await this.call('schedule_run($1, $2, $3)', runId, '2026-03-04T13:02:00Z');
    expect(await this.claim()).toEqual([]);
    await this.call('cancel_task($1, $2)', id);
    expect(await this.state(id)).toBe('cancelled');
  }

  /** Tasks that end by their own limits, leases that expire, and another attempt for what failed. */
  async ends(): Promise<void> {
    await this.clock('2026-03-04T14:00:00Z');
    const late = await this.spawn('late', { cancellation: { max_delay: 5 } });
    const long = await this.spawn('long', { cancellation: { max_duration: 90 }, max_attempts: 9 });
    await this.db.query(`update absurd.${ident(`r_${this.queue}`)} set available_at = $2 where run_id = $1`, [
      late.run_id,
      '2026-03-05T00:00:00Z',
    ]);
    expect(await this.claim()).toMatchObject([{ task_id: long.task_id }]);
    await this.clock('2026-03-04T14:01:00Z');
    // Its lease of a minute is over: the next attempt follows at once.
    expect(await this.claim()).toMatchObject([{ task_id: long.task_id, attempt: 2 }]);
    expect(await this.state(late.task_id)).toBe('cancelled');
    await this.clock('2026-03-04T14:01:30Z');
    expect(await this.claim()).toEqual([]);
    expect(await this.state(long.task_id)).toBe('cancelled');

    const bad = await this.spawn('bad', { max_attempts: 1, cancellation: { max_duration: 1000 } });
    await this.claim();
    await this.call('fail_run($1, $2, $3)', bad.run_id, '{}');
    expect(await this.state(bad.task_id)).toBe('failed');
    await this.call('retry_task($1, $2)', bad.task_id);
    await this.clock('2026-03-04T15:00:00Z');
    expect(await this.claim()).toEqual([]);
    expect(await this.state(bad.task_id)).toBe('cancelled');
  }

  /** The calls for many at once. */
  async batches(): Promise<void> {
    await this.clock('2026-03-04T16:00:00Z');
    const tasks = [1, 2, 3].map((n) => ({
      task_name: `n${n}`,
      params: n,
      options: { max_attempts: n, cancellation: { max_delay: 9 } },
    }));
    expect(await this.call('spawn_tasks($1, $2)', JSON.stringify(tasks))).toHaveLength(3);
    const runs = await this.claim(2);
    expect(runs).toHaveLength(2);
    const checkpoints = runs.map((one) => ({ ...one, owner_run: one['run_id'], step_name: 's', state: null }));
    expect(await this.call('set_task_checkpoint_states($1, $2)', JSON.stringify(checkpoints))).toMatchObject([
      { error_code: null },
      { error_code: null },
    ]);
    const done = runs.map((one) => ({ run_id: one['run_id'], state: 1 }));
    expect(await this.call('complete_runs($1, $2)', JSON.stringify(done))).toMatchObject([
      { error_code: null },
      { error_code: null },
    ]);
    await this.clock('2026-03-04T16:00:09Z');
    expect(await this.claim(2)).toEqual([]);
  }

  async cleanup(): Promise<void> {
    await this.clock('2026-06-04T16:00:00Z');
    expect(await this.call('cleanup_tasks($1, 60)')).toEqual([8]);
    expect(await this.call('cleanup_all_queues($1)')).toMatchObject([{ tasks_deleted: 0, events_deleted: 1 }]);
    expect((await this.db.query(`select from absurd.${ident(`r_${this.queue}`)}`)).rowCount).toBe(0);
  }

  async policy(partitioned: boolean): Promise<void> {
    const policy = { cleanup_ttl: '1 day 2 hours', detach_mode: 'empty', detach_min_age: '7 days' };
    await this.call('set_queue_policy($1, $2)', JSON.stringify(policy));
    const { rows } = await this.db.query(
      `select extract(epoch from cleanup_ttl)::int as ttl, detach_mode from absurd.get_queue_policy($1)`,
      [this.queue],
    );
    expect(rows).toEqual([{ ttl: 93600, detach_mode: 'empty' }]);
    await this.clock('2026-03-04T12:00:00Z');
    await this.call('ensure_partitions($1)');
    await this.clock('2026-06-04T16:00:00Z');
    await this.call('ensure_partitions($1)');
    const old = await this.call<{ parent_table: string; partition_table: string }[]>('list_detach_candidates($1)');
    expect(old.some(({ partition_table: name }) => name === `t_${this.queue}_610`)).toBe(partitioned);
    for (const { parent_table: parent, partition_table: partition } of old) {
      await this.db.query(`alter table absurd.${ident(parent)} detach partition absurd.${ident(partition)}`);
      await this.db.query('select absurd.drop_detached_partition($1)', [partition]);
    }
    expect(await this.call('list_detach_candidates($1)')).toEqual([]);
  }
}

const ident = (name: string): string => `"${name.replaceAll('"', '""')}"`;

async function lookedAt(db: TestDatabase): Promise<void> {
  const doctor = await run(['doctor', '--json', '--fail-on', 'info'], { url: db.url });
  expect(doctor.json<{ findings: unknown[] }>().findings).toEqual([]);
  const check = await run(['migrate', '--check'], { url: db.url });
  expect(`${check.stdout}${check.stderr}`).toBe('The schema is what this absurdctl ships\n');
}

for (const [subject, given] of Object.entries(databaseSettings)) {
  const kinds = (['current', 'older'] as const).filter((kind) => kind === 'current' || given.since === undefined);
  describe(subject, () => {
    test.for(kinds)('%s server', { timeout: 120_000 }, async (kind) => {
      const { database, close } = await createDatabase(kind, false);
      try {
        await applySettings(database, given);
        const db = await database.connect();
        await db.query(script);
        for (const mode of ['unpartitioned', 'partitioned'] as const) {
          const queue = `${mode} ${odd}`;
          await db.query('select absurd.create_queue($1, $2)', [queue, mode]);
          await db.query('select absurd.create_queue($1, $2)', [mode, mode]);
        }
        await lookedAt(database);
        for (const mode of ['unpartitioned', 'partitioned'] as const) {
          const cycle = new Cycle(db, `${mode} ${odd}`);
          await cycle.policy(mode === 'partitioned');
          await cycle.retries();
          await cycle.events();
          await cycle.ends();
          await cycle.batches();
          await cycle.cleanup();
        }
        await db.query('reset absurd.fake_now');
        const before = await catalogOf(db);
        const bodies = `select p.proname, md5(p.prosrc) as body, p.proconfig from pg_proc p
                         where p.pronamespace = 'absurd'::regnamespace order by 1, 2`;
        const made = (await db.query(bodies)).rows;
        await db.query(script);
        expect(await catalogOf(db)).toEqual(before);
        expect((await db.query(bodies)).rows).toEqual(made);
        // Installed again by a session without these settings it is the same, too.
        await database.query(script);
        expect((await database.query(bodies)).rows).toEqual(made);
        for (const { queue_name: name } of (await db.query('select queue_name from absurd.queues')).rows)
          await db.query('select absurd.drop_queue($1)', [name]);
        await lookedAt(database);
      } finally {
        await close();
      }
    });
  });
}
