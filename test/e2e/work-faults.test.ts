import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCli, type RunningCli } from '../support/cli.js';
import { afterEach, beforeEach, expect, test, type TestDatabase } from '../support/database.js';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'absurd-work-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A worker of queue `q` for tasks that are written as the members of an object: name, handler. */
function work(db: TestDatabase, handlers: string, ...args: string[]): Promise<RunningCli> {
  const file = join(folder, 'tasks.mjs');
  writeFileSync(
    file,
    `const never = new Promise(() => undefined);
     const handlers = { ${handlers} };
     export default Object.entries(handlers).map(([name, handler]) => ({ name, handler }));`,
  );
  return startCli(['work', file, '-q', 'q', '--poll-interval', '0.02', ...args], {
    env: { ABSURD_DATABASE_URL: db.url },
    cwd: folder,
  });
}

async function statesOf(db: TestDatabase): Promise<unknown[]> {
  return (await db.query('select state, attempt from absurd.r_q order by run_id')).rows;
}

test.for([
  { kind: 'Unhandled rejection', stray: `void Promise.reject(new Error('nobody awaits this'))` },
  { kind: 'Uncaught error', stray: `setTimeout(() => { throw new Error('nobody awaits this'); }, 1)` },
])(
  '$kind: the log names the tasks in progress, which are released before the process ends',
  async ({ kind, stray }, { db }) => {
    await db.queue('q');
    const slow = await db.spawn('q', 'slow');
    const worker = await work(
      db,
      `slow: () => never, stray: async () => { ${stray}; await never; }`,
      '--concurrency',
      '2',
    );
    await worker.waitFor(/started +slow/);
    const astray = await db.spawn('q', 'stray');

    const { code, stderr } = await worker.done;

    expect(code).toBe(1);
    const line = stderr.split('\n').find((one) => one.includes(`error      ${kind}: Error: nobody awaits this (`));
    expect(line).toContain('tasks.mjs:');
    expect(line).toContain(`slow ${slow.task_id}`);
    expect(line).toContain(`stray ${astray.task_id}`);
    expect(await statesOf(db)).toEqual([
      { state: 'sleeping', attempt: 1 },
      { state: 'sleeping', attempt: 1 },
    ]);
    expect(await db.claim('q', { qty: 5 })).toHaveLength(2);
  },
);

test('a burst that could not store the end of a run exits with 1 and says why', async ({ db }) => {
  await db.queue('q');
  const { task_id: id } = await db.spawn('q', 'job');
  await db.query(
    `create function refuse() returns trigger language plpgsql as $$ begin raise 'the disk of failures is full'; end $$`,
  );
  await db.query(
    `create trigger refuse before update on absurd.r_q for each row when (new.state = 'failed') execute function refuse()`,
  );

  const { code, stderr } = await (await work(db, `job: () => Promise.reject(new Error('no'))`, '--burst')).done;

  expect(stderr).toContain(`job ${id}: the end of its run could not be stored: the disk of failures is full`);
  expect(stderr).toContain('The end of 1 run could not be stored: the disk of failures is full');
  expect(code).toBe(1);
});

test('a worker whose connections became read-only drops them, and works again once the server takes writes', async ({
  db,
}) => {
  await db.queue('q');
  const worker = await work(db, `job: async () => 'done'`, '--worker-id', 'w');
  const before = await db.spawn('q', 'job');
  await worker.waitFor(new RegExp(`completed +job ${before.task_id}`));
  const sessions = 'from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()';
  const { rows } = await db.query(`select distinct application_name ${sessions}`);
  await db.query(`alter database "${db.name}" set default_transaction_read_only = on`);
  await db.query(`select pg_terminate_backend(pid) ${sessions}`);
  await worker.waitFor(/error +cannot execute .* in a read-only transaction/);
  await db.query(`alter database "${db.name}" reset default_transaction_read_only`);
  const after = await db.spawn('q', 'job');
  await worker.waitFor(new RegExp(`completed +job ${after.task_id}`));
  worker.kill('SIGTERM');

  const { code, stderr } = await worker.done;

  expect(code).toBe(0);
  expect(stderr.match(/in a read-only transaction/g)).toHaveLength(1);
  expect(rows).toEqual([{ application_name: 'absurdctl work:w' }]);
});
