import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDatabase, expect, test, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';
import { failedTask } from './failed-task.js';

const folder = (): string => mkdtempSync(join(tmpdir(), 'absurd-export-'));

interface Task {
  task_id: string;
  state: string;
  created?: boolean;
}

async function dump(db: TestDatabase, id: string): Promise<Record<string, unknown>> {
  return (await run(['dump-task', id, '--json'], db)).json();
}

/** What must be the same in a copy: all but ids, and what import leaves behind. */
function essence(text: string): unknown {
  const task = JSON.parse(text, (key, value: unknown) =>
    /^(task_id|run_id|claimed_by|owner_run_id|last_attempt_run|idempotency_key|cancellation|imported_from)$/.test(key)
      ? undefined
      : value,
  ) as { headers: unknown };
  return task;
}

test('a failed task is written, loaded elsewhere under new ids, and tried again there', async ({ db }) => {
  await db.queue('mail');
  const id = await failedTask(db, 'mail');
  const cwd = folder();
  const written = await run(['export-task', id, 'task.json'], { ...db, cwd });
  expect(written).toMatchObject({ code: 0, stdout: `Task ID: ${id}\nRuns: 1\nCheckpoints: 3\nFile: task.json\n` });
  const text = readFileSync(join(cwd, 'task.json'), 'utf8');
  expect(text).toContain('12345678901234567890.5');
  expect(statSync(join(cwd, 'task.json')).mode & 0o777).toBe(0o600);
  expect((await run(['export-task', id, 'task.json'], { ...db, cwd })).code).toBe(4);
  expect((await run(['export-task', id, 'task.json', '--force'], { ...db, cwd })).code).toBe(0);
  const piped = (await run(['export-task', id], db)).json<{ task: unknown }>();
  expect(piped.task).toEqual((JSON.parse(text) as { task: unknown }).task);

  const desk = await createDatabase('current', true);
  try {
    const loaded = await run(['import-task', 'task.json', '--json'], { ...desk.database, cwd });
    expect(loaded).toMatchObject({ code: 0, stderr: '' });
    const made = loaded.json<Task>();
    expect(made).toMatchObject({ queue_name: 'mail', state: 'failed', created: true });
    expect(made.task_id).not.toBe(id);
    const there = await run(['dump-task', made.task_id, '--json'], desk.database);
    expect(essence(there.stdout)).toEqual(essence((await run(['dump-task', id, '--json'], db)).stdout));
    expect(there.stdout).toContain('12345678901234567890.5');
    // Its worker never served this queue.
    expect((await run(['list-workers', '--json'], desk.database)).json()).toEqual([]);
    expect((await dump(desk.database, made.task_id)).headers).toMatchObject({
      tenant: 'x',
      imported_from: { task_id: id, queue_name: 'mail', cancellation: { max_duration: 60 } },
    });
    const twice = await run(['import-task', 'task.json', '--json'], { ...desk.database, cwd });
    expect(twice.json()).toMatchObject({ task_id: made.task_id, created: false });
    const again = await run(['import-task', 'task.json', '--again', '-q', 'other'], { ...desk.database, cwd });
    expect(again.stderr).toContain('Created queue "other"');

    expect((await run(['retry-task', made.task_id], desk.database)).code).toBe(0);
    const [claimed] = await desk.database.claim('mail');
    expect(claimed).toMatchObject({ task_id: made.task_id, attempt: 2, params: { cents: 5 } });
    const seen = await desk.database.query(
      `select checkpoint_name from absurd.get_task_checkpoint_states('mail', $1, $2)`,
      [made.task_id, claimed?.run_id],
    );
    expect(seen.rows.map((row) => row.checkpoint_name)).toEqual(['reserve', 'charge', 'pack']);
  } finally {
    await desk.close();
  }
});

