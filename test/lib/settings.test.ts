import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readPassfile } from '../../src/connection/files.js';
import { describeSettings, resolveSettings } from '../../src/lib/connection/resolve.js';
import type { ConnectionFlags, Settings } from '../../src/connection/settings.js';
import { tlsAttempts, tlsOptions } from '../../src/connection/ssl.js';
import { parseKeywords, parseUri } from '../../src/connection/uri.js';
import { createIdentity, makePointerFolder, readIdentity } from '../../src/lib/embedded/pointer.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'absurd-settings-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const resolve = (flags: ConnectionFlags, env: Record<string, string> = {}): Promise<Settings> =>
  resolveSettings(flags, { env: { HOME: folder, ...env }, cwd: folder });

describe('which database', () => {
  test('--database over ABSURD_DATABASE_URL over PGDATABASE over the default', async () => {
    const env = { ABSURD_DATABASE_URL: 'postgresql://u@b/two', PGDATABASE: 'three' };
    expect(await resolve({ database: 'one' }, env)).toMatchObject({ database: 'one', source: '--database' });
    expect(await resolve({}, env)).toMatchObject({ database: 'two', hosts: [{ host: 'b', port: 5432 }] });
    expect(await resolve({}, { PGDATABASE: 'three', PGHOST: 'c' })).toMatchObject({ database: 'three' });
    expect(await resolve({}, { PGDATABASE: 'postgres://d:1/four' })).toMatchObject({
      database: 'four',
      hosts: [{ host: 'd', port: 1 }],
    });
    expect(await resolve({})).toMatchObject({ database: 'absurd', hosts: [{ host: 'localhost', port: 5432 }] });
  });

  test('no server at the default address: what starts one', async () => {
    expect((await resolve({})).advice).toContain('absurdctl dev --detach');
    expect((await resolve({ host: 'h' })).advice).toBeUndefined();
  });

  test('a folder whose embedded server is stopped leads to no other server, unless one is named', async () => {
    const cwd = mkdtempSync(join(folder, 'stopped-'));
    makePointerFolder(cwd);
    createIdentity(cwd, { id: '0123456789abcdef', password: 'p', files: 'postgres', port: 50_123 });
    expect(readIdentity(cwd)).toHaveProperty('port', 50_123);
    const here = (flags: ConnectionFlags, env: Record<string, string> = {}) =>
      resolveSettings(flags, { env: { HOME: folder, ...env }, cwd });
    await expect(here({})).rejects.toMatchObject({
      exitCode: 5,
      code: 'embedded_stopped',
      message: `The embedded server of ${cwd} is stopped, and no other database was named`,
      hint: expect.stringContaining('absurdctl dev --detach') as string,
    });
    for (const [flags, env] of [
      [{ database: 'postgresql://localhost/absurd' }],
      [{ host: 'localhost' }],
      [{}, { ABSURD_DATABASE_URL: 'absurd' }],
      [{}, { PGDATABASE: 'absurd' }],
      [{}, { PGHOST: 'localhost' }],
    ] as [ConnectionFlags, Record<string, string>?][]) {
      expect(await here(flags, env)).toMatchObject({ database: 'absurd' });
    }
  });

  test('variables about other servers do not reach an embedded one', async () => {
    const url = 'postgresql://postgres:p@127.0.0.1:5/absurd';
    const ours = { find: async () => url, ensure: async () => url };
    const env = {
      HOME: folder,
      ABSURD_DATABASE_URL: 'embedded:',
      PGSSLMODE: 'require',
      PGHOSTADDR: '10.0.0.1',
      PGSERVICE: 'none',
      PGOPTIONS: '-c work_mem=1',
      PGTARGETSESSIONATTRS: 'standby',
      PGCHANNELBINDING: 'require',
      PGPORT: 'x',
      PGAPPNAME: 'mine',
    };
    expect(await resolveSettings({}, { env, cwd: folder }, ours)).toMatchObject({
      hosts: [{ host: '127.0.0.1', port: 5 }],
      sslMode: 'prefer',
      options: undefined,
      sessionAttributes: 'any',
      applicationName: 'mine',
    });
  });

  test('a session is named by the command, unless the user names it', async () => {
    const named = (env: Record<string, string>, database = 'postgresql://h/x') =>
      resolveSettings({ database }, { env: { HOME: folder, ...env }, cwd: folder, applicationName: 'absurdctl why' });
    expect(await named({})).toMatchObject({ applicationName: 'absurdctl why' });
    expect(await named({ PGAPPNAME: 'cron' })).toMatchObject({ applicationName: 'cron' });
    expect(await named({ PGAPPNAME: 'cron' }, 'postgresql://h/x?application_name=uri')).toMatchObject({
      applicationName: 'uri',
    });
    expect(await named({}, 'postgresql://h/x?fallback_application_name=f')).toMatchObject({ applicationName: 'f' });
  });

  test('hostaddr is where to connect, the name stays that of certificates and .pgpass', async () => {
    expect((await resolve({ database: 'host=db.example.com hostaddr=10.0.0.1 port=6' })).hosts).toEqual([
      { host: 'db.example.com', port: 6, address: '10.0.0.1' },
    ]);
    expect((await resolve({ database: 'hostaddr=10.0.0.1,10.0.0.2' })).hosts).toEqual([
      { host: '10.0.0.1', port: 5432 },
      { host: '10.0.0.2', port: 5432 },
    ]);
    expect((await resolve({ host: 'h' }, { PGHOSTADDR: '10.0.0.1' })).hosts).toEqual([{ host: 'h', port: 5432 }]);
    await expect(resolve({ database: 'host=a,b hostaddr=10.0.0.1' })).rejects.toMatchObject({ exitCode: 2 });
    const settings = await resolve({ database: 'host=db.example.com hostaddr=10.0.0.1' });
    expect(tlsOptions(settings, { HOME: folder }, settings.hosts[0])).toMatchObject({ servername: 'db.example.com' });
  });

  test('a plain name takes the rest from the environment, flags come first', async () => {
    const env = { PGHOST: 'h', PGPORT: '5433', PGUSER: 'u', PGPASSWORD: 'p', PGCONNECT_TIMEOUT: '3' };
    expect(await resolve({ database: 'x' }, env)).toMatchObject({
      hosts: [{ host: 'h', port: 5433 }],
      user: 'u',
      password: 'p',
      connectTimeoutSeconds: 3,
    });
    expect(await resolve({ database: 'x', host: 'other', port: 6, user: 'me' }, env)).toMatchObject({
      hosts: [{ host: 'other', port: 6 }],
      user: 'me',
    });
  });

  test('flags outrank a URI', async () => {
    const settings = await resolve({ database: 'postgresql://a:p@h:1/x', host: 'i', user: 'b' });
    expect(settings).toMatchObject({ hosts: [{ host: 'i', port: 5432 }], user: 'b', database: 'x' });
  });

  test('a password that a URI gives for a role is not sent for another one', async () => {
    const database = 'postgresql://a:p@h:1/x';
    expect((await resolve({ database, user: 'b' })).password).toBeUndefined();
    expect((await resolve({ database, user: 'b' }, { PGPASSWORD: 'q' })).password).toBe('q');
    expect((await resolve({ database, user: 'a' })).password).toBe('p');
    expect((await resolve({ database: 'postgresql://:p@h:1/x', user: 'b' })).password).toBe('p');
  });

  test('a service fills what the URI leaves open and outranks the environment', async () => {
    const file = join(folder, 'services');
    writeFileSync(
      file,
      '# comment\n[other]\nhost=no\n[mine]\nhost = s1\nport=7\ndbname=sdb\nuser=su\n[last]\nhost=no\n',
    );
    const env = { PGSERVICEFILE: file, PGSERVICE: 'mine', PGHOST: 'ignored' };
    expect(await resolve({}, env)).toMatchObject({ hosts: [{ host: 's1', port: 7 }], database: 'sdb', user: 'su' });
    const uri = 'postgresql://me@/?service=mine';
    expect(await resolve({ database: uri }, { PGSERVICEFILE: file })).toMatchObject({ user: 'me', database: 'sdb' });
    await expect(resolve({}, { ...env, PGSERVICE: 'none' })).rejects.toMatchObject({ exitCode: 2 });
  });

  test('several hosts, with one port or one each', async () => {
    expect((await resolve({ database: 'postgresql://a:1,b,[::1]:3/x' })).hosts).toEqual([
      { host: 'a', port: 1 },
      { host: 'b', port: 5432 },
      { host: '::1', port: 3 },
    ]);
    expect((await resolve({ database: 'x', host: 'a,b', port: 9 })).hosts).toEqual([
      { host: 'a', port: 9 },
      { host: 'b', port: 9 },
    ]);
    await expect(resolve({ database: 'host=a,b,c port=1,2' })).rejects.toMatchObject({ exitCode: 2 });
  });

  test.each([
    ['PGSSLMODE', 'maybe'],
    ['PGCONNECT_TIMEOUT', 'soon'],
    ['PGPORT', '70000'],
    ['PGTARGETSESSIONATTRS', 'master'],
    ['PGSSLNEGOTIATION', 'direct'],
    ['PGSSLMINPROTOCOLVERSION', '1.2'],
    ['PGLOADBALANCEHOSTS', 'yes'],
  ])('refuses %s=%s', async (name, value) => {
    await expect(resolve({}, { [name]: value })).rejects.toMatchObject({ exitCode: 2 });
  });
});

