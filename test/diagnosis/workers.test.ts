/** What the registry of workers adds to `why`, `doctor` and `list-workers`. */
import { examine } from '../../src/lib/doctor/index.js';
import { flat } from '../../src/lib/doctor/causes.js';
import { run } from '../support/command.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';
import { askId, findings, queryable, start, values } from './support.js';

const register = (db: TestDatabase, worker: string, details: object, queue = 'q') =>
  db.query('select absurd.heartbeat_worker($1, $2, $3)', [queue, worker, JSON.stringify(details)]);

/** A queue with a task of the name, at a stopped clock. */
async function waiting(db: TestDatabase, name = 'send-mail'): Promise<string> {
  await db.freeze(start);
  return (await db.spawn(await db.queue(), name)).task_id;
}

describe('why: name_not_registered', () => {
  test('is a fact where live workers register other names', async ({ db }) => {
    const id = await waiting(db);
    await register(db, 'w1', { task_names: ['send-mial', 'charge'] });
    await register(db, 'w2', { task_names: ['charge'], state: 'draining' });
    const why = await askId(db, id);
    expect(why).toMatchObject({
      code: 'name_not_registered',
      verdict: 'stuck',
      sentence: 'no live worker of queue "q" registers "send-mail"',
    });
    expect(values(why)).toContain('names that they register: "charge", "send-mial"');
    expect(values(why)).toContain('a name like it: "send-mial"');
    expect(why.evidence.find(({ what }) => what === 'live workers in the registry')).toMatchObject({
      certainty: 'known',
      value: '2',
    });
    expect(why.next).toContain('absurdctl list-workers --queue q');
  });

  test('stands where they claim the task and put it back', async ({ db }) => {
    const id = await waiting(db);
    const [claimed] = await db.claim('q');
    await db.query(`select absurd.schedule_run('q', $1, absurd.current_time() + interval '20 seconds')`, [
      claimed?.run_id,
    ]);
    await db.advance('2 seconds');
    expect((await askId(db, id)).code).toBe('put_back');
    await register(db, 'w1', { task_names: ['charge'] });
    const why = await askId(db, id);
    expect(why.code).toBe('name_not_registered');
    expect(why.also.map(({ code }) => code)).toContain('put_back');
  });

  test('is not said of a name that one of them registers, nor of dead workers, nor of other queues', async ({ db }) => {
    const id = await waiting(db);
    await register(db, 'elsewhere', { task_names: ['charge'] }, 'other');
    await register(db, 'dead', { task_names: ['charge'] });
    await db.advance('61 seconds');
    expect((await askId(db, id)).code).toBe('never_claimed');
    await register(db, 'w1', { task_names: ['charge'] });
    expect((await askId(db, id)).code).toBe('name_not_registered');
    await register(db, 'w2', { task_names: ['send-mail'] });
    expect((await askId(db, id)).code).toBe('never_claimed');
  });

  test('workers without a row may know the name: that is inferred, and what they finish settles it', async ({ db }) => {
    const id = await waiting(db);
    await db.query(`update absurd.r_q set available_at = available_at + interval '1 minute'`);
    await db.spawn('q', 'other');
    await db.spawn('q', 'send-mail');
    const [, theirs] = await db.claim('q', { worker: 'python', qty: 2, timeout: 600 });
    await db.advance('2 minutes');
    await register(db, 'w1', { task_names: ['charge'] });
    const why = await askId(db, id);
    expect(why).toMatchObject({
      code: 'name_not_registered',
      verdict: 'waiting',
      sentence:
        'no live worker of queue "q" registers "send-mail"; 1 worker without a row in the registry may know it (inferred from claims)',
    });
    expect(why.evidence).toContainEqual({
      certainty: 'inferred',
      what: 'workers without a row that hold a lease',
      value: '1',
    });
    await db.query(`select absurd.complete_run('q', $1)`, [theirs?.run_id]);
    expect((await askId(db, id)).code).not.toBe('name_not_registered');
  });
});

