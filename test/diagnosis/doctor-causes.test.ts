/** One finding for one cause; what the server hides; many queues. */
import type { Queryable } from '../../src/sql/queryable.js';
import { examine } from '../../src/lib/doctor/index.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';
import { withRole } from '../commands/roles.js';
import { aged, findings, queryable, start } from './support.js';

interface Found {
  check: string;
  severity: string;
  queue: string | null;
  seen: string;
  mend: string[];
  leads_to: Found[];
}

async function doctor(db: { url: string }, ...words: string[]): Promise<Found[]> {
  const answer = await run(['doctor', '--json', '--fail-on', 'never', ...words], db);
  return answer.json<{ findings: Found[] }>().findings;
}

const ready = async (db: TestDatabase): Promise<void> => {
  await db.spawn(await db.queue(), 'a');
  await db.query(`update absurd.r_q set available_at = now() - interval '1 hour'`);
};

describe('one cause is one finding', () => {
  test('a session that locks a table, idles, and keeps work and vacuum waiting', async ({ db, second }) => {
    await ready(db);
    await db.query(`insert into absurd.e_q select i::text, '{}' from generate_series(1, 2000) i`);
    await db.query('delete from absurd.e_q');
    await db.query('select pg_stat_force_next_flush()');
    const pid = await second.pid();
    await second.query(
      'begin isolation level repeatable read; select 1 from absurd.e_q; lock table absurd.r_q in share mode',
    );
    await aged(db, pid);

    const found = await doctor(
      db,
      '--idle-age',
      '1',
      '--transaction-age',
      '1',
      '--min-dead',
      '1000',
      '--skip',
      'autovacuum-behind',
    );
    const text = await run(['doctor', '--idle-age', '1', '--min-dead', '1000', '--skip', 'autovacuum-behind'], db);

    expect(found.map(({ check, severity }) => `${severity} ${check}`)).toEqual(['critical blocked']);
    expect(found[0]?.leads_to.map(({ check }) => check).sort()).toEqual([
      'dead-rows',
      'idle-in-transaction',
      'old-transactions',
      'unclaimed-work',
    ]);
    const vacuum = found[0]?.leads_to.find(({ check }) => check === 'dead-rows')?.mend ?? [];
    expect(vacuum[0]).toBe(`first end pid ${pid}, whose snapshot is open: psql: select pg_terminate_backend(${pid})`);
    expect(vacuum[1]).toBe('psql: vacuum (analyze) absurd."e_q"');
    expect(text.stdout).toMatch(
      /^CRITICAL {2}blocked {2}q\n[^]*\n {2}It leads to:\n[^]*\n {4}unclaimed-work {2}q: 1 run ready/,
    );
    expect(text.stderr).toMatch(/^1 critical, 0 warning, 0 info in/);
  });

  test('no worker: the backlog and the expired leases are consequences; the worst comes last', async ({ db }) => {
    await ready(db);
    await db.query(`select absurd.spawn_task('q', 'a', '{}') from generate_series(1, 20)`);
    await db.queue('other');
    await db.spawn('other', 'b');
    await db.claim('other', { timeout: 0 });

    const found = await doctor(db, '--max-ready', '10');
    const { stdout } = await run(['doctor', '--max-ready', '10'], db);

    expect(found.map(({ check }) => check)).toEqual(['unclaimed-work', 'runs-without-lease']);
    expect(found[0]?.leads_to.map(({ check }) => check)).toEqual(['backlog']);
    expect(stdout.indexOf('runs-without-lease')).toBeLessThan(stdout.indexOf('unclaimed-work'));
    const shown = stdout.trimEnd().split('\n').slice(-20).join('\n');
    expect(shown).toContain('CRITICAL  unclaimed-work');
  });

  test('errors that differ in addresses, ids and numbers are one', async ({ db }) => {
    await db.queue();
    for (let i = 0; i < 8; i += 1) await db.spawn('q', 'a', {}, { max_attempts: 1 });
    for (const [i, { run_id: id }] of (await db.claim('q', { qty: 8 })).entries())
      await db.query(`select absurd.fail_run('q', $1, jsonb_build_object('name', 'Error', 'message', $2::text))`, [
        id,
        `connect ECONNREFUSED 10.0.0.${i}:54${i} for 019a32d3-8425-7ae2-a5af-2f17a670766${i}`,
      ]);

    const found = await findings(db, 'top-errors');

    expect(found).toHaveLength(1);
    expect(found[0]?.seen).toMatch(/^8 runs .* and 7 errors that differ only in ids or numbers/);
  });

  test('a stopped clock is all that is said of time', async ({ db }) => {
    await ready(db);
    await db.freeze(start);
    await db.advance('10 hours');

    const { result } = await examine(queryable(db), { timeoutMs: 5000 });

    expect(result.findings.map(({ check, severity }) => `${severity} ${check}`)).toEqual(['critical clock-stopped']);
    expect(result.unreliable).toContain('unclaimed-work');
  });

  test('our own indexes, and not those of another installer', async ({ db }) => {
    await db.queue();
    await db.query('drop index absurd.r_q_rdy, absurd.r_q_end, absurd.t_q_due, absurd.t_q_can');

    const [missing] = await findings(db, 'indexes-missing');

    for (const name of ['r_q_rdy', 'r_q_end', 't_q_due', 't_q_can']) expect(missing?.seen).toContain(`"${name}"`);
  });
});

