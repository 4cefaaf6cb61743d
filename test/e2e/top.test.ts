/** `top` on a pseudo-terminal: what a person sees and types, and the terminal afterwards. */
import { runCli } from '../support/cli.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';
import { startPty, startTerminal, type PtySession } from '../support/pty.js';

const enter = '\u001b[?1049h';
const leave = '\u001b[?1049l';

interface Screen {
  session: PtySession;
  /** Waits for it among what was drawn since the latest key. */
  shows(pattern: RegExp): Promise<void>;
  type(keys: string): void;
}

const shown = (session: PtySession): Screen => {
  let from = 0;
  return {
    session,
    shows: (pattern) => expect.poll(() => session.text().slice(from), { timeout: 60_000 }).toMatch(pattern),
    type(keys) {
      from = session.text().length;
      session.type(keys);
    },
  };
};

async function open(db: TestDatabase, args: string[] = [], size = { columns: 80, rows: 24 }): Promise<Screen> {
  const env = { ABSURD_DATABASE_URL: db.url, LANG: 'C.UTF-8' };
  return shown(await startPty(['top', '--interval', '0.2', ...args], { env, ...size }));
}

/** The second buffer was left last, and the cursor is there again. */
function restored({ session }: Screen): void {
  const raw = session.raw();
  expect(raw).toContain(enter);
  expect(raw.lastIndexOf(leave)).toBeGreaterThan(raw.lastIndexOf(enter));
  expect(raw.lastIndexOf('\u001b[?25h')).toBeGreaterThan(raw.lastIndexOf('\u001b[?25l'));
}

async function scene(db: TestDatabase): Promise<string> {
  await db.queue('mail');
  await db.queue('orders');
  await db.spawn('orders', 'ship');
  const { task_id: id } = await db.spawn('mail', 'send-mail', { to: 'ann' }, { max_attempts: 1 });
  const [run] = await db.claim('mail');
  await db.query(`select absurd.set_task_checkpoint_state('mail', $1, 'render', '{"subject": "hello"}', $2)`, [
    id,
    run?.run_id,
  ]);
  const reason = JSON.stringify({ name: 'Error', message: 'connect ECONNREFUSED' });
  await db.query(`select absurd.fail_run('mail', $1, $2)`, [run?.run_id, reason]);
  return id;
}

