import { describe, expect, test, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';
import { askId, findings } from './support.js';

/** Runs what is printed after an arrow, as a shell would split it; names here need no quotes. */
const type = (line: string, db: TestDatabase): ReturnType<typeof run> => run(line.split(' ').slice(1), db);

describe('what is suggested runs as it is printed, and mends', () => {
  test.for(['unpartitioned', 'partitioned'] as const)(
    '%s: a queue that lost a table, then its row',
    async (mode, { db }) => {
      await db.queue('q', mode);
      const modes = async (): Promise<unknown> => (await db.query(`select storage_mode from absurd.queues`)).rows;
      await db.query('drop table absurd.e_q');
      const [lost] = await findings(db, 'tables-missing');
      expect(await type(lost?.mend[0] ?? '', db)).toMatchObject({ code: 0 });
      expect(await findings(db, 'tables-missing')).toEqual([]);

      await db.query('delete from absurd.queues');
      const [unregistered] = await findings(db, 'queue-unregistered');
      expect(await type(unregistered?.mend[0] ?? '', db)).toMatchObject({ code: 0 });
      expect(await findings(db, 'queue-unregistered')).toEqual([]);
      expect(await modes()).toEqual([{ storage_mode: mode }]);
    },
  );

  test('it goes to the database that was named on the command line', async ({ db }) => {
    const { task_id: id } = await db.spawn(await db.queue(), 'a');
    const { hostname, port, username, password, pathname } = new URL(db.url);
    const env = { PGPASSWORD: decodeURIComponent(password) };
    const typed = ['-h', hostname, '-p', port, '-U', username, '-d', pathname.slice(1)];
    const arrows = async (...words: string[]): Promise<string[]> =>
      [...(await run(words, { env })).stdout.matchAll(/→ (absurdctl .*)/g)].map(([, line]) => line ?? '');
    const next = [...(await arrows('why', id, ...typed)), ...(await arrows('why', '--queue', 'q', ...typed))];
    expect(next.length).toBeGreaterThan(1);
    for (const line of next) expect(await run(line.split(' ').slice(1), { env }), line).toMatchObject({ code: 0 });

    const said = await run(['spawn-task', 'a', '-q', 'q', ...typed], { env });
    const dump = /absurdctl (dump-task .*) shows it/.exec(said.stderr)?.[1] ?? '';
    expect(await run(dump.split(' '), { env })).toMatchObject({ code: 0 });
    const refused = await run(['retry-task', id, ...typed], { env });
    expect(refused.code).toBe(4);
    const why = /absurdctl (why .*) says/.exec(refused.stderr)?.[1] ?? '';
    expect(await run(why.split(' '), { env })).toMatchObject({ code: 0 });
    const json = await run(['retry-task', id, ...typed, '--json'], { env });
    expect(JSON.parse(json.stderr)).toHaveProperty('hint', expect.stringContaining(`absurdctl why ${id} says`));

    const [masked] = await arrows('why', id, '-d', db.url);
    expect(masked).toMatch(/ --database 'postgresql:\/\/\w+:\*\*\*@/);
  });

  test('partitions', async ({ db }) => {
    await db.queue('q', 'partitioned');
    await db.query(`do $$ declare part regclass; begin
      for part in select inhrelid::regclass from pg_inherits where inhparent = 'absurd.r_q'::regclass
                     and inhrelid::regclass::text not like '%_d' loop
        execute 'drop table ' || part;
      end loop; end $$`);
    const [missing] = await findings(db, 'partitions-missing');
    expect(await type(missing?.mend[0] ?? '', db)).toMatchObject({ code: 0 });
    expect(await findings(db, 'partitions-missing')).toEqual([]);
  });

  test('a contradiction, and a setting that cannot be read', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a', { digits: 1 });
    await db.query(`update absurd.r_q set state = 'completed'`);
    const [found] = await findings(db, 'contradictions');
    expect(found?.mend).toEqual([`absurdctl why ${task.task_id}`]);
    const why = await askId(db, task.task_id);
    expect(why.code).toBe('contradiction');
    for (const next of why.next) expect(await type(next, db), next).toMatchObject({ code: 0 });
    const { rows } = await db.query(`select params, state from absurd.t_q order by task_id`);
    expect(rows).toEqual([
      { params: { digits: 1 }, state: 'cancelled' },
      { params: { digits: 1 }, state: 'pending' },
    ]);

    await db.query(`update absurd.t_q set cancellation = '{"max_delay": "soon"}' where state = 'pending'`);
    const [odd] = await findings(db, 'unreadable-settings');
    for (const next of odd?.mend.slice(0, 2) ?? []) expect(await type(next, db), next).toMatchObject({ code: 0 });
    expect(await findings(db, 'unreadable-settings')).toEqual([]);
  });

  test('failed permanently by its retry strategy: tried again, and started again without it', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a', { to: 'x' });
    await db.query(`update absurd.t_q set retry_strategy = 'null'`);
    const [claimed] = await db.claim(queue);
    await db.query('select absurd.fail_run($1, $2, $3)', [queue, claimed?.run_id, '{}']);
    const { code, sentence, next } = await askId(db, task.task_id);
    expect(code).toBe('failed_retry_strategy');
    expect(sentence).toBe(
      'it failed permanently: its stored retry_strategy cannot be used: retry_strategy must be a JSON object',
    );
    const [finding] = await findings(db, 'unusable-strategies');
    expect(await type(finding?.mend[0] ?? '', db)).toMatchObject({ code: 0 });
    for (const line of next) expect(await type(line, db), line).toMatchObject({ code: 0 });
    const { rows } = await db.query('select attempts, retry_strategy, state from absurd.t_q order by task_id');
    expect(rows).toEqual([
      { attempts: 2, retry_strategy: null, state: 'pending' },
      { attempts: 1, retry_strategy: null, state: 'pending' },
    ]);
  });

  test('cancelled: started again with the inputs that it had', async ({ db }) => {
    const queue = await db.queue();
    const task = await db.spawn(queue, 'a', { to: 'x' });
    await db.query('select absurd.cancel_task($1, $2)', [queue, task.task_id]);
    const { next } = await askId(db, task.task_id);
    for (const line of next) expect(await type(line, db), line).toMatchObject({ code: 0 });
    const { rows } = await db.query(`select params, state from absurd.t_q order by task_id desc limit 1`);
    expect(rows).toEqual([{ params: { to: 'x' }, state: 'pending' }]);
  });

  test('a stopped clock: taken back where it was set', async ({ db }) => {
    const { rows } = await db.query<{ name: string }>('select current_database() as name');
    const name = rows[0]?.name ?? '';
    const where = [`database "${name}"`, 'role "stopped clock" in database "' + name + '"'];
    await db.query('create role "stopped clock"');
    try {
      for (const one of where) {
        await db.query(`alter ${one} set absurd.fake_now = '2026-03-02T10:00:00Z'`);
        const [found] = await findings(db, 'clock-stopped');
        expect(found?.mend).toEqual([`psql: alter ${one} reset absurd.fake_now`]);
        await db.query((found?.mend[0] ?? '').slice('psql: '.length));
        expect(await findings(db, 'clock-stopped')).toEqual([]);
      }
    } finally {
      await db.query('drop role "stopped clock"');
    }
  });
});

test('a table is told of the queue that it belongs to, and not of one whose name it starts with', async ({ db }) => {
  await db.queue('mail');
  await db.queue('mail_high');
  await db.query('alter table absurd.e_mail_high set (autovacuum_enabled = false)');
  await db.query(`insert into absurd.e_mail_high select i::text, '{}' from generate_series(1, 2000) i`);
  await expect
    .poll(() => findings(db, 'autovacuum-behind', { 'min-dead': 1000 }), { timeout: 60_000 })
    .toMatchObject([
      { queue: null, seen: expect.stringContaining('for the whole server') as string },
      { queue: 'mail_high' },
    ]);
});