describe('who holds what', () => {
  test('a role that sees no sessions is told so first, and of the lock all the same', async ({ db, second }) => {
    await ready(db);
    const pid = await second.pid();
    await withRole(db, async ({ name, url }) => {
      await run(['grants', name, '--as', 'reader', '--apply'], db);
      await second.query('begin; lock table absurd.r_q in access exclusive mode');

      const blind = await run(['doctor'], { url });
      const [first] = await doctor({ url });
      await db.query(/psql: (grant .*)/.exec(blind.stdout)?.[1] ?? '');
      const seeing = await run(['doctor'], { url });
      await second.query('rollback; begin; select 1 from absurd.r_q for update');
      await db.query(`revoke pg_read_all_stats from "${name}"`);
      const row = await doctor({ url }, '--only', 'blocked');

      expect(blind.code).toBe(1);
      expect(blind.stdout).toMatch(/^This role cannot see the sessions of other roles/);
      expect(blind.stdout).toContain(`absurdctl grants ${name} --as operator --apply -U postgres`);
      expect(first).toMatchObject({ check: 'blocked', queue: 'q', leads_to: [{ check: 'unread' }] });
      expect(first?.seen).toMatch(
        new RegExp(`^session ${pid} .*AccessExclusiveLock on table "r_q" for at least 1 second`),
      );
      expect(seeing.stdout).not.toContain('are hidden');
      expect(seeing.stdout).toContain('last query: "begin; lock table');
      expect(row[0]?.seen).toMatch(new RegExp(`^session ${pid} .*a lock on rows for at least 1 second`));
    });
  });

  test('the limit of a role, and who holds its connections', async ({ db }) => {
    await withRole(db, async ({ name, url }) => {
      await db.query(`alter role "${name}" connection limit 1`);
      await run(['grants', name, '--as', 'reader', '--apply'], db);
      const { default: pg } = await import('pg');
      const client = new pg.Client({ connectionString: url, application_name: 'absurdctl work:1' });
      await client.connect();
      try {
        const [found] = await findings(db, 'connections');
        expect(found).toMatchObject({ severity: 'critical' });
        expect(found?.seen).toBe(
          `1 of 1 connections that role "${name}" may have are in use, 100 %: 1 by "absurdctl work:1" of "${name}" (1 idle)`,
        );
        await db.query(String(found?.mend[1]).replace('psql: ', ''));
        expect(await findings(db, 'connections')).toEqual([]);
      } finally {
        await client.end();
      }
    });
  });
});

describe('many queues', () => {
  test('few locks at a time, and what could not be read is named', { timeout: 120_000 }, async ({ db, second }) => {
    await db.query(`select absurd.create_queue('q' || i) from generate_series(1, 60) i`);
    await db.spawn('q7', 'a');
    await db.query(`update absurd.r_q7 set available_at = now() - interval '1 hour'`);
    await db.query(`alter table absurd.r_q9 rename to r_gone`);
    const pid = await db.pid();
    let most = 0;
    const counting: Queryable = {
      query: async <T extends object>(sql: string, values?: unknown[]) => {
        const answer = await db.client.query<T>(sql, values);
        const { rows } = await second.query<{ n: number }>('select count(*)::int as n from pg_locks where pid = $1', [
          pid,
        ]);
        most = Math.max(most, rows[0]?.n ?? 0);
        return answer;
      },
    };

    const { result } = await examine(counting, { timeoutMs: 5000 });

    expect(most).toBeGreaterThan(20);
    expect(most).toBeLessThan(700);
    expect(result.findings.map(({ check, queue }) => `${check} ${queue}`)).toEqual([
      'tables-missing q9',
      'unclaimed-work q7',
    ]);
    expect(result.unread).toEqual([]);
  });

  test('one queue that cannot be read, found among many', async ({ db }) => {
    await db.query(`select absurd.create_queue('q' || i) from generate_series(1, 30) i`);
    await withRole(db, async ({ name, url }) => {
      await run(['grants', name, '--as', 'reader', '--apply'], db);
      await db.query(`revoke select on absurd.t_q8, absurd.r_q8 from "${name}"`);
      const found = await doctor({ url });
      expect(found.map(({ check }) => check)).toEqual(['unread']);
      expect(found[0]?.seen).toMatch(/^not read: table r_q8, table t_q8|^not read: table t_q8, table r_q8/);
      expect(found[0]?.mend).toEqual([`absurdctl grants ${name} --as reader --apply -U postgres`]);
    });
  });
});
