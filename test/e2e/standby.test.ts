import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
/** Reads answer on a hot standby; writes say what it is, and where to go instead. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { everyLine, named, type Given } from '../commands/every-command.js';
import { errorOf, fill, makeQueue, runLine, standInForCron, withFolder, schedulesFile } from '../commands/roles.js';
import { script } from '../sql/older.js';
import { run } from '../support/command.js';
import { connectTo } from '../support/database.js';
import { startPair, whyNoStandby, type Pair } from '../support/standby.js';

const missing = whyNoStandby();

describe.skipIf(missing !== null)(`a hot standby${missing === null ? '' : ` (skipped: ${missing})`}`, () => {
  let pair: Pair;
  const given = new Map<string, Given>();

  beforeAll(async () => {
    pair = await startPair(async (client) => void (await client.query(script)));
    const db = await connectTo(pair.primary);
    try {
      await standInForCron(db);
      await withFolder(async (folder) => {
        for (const mode of ['unpartitioned', 'partitioned'] as const) {
          const queue = await makeQueue(db, mode);
          given.set(mode, await fill(db, queue, 'postgres', folder));
          await db.query('select absurd.enable_cron($1)', [queue]);
        }
      });
      await caughtUp(db);
    } finally {
      await db.client.end();
    }
  }, 120_000);

  afterAll(async () => pair?.stop());

  /** Waits until the standby has replayed all that the primary has written: the server tells. */
  async function caughtUp(db: { query(sql: string): Promise<{ rows: Record<string, unknown>[] }> }): Promise<void> {
    const standby = new pg.Client({ connectionString: pair.standby });
    await standby.connect();
    const { rows } = await db.query('select pg_current_wal_insert_lsn()::text as lsn');
    const there = `select pg_last_wal_replay_lsn() >= $1::pg_lsn as there`;
    while (!(await standby.query<{ there: boolean }>(there, [rows[0]?.['lsn']])).rows[0]?.there);
    await standby.end();
  }

  test.for(['unpartitioned', 'partitioned'] as const)('every read answers: %s queue', { timeout: 120_000 }, (mode) =>
    withFolder(async (folder) => {
      const wrong: string[] = [];
      const about = given.get(mode);
      if (about === undefined) throw new Error('the queue was not made');
      for (const line of everyLine.filter(({ needs }) => needs === 'reader')) {
        const here = await runLine(line, about, pair.standby, folder);
        if (here.code !== 0) wrong.push(`${named(line, about)}: exit ${here.code}, ${here.stderr}`);
      }
      expect(wrong).toEqual([]);
      const doctor = (await run(['doctor', '--json'], { url: pair.standby })).json<{ unread: unknown[] }>();
      expect(doctor.unread).toEqual([]);
      const why = (await run(['why', about.open, '--json'], { url: pair.standby })).json<{ unread: unknown[] }>();
      expect(why.unread).toEqual([]);
    }),
  );

  test.for([
    ['a standby', '', /^This server is a standby and accepts no writes: /, 'target_session_attrs=read-write'],
    ['a read-only connection', '-c default_transaction_read_only=on', /^This connection may only read: /, 'PGOPTIONS'],
  ] as const)('every write is refused by %s', { timeout: 120_000 }, ([, options, message, hint]) =>
    withFolder(async (folder) => {
      const url = new URL(options === '' ? pair.standby : pair.primary);
      if (options !== '') url.search = `?options=${encodeURIComponent(options)}`;
      const wrong: string[] = [];
      const about = given.get('partitioned');
      if (about === undefined) throw new Error('the queue was not made');
      const exported = await run(['export-task', about.failed, about.exported, '--force'], {
        url: pair.primary,
        cwd: folder,
      });
      expect(exported.code).toBe(0);
      writeFileSync(join(folder, about.schedules), schedulesFile(about.queue));
      for (const line of everyLine.filter(({ needs }) => !['reader', 'none'].includes(needs))) {
        const refused = await runLine(line, about, url.href, folder);
        const error = errorOf(refused);
        const right = refused.code === 4 && error.code === 'read_only' && message.test(error.message);
        if (!right || !error.hint?.includes(hint)) {
          wrong.push(`${named(line, about)}: exit ${refused.code}, ${refused.stderr}${refused.stdout}`);
        }
      }
      expect(wrong).toEqual([]);
    }),
  );

  test('the hint is true: with both hosts and target_session_attrs a write finds the primary', async () => {
    const [standby, primary] = [new URL(pair.standby), new URL(pair.primary)];
    const hosts = `${standby.host},${primary.host}`;
    const url = `postgresql://${primary.username}:${primary.password}@${hosts}/postgres?target_session_attrs=read-write`;

    const emitted = await run(['emit-event', 'found', '-q', given.get('partitioned')?.queue ?? ''], { url });

    expect(emitted).toMatchObject({ code: 0 });
  });
});
