import { describe } from 'vitest';
import { runCli } from '../support/cli.js';
import { startPty } from '../support/pty.js';
import { expect, test, type TestDatabase } from '../support/database.js';

const at = (db: TestDatabase): { env: Record<string, string> } => ({ env: { ABSURD_DATABASE_URL: db.url } });

describe('on a terminal', () => {
  test('a table with headings, colours and times as spans, as wide as the terminal', async ({ db }) => {
    const queue = await db.queue('orders');
    await db.freeze(new Date(Date.now() - 2 * 3_600_000 - 60_000));
    await db.spawn(queue, 't');
    await db.unfreeze();

    const session = await startPty(['list-queues'], { ...at(db), columns: 110 });

    expect(await session.done).toMatchObject({ code: 0 });
    expect(session.raw()).toContain('\u001b[1mQUEUE');
    expect(session.text()).toMatch(/QUEUE +STORAGE +PENDING +RUNNING +SLEEPING +OLDEST WAITING +COMPLETED/);
    expect(session.text()).toMatch(/orders +unpartitioned +1 +0 +0 +2h ago +0 +0 +0/);
  });

  test('NO_COLOR takes the colours away', async ({ db }) => {
    await db.queue('orders');

    const session = await startPty(['list-queues'], { env: { ...at(db).env, NO_COLOR: '1' } });

    expect(await session.done).toMatchObject({ code: 0 });
    expect(session.raw()).not.toContain('\u001b[1m');
    expect(session.text()).toContain('orders');
  });

  test('drop-queue waits for a typed yes', async ({ db }) => {
    await db.queue('q');
    const session = await startPty(['drop-queue', 'q'], at(db));
    await session.waitFor(/Type yes: /);

    session.type('yes\r');

    expect(await session.done).toMatchObject({ code: 0 });
    expect((await db.query('select * from absurd.list_queues()')).rows).toEqual([]);
  });

  test('Ctrl-C at the question is exit 130 and drops nothing', async ({ db }) => {
    await db.queue('q');
    const session = await startPty(['drop-queue', 'q'], at(db));
    await session.waitFor(/Type yes: /);

    session.type('\u0003');

    expect(await session.done).toMatchObject({ code: 130 });
    expect((await db.query('select * from absurd.list_queues()')).rows).toHaveLength(1);
  });
});

describe('a server that asks for a password', () => {
  test('it is typed at a terminal, and elsewhere its absence is an error', async ({ db, skip }) => {
    await db.queue('behind-a-password');
    const url = new URL(db.url);
    const { password } = url;
    url.password = '';
    const without = await runCli(['list-queues', '-d', url.href]);
    skip(without.code === 0, 'this server trusts everybody, so it never asks');

    const session = await startPty(['list-queues', '-o', 'name', '-d', url.href]);
    await session.waitFor(/Password for /);
    session.type(`${decodeURIComponent(password)}\r`);

    expect(await session.done).toMatchObject({ code: 0 });
    expect(session.text()).toContain('behind-a-password');
    expect(session.text()).not.toContain(decodeURIComponent(password));
    expect(without.code).toBe(5);
    expect(without.stderr).toContain('PGPASSWORD');
  });

  test('a wrong one is exit 5 and is not repeated', async ({ db, skip }) => {
    const url = new URL(db.url);
    url.password = 'wrong-one';

    const refused = await runCli(['list-queues', '-d', url.href, '--json']);

    skip(refused.code === 0, 'this server trusts everybody, so no password is wrong');
    expect(refused.code).toBe(5);
    expect(JSON.parse(refused.stderr)).toMatchObject({ code: 'authentication_failed' });
    expect(refused.stderr).not.toContain('wrong-one');
  });
});

describe('long answers', () => {
  async function manyTasks(db: TestDatabase): Promise<void> {
    await db.queue('q');
    for (let i = 0; i < 40; i++) await db.spawn('q', `task-${i}`);
  }

  test('go to the pager that was chosen, unless --no-pager is given; a watch fits the window', async ({ db }) => {
    await manyTasks(db);
    const env = { ...at(db).env, PAGER: 'head -n 3; echo PAGED' };
    const paged = await startPty(['list-tasks'], { env, rows: 20 });
    expect(await paged.done).toMatchObject({ code: 0 });
    expect(paged.text()).toContain('PAGED');
    expect(paged.text()).not.toContain('task-0 ');

    const plain = await startPty(['list-tasks', '--no-pager'], { env, rows: 20 });
    expect(await plain.done).toMatchObject({ code: 0 });
    expect(plain.text()).toContain('task-0 ');
    expect(plain.text()).not.toContain('PAGED');

    const none = await startPty(['list-tasks'], { env: { ...env, PAGER: 'no-such-pager-here' }, rows: 20 });
    expect(await none.done).toMatchObject({ code: 0 });
    expect(none.text()).toContain('task-0 ');

    const short = await startPty(['list-tasks', '-l', '5'], { env, rows: 20 });
    expect(await short.done).toMatchObject({ code: 0 });
    expect(short.text()).not.toContain('PAGED');
  });

  test('a watch keeps the newest rows in the window', async ({ db }) => {
    await manyTasks(db);
    const session = await startPty(['list-tasks', '--watch'], { ...at(db), rows: 20 });
    await session.waitFor(/more lines; a taller window shows more/);
    session.type('\u0003');
    expect(await session.done).toMatchObject({ code: 130 });
    const screen = session.text();
    expect(screen).toMatch(/every 2 s, until Ctrl-C\nTASK ID/);
    expect(screen).toContain('task-39 ');
    expect(screen).not.toContain('task-0 ');
  });
});
