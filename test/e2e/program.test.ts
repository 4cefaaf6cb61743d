import { createServer } from 'node:net';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';
import { bin, cleanEnv, runCli, startCli } from '../support/cli.js';
import { expect, test } from '../support/database.js';

const nowhere = { ABSURD_DATABASE_URL: 'postgresql://127.0.0.1:1/x' };

describe('help', () => {
  test.for([[], ['help'], ['-h'], ['--help']])('%j is the help, exit 0', async (argv) => {
    const help = await runCli(argv);

    expect(help).toMatchObject({ code: 0, stderr: '' });
    for (const name of ['init', 'create-queue', 'list-queues', 'drop-queue'])
      expect(help.stdout).toContain(`  ${name}`);
  });

  test.for([
    ['drop-queue', '--help'],
    ['help', 'drop-queue'],
  ])('%j tells of one command', async (argv) => {
    const help = await runCli(argv);

    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('absurdctl drop-queue NAME');
    expect(help.stdout).toMatch(/-y, --yes +do not ask/);
    expect(help.stdout).toMatch(/-h, --host HOST/);
  });

  test('a bad number of seconds is said in one line', async () => {
    const { code, stderr } = await runCli(['spawn-task', 'a', '--retry-base', '-1'], { env: nowhere });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'Error: --retry-base takes a number of seconds from 0 to 86400, not "-1"\n',
    });
  });

  test('--help needs no database and no arguments', async () => {
    expect(await runCli(['create-queue', '--help'], { env: nowhere })).toMatchObject({ code: 0 });
  });

  test('the version', async () => {
    expect((await runCli(['--version'])).stdout).toMatch(/^absurdctl \d+\.\d+\.\d+\n$/);
  });
});

describe('what was typed wrong is exit 2', () => {
  test.for([
    [['list-quues'], 'did you mean list-queues?'],
    [['list-queues', '--databse', 'x'], 'did you mean --database?'],
    [['list-queues', 'extra'], 'Unexpected argument'],
    [['create-queue'], 'Missing argument NAME'],
    [['emit-event', '-P', 'a=b'], 'Missing argument'],
    [['list-queues', '--port', 'x'], '--port takes a whole number from 1 to 65535, not "x"\n'],
    [['list-queues', '--port', ''], '--port is empty\n'],
    [['list-tasks', '--limit=-1'], '--limit takes a whole number from 1 to 10000, not "-1"\n'],
    [['list-tasks', '--limit', '1.5'], 'not "1.5"\n'],
    [['show-checkpoint'], 'Missing arguments ID ('],
    [['cron', '--enable', '--disable'], 'Use either --enable or --disable, not both\n'],
    [['migrate', '--dump-sql'], '--dump-sql requires --from\n'],
    [['grants', 'app'], '--as is missing\n'],
    [['show-checkpoint', 'a\nb'], 'Missing argument STEP ('],
    [['list-tasks', 'a\nb', 'c'], 'Unexpected arguments: a'],
    [['list-queues', '-o', 'yaml'], '--output takes one of table, json, ndjson, csv, name, not "yaml"\n'],
    [['list-queues', '-h'], '--host'],
    [['list-queues', '-d', 'postgresql://h:x:y/db'], 'cannot be read'],
    [['create-queue', 'q', '--storage-mode', 'odd'], 'partitioned'],
  ] as const)('%j', async ([argv, words]) => {
    const wrong = await runCli([...argv], { env: nowhere });

    expect(wrong).toMatchObject({ code: 2, stdout: '' });
    expect(wrong.stderr).toContain(words);
    expect(wrong.stderr).not.toContain('Note:');
    expect(wrong.stderr).toMatch(/^Error: [^\n]+\n(Hint: [^\n]+\n)?$/);
    expect(wrong.stderr).not.toMatch(/\n {4}at /);
  });

  test('with --json it is one object', async () => {
    const wrong = await runCli(['list-queues', '--json', '--bogus']);

    expect(wrong.code).toBe(2);
    expect(JSON.parse(wrong.stderr)).toMatchObject({ code: 'usage', message: 'There is no flag --bogus here' });
  });

  test('a missing argument is not read from a pipe', async () => {
    expect(await runCli(['create-queue'], { env: nowhere, stdin: 'name\n' })).toMatchObject({ code: 2 });
  });
});

