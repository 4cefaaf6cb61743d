// How long a user waits for a command, the whole process, beside a bare `node -e 0`: node bench/startup/run.mjs
//   --rounds N   how often each is run, medians are shown (20)
//   --queues N   queues in the database (20)       --tasks N   tasks in each (50000)
// All are interleaved, so that a busy moment of the machine hits all alike. It ends with exit code 1 when a goal is missed.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { median, table } from '../lib/figures.mjs';
import { bin, install, query, withServer } from '../lib/server.mjs';

const text = (fallback) => ({ type: 'string', default: fallback });
const { values } = parseArgs({ options: { rounds: text('20'), queues: text('20'), tasks: text('50000') } });
const rounds = Number(values.rounds);

/** Tasks in all states, one in fifty of them unfinished, with three checkpoints for each of the last hundred. */
const fill = `
  with task as (
    insert into absurd.%t% (task_id, task_name, params, state, attempts, enqueue_at, last_attempt_run, max_attempts)
    select absurd.portable_uuidv7(), 'job-' || n % 7, '{"n": 1, "text": "a small payload, as most are"}',
           case when n % 50 = 0 then 'pending' when n % 10 = 1 then 'failed' else 'completed' end,
           1, clock_timestamp(), absurd.portable_uuidv7(), 1
      from generate_series(1, $1) n
    returning task_id, last_attempt_run, state
  )
  insert into absurd.%r% (run_id, task_id, attempt, state, available_at, started_at, claimed_by, completed_at, failed_at, failure_reason)
  select last_attempt_run, task_id, 1, state, clock_timestamp(),
         case when state <> 'pending' then clock_timestamp() end, case when state <> 'pending' then 'w' end,
         case state when 'completed' then clock_timestamp() end, case state when 'failed' then clock_timestamp() end,
         case state when 'failed' then '{"name": "Error", "message": "the card terminal did not answer"}'::jsonb end
    from task`;

async function scene(url) {
  await install(url);
  for (let i = 0; i < Number(values.queues); i++) {
    const queue = `queue-${i}`;
    await query(url, 'select absurd.create_queue($1)', [queue]);
    await query(url, fill.replace('%t%', `"t_${queue}"`).replace('%r%', `"r_${queue}"`), [Number(values.tasks)]);
  }
  const [failed] = await query(
    url,
    `select t.task_id, t.last_attempt_run from absurd."t_queue-7" t where t.state = 'failed' limit 1`,
  );
  await query(
    url,
    `insert into absurd."c_queue-7" (task_id, checkpoint_name, state, owner_run_id)
     select $1, 'step-' || n, '{"done": true}', $2 from generate_series(1, 20) n`,
    [failed.task_id, failed.last_attempt_run],
  );
  await query(url, 'vacuum analyze');
  return failed.task_id;
}

await withServer(async (database) => {
  const url = await database('bench_startup');
  const id = await scene(url);
  const cases = [
    { name: 'node -e 0', argv: ['-e', '0'] },
    { name: 'absurdctl --help', argv: [bin, '--help'], goal: 1.5 },
    { name: 'absurdctl init --help', argv: [bin, 'init', '--help'], goal: 1.5 },
    { name: 'absurdctl list-queues', argv: [bin, 'list-queues', '--json'], goal: 1.9 },
    { name: 'absurdctl list-queues | names', argv: [bin, 'list-queues'], goal: 1.9 },
    { name: 'absurdctl list-tasks', argv: [bin, 'list-tasks'], goal: 1.9 },
    { name: 'absurdctl dump-task', argv: [bin, 'dump-task', '--task-id', id], goal: 1.9 },
    { name: 'absurdctl why', argv: [bin, 'why', id], goal: 1.9 },
  ];
  const times = cases.map(() => []);
  const env = { ...process.env, ABSURD_DATABASE_URL: url };
  for (let round = -1; round < rounds; round++) {
    cases.forEach(({ name, argv }, i) => {
      const begun = performance.now();
      const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8', env });
      const ms = performance.now() - begun;
      if (status !== 0) throw new Error(`${name} ended with ${String(status)}: ${stderr}`);
      // The first round fills the code cache and the file cache.
      if (round >= 0) times[i].push(ms);
    });
  }

  const medians = times.map(median);
  console.log(`${values.queues} queues of ${values.tasks} tasks, ${rounds} rounds, medians`);
  table([
    ['', 'ms', 'beside node', 'goal', ''],
    ...cases.map(({ name, goal }, i) => {
      const ratio = medians[i] / medians[0];
      if (goal !== undefined && ratio > goal) process.exitCode = 1;
      return [
        name,
        medians[i].toFixed(0),
        ratio.toFixed(2),
        goal ?? '',
        goal !== undefined && ratio > goal ? 'MISSED' : '',
      ];
    }),
  ]);
});
