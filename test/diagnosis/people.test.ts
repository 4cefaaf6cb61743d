/** What people did, in the answers of `why` and `doctor`: pauses, cancellations, retries, delayed starts. */
import { hostname, userInfo } from 'node:os';
import { failedTask } from '../commands/failed-task.js';
import { run } from '../support/command.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';
import { askId, askName, askQueue, findings, start, values } from './support.js';

const me = `${userInfo().username}@${hostname()}`;

/** As a command of `absurdctl` would, by the clock of the test. */
async function operation(db: TestDatabase, command: string, details: object): Promise<void> {
  await db.query('select absurd.record_operation($1, $2)', [command, JSON.stringify(details)]);
}
const anna = { os_user: 'anna', os_host: 'desk' };

describe('a paused queue', () => {
  test('is the cause, with who, since when, why and until when', async ({ db }) => {
    await db.freeze(start);
    await db.queue('mail');
    const { task_id: id } = await db.spawn('mail', 'send');
    await db.query(`select absurd.pause_queue('mail', $1::timestamptz, 'SMTP is down')`, ['2026-03-02T12:00:00Z']);
    await operation(db, 'pause-queue', { ...anna, queue_name: 'mail', reason: 'SMTP is down' });
    await db.advance('10 minutes');

    for (const answer of [await askId(db, id), await askQueue(db, 'mail'), await askName(db, 'send')]) {
      expect(answer).toMatchObject({ code: 'queue_paused', verdict: 'waiting' });
      expect(answer.sentence).toMatch(
        /queue "mail" is paused: anna@desk paused it 10 minutes ago, until 2026-03-02T12:00:00Z, in 110 minutes: SMTP is down$/,
      );
      expect(answer.next).toEqual(['absurdctl resume-queue mail']);
      expect(answer.unread).toEqual([]);
    }
    expect(values(await askId(db, id))).toContain('paused by: anna@desk, role "postgres"');
  });

  test('without an end it is stuck; a pause that SQL made names the role', async ({ db }) => {
    await db.freeze(start);
    await db.queue('mail');
    const { task_id: id } = await db.spawn('mail', 'send');
    await operation(db, 'pause-queue', { ...anna, queue_name: 'mail', reason: 'long ago' });
    await db.advance('1 day');
    await db.query(`select absurd.pause_queue('mail')`);

    const answer = await askId(db, id);
    expect(answer).toMatchObject({ code: 'queue_paused', verdict: 'stuck' });
    expect(answer.sentence).toContain('postgres paused it 0 seconds ago, with no end');
  });

  test('a running task is not held up by it, and one that sleeps says both', async ({ db }) => {
    await db.freeze(start);
    await db.queue('mail');
    const { task_id: running } = await db.spawn('mail', 'send');
    await db.claim('mail', { timeout: 600 });
    const { task_id: later } = await db.spawn('mail', 'send', {}, { delay_seconds: 7200 });
    await db.query(`select absurd.pause_queue('mail')`);

    expect((await askId(db, running)).code).toBe('claimed');
    const answer = await askId(db, later);
    expect(answer.code).toBe('starts_later');
    expect(answer.also.map(({ code }) => code)).toEqual(['queue_paused']);
  });
});

test('why names who cancelled a task, when and why; a limit that had passed as well is not the cause', async ({
  db,
}) => {
  await db.freeze(start);
  await db.queue('mail');
  const { task_id: id } = await db.spawn('mail', 'send', {}, { cancellation: { max_delay: 60 } });
  await db.advance('5 minutes');
  await db.query(`select absurd.cancel_task('mail', $1)`, [id]);
  expect((await askId(db, id)).code).toBe('cancelled_max_delay');
  await operation(db, 'cancel-task', { ...anna, queue_name: 'mail', task_ids: [id], reason: 'wrong address' });
  await db.advance('12 minutes');

  const answer = await askId(db, id);

  expect(answer.code).toBe('cancelled_by_hand');
  expect(answer.sentence).toBe('it was cancelled by anna@desk 12 minutes ago: wrong address');
  expect(answer.next).toContain(`absurdctl list-operations --task ${id}`);
});

test('why names who retried and woke a task', async ({ db }) => {
  await db.queue('mail');
  const id = await failedTask(db, 'mail');
  await run(['retry-task', id, '--reason', 'SMTP is back'], db);
  const { task_id: asleep } = await db.spawn('mail', 'later', {}, { delay_seconds: 3600 });
  await run(['wake-task', asleep], db);

  expect(values(await askId(db, id))).toMatch(new RegExp(`^retried by: ${me} \\d+ seconds? ago: SMTP is back$`, 'm'));
  expect(values(await askId(db, asleep))).toMatch(new RegExp(`^woken by: ${me} \\d+ seconds? ago$`, 'm'));
});

