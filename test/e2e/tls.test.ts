import { readFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { TLSSocket } from 'node:tls';
import { Absurd } from '../../src/sdk/index.js';
import { runCli } from '../support/cli.js';
import { afterEach, expect, test, type TestDatabase } from '../support/database.js';

const pem = (name: string): string => fileURLToPath(new URL(`../support/tls/${name}`, import.meta.url));
const sslRequest = 80_877_103;
let front: Server | undefined;
afterEach(() => front?.close());

/** Stands before the test's server and speaks TLS for it, as a cloud's proxy does. Without TLS it hangs up. */
async function behindTls(db: TestDatabase, host: string, parameters: string): Promise<string> {
  const { hostname, port } = new URL(db.url);
  front = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (first) => {
      if (first.readInt32BE(4) !== sslRequest) return socket.destroy();
      socket.write('S');
      const secure = new TLSSocket(socket, {
        isServer: true,
        key: readFileSync(pem('server-key.pem')),
        cert: readFileSync(pem('server.pem')),
      });
      const behind = connect(Number(port), hostname);
      behind.on('error', () => secure.destroy());
      secure.on('error', () => behind.destroy());
      return secure.pipe(behind).pipe(secure);
    });
  });
  await new Promise<void>((resolve) => front?.listen(0, '127.0.0.1', resolve));
  const address = front.address();
  const url = new URL(db.url);
  url.port = String(typeof address === 'object' ? address?.port : 0);
  url.hostname = host;
  return `${url.href}?${parameters}`;
}

const root = (name: string): string => (name ? `&sslrootcert=${encodeURIComponent(pem(`${name}.pem`))}` : '');

test.for([
  ['prefer', '127.0.0.1', ''],
  ['require', '127.0.0.1', ''],
  ['verify-ca', '127.0.0.1', 'authority'],
  ['verify-full', 'localhost', 'authority'],
] as const)('sslmode %s to %s, root certificate "%s": connects', async ([mode, host, authority], { db }) => {
  await db.queue('found');
  const url = await behindTls(db, host, `sslmode=${mode}${root(authority)}`);

  expect(await runCli(['list-queues', '-d', url])).toMatchObject({ code: 0, stdout: 'found\n', stderr: '' });
  const sdk = new Absurd(url);
  expect(await sdk.listQueues()).toEqual(['found']);
  await sdk.close();
});

test.for([
  ['verify-full', '127.0.0.1', 'authority', 'altname'],
  ['verify-ca', '127.0.0.1', 'stranger', 'cannot be trusted'],
  ['require', '127.0.0.1', 'stranger', 'cannot be trusted'],
  ['disable', '127.0.0.1', '', '127.0.0.1'],
] as const)('sslmode %s to %s, root certificate "%s": refused', async ([mode, host, authority, words], { db }) => {
  const url = await behindTls(db, host, `sslmode=${mode}${root(authority)}`);

  const refused = await runCli(['list-queues', '-d', url]);

  expect(refused).toMatchObject({ code: 5, stdout: '' });
  expect(refused.stderr).toContain(words);
  const sdk = new Absurd(url);
  await expect(sdk.listQueues()).rejects.toThrow();
  await sdk.close();
});

test('one address with several hosts means the same to a command and to a program', async ({ db }) => {
  await db.queue('found');
  const { hostname, port, username, password, pathname } = new URL(db.url);
  const hosts = `127.0.0.1:1,${hostname}:${port}`;
  const url = `postgresql://${username}${password && `:${password}`}@${hosts}${pathname}?target_session_attrs=read-write`;

  expect(await runCli(['list-queues', '-d', url])).toMatchObject({ code: 0, stdout: 'found\n' });
  const sdk = new Absurd(url);
  expect(await sdk.listQueues()).toEqual(['found']);
  await sdk.close();
});

test('require does not go without where the server has no TLS', async ({ db, skip }) => {
  const found = await db.query<{ ssl: string }>('show ssl');
  skip(found.rows[0]?.ssl === 'on', 'this server has TLS');

  const refused = await runCli(['list-queues', '-d', `${db.url}?sslmode=require`]);

  expect(refused).toMatchObject({ code: 5, stdout: '' });
  expect(refused.stderr).toContain('offers no TLS');
});
