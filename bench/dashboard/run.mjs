// How long until the pages of the dashboard are painted, over a million tasks: node bench/dashboard/run.mjs [--tasks N]
// Needs `npm run build` and a Chromium (CHROMIUM_PATH, else /usr/bin/chromium). Starts and deletes an embedded server.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import pg from 'pg';

const bin = fileURLToPath(new URL('../../bin/absurdctl', import.meta.url));
const at = process.argv.indexOf('--tasks');
const count = at < 0 ? 1_000_000 : Number(process.argv[at + 1]);
const rounds = 7;
const folder = mkdtempSync(join(tmpdir(), 'absurd-bench-'));
const cli = (...args) => spawnSync(process.execPath, [bin, ...args], { cwd: folder, encoding: 'utf8' });
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

/** Finished tasks with one run and two steps each, spread over a day; of every thousand one failed and one waits. */
async function fill(url) {
  const db = new pg.Client({ connectionString: url });
  await db.connect();
  await db.query(`select absurd.create_queue('big')`);
  await db.query(
    `insert into absurd.t_big (task_id, task_name, params, state, attempts, enqueue_at, first_started_at, last_attempt_run, completed_payload)
     select task_id, 'job-' || n % 20, jsonb_build_object('n', n), state, 1, at, at, run_id, '{"ok": true}'
       from (select n, gen_random_uuid() as task_id, gen_random_uuid() as run_id,
                    now() - interval '1 day' * n / $1 as at,
                    case n % 1000 when 1 then 'failed' when 2 then 'pending' else 'completed' end as state
               from generate_series(1, $1::int) n) t`,
    [count],
  );
  await db.query(
    `insert into absurd.r_big (run_id, task_id, attempt, state, claimed_by, available_at, started_at, completed_at, created_at, failure_reason)
     select t.last_attempt_run, t.task_id, 1, t.state, 'w' || (t.params ->> 'n')::int % 8, t.enqueue_at, t.enqueue_at,
            case when t.state = 'completed' then t.enqueue_at + interval '1 second' end, t.enqueue_at,
            case when t.state = 'failed' then '{"name": "Error", "message": "boom"}'::jsonb end
       from absurd.t_big t`,
  );
  await db.query(
    `insert into absurd.c_big (task_id, checkpoint_name, state, owner_run_id)
     select t.task_id, 'step-' || s, '{"done": true}', t.last_attempt_run from absurd.t_big t cross join generate_series(1, 2) s`,
  );
  await db.query('vacuum analyze absurd.t_big, absurd.r_big, absurd.c_big');
  const { rows } = await db.query(`select task_id from absurd.t_big where state = 'failed' limit 1`);
  await db.end();
  return rows[0].task_id;
}

async function paint(browser, entry, origin, path) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(entry);
  await page.getByRole('heading', { level: 1 }).waitFor();
  const [first, filled] = [[], []];
  for (let round = 0; round < rounds; round++) {
    await page.goto(`${origin}${path}`, { waitUntil: 'commit' });
    await page.waitForFunction(() => document.querySelector('tbody tr:not(.blank), .why'));
    filled.push(await page.evaluate(() => performance.now()));
    first.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN));
  }
  await context.close();
  return { path: path.slice(0, 24), first_paint_ms: Math.round(median(first)), rows_ms: Math.round(median(filled)) };
}

let dashboard;
let browser;
try {
  cli('dev', '--detach', '--idle-timeout', '0');
  const url = cli('dev', '--status', '--show-password', '-o', 'name').stdout.trim();
  console.log(`filling ${count} tasks`);
  const failed = await fill(url);
  dashboard = spawn(process.execPath, [bin, 'dashboard', '-o', 'name', '-d', url], { cwd: folder });
  const entry = await new Promise((resolve) => dashboard.stdout.once('data', (text) => resolve(String(text).trim())));
  const path = [process.env.CHROMIUM_PATH, '/usr/bin/chromium'].find((one) => one !== undefined && existsSync(one));
  browser = await chromium.launch({ executablePath: path, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  const { origin } = new URL(entry);
  const results = [];
  for (const page of ['/', '/tasks', '/tasks?state=failed', `/tasks/big/${failed}`])
    results.push(await paint(browser, entry, origin, page));
  console.table(results);
} finally {
  await browser?.close();
  dashboard?.kill('SIGINT');
  cli('dev', '--stop');
  rmSync(folder, { recursive: true, force: true });
}
