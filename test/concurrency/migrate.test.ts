import { builtParts } from '../../src/lib/schema/migrate/script.js';
import { Absurd } from '../../src/sdk/index.js';
import { run } from '../support/command.js';
import { startCli, type RunningCli } from '../support/cli.js';
import { describe, expect, test, type Connection, type TestDatabase } from '../support/database.js';
import { installOlder, versions } from '../sql/older.js';
import { oldWorkers, type Deeds } from './old-worker.js';

/** So many ended tasks, and pending ones with cancellation settings, as an old schema holds them. */
async function fill(db: TestDatabase, queue: string, count: number): Promise<void> {
  await db.query(
    `insert into absurd.t_${queue} (task_id, task_name, params, state, attempts, last_attempt_run, cancellation)
     select ('018f0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'job', '{}',
            case when i % 10 = 0 then 'pending' else 'completed' end, 1,
            ('018f0000-0000-7000-9000-' || lpad(to_hex(i), 12, '0'))::uuid,
            case when i % 20 = 0 then '{"max_delay": 100000}'::jsonb end
       from generate_series(1, ${count}) i;
     insert into absurd.r_${queue} (run_id, task_id, attempt, state, available_at, completed_at)
     select t.last_attempt_run, t.task_id, 1, t.state, now(), case t.state when 'completed' then now() end
       from absurd.t_${queue} t`,
  );
}

/** Two weeks of queue p, as its partitions stand before an upgrade. */
async function weeks(db: TestDatabase): Promise<void> {
  const bound = (day: string): string => {
    const hex = Date.parse(`${day}T00:00:00Z`).toString(16).padStart(12, '0');
    return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
  };
  for (const [tag, from, to] of [
    ['419', '2024-05-06', '2024-05-13'],
    ['420', '2024-05-13', '2024-05-20'],
  ] as const) {
    for (const letter of ['t', 'r', 'c', 'w']) {
      await db.query(
        `create table absurd.${letter}_p_${tag} partition of absurd.${letter}_p
         for values from ('${bound(from)}') to ('${bound(to)}')`,
      );
    }
  }
}

/** Nothing that an upgrade promises is missing: all valid, cancel_due as it must be, no task lost. */
async function whole(db: TestDatabase): Promise<void> {
  expect(await run(['migrate', '--check'], db)).toMatchObject({ code: 0, stdout: '' });
  const invalid = await db.query(
    `select i.indexrelid::regclass from pg_index i join pg_class c on c.oid = i.indrelid
      where c.relnamespace = 'absurd'::regnamespace and not i.indisvalid`,
  );
  expect(invalid.rows).toEqual([]);
  for (const { queue_name: queue } of (await db.query('select queue_name from absurd.queues')).rows) {
    const wrong = await db.query(
      `select task_id from absurd.t_${String(queue)} t where t.cancel_due is distinct from
         absurd._cancel_due(t.cancellation, t.enqueue_at, t.first_started_at, t.state)`,
    );
    expect(wrong.rows).toEqual([]);
  }
}

async function finishAll(db: TestDatabase, queue: string): Promise<void> {
  const absurd = new Absurd({ db: db.url, queueName: queue });
  absurd.registerTask({ name: 'job' }, () => Promise.resolve('new'));
  // Leases of workers that are gone: their time is over.
  await db.query(`update absurd.r_${queue} set claim_expires_at = now() - interval '1 second' where state = 'running'`);
  const worker = await absurd.startWorker({ concurrency: 20, pollInterval: 0.02 });
  const unfinished = async (): Promise<number> =>
    Number(
      (await db.query(`select count(*) as n from absurd.t_${queue} where state not in ('completed', 'cancelled')`))
        .rows[0]?.['n'],
    );
  await expect.poll(unfinished, { timeout: 60_000, interval: 100 }).toBe(0);
  await worker.close();
  await absurd.close();
}

describe('under load', () => {
  for (const version of versions) {
    test(
      `from ${version}: old workers go on meanwhile, and the new one finishes everything`,
      { timeout: 120_000 },
      async ({ emptyDatabase: db }) => {
        await installOlder(db, version);
        const partitioned = (await db.query(`select to_regclass('absurd.t_p') is not null as there`)).rows[0]?.[
          'there'
        ];
        const queues = partitioned === true ? ['q', 'p'] : ['q'];
        if (partitioned === true) await weeks(db);
        for (const queue of queues) await fill(db, queue, 3000);
        const stops = await Promise.all(queues.map((queue) => oldWorkers(db, queue, 3)));
        const migrated = await run(['migrate'], db);
        const deeds = await Promise.all(stops.map((stop) => stop()));
        expect(migrated).toMatchObject({ code: 0, stderr: expect.stringContaining('Done') as string });
        await whole(db);
        for (const [i, queue] of queues.entries()) await nothingLost(db, queue, deeds[i] as Deeds);
      },
    );
  }
});