describe('the database', () => {
  test('a server that is down is exit 5, in words', async () => {
    const down = await runCli(['list-queues'], { env: nowhere });
    const asJson = await runCli(['list-queues', '--json'], { env: nowhere });

    expect(down).toMatchObject({ code: 5, stdout: '' });
    expect(down.stderr).toContain('127.0.0.1:1');
    expect(JSON.parse(asJson.stderr)).toMatchObject({ code: 'unreachable' });
  });

  test('a server that accepts and says nothing is given up after PGCONNECT_TIMEOUT', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    try {
      const env = { ABSURD_DATABASE_URL: `postgresql://127.0.0.1:${port}/x`, PGCONNECT_TIMEOUT: '1' };
      const silence = await runCli(['list-queues'], { env });

      expect(silence.code).toBe(5);
      expect(silence.stderr).toContain('within 1 s');
    } finally {
      silent.close();
    }
  });

  test('the second of two hosts is taken when the first is down', async ({ db }) => {
    await db.queue('found');
    const url = new URL(db.url);
    const both = db.url.replace(url.host, `127.0.0.1:1,${url.host}`);

    expect(await runCli(['list-queues', '-d', both])).toMatchObject({ code: 0, stdout: 'found\n' });
  });

  test('connection flags may come before the command, and a plain name uses PG*', async ({ db }) => {
    await db.queue('found');
    const url = new URL(db.url);
    const env = { PGUSER: decodeURIComponent(url.username), PGPASSWORD: decodeURIComponent(url.password) };
    const found = await runCli(['-h', url.hostname, '-p', url.port, '-d', db.name, 'list-queues'], { env });

    expect(found).toMatchObject({ code: 0, stdout: 'found\n' });
  });

  test('-v shows the settings without the password', async ({ db }) => {
    const url = new URL(db.url);
    url.password ||= 'geheim';
    const shown = await runCli(['list-queues', '-v', '-d', url.href]);

    expect(shown.code).toBe(0);
    expect(shown.stderr).toContain(`database: ${db.name} (from --database)`);
    expect(shown.stderr).toContain('password: ********');
    expect(shown.stderr).not.toContain(url.password);
  });

  test('Ctrl-C cancels the statement on the server and is exit 130', async ({ db, second }) => {
    await db.queue('q');
    await second.query('begin');
    await second.query('lock table absurd.queues in access exclusive mode');
    const waiting = async (): Promise<number> =>
      (
        await db.query(
          `select 1 from pg_stat_activity where datname = $1 and wait_event_type = 'Lock' and application_name like 'absurdctl %'`,
          [db.name],
        )
      ).rows.length;
    const running = await startCli(['list-queues'], { env: { ABSURD_DATABASE_URL: db.url } });
    await expect.poll(waiting, { timeout: 60_000 }).toBe(1);

    running.kill('SIGINT');

    expect(await running.done).toMatchObject({ code: 130, stdout: '' });
    await expect.poll(waiting).toBe(0);
    await second.query('rollback');
  });
});

describe('pipes', () => {
  test('a reader that goes away ends the command quietly', async ({ db }) => {
    await db.query(`select absurd.create_queue('q' || n) from generate_series(1, 300) n`);
    const child = spawn(process.execPath, [bin, 'list-queues'], {
      env: cleanEnv({ ABSURD_DATABASE_URL: db.url }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));

    const code = await new Promise((resolve) => child.once('close', resolve));

    expect({ code, said }).toEqual({ code: 0, said: '' });
  });

  test('a Unix socket is a host that begins with a slash', async ({ db, skip }) => {
    const { rows } = await db.query<{ folders: string }>(
      `select current_setting('unix_socket_directories') as folders`,
    );
    const folder = rows[0]?.folders.split(',')[0]?.trim() ?? '';
    const { port, username, password } = new URL(db.url);
    skip(
      !existsSync(join(folder || '/nowhere', `.s.PGSQL.${port}`)),
      'this server has no socket that can be seen here',
    );
    await db.queue('found');
    const env = { PGHOST: folder, PGPORT: port, PGUSER: username, PGPASSWORD: decodeURIComponent(password) };

    expect(await runCli(['list-queues', '-d', db.name], { env })).toMatchObject({ code: 0, stdout: 'found\n' });
  });
});

test('init lets go of a lock that does not come, and tries again', async ({ emptyDatabase }) => {
  const other = await emptyDatabase.connect();
  await other.query('begin');
  await other.query('create schema absurd');
  const running = await startCli(['init'], { env: { ABSURD_DATABASE_URL: emptyDatabase.url }, timeoutMs: 60_000 });
  await running.waitFor(/Trying again/);

  await other.query('rollback');

  expect(await running.done).toMatchObject({ code: 0 });
});

describe('the code cache', () => {
  test('a broken or missing one is made again without a word', async () => {
    const folder = fileURLToPath(new URL('../../dist/cli/cache/', import.meta.url));
    await runCli(['--help']);
    const [name = ''] = readdirSync(folder).filter((file) =>
      file.endsWith(`${process.version}-${process.arch}-help.cache`),
    );
    writeFileSync(join(folder, name), 'not a cache');

    expect(await runCli(['--help'])).toMatchObject({ code: 0, stderr: '' });

    expect(statSync(join(folder, name)).size).toBeGreaterThan(10_000);
    expect(await runCli(['--help'])).toMatchObject({ code: 0, stderr: '' });
  });

  test('none is made of a run that ended early, one of a run that did not', () => {
    const root = fileURLToPath(new URL('../../', import.meta.url));
    const copy = mkdtempSync(join(tmpdir(), 'absurdctl-'));
    for (const part of ['bin', 'dist/cli', 'package.json']) {
      cpSync(join(root, part), join(copy, part), { recursive: true, filter: (from) => !from.endsWith('/cache') });
    }
    const run = (...argv: string[]): number | null =>
      spawnSync(process.execPath, [join(copy, 'bin/absurdctl'), ...argv], { env: { ...cleanEnv(), HOME: copy } })
        .status;
    const made = (): string[] => {
      const folder = join(copy, 'dist/cli/cache');
      return existsSync(folder) ? readdirSync(folder).map((file) => file.replace(/.*-(?=\w+\.cache$)/, '')) : [];
    };

    expect(run('list-queues', '-h', '127.0.0.1', '-p', '1')).toBe(5);
    expect(run('list-queues', '--no-such-flag')).toBe(2);
    expect(made()).toEqual([]);
    expect(run('--help')).toBe(0);
    expect(made()).toEqual(['help.cache']);

    rmSync(copy, { recursive: true });
  });
});