test.for(['unpartitioned', 'partitioned'] as const)(
  'running, sleeping and waiting tasks arrive in a state that workers can go on from (%s)',
  async (mode, { db }) => {
    await db.queue('src');
    await db.queue('dst', mode);
    const next = async (name: string): Promise<{ task_id: string; run_id: string }> => {
      const { task_id } = await db.spawn('src', name);
      const [claimed] = await db.claim('src');
      return { task_id, run_id: claimed?.run_id ?? '' };
    };
    const move = async (id: string): Promise<Task> => {
      const { stdout } = await run(['export-task', id], db);
      const loaded = await run(['import-task', '-', '-q', 'dst', '--json'], { ...db, stdin: stdout });
      expect(loaded.code, loaded.stderr).toBe(0);
      const twice = await run(['import-task', '-', '-q', 'dst', '--json'], { ...db, stdin: stdout });
      expect(twice.json()).toMatchObject({ created: false, task_id: loaded.json<Task>().task_id });
      return loaded.json<Task>();
    };
    const running = await next('running');
    const waiter = await next('waits');
    await db.query(`select absurd.await_event('src', $1, $2, 's', 'go')`, [waiter.task_id, waiter.run_id]);
    const sleeper = await next('sleeps');
    await db.query(`select absurd.schedule_run('src', $1, '2999-01-01')`, [sleeper.run_id]);

    expect(await move(running.task_id)).toMatchObject({ state: 'pending' });
    const waiting = await move(waiter.task_id);
    expect(waiting).toMatchObject({ state: 'sleeping' });
    expect(await move(sleeper.task_id)).toMatchObject({ state: 'sleeping' });
    const claimed = await db.claim('dst', { qty: 9 });
    expect(claimed.map((one) => one.task_name)).toEqual(['running']);
    await db.query(`select absurd.emit_event('dst', 'go', '7')`);
    const [woken] = await db.claim('dst', { qty: 9 });
    expect(woken).toMatchObject({ task_id: waiting.task_id, event_payload: 7 });

    const late = await next('late');
    await db.query(`select absurd.await_event('src', $1, $2, 's', 'go')`, [late.task_id, late.run_id]);
    const freed = await move(late.task_id);
    expect(freed).toMatchObject({ state: 'pending' });
    const [again] = await db.claim('dst');
    const answer = await db.query(`select * from absurd.await_event('dst', $1, $2, 's', 'go')`, [
      freed.task_id,
      again?.run_id,
    ]);
    expect(answer.rows).toEqual([{ should_suspend: false, payload: 7 }]);
  },
);

test('a task that is loaded while the event that it waits for is being emitted is woken', async ({ db }) => {
  await db.queue('src');
  await db.queue('dst');
  const emitter = await db.connect();
  const pid = await emitter.pid();
  // One event is awaited in the other queue already, the other is unheard of there.
  for (const event of ['awaited', 'unheard']) {
    await db.spawn('src', 'job');
    const [waiter] = await db.claim('src');
    await db.query(`select absurd.await_event('src', $1, $2, 's', $3)`, [waiter?.task_id, waiter?.run_id, event]);
    const text = (await run(['export-task', String(waiter?.task_id)], db)).stdout;
    if (event === 'awaited') {
      await db.query(`insert into absurd.e_dst (event_name, payload, emitted_at) values ($1, null, 'epoch')`, [event]);
    }

    await emitter.query('begin');
    await emitter.query(`select absurd.emit_event('dst', $1, '7')`, [event]);
    const loading = run(['import-task', '-', '-q', 'dst', '--json'], { ...db, stdin: text });
    let loaded = false;
    void loading.then(() => (loaded = true));
    const waits = 'select 1 from pg_stat_activity where $1 = any (pg_blocking_pids(pid))';
    await expect
      .poll(async () => loaded || (await db.query(waits, [pid])).rowCount === 1, { timeout: 60_000, interval: 10 })
      .toBe(true);
    await emitter.query('commit');

    expect((await loading).json()).toMatchObject({ state: 'pending' });
    expect(await db.claim('dst')).toHaveLength(1);
  }
});

test('a file that is no export is refused, and nothing is loaded', async ({ db }) => {
  await db.queue('mail');
  const id = await failedTask(db, 'mail');
  const cwd = folder();
  const good = (await run(['export-task', id], db)).json<{ task: Record<string, unknown> }>();
  const bad: [unknown, string][] = [
    ['nonsense', 'is not JSON'],
    [[], 'is not the export of a task'],
    [{ ...good, format_version: 2 }, 'format version 2'],
    [{ ...good, task: undefined }, 'has no task in it'],
    [{ ...good, task: { ...good.task, task_id: '[redacted]' } }, 'lacks a valid "task_id"'],
    [{ ...good, task: { ...good.task, runs: [{}] } }, 'lacks a valid "run_id" in its runs'],
    [{ ...good, task: { ...good.task, state: 'odd' } }, 'violates check constraint'],
  ];
  for (const [content, words] of bad) {
    writeFileSync(join(cwd, 'f.json'), typeof content === 'string' ? content : JSON.stringify(content));
    const result = await run(['import-task', 'f.json', '--again'], { ...db, cwd });
    expect(result.code, words).toBe(2);
    expect(result.stderr).toContain(words);
  }
  expect((await run(['import-task', 'nowhere.json'], { ...db, cwd })).code).toBe(3);
  expect((await run(['export-task', id, 'no/such/folder/f.json'], { ...db, cwd })).code).toBe(1);
  expect((await db.query('select from absurd.t_mail')).rowCount).toBe(1);
});

