import type { Connection, TestDatabase } from '../support/database.js';

/** What the workers of a queue did, all together. */
export interface Deeds {
  spawned: string[];
  completed: string[];
  checkpoints: number;
  /** SQLSTATE and message of whatever went wrong. */
  errors: string[];
  longestMs: number;
}

/**
 * Works as programs on an old schema do, whose functions are only stand-ins here: the statements that claim, save and complete,
 * straight on the tables, in short transactions. Every third task is left running, as by a worker that died.
 */
export async function oldWorkers(db: TestDatabase, queue: string, count: number): Promise<() => Promise<Deeds>> {
  const deeds: Deeds = { spawned: [], completed: [], checkpoints: 0, errors: [], longestMs: 0 };
  let stopped = false;
  const workers = Array.from({ length: count }, async (_, n) => {
    const connection = await db.connect();
    // Longer than any wait that an upgrade may cause, however loaded the machine is.
    await connection.query(`set lock_timeout = '10s'`);
    for (let i = 0; !stopped && deeds.errors.length === 0; i++) {
      const begun = Date.now();
      try {
        await turn(connection, queue, `old-${n}`, i, deeds);
      } catch (error) {
        deeds.errors.push(`${(error as { code?: string }).code}: ${String(error)}`);
      }
      deeds.longestMs = Math.max(deeds.longestMs, Date.now() - begun);
    }
  });
  return async () => {
    stopped = true;
    await Promise.all(workers);
    return deeds;
  };
}

async function turn(db: Connection, queue: string, worker: string, i: number, deeds: Deeds): Promise<void> {
  const [tasks, runs, checkpoints] = ['t', 'r', 'c'].map((letter) => `absurd.${letter}_${queue}`);
  const spawned = await db.query<{ task_id: string }>(
    `with ids as (select gen_random_uuid() as task_id, gen_random_uuid() as run_id),
          task as (insert into ${tasks} (task_id, task_name, params, cancellation, enqueue_at, state, attempts, last_attempt_run)
                   select task_id, 'job', '{}', $1::jsonb, now(), 'pending', 1, run_id from ids)
     insert into ${runs} (run_id, task_id, attempt, state, available_at)
     select run_id, task_id, 1, 'pending', now() from ids returning task_id`,
    [i % 2 === 0 ? '{"max_duration": 100000}' : null],
  );
  deeds.spawned.push(...spawned.rows.map((row) => row.task_id));

  await db.query('begin');
  const claimed = await db.query<{ run_id: string; task_id: string }>(
    `with candidate as (
       select r.run_id from ${runs} r where r.state in ('pending', 'sleeping') and r.available_at <= now()
        order by r.available_at, r.run_id limit 1 for update skip locked)
     update ${runs} r set state = 'running', claimed_by = $1, claim_expires_at = now() + interval '2 seconds', started_at = now()
       from candidate where r.run_id = candidate.run_id returning r.run_id, r.task_id`,
    [worker],
  );
  const run = claimed.rows[0];
  if (run) {
    await db.query(
      `update ${tasks} set state = 'running', first_started_at = coalesce(first_started_at, now()), last_attempt_run = $2
        where task_id = $1`,
      [run.task_id, run.run_id],
    );
  }
  await db.query('commit');
  if (!run || i % 3 === 2) return;

  await db.query(
    `insert into ${checkpoints} (task_id, checkpoint_name, state, owner_run_id, updated_at) values ($1, 'step', '1', $2, now())
     on conflict (task_id, checkpoint_name) do update set state = excluded.state`,
    [run.task_id, run.run_id],
  );
  deeds.checkpoints++;
  await db.query('begin');
  await db.query(`select 1 from ${runs} where run_id = $1 for update`, [run.run_id]);
  await db.query(`update ${runs} set state = 'completed', completed_at = now(), result = '1' where run_id = $1`, [
    run.run_id,
  ]);
  await db.query(`update ${tasks} set state = 'completed', completed_payload = '1' where task_id = $1`, [run.task_id]);
  await db.query(`delete from absurd.w_${queue} where run_id = $1`, [run.run_id]);
  await db.query('commit');
  deeds.completed.push(run.task_id);
}
