import { run } from '../support/command.js';
import { expect, test } from '../support/database.js';

test('installs, says so, and has nothing to do the second time', async ({ emptyDatabase }) => {
  const first = await run(['init', '--json'], emptyDatabase);
  const second = await run(['init'], emptyDatabase);

  expect(first.json()).toMatchObject({ action: 'installed', previous_version: null, version: '0.5.0', revision: 2 });
  expect(second).toMatchObject({ code: 0, stdout: '' });
  expect(second.stderr).toContain('nothing to do');
  expect((await emptyDatabase.query('select * from absurd.list_queues()')).rows).toEqual([]);
});

test('runs on an older server', async ({ olderEmpty }) => {
  expect(await run(['init'], olderEmpty)).toMatchObject({ code: 0 });
});

test('a version that is not shipped is a usage error, before anything is connected to', async () => {
  expect(await run(['init', '--ref', '0.4.0'], { url: 'postgresql://127.0.0.1:1/x' })).toMatchObject({ code: 2 });
});

test('the shipped version may be named', async ({ emptyDatabase }) => {
  expect(await run(['init', '--ref', 'v0.5.0'], emptyDatabase)).toMatchObject({ code: 0 });
});

test('a database that does not exist is named', async ({ emptyDatabase }) => {
  const missing = await run(['init', '--json'], { url: emptyDatabase.url.replace(/\/\w+$/, '/no_such_database') });

  expect(missing.code).toBe(5);
  const { hostname, port, username } = new URL(emptyDatabase.url);
  expect(JSON.parse(missing.stderr)).toMatchObject({
    code: 'database_missing',
    hint: expect.stringMatching(new RegExp(` createdb -h ${hostname} -p ${port} -U ${username} no_such_database$`)),
  });
});

test('--wait goes on until the time is over', async () => {
  const begun = Date.now();

  const down = await run(['init', '--wait', '1'], { url: 'postgresql://127.0.0.1:1/x' });

  expect(down.code).toBe(5);
  expect(down.stderr).toContain('Waiting up to 1 s');
  expect(Date.now() - begun).toBeGreaterThan(500);
});

test('a role that may not create a schema hears what to grant', async ({ emptyDatabase }) => {
  const role = `${emptyDatabase.name}_role`;
  await emptyDatabase.query(`create role "${role}" login password 'pw'`);
  await emptyDatabase.query(`revoke create on database "${emptyDatabase.name}" from public`);
  const url = new URL(emptyDatabase.url);
  url.username = role;
  url.password = 'pw';
  try {
    const denied = await run(['init', '--json'], { url: url.href });

    expect(denied.code).toBe(1);
    const error = JSON.parse(denied.stderr) as { code: string; hint: string };
    expect(error.code).toBe('not_permitted');
    expect(error.hint).toContain('grant create on database');
  } finally {
    await emptyDatabase.query(`drop role "${role}"`);
  }
});

test('schema-version: ours, none, and one without the function', async ({ db, emptyDatabase }) => {
  expect((await run(['schema-version'], db)).stdout).toBe('0.5.0\n');
  expect((await run(['schema-version', '--json'], db)).json()).toEqual({ version: '0.5.0', revision: 2 });
  expect(await run(['schema-version'], emptyDatabase)).toMatchObject({ code: 0, stdout: 'unknown\n' });
  await emptyDatabase.query('create schema absurd; create table absurd.queues (queue_name text primary key)');
  expect((await run(['schema-version'], emptyDatabase)).stdout).toBe('unknown\n');
});

test('without the schema a command says what to type', async ({ emptyDatabase }) => {
  for (const argv of [['list-queues'], ['create-queue', 'q'], ['drop-queue', 'q']]) {
    const lost = await run(argv, emptyDatabase);
    expect(lost.code).toBe(5);
    expect(lost.stderr).toContain('absurdctl init');
  }
});
