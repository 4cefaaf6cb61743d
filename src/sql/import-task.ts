/** Loads the export of a task as rows of a queue, under new ids. */
import { schemaFeatures } from './features.js';
import { checkpoints, events, keys, runs, tasks, waits } from './identifiers.js';
import type { Queryable } from './queryable.js';

export interface ImportedTask {
  queue_name: string;
  task_id: string;
  /** Its latest run. */
  run_id: string | null;
  state: string;
  /** False when this export had been loaded before. */
  created: boolean;
}

/** The task that an earlier import of this export created, by the key of imports. */
export async function findImported(
  db: Queryable,
  queueName: string,
  { key, partitioned }: { key: string; partitioned: boolean },
): Promise<ImportedTask | undefined> {
  const { rows } = await db.query<ImportedTask>(
    `select $1::text as queue_name, t.task_id, t.last_attempt_run as run_id, t.state, false as created
       from ${tasks(queueName)} t
      where ${
        partitioned
          ? `t.task_id = (select k.task_id from ${keys(queueName)} k where k.idempotency_key = $2)`
          : 't.idempotency_key = $2'
      }`,
    [queueName, key],
  );
  return rows[0];
}

/**
 * Locks the events that the task waits for, and makes those that nobody heard of. An emission that is under way is waited
 * for, and seen by the next statement; a later one finds the wait.
 */
async function lockAwaited(db: Queryable, queueName: string, json: string): Promise<void> {
  await db.query(
    `insert into ${events(queueName)} as e (event_name, payload, emitted_at)
     select distinct w.event_name, null::jsonb, timestamptz 'epoch'
       from (select ($1::jsonb) -> 'task' as task) s
      cross join lateral jsonb_to_recordset(s.task -> 'waits') w (run_id uuid, event_name text)
       join lateral jsonb_to_recordset(s.task -> 'runs') r (run_id uuid, state text)
         on r.run_id = w.run_id and r.state = 'sleeping'
      order by w.event_name
     on conflict (event_name) do update set payload = e.payload where false`,
    [json],
  );
}

/**
 * The parent of the exported task here: the task of that id, or the one that an import made of it, in the queue that the
 * export names or the one that is imported into. Null where neither exists.
 */
async function findParent(
  db: Queryable,
  queueName: string,
  json: string,
): Promise<{ task_id: string; queue_name: string } | null> {
  const { rows } = await db.query<{ id: string; queue: string; mode: string }>(
    `select p.id, k.queue_name as queue, k.storage_mode as mode
       from (select t.parent_task_id as id, array[coalesce(t.parent_queue, t.queue_name), $2] as queues
               from jsonb_to_record(($1::jsonb) -> 'task') t (parent_task_id uuid, parent_queue text, queue_name text)) p
       join absurd.queues k on k.queue_name = any (p.queues)
      where p.id is not null
      order by array_position(p.queues, k.queue_name)`,
    [json, queueName],
  );
  for (const { id, queue, mode } of rows) {
    const { rows: found } = await db.query<{ task_id: string }>(
      `(select t.task_id, 0 as place from ${tasks(queue)} t where t.task_id = $1::uuid)
       union all
       (select i.task_id, 1 from ${mode === 'partitioned' ? keys(queue) : tasks(queue)} i
         where starts_with(i.idempotency_key, 'imported:' || $1::uuid || '@')
         order by i.task_id desc limit 1)
       order by place limit 1`,
      [id],
    );
    if (found[0] !== undefined) return { task_id: found[0].task_id, queue_name: queue };
  }
  return null;
}

/**
 * Must run inside a transaction. The document goes in as JSON and is taken apart by the server, so that every digit is kept.
 * A run that was claimed becomes a pending one, since nobody works on it here; so does one that waited for an event that has
 * been emitted here. No worker of this queue had its runs, so none is named. Cancellation limits count from times that have passed: they go into the header `imported_from` instead.
 * So does a parent, which is also the parent here where it exists here, by its id or as an import.
 */
