// The engine's other calls, each beside a floor of hand-written SQL on the same tables: node bench/engine/calls.mjs
//   --rounds N   pairs, medians are shown (3)     --calls N   calls a measurement (2000)
//   --old N      tasks that end before the cleanup (1000000)
//   --held N     tasks worked off while an old snapshot is held open (20000)
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { median, table, timed } from '../lib/figures.mjs';
import { bin, install, query, withServer } from '../lib/server.mjs';

const text = (fallback) => ({ type: 'string', default: fallback });
const { values } = parseArgs({
  options: { rounds: text('3'), calls: text('2000'), old: text('1000000'), held: text('20000') },
});
const rounds = Number(values.rounds);
const calls = Number(values.calls);

async function connect(url) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

/** A connection to a database with our schema, a queue and the floor, and its address. */
async function scene(database) {
  const url = await database('bench_calls');
  await install(url);
  await query(url, `select absurd.create_queue('bench')`);
  await query(url, readFileSync(new URL('floor.sql', import.meta.url), 'utf8'));
  await query(url, readFileSync(new URL('calls.sql', import.meta.url), 'utf8'));
  return { client: await connect(url), url };
}

/** Puts in tasks that wait, each for the event `prefix-N`, or all for `prefix`, in the state that await_event leaves. */
const waiting = (client, prefix, count, together) =>
  client.query(
    `with task as (
       insert into absurd.t_bench (task_id, task_name, params, state, attempts, enqueue_at, first_started_at, last_attempt_run)
       select absurd.portable_uuidv7(), 'job', '{}', 'sleeping', 1, clock_timestamp(), clock_timestamp(), absurd.portable_uuidv7()
         from generate_series(1, $2::int) returning task_id, last_attempt_run
     ),
     numbered as (select task.*, $1 || case when $3 then '' else '-' || row_number() over () end as event from task),
     run as (
       insert into absurd.r_bench (run_id, task_id, attempt, state, available_at, wake_event)
       select last_attempt_run, task_id, 1, 'sleeping', 'infinity', event from numbered
     ),
     event as (
       insert into absurd.e_bench (event_name, payload, emitted_at) select distinct event, null::jsonb, 'epoch'::timestamptz from numbered
     )
     insert into absurd.w_bench (task_id, run_id, step_name, event_name)
     select task_id, last_attempt_run, '$awaitEvent:' || event, event from numbered`,
    [prefix, count, together],
  );

/** Median ratio of pairs, and the median of ours; `measure(which, round)` gives a rate. */
async function pairs(measure) {
  const rates = { ours: [], floor: [] };
  for (let round = 0; round < rounds; round++) {
    for (const which of round % 2 === 0 ? ['ours', 'floor'] : ['floor', 'ours']) {
      rates[which].push(await measure(which, round));
    }
  }
  return {
    ours: median(rates.ours),
    floor: median(rates.floor),
    ratio: median(rates.ours.map((rate, i) => rate / rates.floor[i])),
  };
}

async function checkpoints(client) {
  const { rows } = await client.query(
    `select c.task_id, c.run_id from absurd.spawn_task('bench', 'job', '{}') s
      cross join lateral absurd.claim_task('bench', 'w', 3600, 1) c`,
  );
  const [{ task_id: task, run_id: run }] = rows;
  const sql = {
    ours: `select absurd.set_task_checkpoint_state('bench', $1, $2, '{"done": true}', $3, 60)`,
    floor: `select floor_checkpoint($1, $2, '{"done": true}', $3)`,
  };
  return pairs(async (which, round) => {
    const seconds = await timed(async () => {
      for (let i = 0; i < calls; i++) await client.query(sql[which], [task, `${which}-${round}-${i}`, run]);
    });
    return calls / seconds;
  });
}

const emit = {
  ours: `select absurd.emit_event('bench', $1, '{"paid": true}')`,
  floor: `select floor_emit($1, '{"paid": true}')`,
};

async function emits(client) {
  return pairs(async (which, round) => {
    await waiting(client, `${which}${round}`, calls, false);
    await client.query('analyze absurd.w_bench, absurd.r_bench, absurd.t_bench');
    const seconds = await timed(async () => {
      for (let i = 1; i <= calls; i++) await client.query(emit[which], [`${which}${round}-${i}`]);
    });
    return calls / seconds;
  });
}

async function crowd(client) {
  return pairs(async (which, round) => {
    await waiting(client, `crowd-${which}${round}`, 1000, true);
    return 1000 / (await timed(() => client.query(emit[which], [`crowd-${which}${round}`])));
  });
}

