import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';
import { kinds } from '../../src/lib/grants/kinds.js';
import { quoteIdent } from '../../src/sql/identifiers.js';
import { hostileNames } from './names.js';
import { errorOf, withRole } from './roles.js';

interface Statement {
  statement: string;
  why: string;
}

const rights = async (db: TestDatabase, role: string): Promise<string[]> => {
  const { rows } = await db.query<{ line: string }>(
    `select distinct format('%s %s', a.privilege_type, x.what) as line
       from (select c.relname::text as what, c.relacl as acl from pg_class c where c.relnamespace = 'absurd'::regnamespace
             union all select 'schema', n.nspacl from pg_namespace n where n.nspname = 'absurd'
             union all select p.proname, p.proacl from pg_proc p where p.pronamespace = 'absurd'::regnamespace
             union all select 'later ' || d.defaclobjtype::text, d.defaclacl from pg_default_acl d) x,
            aclexplode(x.acl) a
      where a.grantee = $1::regrole order by 1`,
    [quoteIdent(role)],
  );
  return rows.map(({ line }) => line);
};

test(
  'a script for psql, or the statements with their reasons; nothing is changed',
  { timeout: 60_000 },
  async ({ db }) => {
    await db.queue('mail');
    await withRole(db, async ({ name }) => {
      const printed = await run(['grants', name, '--as', 'worker'], db);
      const asJson = (await run(['grants', name, '--as', 'worker', '--json'], db)).json<Statement[]>();

      expect(printed.stdout.replaceAll(name, 'ROLE')).toBe(
        [
          'grant usage on schema "absurd" to "ROLE";  -- use anything in the schema',
          'grant select on absurd."queues" to "ROLE";  -- find the queues and their policies',
          'grant select on absurd."schedules" to "ROLE";  -- read schedules',
          'grant insert, update, delete on absurd."task_waits" to "ROLE";  -- write new rows of, change and lock, delete from waits for tasks',
          'grant select, insert, update, delete on absurd."awaited_tasks" to "ROLE";  -- read, write new rows of, change and lock, delete from the tasks that they wait for',
          'grant select, insert, update, delete on absurd."workers" to "ROLE";  -- read, write new rows of, change and lock, delete from the registry of workers',
          'grant select, insert on absurd."operations" to "ROLE";  -- read, write new rows of the log of changes by operators',
          'grant update ("next_at", "last_at", "last_task_id", "last_error", "last_error_at") on absurd."schedules" to "ROLE";  -- a claim fires the schedules that are due, and changes nothing else of them',
          'grant update ("queue_name", "task_ids", "task_count") on absurd."operations" to "ROLE";  -- a command in several transactions adds its tasks to its row',
          'grant select, insert, update on absurd."t_mail" to "ROLE";  -- read, write new rows of, change and lock tasks',
          'grant select, insert, update on absurd."r_mail" to "ROLE";  -- read, write new rows of, change and lock runs',
          'grant select, insert, update on absurd."c_mail" to "ROLE";  -- read, write new rows of, change and lock checkpoints',
          'grant select, insert, update on absurd."e_mail" to "ROLE";  -- read, write new rows of, change and lock events',
          'grant select, insert, update, delete on absurd."w_mail" to "ROLE";  -- read, write new rows of, change and lock, delete from waits',
          '',
        ].join('\n'),
      );
      expect(printed.stderr).toBe(
        `Queues created later are not included: absurdctl grants ${name} --as worker again then, or with --new-queues now\n`,
      );
      expect(asJson.map(({ statement, why }) => `${statement};  -- ${why}\n`).join('')).toBe(printed.stdout);
      expect(await rights(db, name)).toEqual([]);
    });
  },
);

test(
  'names of every kind, printed and run: each kind has all that the kind before it has',
  { timeout: 120_000 },
  async ({ db }) => {
    for (const queue of hostileNames) await db.queue(queue);
    await db.queue('weekly', 'partitioned');
    const hostile = `it's an "Étienne" of ${db.name}; drop`;
    const asHostile = async (work: (name: string) => Promise<void>): Promise<void> =>
      withRole(db, ({ name }) => work(name), hostile.slice(0, 50));
    await asHostile(async (name) => {
      let before: string[] = [];
      for (const kind of kinds) {
        const script = await run(['grants', name, '--as', kind], db);
        await db.query(script.stdout);
        const after = await rights(db, name);
        expect(after).toEqual(expect.arrayContaining(before));
        expect(after.length).toBeGreaterThan(before.length);
        expect(await run(['grants', name, '--as', kind, '--apply'], db)).toMatchObject({ code: 0, stdout: '' });
        expect(await rights(db, name)).toEqual(after);
        before = after;
      }
      const one = await run(['grants', name, '--as', 'operator', '-q', 'weekly', '--revoke', '--apply'], db);
      expect(one.code).toBe(0);
      expect(await rights(db, name)).toEqual(before.filter((line) => !/ ._weekly/.test(line)));
      const revoked = await run(['grants', name, '--as', 'operator', '--revoke', '--apply'], db);
      expect(revoked.stderr).toMatch(/is no operator any more: \d+ statements\n$/);
      expect(await rights(db, name)).toEqual([]);
    });
  },
);

