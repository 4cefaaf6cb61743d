import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { serverAccount } from '../../src/lib/embedded/account.js';
import { expect, test as base, until } from './support.js';

const binary = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/usr/local/bin/pgbouncer'].find((path) =>
  existsSync(path),
);
const whyNot =
  binary === undefined ? ' (skipped: no pgbouncer on this machine; Debian has it in the package pgbouncer)' : '';

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** The address of this test's database behind a PgBouncer in transaction mode with two server connections. */
const test = base.extend<{ pooled: string }>({
  pooled: async ({ db }, use) => {
    const folder = mkdtempSync(join(tmpdir(), 'pgbouncer-'));
    const address = new URL(db.url);
    const port = await freePort();
    const server = {
      host: address.hostname,
      port: address.port,
      user: address.username,
      ...(address.password ? { password: decodeURIComponent(address.password) } : {}),
    };
    const target = Object.entries(server).map(([key, value]) => `${key}=${value}`);
    const settings = [
      '[databases]',
      `${db.name} = ${target.join(' ')}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${port}`,
      'unix_socket_dir =',
      'auth_type = any',
      'pool_mode = transaction',
      'default_pool_size = 2',
      'ignore_startup_parameters = extra_float_digits',
    ];
    const file = join(folder, 'pgbouncer.ini');
    writeFileSync(file, settings.join('\n'));
    const account = serverAccount();
    if (account) {
      chmodSync(folder, 0o755);
      chownSync(file, account.uid, account.gid);
    }
    const identity = account ? { uid: account.uid, gid: account.gid } : {};
    const child = spawn(binary ?? '', ['-q', file], { stdio: 'ignore', ...identity });
    const url = `postgresql://any@127.0.0.1:${port}/${db.name}`;
    await until(async () => {
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => undefined);
      try {
        await client.connect();
        await client.end();
        return true;
      } catch {
        return false;
      }
    });
    await use(url);
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  },
});

test.skipIf(binary === undefined)(
  `a worker and its client behind PgBouncer in transaction mode${whyNot}`,
  async ({ make, pooled, db, log }) => {
    expect(execFileSync(binary ?? '', ['--version'], { encoding: 'utf8' })).toMatch(/PgBouncer/i);
    const absurd = make({ db: pooled });
    await absurd.createQueue();
    await absurd.setQueueWakeup(true);
    absurd.registerTask({ name: 'job' }, async (params, ctx) => {
      const doubled = await ctx.step('double', async () => params.n * 2);
      await ctx.sleepFor('nap', 0.05);
      const event = await ctx.awaitEvent(`go ${params.n}`, { timeout: 60 });
      return { doubled, event };
    });
    const spawned = await absurd.spawnMany(Array.from({ length: 30 }, (_, n) => ({ name: 'job', params: { n } })));
    const worker = await absurd.startWorker({ concurrency: 10, pollInterval: 0.05 });
    for (let n = 0; n < 30; n += 1) await absurd.emitEvent(`go ${n}`, n);
    for (const [n, { taskID }] of spawned.entries()) {
      expect(await absurd.awaitTaskResult(taskID, { timeout: 20 })).toEqual({
        state: 'completed',
        result: { doubled: n * 2, event: n },
      });
    }
    await until(() => log.lines.find((line) => line.includes('listenUrl')));
    await worker.close();
    const direct = make({ db: pooled, listenUrl: db.url });
    direct.registerTask({ name: 'quick' }, async () => 'done');
    const listening = await direct.startWorker({ pollInterval: 3600 });
    await until(
      async () =>
        (await db.query(`select 1 from pg_stat_activity where datname = current_database() and query like 'LISTEN%'`))
          .rows[0],
    );
    const { taskID } = await direct.spawn('quick', {});
    expect((await direct.awaitTaskResult(taskID, { timeout: 10 })).state).toBe('completed');
    await listening.close();
  },
);