describe('top', () => {
  test('goes down from the queues to the value of a step, explains, retries, and gives the terminal back', async ({
    db,
  }) => {
    const id = await scene(db);
    const screen = await open(db);
    await screen.shows(/QUEUE +PENDING +RUNNING[^]*> mail[^]*orders/);

    screen.type('\r');
    await screen.shows(new RegExp(`send-mail +failed[^]*${id}`));
    screen.type('\r');
    await screen.shows(/send-mail in queue mail[^]*Steps \(enter shows the value\)[^]*render/);
    await screen.shows(/Error: connect ECONNREFUSED/);
    screen.type('w');
    await screen.shows(/queues › mail › task [^]*known/);
    screen.type('y');
    await screen.shows(new RegExp(`absurdctl why ${id}`));
    screen.type('x');
    screen.type('\u001b');
    await screen.shows(/Steps \(enter/);

    screen.type('r');
    await screen.shows(/Retry send-mail[^]*Attempt 2 will wait[^]*absurdctl retry-task/);
    screen.type('n');
    await screen.shows(/Nothing was changed/);
    expect(await state(db, id)).toBe('failed');
    screen.type('r');
    await screen.shows(/Press y/);
    screen.type('y');
    await screen.shows(/Attempt 2 is waiting for a worker/);
    expect(await state(db, id)).toBe('pending');

    screen.type('q');
    expect(await screen.session.done).toEqual({ code: 0, signal: undefined });
    restored(screen);
    const { rows } = await db.query('select command, arguments, queue_name, task_ids from absurd.operations');
    expect(rows).toEqual([
      { command: 'retry-task', arguments: [id, '--queue', 'mail'], queue_name: 'mail', task_ids: [id] },
    ]);
  });

  test('a step opens; a filter narrows, and the selection follows', async ({ db }) => {
    await scene(db);
    const screen = await open(db, ['-q', 'mail']);
    await screen.shows(/send-mail/);
    screen.type('/');
    await screen.shows(/Filter/);
    screen.type('completed\r');
    await screen.shows(/Nothing matches/);
    screen.type('\u001b');
    await screen.shows(/send-mail/);
    screen.type('l');
    await screen.shows(/render/);
    screen.type('G');
    screen.type('kkkkkk');
    await screen.shows(/> render|render/);
    screen.type('\u0003');
    expect(await screen.session.done).toMatchObject({ code: 130 });
    restored(screen);
  });

  test('pause, cancel and emit ask first; --read-only refuses them', async ({ db }) => {
    await scene(db);
    const reading = await open(db, ['--read-only']);
    await reading.shows(/> mail/);
    reading.type('p');
    await reading.shows(/read-only: start top without/);
    reading.type('q');
    expect(await reading.session.done).toMatchObject({ code: 0 });

    const screen = await open(db);
    await screen.shows(/> mail/);
    screen.type('p');
    await screen.shows(/Pause queue "mail"/);
    screen.type('y');
    await screen.shows(/Paused queue "mail"/);
    await screen.shows(/paused/);
    screen.type('e');
    await screen.shows(/Event to emit/);
    screen.type('order.paid {"by": "ann"}\r');
    await screen.shows(/Emit event "order.paid"/);
    screen.type('y');
    await screen.shows(/Emitted "order.paid"/);
    screen.type('j');
    await screen.shows(/> orders/);
    screen.type('\r');
    await screen.shows(/ship +pending/);
    screen.type('c');
    await screen.shows(/Cancel ship/);
    screen.type('y');
    await screen.shows(/Cancelled ship/);
    screen.type('q');
    expect(await screen.session.done).toMatchObject({ code: 0 });
    const { rows } = await db.query('select command from absurd.operations order by performed_at, operation_id');
    expect(rows.map((row) => row.command)).toEqual(['pause-queue', 'emit-event', 'cancel-task']);
  });

  test('the window may change its size, and a signal leaves the terminal as it was', async ({ db }) => {
    await scene(db);
    const screen = await open(db);
    await screen.shows(/> mail/);
    const before = screen.session.text().length;
    screen.session.resize(132, 40);
    await expect.poll(() => screen.session.text().slice(before), { timeout: 60_000 }).toMatch(/SLEEPING[^]*> mail/);
    screen.session.kill('SIGTERM');
    await screen.session.done;
    restored(screen);
  });

  test('no stored character is obeyed by the terminal', async ({ db }) => {
    await db.queue('evil');
    await db.spawn('evil', '\u001b]0;owned\u0007\u001b[31mred');
    const screen = await open(db, ['-q', 'evil']);
    await screen.shows(/\\x1b\]0;owned/);
    screen.type('\r');
    await screen.shows(/in queue evil/);
    screen.type('q');
    await screen.session.done;
    expect(screen.session.raw()).not.toContain('\u001b]0;owned');
    expect(screen.session.raw()).not.toContain('\u001b[31mred');
  });

  test('sessions that are ended by the server: it says so and tries again', async ({ db }) => {
    await scene(db);
    const screen = await open(db);
    await screen.shows(/> mail/);
    const before = screen.session.text().length;
    const { rows: ended } = await db.query(
      `select application_name, pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
    );
    expect(ended).toHaveLength(1);
    await expect.poll(() => screen.session.text().slice(before), { timeout: 60_000 }).toMatch(/Trying again/);
    const { length } = screen.session.text();
    await db.spawn('orders', 'another');
    await expect.poll(() => screen.session.text().slice(length), { timeout: 60_000 }).toMatch(/orders +2/);
    screen.type('q');
    expect(await screen.session.done).toMatchObject({ code: 0 });
  });

  test('Ctrl-Z gives the terminal to the shell, and fg draws again', async ({ db }) => {
    await scene(db);
    const { bin } = await import('../support/cli.js');
    const env = { ABSURD_DATABASE_URL: db.url, LANG: 'C.UTF-8', PS1: '$ ' };
    const screen = shown(startTerminal('bash', ['--norc', '--noprofile', '-i'], { env, columns: 80, rows: 24 }));
    screen.type(`${process.execPath} ${bin} top --interval 0.2\r`);
    await screen.shows(/> mail/);
    screen.type('\u001a');
    await screen.shows(/Stopped/);
    restored(screen);
    screen.type('fg\r');
    await screen.shows(/> mail/);
    screen.type('q');
    await screen.shows(/\$ $/);
    screen.type('exit\r');
    await screen.session.done;
    restored(screen);
  });

  test('off a terminal it is refused, with what works there', async ({ db }) => {
    const { code, stderr, stdout } = await runCli(['top', '-d', db.url]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('not a terminal');
    expect(stderr).toContain('queue-stats');
    expect(stderr).toContain('--watch');
  });
});

async function state(db: TestDatabase, id: string): Promise<string | undefined> {
  const { rows } = await db.query<{ state: string }>('select state from absurd.t_mail where task_id = $1', [id]);
  return rows[0]?.state;
}
