import { describe, vi } from 'vitest';
import { startPty, type PtyOptions, type PtySession } from '../support/pty.js';
import { expect, test, type TestDatabase } from '../support/database.js';

// A program at a terminal is started a test, and waits for nobody: what is slow is the machine.
vi.setConfig({ testTimeout: 90_000 });

interface Asking {
  command: string[];
  question: RegExp;
  yes: string;
  no: string;
  /** The exit code when the answer is no. */
  declined: number;
  prepare(db: TestDatabase): Promise<unknown>;
  /** What the command is about, before and after. */
  state(db: TestDatabase): Promise<unknown>;
}

const rows =
  (sql: string) =>
  async (db: TestDatabase): Promise<unknown> =>
    (await db.query(sql)).rows;

async function failedTasks(db: TestDatabase): Promise<void> {
  await db.queue('q');
  for (let i = 0; i < 2; i++) {
    await db.spawn('q', 'charge', {}, { max_attempts: 1 });
    const [run] = await db.claim('q');
    await db.query(`select absurd.fail_run('q', $1, '{"message": "no"}')`, [run?.run_id]);
  }
}

const asking: Record<string, Asking> = {
  'drop-queue': {
    command: ['drop-queue', 'q'],
    question: /Type yes: $/,
    yes: 'yes\r',
    no: 'no\r',
    declined: 0,
    prepare: (db) => db.queue('q'),
    state: rows('select * from absurd.list_queues()'),
  },
  'retry-task': {
    command: ['retry-task', '-n', 'charge'],
    question: /Retry 2 tasks in queue "q" \(2 charge\)\?.*\(y\/N\)/,
    yes: 'y\r',
    no: 'n\r',
    declined: 4,
    prepare: failedTasks,
    state: rows('select state from absurd.t_q order by task_id'),
  },
  'cancel-task': {
    command: ['cancel-task', '--all', '-q', 'q'],
    question: /Cancel 2 tasks in queue "q" \(2 mail\)\?.*\(y\/N\)/,
    yes: 'y\r',
    // Return alone is no.
    no: '\r',
    declined: 4,
    prepare: async (db) => {
      await db.queue('q');
      await db.spawn('q', 'mail');
      await db.spawn('q', 'mail');
    },
    state: rows('select state from absurd.t_q order by task_id'),
  },
  migrate: {
    command: ['migrate'],
    question: /Upgrade .* Continue\?.*\(y\/N\)/,
    yes: 'y\r',
    no: 'n\r',
    declined: 4,
    prepare: (db) => db.query('drop function absurd.get_schema_revision()'),
    state: rows(`select to_regprocedure('absurd.get_schema_revision()')::text as revision`),
  },
};

async function ask({ command, question, prepare }: Asking, db: TestDatabase, more?: PtyOptions): Promise<PtySession> {
  await prepare(db);
  const session = await startPty(command, {
    env: { ABSURD_DATABASE_URL: db.url },
    columns: 120,
    timeoutMs: 60_000,
    ...more,
  });
  await session.waitFor(question);
  return session;
}

describe.each(Object.entries(asking))('%s asks', (_, one) => {
  test('yes: it is done', async ({ db }) => {
    const session = await ask(one, db);
    const before = await one.state(db);
    session.type(one.yes);
    expect(await session.done).toMatchObject({ code: 0 });
    expect(await one.state(db)).not.toEqual(before);
  });

  test.for([
    ['no', undefined],
    ['Ctrl-C', '\u0003'],
    ['the end of input', '\u0004'],
  ] as const)('%s: nothing is changed', async ([, keys], { db }) => {
    const session = await ask(one, db);
    const before = await one.state(db);
    session.type(keys ?? one.no);
    const code = keys === undefined ? one.declined : keys === '\u0003' ? 130 : 4;
    expect(await session.done, session.text()).toMatchObject({ code });
    expect(await one.state(db)).toEqual(before);
    // The cursor is shown again, if it was hidden.
    expect(session.raw().lastIndexOf('\u001b[?25l')).toBeLessThanOrEqual(session.raw().lastIndexOf('\u001b[?25h'));
  });
});

test('what a worker has claimed since the question is not cancelled where --status names other states', async ({
  db,
}) => {
  await db.queue('q');
  for (let i = 0; i < 3; i++) await db.spawn('q', 'mail');
  const session = await startPty(['cancel-task', '-n', 'mail', '-s', 'pending,sleeping', '-q', 'q'], {
    env: { ABSURD_DATABASE_URL: db.url },
    columns: 120,
    timeoutMs: 60_000,
  });
  await session.waitFor(/Cancel 3 tasks in queue "q" \(3 mail\)\?.*\(y\/N\)/);
  const [claimed] = await db.claim('q');

  session.type('y\r');

  expect(await session.done, session.text()).toMatchObject({ code: 0 });
  expect(session.text()).toMatch(
    new RegExp(`Cancelled: +2[^]*Skipped: +1[^]*${claimed?.task_id ?? ''} .*it is running`),
  );
  const { rows } = await db.query('select state, count(*)::int as n from absurd.t_q group by state order by state');
  expect(rows).toEqual([
    { state: 'cancelled', n: 2 },
    { state: 'running', n: 1 },
  ]);
});

test('the password: Ctrl-C and the end of input', async ({ db, skip }) => {
  const url = new URL(db.url);
  skip(url.password === '', 'this server trusts everybody, so it never asks');
  url.password = '';
  for (const [keys, code] of [
    ['\u0003', 130],
    ['\u0004', 5],
  ] as const) {
    const session = await startPty(['list-queues', '-d', url.href]);
    await session.waitFor(/Password for /);
    session.type(keys);
    expect(await session.done, session.text()).toMatchObject({ code });
  }
});

describe('list-tasks --watch', () => {
  test('looks again, follows the size of the window, and Ctrl-C ends it with 130', async ({ db }) => {
    await db.queue('q');
    await db.spawn('q', 'first');
    const session = await startPty(['list-tasks', '--watch'], { env: { ABSURD_DATABASE_URL: db.url }, columns: 70 });
    await session.waitFor(/first/);
    expect(session.text()).not.toMatch(/ACTIVE .*WORKER/);

    session.resize(200, 30);
    await db.spawn('q', 'second');
    await session.waitFor(/ACTIVE .*WORKER[^]*second/);

    session.type('\u0003');
    expect(await session.done).toMatchObject({ code: 130 });
  });

  test('NO_COLOR: no colours while it watches either', async ({ db }) => {
    await db.queue('q');
    await db.spawn('q', 'first');
    const env = { ABSURD_DATABASE_URL: db.url, NO_COLOR: '1' };
    const session = await startPty(['list-tasks', '--watch'], { env });
    await session.waitFor(/first/);
    session.type('\u0003');
    expect(await session.done).toMatchObject({ code: 130 });
    expect(session.raw()).not.toMatch(/\u001b\[\d*m/);
  });
});