test('--redact masks by path in dumps and exports, and says of a path that masked nothing', async ({ db }) => {
  await db.queue('mail');
  const id = await failedTask(db, 'mail');
  const paths = ['params.card.number', 'checkpoints.state.token', '**.tenant', 'runs.failure_reason.message'];
  const argv = paths.flatMap((path) => ['--redact', path]);
  for (const command of ['dump-task', 'export-task']) {
    for (const mode of [[], ['--json'], ['-o', 'ndjson']]) {
      const { stdout, stderr, code } = await run([command, id, ...argv, ...mode], db);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      for (const secret of ['4111', 'secret', '"x"', 'no van']) expect(stdout).not.toContain(secret);
      expect(stdout.match(/\[redacted\]/g)?.length).toBeGreaterThanOrEqual(4);
      expect(stdout).toContain('12345678901234567890.5');
    }
  }
  const screen = await run(['dump-task', id, '--redact', 'checkpoints.*', '--redact', 'params'], { ...db, width: 120 });
  expect(screen.stdout).not.toContain('secret');
  expect(screen.stdout).not.toContain('4111');
  const slip = await run(['dump-task', id, '--redact', 'params.crad', '--json'], db);
  expect(slip).toMatchObject({ code: 0, stderr: '--redact params.crad: nothing here has that path\n' });
  expect((await run(['dump-task', id, '--redact', 'a..b'], db)).code).toBe(2);
});

test('the parent, the start that was delayed and the times of steps come along', async ({ db }) => {
  await db.queue('mail');
  const cwd = folder();
  const { task_id: parent } = await db.spawn('mail', 'parent');
  const { task_id: child } = await db.spawn('mail', 'child', {}, { parent: { task_id: parent } });
  const startAt = '2999-01-02T03:04:05.000000Z';
  const { task_id: later } = await db.spawn('mail', 'later', {}, { start_at: startAt });
  await db.claim('mail', { qty: 2 });
  await db.query(
    `insert into absurd.c_mail (task_id, checkpoint_name, state, status, updated_at, started_at)
     values ($1, 'charge', '1', 'committed', '2026-01-01T00:00:05Z', '2026-01-01T00:00:01Z')`,
    [child],
  );
  for (const [id, file] of [
    [parent, 'parent.json'],
    [child, 'child.json'],
    [later, 'later.json'],
  ] as const)
    expect((await run(['export-task', id, file], { ...db, cwd })).code).toBe(0);

  // In the same database the parent is the one that it was.
  const copy = (await run(['import-task', 'child.json', '--json'], { ...db, cwd })).json<Task>();
  expect(await dump(db, copy.task_id)).toMatchObject({
    parent_task_id: parent,
    parent_queue: 'mail',
    checkpoints: [{ checkpoint_name: 'charge', started_at: '2026-01-01T00:00:01.000000Z' }],
  });

  const desk = await createDatabase('current', true);
  try {
    const load = async (...argv: string[]): Promise<Task> =>
      (await run(['import-task', ...argv, '--json'], { ...desk.database, cwd })).json<Task>();
    const orphan = await load('child.json');
    expect(await dump(desk.database, orphan.task_id)).toMatchObject({
      parent_task_id: null,
      headers: { imported_from: { parent: { task_id: parent, queue_name: 'mail' } } },
    });
    const { task_id: imported } = await load('parent.json', '-q', 'desk');
    const again = await load('child.json', '--again', '-q', 'desk');
    expect(await dump(desk.database, again.task_id)).toMatchObject({ parent_task_id: imported, parent_queue: 'desk' });

    const delayed = await load('later.json');
    expect(await dump(desk.database, delayed.task_id)).toMatchObject({
      state: 'sleeping',
      enqueue_at: startAt,
      runs: [{ state: 'sleeping', available_at: startAt, started_at: null }],
    });
    expect((await desk.database.claim('mail', { qty: 10 })).map(({ task_name: name }) => name)).not.toContain('later');
  } finally {
    await desk.close();
  }
});

test('an export with a parent is loaded by a schema that knows of none', async ({ db }) => {
  await db.queue('mail');
  const cwd = folder();
  const { task_id: parent } = await db.spawn('mail', 'parent');
  const { task_id: child } = await db.spawn('mail', 'child', {}, { parent: { task_id: parent } });
  await run(['export-task', child, 'child.json'], { ...db, cwd });
  await db.query('drop function absurd.get_schema_features()');

  const copy = (await run(['import-task', 'child.json', '--json'], { ...db, cwd })).json<Task>();

  expect(await dump(db, copy.task_id)).toMatchObject({
    parent_task_id: null,
    headers: { imported_from: { parent: { task_id: parent, queue_name: 'mail' } } },
  });
});

test.for([
  ['parent_task_id', '"no id"'],
  ['parent_queue', '5'],
] as const)('a file with a bad %s is refused', async ([member, value], { db }) => {
  await db.queue('mail');
  const cwd = folder();
  const { task_id: id } = await db.spawn('mail', 'send');
  const { stdout } = await run(['export-task', id], db);
  writeFileSync(join(cwd, 'bad.json'), stdout.replace(new RegExp(`"${member}": null`), `"${member}": ${value}`));
  const refused = await run(['import-task', 'bad.json'], { ...db, cwd });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain(`lacks a valid "${member}" in its task`);
});