async function nothingLost(db: TestDatabase, queue: string, deeds: Deeds): Promise<void> {
  expect(deeds.errors).toEqual([]);
  expect(deeds.completed.length).toBeGreaterThan(0);
  const ids = async (sql: string): Promise<unknown[]> => (await db.query<{ id: string }>(sql)).rows.map(({ id }) => id);
  const there = new Set(await ids(`select task_id as id from absurd.t_${queue}`));
  expect(deeds.spawned.filter((id) => !there.has(id))).toEqual([]);
  expect(there.size).toBe(3000 + deeds.spawned.length);
  const done = new Set(await ids(`select task_id as id from absurd.t_${queue} where completed_payload = '1'`));
  expect(deeds.completed.filter((id) => !done.has(id))).toEqual([]);
  expect(await ids(`select count(*)::int as id from absurd.c_${queue}`)).toEqual([deeds.checkpoints]);
  await finishAll(db, queue);
  expect(await ids(`select count(*)::int as id from absurd.t_${queue}`)).toEqual([3000 + deeds.spawned.length]);
  // What the old workers completed was not done again.
  expect(await ids(`select count(*)::int as id from absurd.t_${queue} where completed_payload = '1'`)).toEqual([
    deeds.completed.length,
  ]);
}

/** Holds an upgrade up at one of its steps; `stalled` resolves once it stands there. */
interface Stall {
  hold: (db: TestDatabase, blocker: Connection) => Promise<unknown>;
  stalled: (db: TestDatabase, cli: RunningCli) => Promise<unknown>;
}

const building = async (db: TestDatabase): Promise<void> => {
  const phase = async (): Promise<unknown> =>
    (await db.query(`select phase from pg_stat_progress_create_index where relid = 'absurd.r_q'::regclass`)).rows[0]?.[
      'phase'
    ];
  await expect.poll(phase, { timeout: 60_000, interval: 20 }).toBe('waiting for writers before build');
};

const stalls: Record<string, Stall> = {
  'adding the column': {
    hold: (_, blocker) => blocker.query('begin; select 1 from absurd.t_q limit 1'),
    stalled: (_, cli) => cli.waitFor(/Table t_q is busy \(by process \d+.*idle in transaction/),
  },
  'filling the column': {
    async hold(db, blocker) {
      const { triggerFunctions, tableParts } = builtParts();
      await db.query(triggerFunctions);
      for (const { letter, statement } of tableParts) await db.query(statement.replaceAll('%1$I', `${letter}_q`));
      await blocker.query(
        `begin; select 1 from absurd.t_q where cancellation is not null and state = 'pending' order by task_id desc limit 1 for update`,
      );
    },
    stalled: (_, cli) => cli.waitFor(/Filling cancel_due of t_q[\s\S]*Table t_q is busy/),
  },
  'building an index': {
    hold: (_, blocker) => blocker.query('begin; lock table absurd.r_q in row exclusive mode'),
    stalled: building,
  },
  'attaching a part of an index': {
    async hold(db, blocker) {
      await db.query(
        `create index r_p_d_rdy on absurd.r_p_d (available_at, run_id) where state in ('pending', 'sleeping')`,
      );
      await blocker.query('begin; select 1 from absurd.r_p_d where run_id is null');
    },
    stalled: (_, cli) => cli.waitFor(/Table r_p_d is busy/),
  },
  'running the script': {
    async hold(_, blocker) {
      await blocker.query('begin; select 1 from absurd.t_q limit 1');
    },
    async stalled(db, cli) {
      await cli.waitFor(/Table t_q is busy/);
      const installer = await db.connect();
      await installer.query(`select pg_advisory_lock(hashtextextended('absurd.install', 0))`);
      await db.query(
        `select pg_terminate_backend(l.pid) from pg_locks l where l.relation = 'absurd.t_q'::regclass and l.granted
          and l.mode = 'AccessShareLock' and l.pid <> pg_backend_pid()`,
      );
      await cli.waitFor(/Trying again/);
      await installer.client.end();
    },
  },
};

describe('an upgrade that broke off is run again', () => {
  for (const [step, { hold, stalled }] of Object.entries(stalls)) {
    for (const how of ['killed', 'disconnected'] as const) {
      test(`${how} while ${step}`, { timeout: 120_000 }, async ({ emptyDatabase: db }) => {
        await installOlder(db, '0.5.0');
        await weeks(db);
        for (const queue of ['q', 'p']) await fill(db, queue, 400);
        const blocker = await db.connect();
        await hold(db, blocker);
        const cli = await startCli(['migrate'], {
          env: { ABSURD_DATABASE_URL: db.url, PGAPPNAME: 'upgrade' },
          timeoutMs: 50_000,
        });
        await stalled(db, cli);
        if (how === 'killed') cli.kill('SIGKILL');
        else {
          await db.query(
            `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'upgrade%' and datname = current_database()`,
          );
        }
        const ended = await cli.done;
        expect(how === 'killed' ? ended.signal : ended.code).toBe(how === 'killed' ? 'SIGKILL' : 5);
        await blocker.client.end().catch(() => undefined);

        const again = await run(['migrate'], db);
        expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining('Done') as string });
        await whole(db);
        expect((await db.query('select count(*)::int as n from absurd.t_q')).rows).toEqual([{ n: 400 }]);
        expect((await db.query('select count(*)::int as n from absurd.t_p')).rows).toEqual([{ n: 400 }]);
      });
    }
  }

  test('a fill that broke off is ended by the script alone too', async ({ emptyDatabase: db }) => {
    await installOlder(db, '0.5.0');
    await fill(db, 'q', 100);
    const blocker = await db.connect();
    await stalls['filling the column']?.hold(db, blocker);
    await blocker.query('rollback');
    expect((await db.query('select count(cancel_due)::int as n from absurd.t_q')).rows).toEqual([{ n: 0 }]);
    expect((await run(['init'], db)).code).toBe(0);
    await whole(db);
    expect((await db.query('select count(cancel_due)::int as n from absurd.t_q')).rows).toEqual([{ n: 5 }]);
  });
});