describe('connection strings', () => {
  test('a URI is decoded part by part', () => {
    expect(parseUri('postgres://u%40x:p%2F%3A@h:5/d%20b?sslmode=require&connect_timeout=4')).toEqual({
      user: 'u@x',
      password: 'p/:',
      host: 'h',
      port: '5',
      dbname: 'd b',
      sslmode: 'require',
      connect_timeout: '4',
    });
    expect(parseUri('postgresql://%2Ftmp/x')).toMatchObject({ host: '/tmp', dbname: 'x' });
    expect(parseUri('postgresql:///x?host=/tmp')).toMatchObject({ host: '/tmp', dbname: 'x' });
  });

  test('an unreadable one is not repeated: it may hold a password', () => {
    for (const uri of ['postgresql://u:secret@h:x:y/db', 'postgresql://u:secret%zz@h/db']) {
      let message = '';
      try {
        parseUri(uri);
      } catch (error) {
        message = String(error);
      }
      expect(message).not.toBe('');
      expect(message).not.toContain('secret');
    }
  });

  test('keywords, quoted and escaped', () => {
    expect(parseKeywords(String.raw`host=h dbname='a b' password='it\'s' user=a\ b`)).toEqual({
      host: 'h',
      dbname: 'a b',
      password: "it's",
      user: 'a b',
    });
    expect(() => parseKeywords('host=h oops')).toThrow(expect.objectContaining({ usage: true }));
  });
});