export async function importTask(
  db: Queryable,
  queueName: string,
  { json, key, partitioned }: { json: string; key: string | null; partitioned: boolean },
): Promise<ImportedTask> {
  const features = await schemaFeatures(db);
  const parent = features.includes('task_tree') ? await findParent(db, queueName, json) : null;
  const times = features.includes('step_times');
  await lockAwaited(db, queueName, json);
  const { rows } = await db.query<ImportedTask>(
    `with source as materialized (
       select $2::jsonb as document, ($2::jsonb) -> 'task' as task, absurd.portable_uuidv7() as task_id,
              absurd.current_time() as now
     ),
     old_run as materialized (
       select r.*, absurd.portable_uuidv7() as new_id
         from source s
        cross join lateral jsonb_to_recordset(s.task -> 'runs') r (
                run_id uuid, attempt integer, state text, claim_expires_at timestamptz, available_at timestamptz, wake_event text,
                event_payload jsonb, created_at timestamptz, started_at timestamptz, completed_at timestamptz,
                failed_at timestamptz, result jsonb, failure_reason jsonb)
     ),
     new_run as materialized (
       select o.*, f.freed
         from old_run o
        cross join lateral (
          select o.state = 'running'
                 or (o.state = 'sleeping' and exists (
                       select from ${events(queueName)} e where e.event_name = o.wake_event and e.payload is not null
                     )) as freed
        ) f
     ),
     old_wait as materialized (
       select w.*, r.new_id
         from source s
        cross join lateral jsonb_to_recordset(s.task -> 'waits') w (
                run_id uuid, step_name text, event_name text, timeout_at timestamptz, created_at timestamptz)
         join new_run r on r.run_id = w.run_id and r.state = 'sleeping' and not r.freed
     ),
     new_task as (
       insert into ${tasks(queueName)} (
                task_id, task_name, params, headers, retry_strategy, max_attempts, enqueue_at, first_started_at, state,
                attempts, last_attempt_run, completed_payload, cancelled_at, idempotency_key
                ${parent === null ? '' : ', parent_task_id, parent_queue'})
       select s.task_id, t.task_name, coalesce(t.params, 'null'),
              case jsonb_typeof(t.headers) when 'object' then t.headers else '{}' end
                || jsonb_build_object('imported_from', jsonb_strip_nulls(jsonb_build_object(
                     'task_id', t.task_id, 'queue_name', t.queue_name, 'exported_at', s.document ->> 'exported_at',
                     'cancellation', t.cancellation,
                     'parent', case when t.parent_task_id is not null then jsonb_build_object(
                       'task_id', t.parent_task_id, 'queue_name', t.parent_queue) end))),
              nullif(t.retry_strategy, 'null'), t.max_attempts, t.enqueue_at, t.first_started_at,
              case when last.freed then 'pending' else t.state end, t.attempts, last.new_id,
              nullif(s.task -> 'completed_payload', 'null'), t.cancelled_at, $3::text
              ${parent === null ? '' : ', $4::uuid, $5::text'}
         from source s
        cross join lateral jsonb_to_record(s.task) t (
                task_id uuid, task_name text, queue_name text, params jsonb, headers jsonb, retry_strategy jsonb,
                cancellation jsonb, max_attempts integer, enqueue_at timestamptz, first_started_at timestamptz,
                state text, attempts integer, last_attempt_run uuid, cancelled_at timestamptz, parent_task_id uuid,
                parent_queue text)
         left join new_run last on last.run_id = t.last_attempt_run
       returning task_id, last_attempt_run, state
     ),
     new_runs as (
       insert into ${runs(queueName)} (
                run_id, task_id, attempt, state, claim_expires_at, available_at, wake_event, event_payload, created_at,
                started_at, completed_at, failed_at, result, failure_reason)
       select r.new_id, s.task_id, r.attempt, case when r.freed then 'pending' else r.state end,
              case when not r.freed then r.claim_expires_at end,
              case when r.freed then s.now else r.available_at end,
              case when not r.freed then r.wake_event end, r.event_payload, r.created_at, r.started_at, r.completed_at,
              r.failed_at, r.result, r.failure_reason
         from new_run r
        cross join source s
     ),
     new_checkpoints as (
       insert into ${checkpoints(queueName)} (
                task_id, checkpoint_name, state, status, owner_run_id, updated_at ${times ? ', started_at' : ''})
       select s.task_id, c.checkpoint_name, c.state, c.status, r.new_id, c.updated_at ${times ? ', c.started_at' : ''}
         from source s
        cross join lateral jsonb_to_recordset(s.task -> 'checkpoints') c (
                checkpoint_name text, state jsonb, status text, owner_run_id uuid, updated_at timestamptz, started_at timestamptz)
         left join new_run r on r.run_id = c.owner_run_id
     ),
     new_waits as (
       insert into ${waits(queueName)} (task_id, run_id, step_name, event_name, timeout_at, created_at)
       select s.task_id, w.new_id, w.step_name, w.event_name, w.timeout_at, w.created_at
         from old_wait w
        cross join source s
     )${
       partitioned && key !== null
         ? `,
     new_key as (
       insert into ${keys(queueName)} (idempotency_key, task_id) select $3::text, s.task_id from source s
     )`
         : ''
     }
     select $1::text as queue_name, t.task_id, t.last_attempt_run as run_id, t.state, true as created
       from new_task t`,
    [queueName, json, key, ...(parent === null ? [] : [parent.task_id, parent.queue_name])],
  );
  const [imported] = rows;
  if (imported === undefined) throw new Error('the import made no task');
  return imported;
}
