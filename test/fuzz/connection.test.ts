/** Addresses and files of settings in any shape: settings or an error, never a crash or a wait. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { readPassfile } from '../../src/connection/files.js';
import { describeSettings, resolveSettings } from '../../src/lib/connection/resolve.js';
import type { Settings } from '../../src/connection/settings.js';
import { CliError } from '../../src/lib/cli/errors.js';
import { run } from '../support/command.js';
import { afterAll, beforeAll, expect, test } from '../support/database.js';
import { sane, settings, timeout, word } from './support.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'absurd-fuzz-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const resolve = (database: string | undefined, env: Record<string, string> = {}): Promise<Settings> =>
  resolveSettings({ database }, { env: { HOME: folder, ...env }, cwd: folder });

/** Settings, or undefined where it is a usage error; anything else fails. */
async function settled(database: string | undefined, env?: Record<string, string>): Promise<Settings | undefined> {
  try {
    const found = await resolve(database, env);
    expect(describeSettings(found)).toContain('database: ');
    return found;
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    expect(error.exitCode).toBe(2);
    return undefined;
  }
}

const piece = fc.oneof(
  fc.constantFrom(
    'postgresql://',
    'postgres://',
    ':',
    '@',
    '/',
    '?',
    '&',
    '=',
    ',',
    '[',
    ']',
    '%',
    '%40',
    '%00',
    '%zz',
    '::1',
  ),
  fc.constantFrom(
    'host=',
    'dbname=',
    'port=',
    'sslmode=',
    'password=',
    'service=',
    'options=',
    "'",
    '\\',
    '127.0.0.1',
    '5432',
    '1',
  ),
  word(8),
);
const address = fc.array(piece, { minLength: 1, maxLength: 12 }).map((parts) => parts.join(''));

test('any address gives settings or a usage error', { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(address, async (text) => {
      fc.pre(!text.startsWith('embedded:'));
      await settled(text);
      await settled(`postgresql://${text}`);
      await settled(undefined, { PGDATABASE: text });
    }),
    settings(1500),
  );
});

