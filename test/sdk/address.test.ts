/** Where a client of the SDK connects, and what it says when it cannot. */
import pg from 'pg';
import { Absurd } from '../../src/sdk/index.js';
import { runCli } from '../support/cli.js';
import { afterEach, describe, expect, KeptLog, test, until, vi } from './support.js';

afterEach(() => vi.unstubAllEnvs());

describe('an address', () => {
  test('that cannot be read, or asks for what we cannot give, is refused when the client is made', () => {
    expect(() => new Absurd('postgresql://u:secret@h/x?sslmod=require')).toThrow(/"sslmod".*did you mean sslmode\?/);
    expect(() => new Absurd('postgresql://h/x?channel_binding=require')).toThrow(
      /channel_binding=require.*not supported/,
    );
    expect(() => new Absurd('mysql://u:secret@h/x')).toThrow(/looks like a connection URI/);
    expect(() => new Absurd('mysql://u:secret@h/x')).not.toThrow(/secret/);
  });

  test('gets its variables from the environment as it was when the client was made', async ({ db }) => {
    vi.stubEnv('ABSURD_DATABASE_URL', db.url);
    const absurd = new Absurd();
    vi.stubEnv('ABSURD_DATABASE_URL', 'postgresql://127.0.0.1:1/x');
    expect(await absurd.listQueues()).toEqual([]);
    await absurd.close();
  });

  test('with a variable that asks for a protection which we cannot give is refused', async ({ db }) => {
    vi.stubEnv('PGREQUIREAUTH', 'scram-sha-256');
    const absurd = new Absurd(db.url);
    await expect(absurd.listQueues()).rejects.toThrow(/require_auth=scram-sha-256 in the environment/);
    await absurd.close();
  });
});

describe('errors of connecting', () => {
  test('are those of the driver and the server', async ({ db }) => {
    const nobody = new Absurd('postgresql://127.0.0.1:1/x');
    await expect(nobody.listQueues()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await nobody.close();
    const url = new URL(db.url);
    url.pathname = '/absurd_no_such_database';
    const missing = new Absurd(url.href);
    await expect(missing.listQueues()).rejects.toMatchObject({ code: '3D000' });
    await missing.close();
  });

  test('say which limit of connections is reached, of a role or of the database', async ({ db }) => {
    const role = `absurd_full_${db.name.slice(-8)}`;
    const url = new URL(db.url);
    await db.query(`create role ${role} login password 'p' connection limit 0`);
    await db.query(`grant usage on schema absurd to ${role}`);
    await db.query(`grant select on absurd.queues to ${role}`);
    url.username = role;
    url.password = 'p';
    const said = async (words: string): Promise<void> => {
      const absurd = new Absurd(url.href);
      await expect(absurd.listQueues()).rejects.toMatchObject({
        code: '53300',
        message: expect.stringContaining(words) as string,
      });
      await absurd.close();
      const command = await runCli(['list-queues', '-d', url.href, '--json']);
      expect(command.code).toBe(5);
      expect(JSON.parse(command.stderr)).toMatchObject({
        code: 'too_many_connections',
        message: expect.stringContaining(words) as string,
        hint: expect.stringContaining('connection limit N') as string,
      });
    };
    try {
      await said(`the connection limit of the role "${role}" is reached`);
      await db.query(`alter role ${role} connection limit -1`);
      await db.query(`alter database "${db.name}" connection limit 0`);
      await said(`the connection limit of the database "${db.name}" is reached`);
    } finally {
      await db.query(`alter database "${db.name}" connection limit -1`);
      await db.query(`drop owned by ${role}; drop role ${role}`);
    }
  });
});

describe("the client's own pool", () => {
  const sessions = `select pid, application_name from pg_stat_activity
                     where datname = current_database() and application_name like 'absurd-sdk:%'`;

  test('names its sessions after the process, uses one again, and hands more out at once', async ({ db }) => {
    const absurd = new Absurd(db.url);
    for (let i = 0; i < 5; i++) await absurd.listQueues();
    const [first, ...more] = (await db.query<{ application_name: string }>(sessions)).rows;
    expect(more).toEqual([]);
    expect(first?.application_name.includes(`:${process.pid}:`)).toBe(true);
    await Promise.all(Array.from({ length: 30 }, () => absurd.con.query('select pg_sleep(0.01)')));
    expect((await db.query(sessions)).rows.length).toBeLessThanOrEqual(10);
    await absurd.close();
    await until(async () => (await db.query(sessions)).rows.length === 0, { what: 'the sessions to end' });
    await expect(absurd.listQueues()).rejects.toThrow(/after calling end/);
  });

  test('says that an idle connection was lost, and makes another', async ({ db }) => {
    const log = new KeptLog();
    const absurd = new Absurd({ db: db.url, log });
    await absurd.listQueues();
    await db.query(`select pg_terminate_backend(pid) from (${sessions}) s`);
    await until(() => log.lines.some((line) => line.startsWith('warn: lost an idle database connection: ')));
    expect(await absurd.listQueues()).toEqual([]);
    await absurd.close();
  });

  test('is given the types of the program, and results as the driver makes them', async ({ db }) => {
    const absurd = new Absurd(db.url);
    const result = await absurd.con.query('select $1::int8 as big, now() as at', ['1']);
    expect(result.rows[0]).toMatchObject({ big: '1', at: expect.any(Date) as Date });
    expect(result.rowCount).toBe(1);
    expect(result).toBeInstanceOf(pg.Result);
    await absurd.close();
  });
});
