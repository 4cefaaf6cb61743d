import { describe, expect } from 'vitest';
import { createDatabase, test, type Connection, type Row, type TestDatabase } from '../support/database.js';
import {
  backToRevision1,
  catalogOf,
  installOlder,
  readCatalog,
  replaceFunctions,
  script,
  versions,
  type Catalog,
} from './older.js';
import { refuses } from './support.js';

/** What a fresh install with the same queues comes to. */
async function freshCatalog(kind: 'current' | 'older', queues: Row[]): Promise<Catalog> {
  const { database, close } = await createDatabase(kind, true);
  try {
    for (const { queue_name: name, storage_mode: mode } of queues)
      await database.queue(String(name), mode as 'partitioned');
    return await catalogOf(database);
  } finally {
    await close();
  }
}

const queuesOf = async (db: TestDatabase): Promise<Row[]> =>
  (await db.query('select queue_name, storage_mode from absurd.queues order by 1')).rows;

/** Locks that a worker would notice, held by this connection: on tables of queues, stronger than reading. */
async function strongLocks(db: Connection): Promise<Row[]> {
  const { rows } = await db.query(
    `select l.relation::regclass::text as relation, l.mode from pg_locks l join pg_class c on c.oid = l.relation
      where l.pid = pg_backend_pid() and c.relnamespace = to_regnamespace('absurd') and l.mode <> 'AccessShareLock'`,
  );
  return rows;
}

/** The comments of our functions, and which of them have none. */
async function descriptions(db: TestDatabase): Promise<{ given: Row[]; without: Row[] }> {
  const { rows } = await db.query(
    `select p.oid::regprocedure::text as name, d.description, d.xmin::text as written
       from pg_proc p left join pg_description d on d.objoid = p.oid and d.classoid = 'pg_proc'::regclass
      where p.pronamespace = 'absurd'::regnamespace and p.proname !~ ':' order by 1`,
  );
  return { given: rows, without: rows.filter(({ description }) => description === null) };
}

describe('the descriptions of functions', () => {
  test('say what each does, and a second run writes none', async ({ db }) => {
    const { given, without } = await descriptions(db);
    expect(without).toEqual([]);
    const claim = given.find(({ name }) => String(name).startsWith('absurd.claim_task('));
    expect(claim?.['description']).toMatch(/^Claims runs for a worker\.\n {2}p_worker_id /);

    await db.query(script);
    expect((await descriptions(db)).given).toEqual(given);
  });

  test('are there on an older server, and replace those of an older release', async ({ older: db }) => {
    await db.query(`comment on function absurd.claim_task is 'as it was'`);
    await db.query(script);

    const { given, without } = await descriptions(db);
    expect(without).toEqual([]);
    expect(given.filter(({ description }) => description === 'as it was')).toEqual([]);
  });
});

describe('the catalog', () => {
  for (const kind of ['current', 'older'] as const) {
    test(`holds all that the contract names, and beside it only what is ours (${kind})`, async () => {
      const { database: db, close } = await createDatabase(kind, true);
      await db.queue('q');
      await db.queue('p', 'partitioned');
      const contract = readCatalog('0.5.0');
      const actual = await catalogOf(db);
      await close();

      for (const section of ['functions', 'columns', 'constraints', 'indexes', 'options'] as const) {
        const have = new Set(actual[section].map((line) => line.replace(/ +/g, ' ').trim()));
        const missing = contract[section].filter((line) => !have.has(line.replace(/ +/g, ' ').trim()));
        expect(missing, section).toEqual([]);
      }
      // A client sends untyped parameters: a second form of a contract's function would confuse its calls.
      const name = (line: string): string => line.slice(0, line.indexOf('('));
      const named = new Set(contract.functions.map(name));
      expect(actual.functions.filter((line) => named.has(name(line)))).toHaveLength(contract.functions.length);
      const tables = new Set(contract.columns.map((line) => line.split('.')[0]));
      const extra = actual.columns.filter((line) => tables.has(line.split('.')[0]) && !contract.columns.includes(line));
      expect(extra.filter((line) => / not null/.test(line) && !/ default /.test(line))).toEqual([]);
    });
  }

  test('names of all that belongs to a queue stay within 63 bytes for the longest name', async ({ db }) => {
    await db.queue('é'.repeat(28) + 'x', 'partitioned');
    const { rows } = await db.query(
      `select relname from pg_class where relnamespace = 'absurd'::regnamespace and octet_length(relname) > 63`,
    );
    expect(rows).toEqual([]);
  });
});

