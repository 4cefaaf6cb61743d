/** Who changed what, when and why: a row an operation, in the transaction of the change. */
import { hostname, userInfo } from 'node:os';
import { changes } from '../../src/lib/cli/declaration.js';
import { keptArguments } from '../../src/lib/operations/log.js';
import type { Operation } from '../../src/sql/operations.js';
import { loadCommands } from '../../src/main.js';
import { installOlder } from '../sql/older.js';
import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';
import { failedTask } from './failed-task.js';
import { withRole } from './roles.js';

const listed = async (db: TestDatabase, ...flags: string[]): Promise<Operation[]> =>
  (await run(['list-operations', ...flags, '--json'], db)).json<Operation[]>();

test('a change leaves a row with the command, who ran it, why and which task it changed', async ({ db }) => {
  await db.queue('mail');
  const { task_id: id } = await db.spawn('mail', 'send');

  const done = await run(['cancel-task', id, '-q', 'mail', '--reason', 'wrong address', '-d', db.url], {});

  expect(done.code).toBe(0);
  const [operation, ...others] = await listed(db);
  expect(others).toEqual([]);
  expect(operation).toMatchObject({
    command: 'cancel-task',
    reason: 'wrong address',
    queue_name: 'mail',
    task_ids: [id],
    task_count: 1,
    database_role: 'postgres',
    os_user: userInfo().username,
    os_host: hostname(),
  });
  expect(operation?.arguments.slice(0, 4)).toEqual([id, '-q', 'mail', '-d']);
});

test('no row is left by what changed nothing: a task that had ended, a known key, a dry run, a refusal', async ({
  db,
}) => {
  await db.queue('mail');
  const { task_id: id } = await db.spawn('mail', 'send', {}, { idempotency_key: 'k' });
  await db.query('select absurd.cancel_task($1, $2)', ['mail', id]);

  for (const [argv, code] of [
    [['cancel-task', id], 0],
    [['retry-task', id], 4],
    [['spawn-task', 'send', '-q', 'mail', '--idempotency-key', 'k'], 0],
    [['create-queue', 'mail'], 0],
    [['resume-queue', 'mail'], 0],
    [['cancel-task', '-q', 'mail', '--all', '--dry-run'], 0],
    [['cancel-task', '-q', 'mail', '--all', '--yes'], 0],
    [['cleanup', 'mail', '10'], 0],
    [['create-schedule', 's', '--task', 't', '-q', 'mail', '--every', '1h', '--dry-run'], 0],
    [['migrate'], 0],
    [['init'], 0],
  ] as const)
    expect((await run([...argv], db)).code, argv.join(' ')).toBe(code);

  expect(await listed(db)).toEqual([]);
});

test('a change that is rolled back takes its row with it', async ({ db }) => {
  await db.queue('mail');
  await db.query(`create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$`);
  await db.query('create trigger refuse before insert on absurd.operations for each row execute function refuse()');

  const refused = await run(['spawn-task', 'send', '-q', 'mail'], db);

  expect(refused.code).toBe(1);
  expect((await db.query('select 1 from absurd.t_mail')).rows).toEqual([]);
});

test('a bulk command writes one row a run, over batches and queues, with its filter', async ({ db }) => {
  await db.queue('a');
  await db.queue('b');
  for (let i = 0; i < 120; i++) await db.spawn('a', 'send');
  await db.spawn('b', 'send');

  await run(['cancel-task', '-q', 'a', '-n', 'send', '--yes', '--reason', 'bad release'], db);
  await run(['spawn-task', 'send', '-q', 'a'], db);
  await db.spawn('b', 'send');
  await run(['cancel-task', '-n', 'send', '--yes'], db);

  const [several, , bulk] = await listed(db);
  expect(bulk).toMatchObject({ command: 'cancel-task', queue_name: 'a', task_count: 120, reason: 'bad release' });
  expect(bulk?.arguments).toEqual(['-q', 'a', '-n', 'send', '--yes']);
  expect(new Set(bulk?.task_ids).size).toBe(120);
  expect(several).toMatchObject({ queue_name: null, task_count: 3 });
  // Of a queue also what concerns several.
  expect((await listed(db, '-q', 'b')).map(({ task_count: count }) => count)).toEqual([3]);
});