test('-q reaches those queues alone, and the answers say what could not be read', async ({ db }) => {
  for (const queue of ['mail', 'bills']) await db.queue(queue);
  const { task_id: id } = await db.spawn('bills', 'pay');
  const { task_id: open } = await db.spawn('mail', 'send');
  await withRole(db, async ({ name, url }) => {
    expect((await run(['grants', name, '--as', 'reader', '-q', 'mail', '--apply'], db)).code).toBe(0);
    const mine = await run(['list-tasks', '-q', 'mail', '-o', 'name'], { url });
    const others = await run(['list-tasks', '-q', 'bills', '--json'], { url });
    const hidden = await run(['why', id, '--json'], { url });
    const why = (await run(['why', open, '--json'], { url })).json<{ next: string[]; unread: unknown[] }>();
    const doctor = (await run(['doctor', '--json'], { url })).json<{ findings: { check: string; mend: string[] }[] }>();

    expect(mine.stdout).toBe(`${open}\n`);
    const command = `absurdctl grants ${name} --as reader --apply -U postgres`;
    for (const refused of [others, hidden]) {
      expect(refused.code).toBe(1);
      expect(errorOf(refused)).toMatchObject({ code: 'not_permitted', hint: command });
    }
    expect(why.unread).not.toEqual([]);
    expect(why.next.at(-1)).toBe(command);
    expect(doctor.findings.find(({ check }) => check === 'unread')?.mend).toEqual([command]);
  });
  const unknown = await run(['grants', 'postgres', '--as', 'reader', '-q', 'mial'], db);
  expect(unknown).toMatchObject({ code: 3, stdout: '' });
  expect(unknown.stderr).toContain('did you mean "mail"?');
});

test('--new-queues opens what is made later; so is a week that is made later, for whoever reads its table', async ({
  db,
}) => {
  await withRole(db, async ({ name, url }) => {
    await run(['grants', name, '--as', 'worker', '--new-queues', '--apply'], db);
    for (const [queue, mode] of [
      ['u', 'unpartitioned'],
      ['p', 'partitioned'],
    ] as const)
      await db.queue(queue, mode);
    for (const queue of ['u', 'p']) {
      expect((await run(['spawn-task', 'a', '-q', queue], { url })).code).toBe(0);
      expect((await run(['list-tasks', '-q', queue, '-o', 'name'], { url })).stdout).toHaveLength(37);
    }
    await run(['grants', name, '--as', 'worker', '--revoke', '--apply'], db);
    expect(await rights(db, name)).toEqual([]);

    await run(['grants', name, '--as', 'reader', '-q', 'p', '--apply'], db);
    await db.query(`select absurd.set_queue_policy('p', '{"partition_lookback": "60 days", "detach_mode": "empty"}')`);
    await db.query(`select absurd.ensure_partitions('p')`);
    const candidates = await run(['list-detach-candidates', '--json'], { url });
    expect(candidates).toMatchObject({ code: 0, stderr: '' });
    expect(candidates.json<unknown[]>().length).toBeGreaterThan(0);
  });
});

test('where PUBLIC may not execute the functions, executing them is granted too', async ({ db }) => {
  await db.queue('q');
  await db.query('revoke execute on all functions in schema absurd from public');
  await withRole(db, async ({ name, url }) => {
    await run(['grants', name, '--as', 'worker', '--apply', '--new-queues'], db);
    expect((await run(['spawn-task', 'a', '-q', 'q'], { url })).code).toBe(0);
    await run(['grants', name, '--as', 'worker', '--revoke', '--apply'], db);
    expect(await rights(db, name)).toEqual([]);
  });
});