describe('doctor', () => {
  test('unregistered-names: waits, and nobody registers it; not while others may', async ({ db }) => {
    const id = await waiting(db);
    await db.advance('4 minutes');
    await register(db, 'w1', { task_names: ['charge'] });
    expect(await findings(db, 'unregistered-names')).toEqual([]);
    await db.advance('1 minute');
    await register(db, 'w1', {});
    expect(await findings(db, 'unregistered-names')).toMatchObject([
      {
        severity: 'critical',
        queue: 'q',
        seen: `no live worker registers "send-mail": 1 run waiting, such as ${id}`,
      },
    ]);
    await db.spawn('q', 'other');
    await db.query(`update absurd.r_q set available_at = available_at + interval '1 hour' where task_id = $1`, [id]);
    await db.claim('q', { worker: 'python', timeout: 7200 });
    await db.query(`update absurd.r_q set available_at = available_at - interval '1 hour' where task_id = $1`, [id]);
    expect(await findings(db, 'unregistered-names')).toEqual([]);
  });

  test('mixed-versions: of one task name, for longer than an hour', async ({ db }) => {
    await waiting(db, 'a');
    const both = async (): Promise<void> => {
      await register(db, 'old', { task_names: ['a', 'b'], program_version: '1.0' });
      await register(db, 'other program', { task_names: ['x'], program_version: '7' });
      await register(db, 'unknown', { task_names: ['a'] });
    };
    await both();
    await db.advance('3 hours');
    await both();
    await register(db, 'new', { task_names: ['a', 'b'], program_version: '1.1' });
    expect(await findings(db, 'mixed-versions')).toEqual([]);
    for (const minutes of [30, 31]) {
      await db.advance(`${minutes} minutes`);
      await both();
      await register(db, 'new', {});
    }
    expect(await findings(db, 'mixed-versions')).toMatchObject([
      { severity: 'warning', seen: 'versions "1.0", "1.1" have worked on "a" and 1 more task name for 61 minutes' },
    ]);
    expect(await findings(db, 'mixed-versions', { 'version-overlap': 7200 })).toEqual([]);
    await db.query(`select absurd.forget_worker('q', 'old')`);
    expect(await findings(db, 'mixed-versions')).toEqual([]);
  });

  test('hanging-workers: a heartbeat, and no progress past the lease', async ({ db }) => {
    await waiting(db);
    await db.claim('q', { worker: 'w1', timeout: 30 });
    await db.advance('80 seconds');
    await register(db, 'w1', { task_names: ['send-mail'] });
    expect(await findings(db, 'hanging-workers')).toEqual([]);
    await db.advance('20 seconds');
    await register(db, 'w1', {});
    expect(await findings(db, 'hanging-workers')).toMatchObject([
      {
        severity: 'warning',
        seen: 'worker "w1" sends heartbeats, but 1 run of it made no progress past the lease, the first ("send-mail") for 70 seconds',
      },
    ]);
    const { result } = await examine(queryable(db), { timeoutMs: 5000, skip: ['clock-stopped'] });
    const cause = result.findings.find(({ check }) => check === 'hanging-workers');
    expect(flat(cause === undefined ? [] : [cause]).map(({ check }) => check)).toContain('expired-leases');
  });

  test('vanished-workers: a stale row, worse with runs in progress', async ({ db }) => {
    await waiting(db);
    await register(db, 'w1', { task_names: ['send-mail'] });
    await db.advance('60 seconds');
    expect(await findings(db, 'vanished-workers')).toEqual([]);
    await db.advance('1 second');
    expect(await findings(db, 'vanished-workers')).toMatchObject([
      { severity: 'info', seen: '1 worker went silent without closing; the last, "w1", 61 seconds ago' },
    ]);
    await db.claim('q', { worker: 'w1', timeout: 600 });
    expect(await findings(db, 'vanished-workers')).toMatchObject([
      { severity: 'warning', seen: /with 1 run in progress/ as never },
    ]);
    await db.advance('1 hour');
    expect(await findings(db, 'vanished-workers')).toEqual([]);
  });
});

test('list-workers tells the registered from the inferred, and says who is stale', async ({ db }) => {
  await waiting(db);
  await register(db, 'gone', { task_names: ['send-mail'], program_version: '1.0' });
  await db.advance('61 seconds');
  await db.claim('q', { worker: 'python', timeout: 600 });
  await db.advance('1 second');
  await register(db, 'idle', {
    host: 'web-1',
    pid: 7,
    sdk_name: 'absurdctl',
    sdk_version: '0.5.0',
    program_version: '1.1',
    task_names: ['charge', 'send-mail'],
    concurrency: 4,
  });
  await register(db, 'last', { state: 'draining' });
  const nothing = { task_names: null, program_version: null, sdk: null, host: null, pid: null, started_at: null };
  expect((await run(['list-workers', '--json'], db)).json()).toMatchObject([
    {
      ...{ worker: 'idle', queue_name: 'q', state: 'running', running: 0, concurrency: 4, last_claim: null },
      ...{ task_names: ['charge', 'send-mail'], program_version: '1.1', sdk: 'absurdctl 0.5.0', host: 'web-1', pid: 7 },
      last_heartbeat: '2026-03-02T10:01:02.000000Z',
    },
    { worker: 'last', state: 'draining', task_names: [] },
    { worker: 'python', state: 'inferred', running: 1, last_heartbeat: null, ...nothing },
    { worker: 'gone', state: 'stale', program_version: '1.0' },
  ]);
  const now = new Date('2026-03-02T10:02:00Z');
  const { stdout } = await run(['list-workers'], { ...db, width: 140, now });
  expect(stdout).toMatch(/^WORKER +QUEUE +STATE +RUNNING +TASKS +VERSION +HEARTBEAT +OLDEST LEASE +LAST CLAIM\n/);
  expect(stdout).toMatch(/\nidle +q +running +0 +charge, send-mail +1\.1 +58s ago +- +-\n/);
  expect((await run(['list-workers'], db)).stdout).toMatch(
    /^idle\tq\trunning\t0\t\["charge","send-mail"\]\t1\.1\t2026/,
  );
});
