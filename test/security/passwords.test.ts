/** Passwords: never in an answer, an error, a note, a log or a process list, however the address was typed. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { maskPasswords } from '../../src/connection/uri.js';
import { Absurd } from '../../src/sdk/index.js';
import { run } from '../support/command.js';
import { startCli } from '../support/cli.js';
import { expect, test } from '../support/database.js';

/** Any piece of it in an output is found, as typed or encoded. */
const secret = 'hunter2';
const leaks = (text: string): string[] => text.match(/[^\n]*(hunter|unter2|%68unter)[^\n]*/gi) ?? [];

/** Nothing listens on port 1, so what can be read ends at once, with an error about that. */
const addresses = [
  `postgresql://u:${secret}@127.0.0.1:1/d`,
  `postgresql://u:${secret}%40%2f@127.0.0.1:1/d`,
  `postgresql://u:%68unter2@127.0.0.1:1/d`,
  `postgresql://u:x@${secret}@127.0.0.1:1/d`,
  `postgresql://u:${secret}@x@127.0.0.1:1/d`,
  `postgresql://u:x/${secret}@127.0.0.1:1/d`,
  `postgresql://u:1/${secret}@127.0.0.1:1/d`,
  `postgresql://u:${secret}/x@127.0.0.1:1/d`,
  `postgresql://u:1?${secret}@127.0.0.1:1/d`,
  `postgresql://u:${secret}?x@127.0.0.1:1/d`,
  `postgresql://u:${secret}#x@127.0.0.1:1/d`,
  `postgresql://u:${secret}%zz@127.0.0.1:1/d`,
  `postgresql://u:${secret}%00user@127.0.0.1:1/d`,
  `postgresql://u:${secret}`,
  `postgresql://u:${secret}@`,
  `postgresql://u:${secret}@[::1:1/d`,
  `postgresql://u:${secret}@127.0.0.1:port/d`,
  `postgresql://u:${secret}@127.0.0.1:99999/d`,
  `postgresql://u:${secret}@127.0.0.1:1,127.0.0.2:1/d?sslmode=odd`,
  `postgresql://127.0.0.1:1/d?user=u&password=${secret}`,
  `postgresql://127.0.0.1:1/d?password=${secret}&connect_timeout=x`,
  `postgresql:/u:${secret}@127.0.0.1:1/d`,
  `postgresql:u:${secret}@127.0.0.1:1/d`,
  `postgres//u:${secret}@127.0.0.1:1/d`,
  `http://u:${secret}@127.0.0.1:1/d`,
  `jdbc:postgresql://u:${secret}@127.0.0.1:1/d`,
  `u:${secret}@127.0.0.1:1/d`,
  `u:${secret}/x@127.0.0.1`,
  `host=127.0.0.1 port=1 user=u password=${secret} dbname=d`,
  `host=127.0.0.1 port=1 user=u password='${secret} dbname=d`,
  `host=127.0.0.1 port=1 user=u password=x ${secret} dbname=d`,
  `host=127.0.0.1 port=1 password=${secret} sslmode=verify-full sslrootcert=/nowhere`,
];

test.for([[], ['--json'], ['-v'], ['-v', '-o', 'csv']])(
  '%j shows no password, well-formed address or not',
  async (extra) => {
    for (const address of addresses) {
      for (const options of [{ url: address }, { env: { PGDATABASE: address, ABSURD_DATABASE_URL: undefined } }]) {
        const { code, stdout, stderr } = await run(['list-queues', ...extra], options);
        expect([2, 5], stderr).toContain(code);
        expect(leaks(stdout + stderr), address).toEqual([]);
      }
      const { stdout, stderr } = await run(['list-queues', '-d', address, ...extra], {});
      expect(leaks(stdout + stderr), address).toEqual([]);
    }
  },
);

test('a server that refuses, and one that asks in an odd way, hear it, and nobody else', async ({ db }) => {
  const url = new URL(db.url);
  url.password = secret;
  const nowhere = new URL(db.url);
  nowhere.pathname = '/nowhere';
  for (const argv of [
    ['list-queues', '-v'],
    ['list-queues', '--json'],
    ['init'],
    ['doctor'],
    ['migrate', '--dry-run'],
  ]) {
    const refused = await run(argv, { url: url.href });
    expect(refused.code).toBe(5);
    expect(leaks(refused.stdout + refused.stderr)).toEqual([]);
    const missing = await run(argv, { url: nowhere.href });
    expect(missing.code).toBe(5);
    expect(missing.stdout + missing.stderr).not.toContain(new URL(db.url).password);
  }
  // Answers every message with one that no PostgreSQL would send.
  const odd = createServer((socket) => socket.on('data', (data) => socket.end(data)).on('error', () => undefined));
  await new Promise<void>((resolve) => odd.listen(0, '127.0.0.1', resolve));
  const address = odd.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const answer = await run(['list-queues', '-v', '-d', `postgresql://u:${secret}@127.0.0.1:${port}/d`], {});
  odd.close();
  expect(answer.code).toBe(5);
  expect(leaks(answer.stdout + answer.stderr)).toEqual([]);
});