test('a role that is not there, and a kind that is none', async ({ db }) => {
  await db.queue('q');
  await withRole(db, async ({ name }) => {
    const near = await run(['grants', `${name.slice(0, -1)}_`, '--as', 'reader', '--json'], db);
    expect(near.code).toBe(3);
    expect(errorOf(near)).toMatchObject({ code: 'role_not_found' });
    expect(errorOf(near).hint).toContain(`did you mean "${name}"?`);
  });
  const far = await run(['grants', 'nobody at all', '--as', 'reader'], db);
  expect(far.stderr).toBe(
    'Error: There is no role "nobody at all"\nHint: create it first (psql: create role "nobody at all" login)\n',
  );
  expect((await run(['grants', 'postgres', '--as', 'king'], db)).code).toBe(2);
  expect((await run(['grants', 'postgres'], db)).code).toBe(2);
  expect((await run(['grants', 'postgres', '--as', 'reader'], db)).stderr).toContain(
    'is a superuser and needs no grants',
  );
});

test('--apply by one who may not grant changes nothing, and says who may', async ({ db }) => {
  await db.queue('q');
  await withRole(db, (reader) =>
    withRole(db, async ({ name }) => {
      const none = await run(['grants', name, '--as', 'reader', '--apply', '--json'], { url: reader.url });
      await run(['grants', reader.name, '--as', 'reader', '--apply'], db);
      const warnedOnly = await run(['grants', name, '--as', 'reader', '--apply', '--json'], { url: reader.url });

      expect(none.code).toBe(1);
      expect(errorOf(none)).toMatchObject({
        code: 'not_permitted',
        hint: 'only the owner of the schema may: -U postgres',
      });
      expect(warnedOnly.code).toBe(1);
      expect(errorOf(warnedOnly)).toMatchObject({
        code: 'not_permitted',
        message: 'This role may not grant usage on schema absurd',
        hint: 'only a superuser or the owner may: -U postgres',
      });
      expect(await rights(db, name)).toEqual([]);
    }),
  );
});

test('--revoke by one who may not, or of what another role granted, changes nothing, and says who may', async ({
  db,
}) => {
  await db.queue('q');
  await withRole(db, (reader) =>
    withRole(db, async ({ name }) => {
      for (const role of [reader.name, name]) await run(['grants', role, '--as', 'reader', '--apply'], db);
      const before = await rights(db, name);
      const revoke = ['grants', name, '--as', 'reader', '--revoke', '--apply', '--json'];
      const warnedOnly = await run(revoke, { url: reader.url });
      expect(warnedOnly.code).toBe(1);
      expect(errorOf(warnedOnly)).toMatchObject({
        code: 'not_permitted',
        message: `This role may not revoke usage on schema absurd from "${name}": "postgres" granted it`,
        hint: 'connect as the role that granted it: -U postgres',
      });
      expect(await rights(db, name)).toEqual(before);

      await db.query(`grant select on absurd.t_q to ${quoteIdent(reader.name)} with grant option`);
      await db.query(
        `begin; set local role ${quoteIdent(reader.name)}; grant select on absurd.t_q to ${quoteIdent(name)}; commit`,
      );
      expect(errorOf(await run(revoke, db))).toMatchObject({ hint: expect.stringContaining(reader.name) as string });
      await db.query(`revoke all on absurd.t_q from ${quoteIdent(reader.name)} cascade`);
      expect((await run(revoke, db)).code).toBe(0);
      expect(await rights(db, name)).toEqual([]);
    }),
  );
});

test('a worker that finds no queue, or a queue without its functions, is sent to the owner', async ({ db }) => {
  await db.queue('q');
  const { task_id: id } = await db.spawn('q', 'a');
  const file = (await run(['export-task', id], db)).stdout;
  await db.query('drop function absurd."spawn:q"');
  await withRole(db, async ({ name, url }) => {
    await run(['grants', name, '--as', 'worker', '--apply'], db);
    const spawned = await run(['spawn-task', 'a', '-q', 'q', '--json'], { url });
    const imported = await run(['import-task', '-', '-q', 'new', '--json'], { url, stdin: file });
    for (const refused of [spawned, imported]) {
      expect(refused.code).toBe(1);
      expect(errorOf(refused)).toMatchObject({
        code: 'not_permitted',
        hint: expect.stringContaining('absurdctl create-queue -U postgres, or absurdctl init -U postgres') as string,
      });
    }
    expect((await run(['init'], db)).code).toBe(0);
    expect((await run(['spawn-task', 'a', '-q', 'q'], { url })).code).toBe(0);
  });
});