test('the first 1,000 tasks are kept, and all are counted', async ({ db }) => {
  await db.queue('mail');
  const lines = Array.from({ length: 1200 }, () => '{"name": "send"}').join('\n');

  expect((await run(['spawn-tasks', '-', '-q', 'mail'], { url: db.url, stdin: lines })).code).toBe(0);

  const [operation, ...others] = await listed(db);
  expect(others).toEqual([]);
  expect(operation).toMatchObject({ command: 'spawn-tasks', queue_name: 'mail', task_count: 1200 });
  expect(operation?.task_ids).toHaveLength(1000);
});

test('several queues that are named get a row each', async ({ db }) => {
  for (const name of ['a', 'b', 'c']) await db.queue(name);

  await run(['pause-queue', 'a', 'b', '--reason', 'deploy'], db);
  await run(['resume-queue', '--all'], db);

  const rows = await listed(db);
  expect(rows.map(({ command, queue_name: queue }) => `${command} ${queue}`).sort()).toEqual([
    'pause-queue a',
    'pause-queue b',
    'resume-queue a',
    'resume-queue b',
  ]);
  expect(await listed(db, '-q', 'c')).toEqual([]);
});

test('filters: queue, task, command and time; a queue and a task that no longer exist', async ({ db }) => {
  await db.queue('mail');
  const failed = await failedTask(db, 'mail');
  await run(['retry-task', failed, '-q', 'mail'], db);
  await run(['create-queue', 'other'], db);
  await run(['drop-queue', 'mail', '--yes', '--reason', 'moved'], db);

  const commands = async (...flags: string[]): Promise<string[]> =>
    (await listed(db, ...flags)).map(({ command }) => command);
  expect(await commands('-q', 'mail')).toEqual(['drop-queue', 'retry-task']);
  expect(await commands('--task', failed)).toEqual(['retry-task']);
  expect(await commands('--command', 'create-queue')).toEqual(['create-queue']);
  expect(await commands('--since', '1h', '-l', '1')).toEqual(['drop-queue']);
  expect(await commands('--until', '1h')).toEqual([]);
  const unknown = await run(['list-operations', '-q', 'mial'], db);
  expect(unknown.code).toBe(3);
  expect((await run(['list-operations', '--since', 'soon'], db)).code).toBe(2);
});

test('a terminal, a pipe, CSV and names', async ({ db }) => {
  await db.queue('mail');
  await run(['pause-queue', 'mail', '--reason', 'SMTP is down'], db);
  const [operation] = await listed(db);

  const terminal = await run(['list-operations'], { url: db.url, width: 140 });
  expect(terminal.stdout).toContain(`${userInfo().username}@${hostname()}`);
  expect(terminal.stdout).toContain('pause-queue mail');
  expect(terminal.stdout).toContain('SMTP is down');
  const pipe = (await run(['list-operations'], db)).stdout.split('\t');
  expect(pipe.slice(1, 4)).toEqual([`${userInfo().username}@${hostname()}`, 'postgres', 'pause-queue mail']);
  expect((await run(['list-operations', '-o', 'csv'], db)).stdout).toMatch(
    /^performed_at,actor,database_role,command_line/,
  );
  expect((await run(['list-operations', '-o', 'name'], db)).stdout).toBe(`${operation?.operation_id ?? ''}\n`);
});

