/** Pauses, delays, a schedule and families in a round. */
import { readTaskWaits } from './history.js';
import { planScript } from './plan.js';
import { pause, type Scene } from './scene.js';

/** Parents wait here, claimed by hand; the workers of the round run their children. */
const parents = 'parents';
const schedule = 'every second';

export async function beginCapabilities(scene: Scene): Promise<void> {
  await scene.ask('select absurd.create_queue($1)', [parents]);
  const options = JSON.stringify({ every: '1 second', missed: 'all', overlap: 'allow' });
  await scene.ask(`select absurd.set_schedule($1, $2, 'scripted', '{"script": []}', $3)`, [
    schedule,
    scene.queue,
    options,
  ]);
}

/** No new work comes from the schedule while everybody finishes. */
export async function endSchedule(scene: Scene): Promise<void> {
  await scene.ask('select absurd.drop_schedule($1)', [schedule]);
}

export async function readWaits(scene: Scene): Promise<void> {
  scene.facts.taskWaits = await scene.connected((client) => readTaskWaits(client, scene.queue));
}

export async function spawnDelayed(scene: Scene): Promise<void> {
  const options = `jsonb_build_object('start_at', absurd.current_time() + make_interval(secs => $3), 'max_attempts', 100)`;
  await scene.connected(async (client) => {
    const { rows } = await client.query<{ task_id: string; created: boolean; start_at: string }>(
      `select s.task_id, s.created, o.options ->> 'start_at' as start_at
         from (select ${options} as options) o
        cross join lateral absurd.spawn_task($1, 'scripted', $2, o.options) s`,
      [scene.queue, JSON.stringify({ script: planScript(scene.random) }), scene.random.pick([0.3, 1, 2])],
    );
    for (const { task_id: taskId, created, start_at: startAt } of rows) {
      scene.facts.spawned.push({ taskId, created, startAt });
    }
  });
}

/** A parent and some children; it waits for all of them, or for any. */
export async function spawnFamily(scene: Scene): Promise<void> {
  const { random } = scene;
  await scene.connected(async (client) => {
    await client.query('begin');
    await client.query(`select absurd.spawn_task($1, 'parent', '{}')`, [parents]);
    const [parent] = (
      await client.query<{ task_id: string; run_id: string }>(
        `select task_id, run_id from absurd.claim_task($1, 'by hand', 86400, 1)`,
        [parents],
      )
    ).rows;
    if (parent === undefined) throw new Error('the parent was not claimed');
    const children: { task_id: string; queue: string }[] = [];
    for (let n = random.between(1, 3); n > 0; n -= 1) {
      const options = { max_attempts: 100, parent: { queue: parents, task_id: parent.task_id } };
      const { rows } = await client.query<{ task_id: string }>(
        `select task_id from absurd.spawn_task($1, 'scripted', $2, $3)`,
        [scene.queue, JSON.stringify({ script: planScript(random) }), JSON.stringify(options)],
      );
      for (const { task_id } of rows) children.push({ task_id, queue: scene.queue });
    }
    await client.query(`select * from absurd.await_tasks($1, $2, $3, 'children', $4, $5)`, [
      parents,
      parent.task_id,
      parent.run_id,
      JSON.stringify(children),
      random.pick(['all', 'any']),
    ]);
    await client.query('commit');
    for (const { task_id: taskId } of children) scene.facts.spawned.push({ taskId, created: true });
  });
}

/** Once the claims that could not see the pause are over, nothing may be claimed until it ends. */
export async function pauseAndResume(scene: Scene): Promise<void> {
  await scene.ask(`select absurd.pause_queue($1, null, 'chaos')`, [scene.queue]);
  const [now] = await scene.ask('select clock_timestamp()::text as at');
  const older = `select 1 from pg_stat_activity a
                  where a.datname = current_database() and a.pid <> pg_backend_pid() and a.state <> 'idle'
                    and a.query ~ 'claim' and a.xact_start <= $1::timestamptz limit 1`;
  while ((await scene.ask(older, [now?.['at']])).length > 0) await pause(20);
  await scene.note({ note: 'paused' });
  await pause(scene.random.between(200, 1500));
  await scene.note({ note: 'resuming' });
  await scene.ask('select absurd.resume_queue($1)', [scene.queue]);
}