test('from the environment, a service file and the password file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'absurd-secret-'));
  try {
    const [services, passwords] = [join(folder, 'services'), join(folder, 'pgpass')];
    writeFileSync(services, `[mine]\nhost=127.0.0.1\nport=1\npassword=${secret}\nnonsense\n=x\n[broken\n`);
    writeFileSync(passwords, `127.0.0.1:1:d:u:${secret}\nnonsense${secret}\n`);
    const env = { ABSURD_DATABASE_URL: undefined, PGHOST: '127.0.0.1', PGPORT: '1', PGUSER: 'u', PGDATABASE: 'd' };
    const tries = [
      { ...env, PGPASSWORD: secret },
      { ...env, PGDATABASE: undefined, PGSERVICEFILE: services, PGSERVICE: 'mine' },
      { ...env, PGSERVICEFILE: services, PGSERVICE: 'other' },
      { ...env, PGSERVICEFILE: passwords, PGSERVICE: 'other' },
      { ...env, PGPASSFILE: passwords },
    ];
    for (const mode of [0o600, 0o644]) {
      chmodSync(passwords, mode);
      for (const one of tries) {
        const { code, stdout, stderr } = await run(['list-queues', '-v'], { env: one });
        expect([2, 5], stderr).toContain(code);
        expect(leaks(stdout + stderr)).toEqual([]);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a worker: its events, its listener and its modules do not tell it', { timeout: 60_000 }, async ({ db }) => {
  await db.queue('q');
  const folder = mkdtempSync(join(tmpdir(), 'absurd-secret-'));
  try {
    const file = join(folder, 'tasks.cjs');
    writeFileSync(file, `module.exports = (absurd) => absurd.registerTask({ name: 'x' }, async () => 1);`);
    await db.spawn('q', 'x');
    await db.query(`select absurd.set_queue_wakeup('q', true)`);
    for (const listen of [
      `postgresql://u:${secret}@127.0.0.1:1/d`,
      `postgresql://u:${secret}%zz@h`,
      `u:${secret}@h`,
      `http//u:${secret}`,
    ]) {
      const argv = ['work', file, '-q', 'q', '--burst', '--poll-interval', '0.02', '--listen-url', listen];
      const worker = await startCli(argv, { env: { ABSURD_DATABASE_URL: db.url } });
      const { code, stdout, stderr } = await worker.done;
      expect(code, stderr).toBe(0);
      expect(leaks(stdout + stderr)).toEqual([]);
      expect(stderr).not.toContain(new URL(db.url).password);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('errors of the SDK, printed with all that hangs on them', async ({ db }) => {
  const wrong = new URL(db.url);
  wrong.password = secret;
  for (const address of [...addresses, wrong.href]) {
    const said: unknown[] = [];
    const keep = (...words: unknown[]): void => void said.push(words);
    const log = { log: keep, info: keep, warn: keep, error: keep };
    try {
      const client = new Absurd({ db: address, log });
      await client.spawn('x', {}).catch((error: unknown) => said.push(error));
      await client.close();
    } catch (error) {
      said.push(error);
    }
    expect(said.length, address).toBeGreaterThan(0);
    expect(leaks(inspect(said, { depth: 8 })), address).toEqual([]);
    expect(
      leaks(JSON.stringify(said, (_key, value: unknown) => (value instanceof Error ? String(value) : value))),
    ).toEqual([]);
  }
});

test.runIf(process.platform === 'linux')('a process list shows it masked while the command runs', async ({ db }) => {
  await db.queue('q');
  const { task_id } = await db.spawn('q', 'x');
  const command = await startCli(['await-task', task_id, '-d', db.url, '--timeout', '30']);
  await command.waitFor(/waits for a worker/);
  const line = readFileSync(`/proc/${command.pid}/cmdline`, 'utf8');
  expect(line).toContain('absurdctl await-task');
  expect(line).not.toContain(new URL(db.url).password);
  command.kill('SIGTERM');
  await command.done;
});

test('what is masked of a command line', () => {
  for (const address of addresses.filter((one) => /:\/\/.*@|password=/.test(one) && !one.includes('password=x '))) {
    expect(leaks(maskPasswords(`--database=${address}`)), address).toEqual([]);
  }
  expect(maskPasswords('postgresql://u@h:1/d?user=a')).toBe('postgresql://u@h:1/d?user=a');
  expect(maskPasswords('name')).toBe('name');
});