const ended = (client, count) =>
  client.query(
    `with task as (
       insert into absurd.t_bench (task_id, task_name, params, state, attempts, enqueue_at, last_attempt_run)
       select absurd.portable_uuidv7(), 'job', '{"n": 1}', 'completed', 1, clock_timestamp(), absurd.portable_uuidv7()
         from generate_series(1, $1::int) returning task_id, last_attempt_run
     ),
     saved as (
       insert into absurd.c_bench (task_id, checkpoint_name, state, owner_run_id)
       select task_id, 'step', '1', last_attempt_run from task
     )
     insert into absurd.r_bench (run_id, task_id, attempt, state, available_at, completed_at)
     select last_attempt_run, task_id, 1, 'completed', clock_timestamp(), clock_timestamp() - interval '60 days' from task`,
    [count],
  );

/** Halves of the million, turn by turn, so that both delete from tables of the same size. */
async function cleanup(client) {
  await ended(client, Number(values.old));
  await client.query('vacuum analyze');
  const sql = {
    ours: `select absurd.cleanup_tasks('bench', 86400, 1000) as n`,
    floor: `select floor_cleanup(clock_timestamp() - interval '1 day', 1000) as n`,
  };
  const spent = { ours: 0, floor: 0 };
  const gone = { ours: 0, floor: 0 };
  for (let batch = 0; ; batch++) {
    const which = batch % 2 === 0 ? 'ours' : 'floor';
    let n = 0;
    spent[which] += await timed(async () => (n = (await client.query(sql[which])).rows[0].n));
    gone[which] += n;
    if (n === 0) break;
    // What autovacuum would do meanwhile; neither side pays for the other's dead rows then.
    if (batch % 100 === 99) await client.query('vacuum');
  }
  const [ours, floor] = [gone.ours / spent.ours, gone.floor / spent.floor];
  return { ours, floor, ratio: ours / floor };
}

/** Milliseconds a task from claim to completion in five stretches, with and without a snapshot that was opened before. */
async function underSnapshot(database, hold) {
  const { client, url } = await scene(database);
  const count = Number(values.held);
  await client.query(`select absurd.spawn_task('bench', 'job', '{}') from generate_series(1, $1::int)`, [count]);
  await client.query('vacuum analyze');
  const holder = await connect(url);
  if (hold) await holder.query('begin isolation level repeatable read; select 1 from absurd.queues');
  const stretches = [];
  for (let part = 0; part < 5; part++) {
    const seconds = await timed(async () => {
      for (let i = 0; i < count / 5; i++) {
        await client.query(
          `select absurd.complete_run('bench', c.run_id) from absurd.claim_task('bench', 'w', 60, 1) c`,
        );
      }
    });
    stretches.push((seconds * 1000) / (count / 5));
  }
  const doctor = spawnSync(
    process.execPath,
    [bin, 'doctor', '--transaction-age', '1', '--idle-age', '1', '--fail-on', 'never'],
    { encoding: 'utf8', env: { ...process.env, ABSURD_DATABASE_URL: url } },
  );
  await holder.end();
  await client.end();
  return { stretches, said: doctor.stdout + doctor.stderr };
}

await withServer(async (database) => {
  console.log(`median of ${rounds} pairs; calls one after another on one connection`);
  const rows = [['', 'ours /s', 'floor /s', 'ratio']];
  const line = (name, { ours, floor, ratio }) => rows.push([name, ours.toFixed(0), floor.toFixed(0), ratio.toFixed(2)]);
  const { client } = await scene(database);
  line('checkpoint, with its lease', await checkpoints(client));
  line('emit, one waiter', await emits(client));
  line('emit, 1,000 waiters (waiters /s)', await crowd(client));
  line(`cleanup of ${Number(values.old).toLocaleString('en')} (tasks /s)`, await cleanup(client));
  await client.end();
  table(rows);

  const free = await underSnapshot(database, false);
  const held = await underSnapshot(database, true);
  console.log(`\nClaim and complete of ${values.held} tasks, milliseconds a task, a fifth at a time`);
  table([
    ['', '1st', '2nd', '3rd', '4th', '5th'],
    ['no other transaction', ...free.stretches.map((ms) => ms.toFixed(2))],
    ['an old snapshot held open', ...held.stretches.map((ms) => ms.toFixed(2))],
    ['ratio', ...held.stretches.map((ms, i) => (ms / free.stretches[i]).toFixed(2))],
  ]);
  console.log(`\ndoctor with the snapshot open:\n${held.said}`);
});
