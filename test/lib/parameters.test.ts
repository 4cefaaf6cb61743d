/** What asks for more than we give is refused, above all what asks for security; libpq refuses what it does not know, too. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Settings } from '../../src/connection/settings.js';
import { resolveSettings } from '../../src/lib/connection/resolve.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'absurd-parameters-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const resolve = (database: string | undefined, env: Record<string, string> = {}): Promise<Settings> =>
  resolveSettings({ database }, { env: { HOME: folder, ...env }, cwd: folder });
const uri = (query: string): Promise<Settings> => resolve(`postgresql://h/x?${query}`);

describe('a name that is not a parameter', () => {
  const refused = (where: string) => ({
    exitCode: 2,
    code: 'usage',
    message: `"sslmod" in ${where} is not a connection parameter`,
    hint: 'did you mean sslmode?',
  });

  test('in a URI', async () => {
    await expect(uri('sslmod=require')).rejects.toMatchObject(refused('the connection URI'));
    await expect(uri('sslmod=')).rejects.toMatchObject(refused('the connection URI'));
    await expect(uri('ssl=maybe')).rejects.toMatchObject({ exitCode: 2 });
    await expect(uri('toString=1')).rejects.toMatchObject({ exitCode: 2 });
    await expect(resolve(undefined, { ABSURD_DATABASE_URL: 'postgresql://h/x?sslmod=require' })).rejects.toMatchObject(
      refused('the connection URI'),
    );
  });

  test('in a keyword string', async () => {
    await expect(resolve('host=h sslmod=require')).rejects.toMatchObject(refused('the connection string'));
  });

  test('in a service file, where a line without = is an error, too', async () => {
    const file = join(folder, 'services');
    writeFileSync(file, '[mine]\nhost=h\nsslmod=require\n[bare]\nhost\n[other]\nnonsense=1\nservice=mine\n');
    const service = (name: string) => resolve(undefined, { PGSERVICEFILE: file, PGSERVICE: name });
    await expect(service('mine')).rejects.toMatchObject(refused('the service "mine"'));
    await expect(service('bare')).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/^Line 5 of the service file/) as string,
    });
    await expect(service('other')).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/^Line 8 of the service file/) as string,
    });
  });
});

describe('a parameter that we cannot honour', () => {
  test.each([
    'channel_binding=require',
    'gssencmode=require',
    'require_auth=scram-sha-256',
    'requirepeer=postgres',
    'sslcrldir=/etc/crl',
    'sslcertmode=require',
    'min_protocol_version=3.2',
    'replication=database',
    'client_encoding=LATIN1',
    'scram_client_key=c2VjcmV0',
    'oauth_issuer=https://example.com',
  ])('%s', async (pair) => {
    const [name = '', value = ''] = pair.split('=');
    await expect(uri(pair)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(
        `^The connection parameter ${name}.* in the connection URI is not supported$`,
      ) as string,
    });
    if (value === 'c2VjcmV0')
      await expect(uri(pair)).rejects.not.toMatchObject({ message: expect.stringContaining(value) as string });
  });

  test.each([
    ['PGCHANNELBINDING', 'require'],
    ['PGGSSENCMODE', 'require'],
    ['PGREQUIREAUTH', 'scram-sha-256'],
    ['PGREQUIREPEER', 'postgres'],
    ['PGSSLCRLDIR', '/etc/crl'],
    ['PGSSLCERTMODE', 'require'],
    ['PGMINPROTOCOLVERSION', '3.2'],
  ])('%s=%s', async (name, value) => {
    await expect(resolve('postgresql://h/x', { [name]: value })).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining(`in the environment (${name}) is not supported`) as string,
    });
  });

  test('sslrootcert=system with a weak sslmode; without one it is verify-full', async () => {
    await expect(uri('sslrootcert=system&sslmode=require')).rejects.toMatchObject({ exitCode: 2 });
    expect(await uri('sslrootcert=system')).toMatchObject({ sslMode: 'verify-full' });
  });
});

test('what asks for no more than we do is taken', async () => {
  for (const pair of [
    'channel_binding=prefer',
    'gssencmode=disable',
    'keepalives_idle=30',
    'client_encoding=UTF8',
    'sslcompression=0',
    'uselibpqcompat=true',
    'load_balance_hosts=random',
    'sslsni=1',
    'require_auth=',
  ]) {
    expect(await uri(pair)).toMatchObject({ database: 'x' });
  }
  expect(await uri('ssl=true')).toMatchObject({ sslMode: 'require' });
  expect(await resolve('x', { PGREQUIRESSL: '1' })).toMatchObject({ sslMode: 'require' });
  expect(await uri('ssl_min_protocol_version=tlsv1.3&sslcrl=/crl')).toMatchObject({
    sslMinVersion: 'TLSv1.3',
    sslCrl: '/crl',
  });
});