test.for([
  [
    ['x', '--reason', 'why', '-q', 'mail'],
    ['x', '-q', 'mail'],
  ],
  [
    ['--reason=why', '--', '--reason'],
    ['--', '--reason'],
  ],
  [
    ['-d', 'postgresql://anna:s3cret@db/app'],
    ['-d', 'postgresql://anna:***@db/app'],
  ],
  [['-dhost=db password=s3cret'], ['-dhost=db password=***']],
  [
    ['-P', 'card.token=s3cret', '-Papi_key:="s3cret"'],
    ['-P', 'card.token=***', '-Papi_key:=***'],
  ],
  [
    ['-H', 'authorization=Bearer s3cret'],
    ['-H', 'authorization=***'],
  ],
  [['--header=x-api-key=s3cret'], ['--header=x-api-key=***']],
  [
    ['--params', '{"to": "a", "password": "s3c\\"ret", "n": {"secret": 12}}'],
    ['--params', '{"to": "a", "password": "***", "n": {"secret": "***"}}'],
  ],
  [
    ['-P', 'url=https://anna:s3cret@host/'],
    ['-P', 'url=https://anna:***@host/'],
  ],
  [
    ['-P', 'to=anna@example.com', '--idempotency-key', 'k=1'],
    ['-P', 'to=anna@example.com', '--idempotency-key', 'k=1'],
  ],
] as const)('arguments are kept without secrets: %j', ([typed, kept]) => {
  expect(keptArguments(typed)).toEqual(kept);
});

test('a long line is cut', () => {
  const kept = keptArguments(['x'.repeat(2000), ...Array.from({ length: 200 }, (_, i) => String(i))]);
  expect(kept[0]?.length).toBeLessThanOrEqual(500);
  expect(kept.at(-1)).toBe('… and 101 more');
});

test('on a schema without operations, changes leave no row and are made', async ({ db }) => {
  await db.query('drop function absurd.get_schema_features(); drop table absurd.operations');

  expect((await run(['create-queue', 'mail'], db)).code).toBe(0);
  const { task_id: id } = await db.spawn('mail', 'send');
  expect(await run(['cancel-task', id, '--json'], db)).toMatchObject({ code: 0, stderr: '' });
});

test('on schema 0.4.0 a reason is refused before anything is written', async ({ emptyDatabase: db }) => {
  await installOlder(db, '0.4.0');

  await db.query(`insert into absurd.t_q (task_id, task_name, params, enqueue_at, state, attempts)
                  values ('019a32d3-8425-7ae2-a5af-2f17a6707666', 'send', '{}', now(), 'pending', 1)`);
  for (const argv of [
    ['spawn-task', 'send', '-q', 'q', '--reason', 'why'],
    ['cancel-task', '-q', 'q', '--all', '--yes', '--reason', 'why'],
    ['cleanup', 'q', '0', '--reason', 'why'],
    ['list-operations'],
  ]) {
    const refused = await run([...argv, '--json'], db);
    expect(refused.code, argv.join(' ')).toBe(5);
    expect(JSON.parse(refused.stderr)).toMatchObject({
      code: 'schema_too_old',
      hint: expect.stringContaining('absurdctl init') as string,
    });
  }
  expect((await db.query('select state from absurd.t_q')).rows).toEqual([{ state: 'pending' }]);
  // init brings what records it.
  expect((await run(['init', '--reason', 'upgrade to 0.5'], db)).code).toBe(0);
  expect(await listed(db)).toMatchObject([{ command: 'init', reason: 'upgrade to 0.5' }]);
});

test('a role without the right still works and is told; with a reason it is refused', async ({ db }) => {
  await db.queue('mail');
  await withRole(db, async ({ name, url }) => {
    await run(['grants', name, '--as', 'worker', '--apply'], db);
    await db.query(`revoke insert on absurd.operations from "${name}"`);

    const done = await run(['spawn-task', 'send', '-q', 'mail', '--json'], { url });
    expect(done.code).toBe(0);
    expect(done.stderr).toContain('this role may not write absurd.operations');
    const refused = await run(['spawn-task', 'send', '-q', 'mail', '--reason', 'why', '--json'], { url });
    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.stderr)).toMatchObject({
      code: 'not_permitted',
      hint: expect.stringContaining(`absurdctl grants ${name} --as worker --apply`) as string,
    });
    expect((await db.query('select 1 from absurd.t_mail')).rows).toHaveLength(1);
  });
});

test('every command that changes something takes a reason', async () => {
  // A program at work, and what takes the operations with it.
  const unrecorded = ['demo', 'dev', 'work', 'uninstall', 'install-skill', 'completion', 'export-task'];
  const without = (await loadCommands())
    .filter((command) => changes(command, []) && command.flags?.reason === undefined)
    .map(({ id }) => id);
  expect(without.filter((id) => !unrecorded.includes(id))).toEqual([]);
});
