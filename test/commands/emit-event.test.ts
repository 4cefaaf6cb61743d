import { describe } from 'vitest';
import { run } from '../support/command.js';
import { parse as words } from '../support/words.js';
import { expect, test } from '../support/database.js';

describe('emit-event', () => {
  test('the first emission wakes who waits, a later one is told to be late', async ({ db }) => {
    await db.queue('default');
    const task = await db.spawn('default', 'job');
    const [claimed] = await db.claim('default');
    await db.query('select absurd.await_event($1, $2, $3, $4, $5)', [
      'default',
      task.task_id,
      claimed?.run_id,
      's',
      'paid',
    ]);
    const first = await run(['emit-event', 'paid', '-P', 'cents:=1999', '-P', 'by=card'], db);
    expect(first).toMatchObject({
      code: 0,
      stdout: '',
      stderr: 'Emitted "paid" in queue "default"; 1 run was waiting for it\n',
    });
    expect(await db.claim('default')).toMatchObject([{ event_payload: { cents: 1999, by: 'card' } }]);
    const second = await run(['emit-event', 'paid', '--payload', '{"x": 1}', '--json'], db);
    expect(second.json()).toMatchObject({ first: false, waiting: 0 });
    expect((await db.query('select payload from absurd.e_default')).rows).toEqual([
      { payload: { cents: 1999, by: 'card' } },
    ]);
  });

  test('an event that another queue waits for is said to be waited for there', async ({ db }) => {
    await db.queue('default');
    await db.queue('orders');
    const task = await db.spawn('orders', 'job');
    const [claimed] = await db.claim('orders');
    await db.query(`select absurd.await_event('orders', $1, $2, 's', 'paid:1')`, [task.task_id, claimed?.run_id]);
    const emitted = await run(['emit-event', 'paid:1', '-P', 'cents:=1999'], db);
    expect(emitted.stderr).toContain('0 runs were waiting for it\n1 run waits for it in queue "orders": absurdctl');
    const typed = /"orders": absurdctl (emit-event .*)/.exec(emitted.stderr)?.[1] ?? '';
    expect((await run(words(typed), db)).stderr).toContain('1 run was waiting for it');
    expect(await db.claim('orders')).toMatchObject([{ event_payload: { cents: 1999 } }]);
  });

  test('of two at once the second is told to be late', async ({ db }) => {
    await db.queue('default');
    const other = await db.connect();
    const pid = await other.pid();
    await other.query('begin');
    await other.query(`select absurd.emit_event('default', 'paid', '1')`);
    const emitting = run(['emit-event', 'paid', '--json'], db);
    const waits = 'select from pg_stat_activity a where $1 = any (pg_blocking_pids(a.pid))';
    await expect.poll(async () => (await db.query(waits, [pid])).rowCount, { timeout: 60_000, interval: 10 }).toBe(1);
    await other.query('commit');
    expect((await emitting).json()).toMatchObject({ first: false, waiting: 0 });
    expect((await db.query('select payload from absurd.e_default')).rows).toEqual([{ payload: 1 }]);
  });

  test('without a payload it is {}; what is not an object is refused', async ({ db }) => {
    await db.queue('default');
    await run(['emit-event', 'plain'], db);
    expect((await db.query('select payload from absurd.e_default')).rows).toEqual([{ payload: {} }]);
    for (const payload of ['[1]', '3', '"x"', 'nonsense']) {
      expect((await run(['emit-event', 'e', '--payload', payload], db)).code).toBe(2);
    }
    expect((await run(['emit-event', ' '], db)).code).toBe(2);
    expect((await run(['emit-event', 'e', '-q', 'nowhere'], db)).code).toBe(3);
  });

  test('who waits no longer is not counted', async ({ db }) => {
    await db.queue('default');
    const task = await db.spawn('default', 'job');
    const [claimed] = await db.claim('default');
    const wait = ['default', task.task_id, claimed?.run_id, 's', 'paid', 10];
    await db.query('select absurd.await_event($1, $2, $3, $4, $5, $6)', wait);
    await db.advance('11 seconds');
    expect((await run(['emit-event', 'paid', '--json'], db)).json()).toMatchObject({ first: true, waiting: 0 });
  });

  test('a session that does not let go is waited for so long, and nothing is emitted', async ({ db }) => {
    await db.queue('default');
    await db.spawn('default', 'job');
    const [claimed] = await db.claim('default');
    const wait = ['default', claimed?.task_id, claimed?.run_id, 's', 'paid'];
    await db.query('select absurd.await_event($1, $2, $3, $4, $5)', wait);
    const other = await db.connect();
    await other.query('begin');
    await other.query('select 1 from absurd.r_default for update');
    const refused = await run(['emit-event', 'paid', '--json'], db);
    expect(refused.code).toBe(1);
    const { code, hint } = JSON.parse(refused.stderr) as { code: string; hint: string };
    expect(code).toBe('lock_timeout');
    const [, words = ''] = /^absurdctl (doctor .*) names the session$/.exec(hint) ?? [];
    expect((await run(words.split(' '), db)).stdout).toContain(`pid ${await other.pid()} `);
    await other.query('rollback');
    expect((await run(['emit-event', 'paid', '--json'], db)).json()).toMatchObject({ first: true, waiting: 1 });
  });
});
