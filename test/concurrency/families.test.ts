import { expect } from 'vitest';
import { createDatabase, test, type ClaimedRun, type Connection, type TestDatabase } from '../support/database.js';

/** The SQLSTATE that a statement ends with; `ok` without an error. */
const codeOf = (connection: Connection, sql: string, values: unknown[]): Promise<string> =>
  connection.query(sql, values).then(
    () => 'ok',
    (error: unknown) => String((error as { code?: string }).code),
  );

interface Family {
  parent: ClaimedRun;
  children: ClaimedRun[];
}

/** A claimed parent and claimed children of it. */
async function family(db: TestDatabase, size: number): Promise<Family> {
  await db.spawn('q', 'parent');
  const [parent] = await db.claim('q', { timeout: 600 });
  if (parent === undefined) throw new Error('the parent was not claimed');
  await db.query(
    `select count(*) from absurd.spawn_tasks('q', (
       select jsonb_agg(jsonb_build_object('task_name', 'child', 'options',
                jsonb_build_object('max_attempts', 1, 'parent', jsonb_build_object('task_id', $1::text))))
         from generate_series(1, $2)))`,
    [parent.task_id, size],
  );
  return { parent, children: await db.claim('q', { qty: size, timeout: 600 }) };
}

const awaitTasks = (connection: Connection, { parent, children }: Family, mode: string): Promise<string> =>
  codeOf(connection, `select * from absurd.await_tasks('q', $1, $2, 'join', $3, $4)`, [
    parent.task_id,
    parent.run_id,
    JSON.stringify(children.map(({ task_id }) => ({ task_id }))),
    mode,
  ]);

/** Lets each connection end every so-many-th run, all of them at once; returns the codes seen. */
async function endAll(connections: readonly Connection[], runs: readonly ClaimedRun[]): Promise<string[]> {
  const codes = await Promise.all(
    connections.map(async (connection, place) => {
      const seen: string[] = [];
      for (const { run_id: id } of runs.filter((_, index) => index % connections.length === place)) {
        seen.push(await codeOf(connection, `select absurd.complete_run('q', $1, '1')`, [id]));
      }
      return seen;
    }),
  );
  return codes.flat();
}

for (const kind of ['current', 'older'] as const) {
  const race = (name: string, body: (db: TestDatabase, connections: Connection[]) => Promise<void>): void =>
    test(`${name} (${kind})`, async () => {
      const { database: db, close } = await createDatabase(kind, true);
      try {
        await db.queue('q');
        await body(db, await Promise.all(Array.from({ length: 4 }, () => db.connect())));
      } finally {
        await close();
      }
    });

  race('a family is cancelled while its children complete: no deadlock, and nothing is half done', async (db, all) => {
    const [canceller, ...workers] = all;
    if (canceller === undefined) throw new Error('no connection');
    for (let round = 0; round < 15; round++) {
      const one = await family(db, 30);
      if (round % 2 === 0) expect(await awaitTasks(db, one, 'all')).toBe('ok');
      const [cancelled, ended] = await Promise.all([
        codeOf(canceller, `select absurd.cancel_task_tree('q', $1)`, [one.parent.task_id]),
        endAll(workers, one.children),
      ]);
      expect(cancelled).toBe('ok');
      expect(ended.filter((code) => code !== 'ok' && code !== 'AB001')).toEqual([]);
      const { rows } = await db.query<{ state: string; count: number }>(
        `select state, count(*)::int from absurd.t_q where parent_task_id = $1 group by state`,
        [one.parent.task_id],
      );
      const count = (state: string): number => rows.find((row) => row.state === state)?.count ?? 0;
      expect(count('completed') + count('cancelled')).toBe(30);
      expect(count('completed')).toBe(ended.filter((code) => code === 'ok').length);
    }
  });

  race('children of one parent are cancelled by two at once, as families and one by one', async (db, all) => {
    for (let round = 0; round < 10; round++) {
      const { parent, children } = await family(db, 12);
      const codes = await Promise.all(
        all.map((connection, place) =>
          place < 2
            ? codeOf(connection, `select absurd.cancel_task_tree('q', $1)`, [parent.task_id])
            : codeOf(connection, `select count(absurd.cancel_task('q', id)) from unnest($1::uuid[]) as id`, [
                children.map(({ task_id }) => task_id),
              ]),
        ),
      );
      expect(codes).toEqual(['ok', 'ok', 'ok', 'ok']);
      const { rows } = await db.query(`select from absurd.t_q where state <> 'cancelled'`);
      expect(rows).toEqual([]);
    }
  });

  for (const mode of ['all', 'any']) {
    race(`a parent that waits for ${mode} while its children end on three connections wakes up`, async (db, all) => {
      const [waiter, ...workers] = all;
      if (waiter === undefined) throw new Error('no connection');
      for (let round = 0; round < 15; round++) {
        const one = await family(db, 24);
        const [awaited, ended] = await Promise.all([awaitTasks(waiter, one, mode), endAll(workers, one.children)]);
        expect([awaited, ...ended].filter((code) => code !== 'ok')).toEqual([]);
        const { rows } = await db.query<{ state: string; saved: boolean }>(
          `select r.state, exists (select from absurd.c_q c where c.task_id = r.task_id) as saved
             from absurd.r_q r where r.run_id = $1`,
          [one.parent.run_id],
        );
        // Either the call itself found the wait over, or the end of a child did.
        expect(rows).toMatchObject([{ state: expect.stringMatching(/^(pending|running)$/), saved: true }]);
        await db.query(`select absurd.cancel_task('q', $1)`, [one.parent.task_id]);
      }
      expect((await db.query('select from absurd.task_waits')).rows).toEqual([]);
      expect((await db.query('select from absurd.awaited_tasks')).rows).toEqual([]);
    });
  }

  race('two tasks that begin to wait for each other at once: one of them is refused', async (db, all) => {
    const [a, b] = all;
    if (a === undefined || b === undefined) throw new Error('no connection');
    for (let round = 0; round < 10; round++) {
      await db.spawn('q', 'one');
      await db.spawn('q', 'other');
      const [one, other] = await db.claim('q', { qty: 2, timeout: 600 });
      if (one === undefined || other === undefined) throw new Error('the tasks were not claimed');
      const codes = await Promise.all([
        awaitTasks(a, { parent: one, children: [other] }, 'all'),
        awaitTasks(b, { parent: other, children: [one] }, 'all'),
      ]);
      // The server may undo one of them for the other's sake; tried again, it is refused.
      expect(codes.filter((code) => code === 'ok')).toHaveLength(1);
      expect(codes.filter((code) => code === '55000' || code === '40P01')).toHaveLength(1);
      const loser = codes[0] === 'ok' ? { parent: other, children: [one] } : { parent: one, children: [other] };
      expect(await awaitTasks(a, loser, 'all')).toBe('55000');
      for (const { task_id } of [one, other]) await db.query(`select absurd.cancel_task('q', $1)`, [task_id]);
    }
  });
}
