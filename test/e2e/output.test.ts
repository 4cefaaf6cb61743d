/** Standard output that cannot be written: a reader that leaves, and a full disk. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { bin, cleanEnv } from '../support/cli.js';
import { ensureBuilt, expect, test, type TestDatabase } from '../support/database.js';

/** Runs a line of bash in which $A is the program; the exit code is the program's. */
async function shell(
  line: string,
  db?: TestDatabase,
): Promise<{ status: number | null; stderr: string; stdout: string }> {
  await ensureBuilt();
  const env = { ...cleanEnv({ ABSURD_DATABASE_URL: db?.url }), A: `${process.execPath} ${bin}` };
  return spawnSync('bash', ['-c', `set -o pipefail; ${line}`], { encoding: 'utf8', env, timeout: 60_000 });
}

async function pending(db: TestDatabase): Promise<number> {
  const { rows } = await db.query<{ n: number }>(`select count(*)::int as n from absurd.t_q where state = 'pending'`);
  return rows[0]?.n ?? -1;
}

async function spawnMany(db: TestDatabase, count: number): Promise<void> {
  await db.queue('q');
  await db.query(`select absurd.spawn_task('q', 'a', to_jsonb(i)) from generate_series(1, $1) i`, [count]);
}

test('a command that changes something finishes when its reader leaves', { timeout: 90_000 }, async ({ db }) => {
  await spawnMany(db, 2000);
  const { status, stdout, stderr } = await shell('$A cancel-task -q q --all --yes -o ndjson | head -1', db);
  expect(stdout.split('\n').filter((line) => line !== '')).toHaveLength(1);
  expect({ status, pending: await pending(db) }).toEqual({ status: 0, pending: 0 });
  expect(stderr).toContain('2000 tasks: 2000 cancelled');
});

test('a command that only reads ends quietly when its reader leaves', { timeout: 90_000 }, async ({ db }) => {
  await spawnMany(db, 2000);
  const looks = ['list-tasks -q q --limit 2000 -o ndjson', 'cancel-task -q q --all --dry-run -o ndjson'];
  for (const look of looks) expect(await shell(`$A ${look} | head -1`, db)).toMatchObject({ status: 0, stderr: '' });
  expect(await pending(db)).toBe(2000);
});

test.skipIf(!existsSync('/dev/full'))('a full disk: 1, in one line', { timeout: 90_000 }, async ({ db }) => {
  await spawnMany(db, 300);
  const failure = /^Error: The output could not be written: ENOSPC[^\n]*\n$/;
  for (const look of ['--help', 'cron --help', 'list-tasks -q q -l 300', 'list-tasks -q q -l 300 -o ndjson']) {
    const { status, stderr } = await shell(`$A ${look} > /dev/full`, db);
    expect({ look, status }).toEqual({ look, status: 1 });
    expect(stderr).toMatch(failure);
  }
  const json = await shell('$A list-tasks -q q -l 300 --json > /dev/full', db);
  expect(JSON.parse(json.stderr)).toMatchObject({ code: 'output_failed' });

  const { status, stderr } = await shell('$A cancel-task -q q --all --yes -o ndjson > /dev/full', db);
  expect({ status, pending: await pending(db) }).toEqual({ status: 1, pending: 0 });
  expect(stderr).toContain('300 tasks: 300 cancelled');
  expect(stderr).toContain('could not be written');
});
