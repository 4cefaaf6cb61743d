import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';

/** The parts of schema 0.2.0 that these commands touch, as its catalog has them. */
async function installOld(db: TestDatabase): Promise<void> {
  await db.query(`
    create schema absurd;
    create table absurd.queues (queue_name text primary key, created_at timestamptz not null default now());
    create function absurd.current_time() returns timestamptz language sql as 'select clock_timestamp()';
    create function absurd.get_schema_version() returns text language sql as $$select '0.2.0'$$;
    create function absurd.create_queue(p_queue_name text) returns void language sql as
      'insert into absurd.queues (queue_name) values (p_queue_name)';
    create table absurd.t_old (task_id uuid primary key, task_name text not null, params jsonb not null, state text not null);
    create table absurd.r_old (run_id uuid primary key, task_id uuid, state text not null, available_at timestamptz not null);
    insert into absurd.queues (queue_name) values ('old');
    insert into absurd.t_old values ('019a32d3-8425-7ae2-a5af-2f17a6707666', 't', '{}', 'pending');
    insert into absurd.r_old values ('019a32d3-8425-7ae2-a5af-2f17a6707667', '019a32d3-8425-7ae2-a5af-2f17a6707666',
      'pending', '2026-01-01Z');
  `);
}

test('queues of a schema that others installed are listed and counted', async ({ emptyDatabase }) => {
  await installOld(emptyDatabase);

  expect((await run(['schema-version'], emptyDatabase)).stdout).toBe('0.2.0\n');
  expect((await run(['list-queues', '--json'], emptyDatabase)).json()).toMatchObject([
    {
      queue_name: 'old',
      storage_mode: 'unpartitioned',
      pending: 1,
      completed: 0,
      oldest_waiting_at: '2026-01-01T00:00:00.000000Z',
    },
  ]);
});

test('what it lacks is said, with the command that brings it', async ({ emptyDatabase }) => {
  await installOld(emptyDatabase);

  const plain = await run(['create-queue', 'new'], emptyDatabase);
  const partitioned = await run(['create-queue', 'p', '--storage-mode', 'partitioned', '--json'], emptyDatabase);

  expect(plain.code).toBe(0);
  expect(partitioned.code).toBe(5);
  const error = JSON.parse(partitioned.stderr) as { code: string; hint: string };
  expect(error.code).toBe('schema_too_old');
  expect(error.hint).toContain('absurdctl init');
});