test('what a URI or a keyword string says comes out as it went in', { timeout }, async () => {
  const part = word(20).filter((text) => text !== '');
  await fc.assert(
    fc.asyncProperty(part, part, part, fc.integer({ min: 1, max: 65_535 }), async (user, password, dbname, port) => {
      const [u, p, d] = [user, password, dbname].map(encodeURIComponent);
      const expected = { user, password, database: dbname, hosts: [{ host: 'h', port }] };
      expect(await resolve(`postgresql://${u}:${p}@h:${port}/${d}`)).toMatchObject(expected);
      expect(await resolve(`postgresql://h:${port}/?user=${u}&password=${p}&dbname=${d}`)).toMatchObject(expected);
      const quote = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`;
      const words = `host=h port=${port} user=${quote(user)} password = ${quote(password)} dbname=${quote(dbname)}`;
      expect(await resolve(words)).toMatchObject(expected);
    }),
    settings(500),
  );
});

test('the environment in any shape', { timeout }, async () => {
  const names = [
    'PGHOST',
    'PGPORT',
    'PGUSER',
    'PGSSLMODE',
    'PGCONNECT_TIMEOUT',
    'PGTARGETSESSIONATTRS',
    'PGSSLNEGOTIATION',
  ];
  const env = fc.dictionary(
    fc.constantFrom(...names, 'PGOPTIONS', 'PGAPPNAME', 'PGHOSTADDR'),
    fc.oneof(word(), fc.constantFrom('1', '0', '-1', '1e9', 'a,b')),
  );
  await fc.assert(
    fc.asyncProperty(env, async (given) => void (await settled(undefined, given))),
    settings(500),
  );
});

test('a service file and a password file of anything', { timeout }, async () => {
  const file = join(folder, 'file');
  const line = fc.oneof(
    word(30),
    fc.constantFrom(
      '[mine]',
      '[mine',
      '[other]',
      '#',
      'host=h',
      'port=x',
      'port=1',
      'password=p',
      'dbname',
      '=',
      'service=mine',
      '*:*:*:*:found',
    ),
    fc.array(fc.constantFrom('*', ':', '\\', 'h', '5432', 'd', 'u'), { maxLength: 12 }).map((parts) => parts.join('')),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 12 }),
      fc.constantFrom('\n', '\r\n', '\r', '\0\n'),
      async (lines, end) => {
        writeFileSync(file, lines.join(end), { mode: 0o600 });
        const found = await settled(undefined, { PGSERVICEFILE: file, PGSERVICE: 'mine' });
        if (lines.includes('[mine]') && end === '\n' && lines.indexOf('[mine]') === lines.lastIndexOf('[mine]')) {
          const fine = /^(\[.*|#.*|host=h|port=1|password=p|)$/;
          expect(found !== undefined || lines.some((text) => !fine.test(text.trim()))).toBe(true);
        }
        const some = await resolve('d', { PGPASSFILE: file, PGUSER: 'u', PGHOST: 'h' });
        expect(['string', 'undefined']).toContain(
          typeof readPassfile(some, { host: 'h', port: 5432 }, () => undefined),
        );
      },
    ),
    settings(300),
  );
});

test('a field of the password file may hold anything, escaped', { timeout }, async () => {
  const file = join(folder, 'pgpass');
  const field = word(20).filter((text) => !/[\r\n]/.test(text) && text !== '' && !text.startsWith('#'));
  await fc.assert(
    fc.asyncProperty(field, field, async (user, password) => {
      const escape = (text: string): string => text.replace(/[\\:]/g, '\\$&');
      writeFileSync(file, `nonsense\nh:5432:d:${escape(user)}:${escape(password)}\n`, { mode: 0o600 });
      const some = await resolve('d', { PGPASSFILE: file, PGUSER: user, PGHOST: 'h' });
      expect(readPassfile(some, { host: 'h', port: 5432 }, () => undefined)).toBe(password);
    }),
    settings(200),
  );
});

test('pipes, devices and folders in place of files end a command, not its patience', { timeout }, async () => {
  const pipe = join(folder, 'pipe');
  expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
  for (const file of [pipe, '/dev/zero', folder, '/nowhere', '/dev/null']) {
    for (const env of [
      { PGSERVICEFILE: file, PGSERVICE: 'x' },
      { PGSSLROOTCERT: file, PGSSLMODE: 'verify-full' },
      { PGSSLCERT: file, PGSSLKEY: file, PGSSLMODE: 'require' },
      { PGPASSFILE: file },
    ]) {
      const result = await run(['list-queues'], {
        env: { ABSURD_DATABASE_URL: undefined, PGHOST: '127.0.0.1', PGPORT: '1', ...env },
      });
      sane([file, JSON.stringify(env)], result, [2, 5]);
    }
  }
});

test('PGOPTIONS, names of databases and users in any shape, at a real server', { timeout }, async ({ db }) => {
  await fc.assert(
    fc.asyncProperty(word(30), async (text) => {
      const url = new URL(db.url);
      const env = {
        ABSURD_DATABASE_URL: undefined,
        PGHOST: url.hostname,
        PGPORT: url.port,
        PGUSER: url.username,
        PGPASSWORD: url.password,
      };
      for (const more of [
        { PGDATABASE: db.name, PGOPTIONS: text },
        { PGDATABASE: db.name, PGAPPNAME: text },
        { PGDATABASE: `dbname='${text.replace(/['\\]/g, '\\$&')}'` },
        { PGDATABASE: db.name, PGUSER: text },
      ]) {
        sane([JSON.stringify(more)], await run(['list-queues'], { env: { ...env, ...more } }), [0, 1, 2, 5]);
      }
    }),
    settings(6),
  );
});