test('a role that may not read operations still gets an answer', async ({ db }) => {
  await db.freeze(start);
  await db.queue('mail');
  const { task_id: id } = await db.spawn('mail', 'send');
  await db.query('select absurd.cancel_task($1, $2)', ['mail', id]);
  await operation(db, 'cancel-task', { ...anna, task_ids: [id] });
  await db.query(
    'create role few; grant usage on schema absurd to few; grant select on absurd.queues, absurd.t_mail, absurd.r_mail, absurd.c_mail, absurd.w_mail, absurd.e_mail to few',
  );
  try {
    await db.query('set role few');
    const answer = await askId(db, id);
    expect(answer).toMatchObject({ code: 'cancelled_by_hand', unread: [] });
    expect(answer.sentence).toContain('by hand');
  } finally {
    await db.query('reset role; drop owned by few; drop role few');
  }
});

describe('a start that the spawn delayed', () => {
  test('is said as such in why, list-tasks, list-runs and dump-task', async ({ db }) => {
    await db.queue('mail');
    const { task_id: id } = await db.spawn('mail', 'send', {}, { delay_seconds: 7230 });

    const why = await askId(db, id);
    expect(why).toMatchObject({ code: 'starts_later', verdict: 'waiting' });
    expect(why.sentence).toMatch(/^it starts in 2 hours, /);
    for (const argv of [['list-tasks'], ['list-runs'], ['dump-task', id]]) {
      const { stdout } = await run(argv, { url: db.url, width: 160 });
      expect(stdout, argv.join(' ')).toContain('starts in 2h');
      expect(stdout, argv.join(' ')).not.toContain('sleeping');
    }
    // Programs read the state of the contract.
    expect((await run(['list-tasks', '--json'], db)).json()).toMatchObject([{ state: 'sleeping', started_at: null }]);
  });

  test('is not said of a task that sleeps, waits for its next attempt or is due', async ({ db }) => {
    await db.queue('mail');
    await db.spawn('mail', 'nap');
    const [nap] = await db.claim('mail');
    await db.query(`select absurd.schedule_run('mail', $1, absurd.current_time() + interval '2 hours 10 seconds')`, [
      nap?.run_id,
    ]);
    await db.spawn('mail', 'again', {}, { retry_strategy: { kind: 'fixed', base_seconds: 7230 } });
    const [again] = await db.claim('mail');
    await db.query(`select absurd.fail_run('mail', $1, '{}')`, [again?.run_id]);
    const { task_id: due } = await db.spawn('mail', 'due', {}, { delay_seconds: 3600 });
    await run(['wake-task', due], db);

    for (const command of ['list-tasks', 'list-runs'])
      expect((await run([command], { url: db.url, width: 160 })).stdout).not.toContain('starts');
    expect((await askId(db, nap?.task_id ?? '')).code).toBe('sleeping');
    expect((await askId(db, again?.task_id ?? '')).code).toBe('retry_backoff');
  });
});

describe('doctor', () => {
  test('a pause without an end is a finding after a day; one that ends is none', async ({ db }) => {
    await db.freeze(start);
    await db.queue('forgotten');
    await db.queue('ends');
    await db.query(`select absurd.pause_queue('forgotten', null, 'deploy')`);
    await db.query(`select absurd.pause_queue('ends', absurd.current_time() + interval '3 days')`);
    await db.advance('23 hours');
    expect(await findings(db, 'paused-queues')).toEqual([]);
    await db.advance('2 hours');

    const found = await findings(db, 'paused-queues');

    expect(found).toMatchObject([{ severity: 'warning', queue: 'forgotten' }]);
    expect(found[0]?.seen).toContain('role "postgres" paused it 25 hours ago (deploy), with no end');
    expect(found[0]?.mend[0]).toBe('absurdctl resume-queue forgotten');
    expect(await findings(db, 'paused-queues', { 'pause-age': 7 * 86_400 })).toEqual([]);
  });

  test('the backlog of a paused queue is beneath the pause, and no worker is missed', async ({ db }) => {
    await db.queue('mail');
    for (let i = 0; i < 20; i++) await db.spawn('mail', 'send');
    await db.query(
      `update absurd.r_mail set available_at = available_at - interval '1 hour', created_at = created_at - interval '1 hour'`,
    );
    const look = async () =>
      (
        await run(['doctor', '--max-ready', '10', '--only', 'paused-queues,unclaimed-work,backlog', '--json'], db)
      ).json<{
        findings: { check: string; severity: string; leads_to: { check: string }[] }[];
      }>().findings;
    expect((await look()).map(({ check }) => check)).toEqual(['unclaimed-work']);
    await run(['pause-queue', 'mail', '--for', '2h'], db);

    const found = await look();

    expect(found).toMatchObject([{ check: 'paused-queues', severity: 'warning', leads_to: [{ check: 'backlog' }] }]);
  });
});