test('the password is masked in what -v shows', async () => {
  const settings = await resolve({ database: 'postgresql://u:secret@h/x' });
  expect(describeSettings(settings)).toContain('password: ********');
  expect(describeSettings(settings)).not.toContain('secret');
});

test('.pgpass: the first line that fits, escapes, and only when nobody else may read it', async () => {
  const file = join(folder, 'pgpass');
  writeFileSync(file, '# c\nh:5432:other:u:no\nh:*:x:u:a\\:b\\\\c\n*:*:*:*:rest\nlocalhost:5432:y:u:never\n');
  chmodSync(file, 0o600);
  const settings = await resolve({ database: 'postgresql://u@h/x' }, { PGPASSFILE: file });
  const said: string[] = [];
  const at = { host: 'h', port: 5432 };
  expect(readPassfile(settings, at, (text) => said.push(text))).toBe('a:b\\c');
  expect(readPassfile(settings, { host: '/tmp', port: 5432 }, (text) => said.push(text))).toBe('rest');
  chmodSync(file, 0o644);
  expect(readPassfile(settings, at, (text) => said.push(text))).toBeUndefined();
  expect(said.join('')).toContain('chmod 600');
});

describe('sslmode as libpq means it', () => {
  const tls = async (mode: string, root?: string) =>
    tlsOptions(await resolve({}, { PGSSLMODE: mode, ...(root ? { PGSSLROOTCERT: root } : {}) }), { HOME: folder });

  test('prefer and require do not look at the certificate, verify-ca and verify-full do', async () => {
    const root = join(folder, 'root.pem');
    writeFileSync(root, 'certificate');
    expect(await tls('prefer')).toMatchObject({ rejectUnauthorized: false });
    expect(await tls('require')).toMatchObject({ rejectUnauthorized: false });
    expect(await tls('require', root)).toMatchObject({ rejectUnauthorized: true, ca: 'certificate' });
    const home = mkdtempSync(join(folder, 'home-'));
    mkdirSync(join(home, '.postgresql'));
    writeFileSync(join(home, '.postgresql', 'root.crt'), 'usual');
    writeFileSync(join(home, '.postgresql', 'root.crl'), 'revoked');
    expect(tlsOptions(await resolve({}, { PGSSLMODE: 'require' }), { HOME: home })).toMatchObject({
      rejectUnauthorized: true,
      ca: 'usual',
      crl: 'revoked',
    });
    const ca = await tls('verify-ca', root);
    expect(ca.rejectUnauthorized).toBe(true);
    expect(ca.checkServerIdentity).toBeTypeOf('function');
    const full = await tls('verify-full', root);
    expect(full.rejectUnauthorized).toBe(true);
    expect(full.checkServerIdentity).toBeUndefined();
    await expect(tls('verify-full')).rejects.toMatchObject({ usage: true });
    await expect(tls('verify-ca', '/nowhere')).rejects.toMatchObject({ usage: true });
  });

  test('what is tried first, and next', () => {
    expect(tlsAttempts('disable', false)).toEqual([false]);
    expect(tlsAttempts('allow', false)).toEqual([false, true]);
    expect(tlsAttempts('prefer', false)).toEqual([true, false]);
    expect(tlsAttempts('require', false)).toEqual([true]);
    expect(tlsAttempts('require', true)).toEqual([false]);
  });
});
