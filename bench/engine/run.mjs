// The engine beside a floor of three hand-written functions on the same tables: node bench/engine/run.mjs
//   --seconds N   of each measurement (4)       --rounds N   pairs a scenario, medians are shown (3)
//   --clients N   connections of pgbench (2)    --scale N    share of the tasks put in beforehand (1)
//   --only NAME   a scenario by its name; may be repeated
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { median, table } from '../lib/figures.mjs';
import { install, query, withServer } from '../lib/server.mjs';

const text = (fallback) => ({ type: 'string', default: fallback });
const { values } = parseArgs({
  options: {
    seconds: text('4'),
    rounds: text('3'),
    clients: text('2'),
    scale: text('1'),
    only: { type: 'string', multiple: true },
  },
});
const scale = Number(values.scale);
const version = spawnSync('pgbench', ['--version'], { encoding: 'utf8' });
if (version.status !== 0) {
  console.error('pgbench is not on PATH: it comes with PostgreSQL (Debian: postgresql-contrib, or the server package)');
  process.exit(1);
}

const scenarios = [
  { name: 'empty', mode: 'unpartitioned' },
  { name: '200,000 finished', mode: 'unpartitioned', finished: 200_000 },
  { name: '1,000,000 finished', mode: 'unpartitioned', finished: 1_000_000 },
  { name: '50,000 waiting', mode: 'unpartitioned', waiting: 50_000 },
  { name: '1,000,000 waiting', mode: 'unpartitioned', waiting: 1_000_000 },
  { name: 'partitioned, empty', mode: 'partitioned' },
  { name: 'partitioned, 200,000 finished', mode: 'partitioned', finished: 200_000 },
  { name: 'partitioned, 50,000 waiting', mode: 'partitioned', waiting: 50_000 },
].filter(({ name }) => values.only === undefined || values.only.includes(name));

/** One task from spawn to end, a transaction a call. Claim and complete share a statement, so that an empty claim is no error. */
const scripts = {
  ours: `select absurd.spawn_task('bench', 'job', '{"n": 1}');
select absurd.complete_run('bench', c.run_id, '{"ok": true}') from absurd.claim_task('bench', 'w', 60, 1) c;
`,
  floor: `select floor_spawn('{"n": 1}');
select floor_complete(c.run_id, '{"ok": true}') from floor_claim('w') c;
`,
};

const fill = `
  with task as (
    insert into absurd.t_bench (task_id, task_name, params, state, attempts, enqueue_at, last_attempt_run)
    select absurd.portable_uuidv7(), 'job', '{"n": 1}', $2, 1, clock_timestamp(), absurd.portable_uuidv7()
      from generate_series(1, $1) returning task_id, last_attempt_run
  )
  insert into absurd.r_bench (run_id, task_id, attempt, state, available_at, completed_at)
  select last_attempt_run, task_id, 1, $2, clock_timestamp(), case $2 when 'completed' then clock_timestamp() end from task`;

const folder = mkdtempSync(join(tmpdir(), 'absurd-engine-'));
for (const [name, script] of Object.entries(scripts)) writeFileSync(join(folder, `${name}.sql`), script);

function tasksASecond(url, name) {
  const args = ['-n', '-c', values.clients, '-j', '1', '-T', values.seconds, '-f', join(folder, `${name}.sql`), url];
  const { status, stdout, stderr } = spawnSync('pgbench', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return Number(/tps = ([\d.]+)/.exec(stdout)[1]);
}

/** Blocks touched and WAL bytes of one task from spawn to end, the mean of some. They do not jitter. */
async function footprint(client, name) {
  const count = 50;
  const sum = { blocks: 0, wal: 0 };
  for (let i = 0; i < count; i++) {
    for (const statement of scripts[name].trim().split('\n')) {
      const { rows } = await client.query(`explain (analyze, buffers, wal, format json) ${statement}`);
      const plan = rows[0]['QUERY PLAN'][0].Plan;
      sum.blocks += plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
      sum.wal += plan['WAL Bytes'];
    }
  }
  return { blocks: sum.blocks / count, wal: sum.wal / count };
}

/** Milliseconds a task on one connection. */
async function pace(client, tasks = 200) {
  const begun = performance.now();
  for (let i = 0; i < tasks; i++) for (const line of scripts.ours.trim().split('\n')) await client.query(line);
  return (performance.now() - begun) / tasks;
}

const rounded = (value, digits) => value.toFixed(digits);

try {
  await withServer(async (database) => {
    console.log(
      `${version.stdout.trim()}, ${values.clients} clients, ${values.seconds} s a measurement, median of ${values.rounds} pairs, scale ${scale}`,
    );
    const lines = [
      [
        '',
        'ours /s',
        'floor /s',
        'ratio',
        'beside empty',
        'blocks',
        'floor',
        'WAL bytes',
        'floor',
        'old connection ms',
        'new',
      ],
    ];
    let base;
    for (const { name, mode, finished = 0, waiting = 0 } of scenarios) {
      const url = await database('bench_engine');
      await install(url);
      await query(url, `select absurd.create_queue('bench', $1)`, [mode]);
      await query(url, readFileSync(new URL('floor.sql', import.meta.url), 'utf8'));
      const early = new pg.Client({ connectionString: url });
      await early.connect();
      await pace(early, 20);
      if (finished > 0) await query(url, fill, [Math.round(finished * scale), 'completed']);
      if (waiting > 0) await query(url, fill, [Math.round(waiting * scale), 'pending']);
      await query(url, 'vacuum analyze');
      await query(url, 'checkpoint');
      const late = new pg.Client({ connectionString: url });
      await late.connect();
      await pace(late, 20);
      const old = await pace(early);
      const fresh = await pace(late);
      const [mine, floors] = [await footprint(late, 'ours'), await footprint(late, 'floor')];
      const rates = { ours: [], floor: [] };
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const which of round % 2 === 0 ? ['ours', 'floor'] : ['floor', 'ours'])
          rates[which].push(tasksASecond(url, which));
      }
      const ratio = median(rates.ours.map((rate, i) => rate / rates.floor[i]));
      const ours = median(rates.ours);
      base ??= ours;
      lines.push([
        name,
        rounded(ours, 0),
        rounded(median(rates.floor), 0),
        rounded(ratio, 2),
        rounded(ours / base, 2),
        ...[mine.blocks, floors.blocks, mine.wal, floors.wal].map((value) => rounded(value, 0)),
        rounded(old, 2),
        rounded(fresh, 2),
      ]);
      await early.end();
      await late.end();
    }
    table(lines);
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