describe('installing', () => {
  test('says nothing, leaves no setting behind, and works as one statement in a transaction', async ({
    emptyDatabase: db,
  }) => {
    const notices: string[] = [];
    db.client.on('notice', ({ message }) => notices.push(message ?? ''));
    const settings = async (): Promise<Row[]> =>
      (await db.query(`select name, setting from pg_settings where source = 'session' order by name`)).rows;
    const before = await settings();
    await db.query('begin');
    await db.query(script);
    await db.query('rollback');
    expect((await db.query(`select to_regnamespace('absurd') as there`)).rows).toEqual([{ there: null }]);
    await db.query(script);
    expect(await settings()).toEqual(before);
    expect(notices).toEqual([]);
    await db.query('select absurd.create_queue($1)', ['q']);
    await db.query(script);
    expect(notices).toEqual([]);
  });

  test('a second time changes nothing and takes no lock that a worker would notice', async ({ db }) => {
    await db.queue('q');
    await db.queue('p', 'partitioned');
    const before = await catalogOf(db);
    await db.query('begin');
    await db.query(script);
    expect(await strongLocks(db)).toEqual([]);
    await db.query('commit');
    expect(await catalogOf(db)).toEqual(before);
  });

  test('takes a role that may create a schema, no superuser', async ({ emptyDatabase: db }) => {
    const role = `installer_${db.name.slice(-8)}`;
    await db.query(`create role ${role}; grant create on database "${db.name}" to ${role}`);
    const installer = await db.connect();
    await installer.query(`set role ${role}`);
    await installer.query(script);
    await installer.query(`select absurd.create_queue('q'), absurd.create_queue('p', 'partitioned')`);
    await installer.query(`select absurd.spawn_task('q', 'job', '{}')`);
    await installer.query(script);
    expect((await installer.query(`select * from absurd.claim_task('q', 'w')`)).rows).toHaveLength(1);
    await db.query(`drop schema absurd cascade; drop owned by ${role}; drop role ${role}`);
  });

  test('never goes below a newer revision', async ({ db }) => {
    await db.query(
      `create or replace function absurd.get_schema_revision() returns integer language sql as 'select 1000'`,
    );
    await refuses(db.query(script), '55000', '1000');
  });

  test('mends what another release’s functions over ours left', async ({ db }) => {
    await db.queue('q');
    const fresh = await catalogOf(db);
    await db.spawn('q', 'job', {}, { cancellation: { max_duration: 60 } });
    await replaceFunctions(db, '0.5.0');
    await refuses(db.query(`select absurd.spawn_task('q', 'job', '{}')`), 'P0001');
    await db.query(script);
    expect(await catalogOf(db)).toEqual(fresh);
    expect(await db.claim('q')).toHaveLength(1);
  });
});

