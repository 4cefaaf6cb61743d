import { expect, test } from '../support/database.js';

test('a database is empty of queues, and another test sees nothing of what this one did', async ({ emptyDatabase }) => {
  const { rows } = await emptyDatabase.query(`select to_regnamespace('absurd') as schema, current_database() as name`);
  expect(rows).toEqual([{ schema: null, name: emptyDatabase.name }]);
});

test('the server is PostgreSQL 18, takes passwords only and listens on the loopback interface alone', async ({
  emptyDatabase,
}) => {
  const { rows } = await emptyDatabase.query(
    `select current_setting('server_version_num')::int / 10000 as major, current_setting('listen_addresses') as addresses,
            current_setting('unix_socket_directories') as sockets`,
  );
  expect(rows[0]?.['major']).toBeGreaterThanOrEqual(14);
  if (process.env['ABSURD_TEST_DATABASE_URL']) return;
  expect(rows).toEqual([{ major: 18, addresses: '127.0.0.1', sockets: '' }]);
  const { rows: methods } = await emptyDatabase.query('select distinct auth_method from pg_hba_file_rules');
  expect(methods).toEqual([{ auth_method: 'scram-sha-256' }]);
});

test('an older major is there when asked for', async ({ olderEmpty }) => {
  const { rows } = await olderEmpty.query(`select current_setting('server_version_num')::int / 10000 as major`);
  expect([14, 15, 16, 17]).toContain(rows[0]?.['major']);
});

test('a stopped clock reaches every connection: open ones, the pool, and those that come later', async ({
  emptyDatabase: db,
}) => {
  const second = await db.connect();
  const pooled = await db.pool.connect();
  await db.freeze('2030-01-02T03:04:05Z');
  const read = `select current_setting('absurd.fake_now', true) as at`;
  const expected = [{ at: '2030-01-02T03:04:05Z' }];
  expect((await db.query(read)).rows).toEqual(expected);
  expect((await second.query(read)).rows).toEqual(expected);
  expect((await pooled.query(read)).rows).toEqual(expected);
  pooled.release();
  const third = await db.connect();
  expect((await third.query(read)).rows).toEqual(expected);
  await db.unfreeze();
  expect((await third.query(read)).rows).toEqual([{ at: '' }]);
});
