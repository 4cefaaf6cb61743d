/** One picture for all golden output: every state of a task, an event that came and one that did not, at a stopped clock. */
import { createDatabase, type Lease, type TestDatabase } from '../support/database.js';

export const now = new Date('2026-03-04T14:00:00Z');

export interface Scene {
  /** Ids of tasks by what they are in the picture. */
  completed: string;
  failed: string;
  waiting: string;
  asleep: string;
  running: string;
  expired: string;
  pending: string;
  cancelled: string;
  /** Ids as drawn in golden files, by the real ones. */
  labels: Map<string, string>;
}

const stack = 'Error: card declined\\n    at charge (/app/charge.ts:12:9)\\n    at step (/app/node_modules/sdk.js:1:1)';

export async function makeScene(db: TestDatabase): Promise<Scene> {
  await db.freeze('2026-03-04T12:00:00Z');
  for (const name of ['mail', 'orders']) await db.queue(name);
  await db.queue('ledger', 'partitioned');
  await db.query(`select absurd.set_queue_policy('ledger', '{"detach_mode": "empty", "cleanup_ttl": "90 days"}')`);
  const call = (sql: string, ...values: unknown[]) => db.query(`select absurd.${sql}`, values);
  const spawn = async (queue: string, name: string, params: unknown = {}, options = {}): Promise<string> => {
    await db.advance('1 second');
    return (await db.spawn(queue, name, params, options)).task_id;
  };
  const claim = async (queue: string, worker: string, timeout = 300): Promise<string> => {
    await db.advance('1 second');
    const [run] = await db.claim(queue, { worker, timeout });
    await db.advance('1 second');
    return run?.run_id ?? '';
  };
  const step = async (task: string, run: string, name: string, state: unknown): Promise<void> => {
    await call(`set_task_checkpoint_state('orders', $1, $2, $3, $4, 300)`, task, name, JSON.stringify(state), run);
    await db.advance('1 second');
  };

  const completed = await spawn(
    'orders',
    'charge',
    { order: 41, customer: { name: 'Ann' } },
    { headers: { trace: 'a1' } },
  );
  const done = await claim('orders', 'web-1:101');
  await step(completed, done, 'reserve', { sku: 'A-1', left: 7 });
  await step(completed, done, 'capture', { amount: 1999 });
  await call(`complete_run('orders', $1, '{"receipt": "R-41"}')`, done);

  const failed = await spawn(
    'orders',
    'charge',
    { order: 42 },
    { max_attempts: 2, retry_strategy: { kind: 'fixed', base_seconds: 1 } },
  );
  const first = await claim('orders', 'web-1:101');
  await step(failed, first, 'reserve', { sku: 'A-2', left: 6 });
  const error = `{"name": "Error", "message": "card declined", "stack": "${stack}"}`;
  await call(`fail_run('orders', $1, $2::jsonb)`, first, error);
  await db.advance('5 seconds');
  await call(`fail_run('orders', $1, $2::jsonb)`, await claim('orders', 'web-2:202'), error);

  const waiting = await spawn('orders', 'ship', { order: 42 });
  const waiter = await claim('orders', 'web-1:101');
  await call(`await_event('orders', $1, $2, 'await paid', 'order.paid:42', 86400)`, waiting, waiter);

  const asleep = await spawn('orders', 'remind', { after: 'a day' });
  const sleeper = await claim('orders', 'web-1:101');
  await call(`schedule_run('orders', $1, '2026-03-05T12:00:00Z')`, sleeper);

  await spawn('orders', 'refund', { order: 7 });
  const cancelled = (
    await db.query<{ task_id: string }>(`select task_id from absurd.t_orders where task_name = 'refund'`)
  ).rows[0]?.task_id;
  await db.advance('1 second');
  await call(`cancel_task('orders', $1)`, cancelled);
  await call(`emit_event('orders', 'order.paid:41', '{"amount": 1999, "currency": "EUR"}')`);

  const expired = await spawn('mail', 'send-mail', { to: 'ann@example.org' });
  await claim('mail', 'mailer-1:303', 60);
  await db.freeze('2026-03-04T13:58:00Z');
  const running = await spawn('mail', 'send-mail', { to: 'bob@example.org' });
  // A claim would take the run whose lease expired first: it has none that ends while the other is claimed.
  await db.query(`update absurd.r_mail set claim_expires_at = 'infinity' where task_id = $1`, [expired]);
  await claim('mail', 'mailer-2:404', 600);
  await db.query(`update absurd.r_mail set claim_expires_at = '2026-03-04T12:01:40Z' where task_id = $1`, [expired]);
  const pending = await spawn('mail', 'send-mail', { to: 'eve@example.org' });
  await spawn('mail', 'wöchentlich 報告', { week: 10 });
  await db.freeze(now);
  const mailer = { host: 'mailer-2', pid: 404, sdk_name: 'absurdctl', sdk_version: '0.5.0', program_version: '2.4.0' };
  const names = { task_names: ['send-mail', 'wöchentlich 報告'], concurrency: 4, running: 1 };
  await call(`heartbeat_worker('mail', 'mailer-2:404', $1)`, JSON.stringify({ ...mailer, ...names }));
  for (const queue of ['mail', 'orders']) {
    for (const letter of ['t', 'r', 'c', 'e', 'w']) await db.query(`analyze absurd.${letter}_${queue}`);
  }

  const labels = new Map<string, string>();
  for (const [letter, kind] of [
    ['t', 'task'],
    ['r', 'run'],
  ] as const) {
    const { rows } = await db.query<{ id: string }>(
      `select ${kind}_id as id from (select * from absurd.${letter}_orders union all select * from absurd.${letter}_mail) x
        order by 1`,
    );
    rows.forEach(({ id }, i) => labels.set(id, `${kind}-${String(i + 1).padStart(2, '0')}`.padEnd(36, '.')));
  }
  return { completed, failed, waiting, asleep, running, expired, pending, cancelled: cancelled ?? '', labels };
}

/** The scene painted once, and as many copies of it as are asked for. */
export interface Gallery {
  scene: Scene;
  copy(): Promise<Lease>;
  close(): Promise<void>;
}

export async function openGallery(): Promise<Gallery> {
  const original = await createDatabase('current', true);
  const scene = await makeScene(original.database);
  // A database is copied only while nobody is connected to it.
  await original.database.client.end();
  return {
    scene,
    async copy() {
      const copy = await createDatabase('current', true, original.database.name);
      // The clock is a setting of the database, which a copy does not take over.
      await copy.database.freeze(now);
      return copy;
    },
    close: () => original.close(),
  };
}