describe('upgrading', () => {
  for (const kind of ['current', 'older'] as const) {
    for (const version of versions) {
      test(`${version} comes to the same catalog as a fresh install, with its tasks, and twice (${kind})`, async () => {
        const { database: db, close } = await createDatabase(kind, false);
        try {
          await installOlder(db, version);
          await fill(db, 'q');
          const before = (await db.query('select * from absurd.t_q order by task_id')).rows;
          await db.query(script);
          const fresh = await freshCatalog(kind, await queuesOf(db));
          expect(await catalogOf(db)).toEqual(fresh);
          const after = (await db.query('select * from absurd.t_q order by task_id')).rows;
          expect(after).toEqual(before.map((row) => expect.objectContaining(row) as unknown));
          await db.query('begin');
          await db.query(script);
          expect(await strongLocks(db)).toEqual([]);
          await db.query('commit');
          expect(await catalogOf(db)).toEqual(fresh);
          await worksOn(db);
        } finally {
          await close();
        }
      });
    }
  }

  for (const kind of ['current', 'older'] as const) {
    test(`our own revision 1 comes to the same catalog as a fresh install, with its tasks (${kind})`, async () => {
      const { database: db, close } = await createDatabase(kind, true);
      try {
        await db.queue('q');
        await db.queue('p', 'partitioned');
        const fresh = await catalogOf(db);
        await fill(db, 'q');
        await backToRevision1(db);
        expect(await catalogOf(db)).not.toEqual(fresh);
        await db.query(script);
        expect(await catalogOf(db)).toEqual(fresh);
        expect((await db.query('select absurd.get_schema_revision() as revision')).rows).toEqual([{ revision: 2 }]);
        await worksOn(db);
      } finally {
        await close();
      }
    });
  }

  test('500 queues fit into the default lock table', async ({ emptyDatabase: db }) => {
    await installOlder(db, '0.4.0');
    // All that a queue of that version has, 499 times more.
    await db.query(`do $$ declare t text; begin
      for i in 1..499 loop
        foreach t in array array['t', 'r', 'c', 'e', 'w'] loop
          execute format('create table absurd.%I (like absurd.%I including all)', t || '_q' || i, t || '_q');
        end loop;
        insert into absurd.queues (queue_name) values ('q' || i);
      end loop; end $$`);
    await db.query(script);
    await db.spawn('q499', 'job');
    expect(await db.claim('q499')).toHaveLength(1);
  });
});

/** Tasks in flight: one of each state, one with settings that an old release would have choked on. */
async function fill(db: TestDatabase, queue: string): Promise<void> {
  await db.query(`
    insert into absurd.t_${queue} (task_id, task_name, params, state, attempts, cancellation, idempotency_key, first_started_at, last_attempt_run)
    select ('018f0000-0000-7000-8000-00000000000' || n)::uuid, 'job', '{"n": 1}', s, 1, c::jsonb, case n when 1 then 'key' end,
           case when s = 'running' then now() end, ('018f0000-0000-7000-8000-00000000001' || n)::uuid
      from (values (1, 'pending', null), (2, 'running', '{"max_duration": 1e9}'), (3, 'sleeping', null), (4, 'completed', null),
                   (5, 'failed', null), (6, 'cancelled', null), (7, 'pending', '{"max_delay": "soon"}')) v (n, s, c);
    insert into absurd.r_${queue} (run_id, task_id, attempt, state, available_at, claimed_by, claim_expires_at)
    select t.last_attempt_run, t.task_id, 1, t.state, now() - interval '1 minute',
           case when t.state = 'running' then 'w' end, case when t.state = 'running' then now() + interval '1 hour' end
      from absurd.t_${queue} t;
    update absurd.r_${queue} set available_at = now() + interval '1 day' where state = 'sleeping';
    insert into absurd.c_${queue} (task_id, checkpoint_name, state, owner_run_id)
    select t.task_id, 'kept', '1', t.last_attempt_run from absurd.t_${queue} t where t.state = 'running'`);
}

/** The tasks that were in flight go on under the new functions. */
async function worksOn(db: TestDatabase): Promise<void> {
  expect((await db.spawn('q', 'job', {}, { idempotency_key: 'key' })).created).toBe(false);
  expect(await db.claim('q', { qty: 10 })).toHaveLength(2);
  const running = '018f0000-0000-7000-8000-000000000012';
  await db.query(`select absurd.complete_run('q', $1, '{"ok": true}')`, [running]);
  const { rows } = await db.query(`select * from absurd.get_task_result('q', '018f0000-0000-7000-8000-000000000002')`);
  expect(rows).toMatchObject([{ state: 'completed', result: { ok: true } }]);
}
