/** A database as it looks in the middle of a working day: what the pages are tried on, and what the pictures of the docs show. */
import type { TestDatabase } from '../support/database.js';

export interface Scene {
  failed: string;
  waiting: string;
  done: string;
}

const names: Record<string, string[]> = {
  orders: ['fulfil-order', 'refund-order'],
  mail: ['send-mail', 'send-digest'],
  billing: ['charge-card', 'close-month'],
  reports: ['nightly-report'],
};

/** Moves the clock of the main connection alone: what others see is the present. */
async function at(db: TestDatabase, secondsAgo: number): Promise<void> {
  await db.query(`select set_config('absurd.fake_now', (now() - make_interval(secs => $1))::text, false)`, [
    secondsAgo,
  ]);
}

async function step(
  db: TestDatabase,
  ids: { queue: string; task: string; run: string },
  name: string,
  state: unknown,
): Promise<void> {
  await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
    ...[ids.queue, ids.task, name, JSON.stringify(state)],
    ids.run,
  ]);
}

async function begin(
  db: TestDatabase,
  queue: string,
  worker: string,
): Promise<{ queue: string; task: string; run: string }> {
  const [run] = await db.claim(queue, { worker, timeout: 600 });
  if (run === undefined) throw new Error(`nothing to claim in ${queue}`);
  return { queue, task: run.task_id, run: run.run_id };
}

/** Hundreds of runs that ended within the last fifteen minutes, more of them of late. */
async function traffic(db: TestDatabase, queue: string, count: number, failing: number): Promise<void> {
  await db.query(
    `select s.task_id from generate_series(1, $2) n
      cross join lateral absurd.spawn_task($1, ($3::text[])[1 + n % cardinality($3)], jsonb_build_object('n', n), '{"max_attempts": 1}') s`,
    [queue, count, names[queue]],
  );
  const claimed = await db.claim(queue, { worker: `web-${queue}-1`, qty: count });
  const failed = claimed.slice(0, failing).map((run) => run.run_id);
  await db.query(
    `select absurd.fail_run($1, id::uuid, '{"name": "Error", "message": "connect ECONNREFUSED 10.0.0.7:443"}') from unnest($2::text[]) id`,
    [queue, failed],
  );
  await db.query(`select absurd.complete_run($1, id::uuid, '{"ok": true}') from unnest($2::text[]) id`, [
    queue,
    claimed.slice(failing).map((run) => run.run_id),
  ]);
  await db.query(
    `update absurd."r_${queue}" r
        set available_at = now() - make_interval(secs => p.ago), started_at = now() - make_interval(secs => p.ago),
            created_at = now() - make_interval(secs => p.ago + 1.5), completed_at = r.completed_at - make_interval(secs => p.ago)
       from (select run_id, 880 * ((abs(sin(row_number() over (order by run_id))) * 43758.5453)::numeric % 1)::float8 ^ 1.4 as ago from absurd."r_${queue}") p
      where p.run_id = r.run_id and r.claimed_by = 'web-${queue}-1'`,
  );
}

/** Fails twice, with a wait for an event in between. */
async function failedOrder(db: TestDatabase): Promise<string> {
  await at(db, 540);
  const params = {
    order: 42,
    customer: 'ann@example.com',
    items: [
      { sku: 'A-100', count: 2 },
      { sku: 'B-7', count: 1 },
    ],
  };
  const { task_id } = await db.spawn('orders', 'fulfil-order', params, {
    ...{ max_attempts: 2, retry_strategy: { kind: 'fixed', base_seconds: 30 } },
    ...{ headers: { trace: '4bf92f3577b34da6' }, idempotency_key: 'order-42' },
  });
  await at(db, 536);
  let ids = await begin(db, 'orders', 'worker-7c9f:1');
  await at(db, 531);
  await step(db, ids, 'reserve-stock', { reserved: ['A-100', 'B-7'], warehouse: 'VIE-2' });
  await at(db, 527);
  await db.query(`select absurd.await_event('orders', $1, $2, 'await-payment', 'paid:42', 600)`, [ids.task, ids.run]);
  await at(db, 300);
  await db.query(`select absurd.emit_event('orders', 'paid:42', '{"amount": 1999, "currency": "EUR"}')`);
  ids = await begin(db, 'orders', 'worker-7c9f:1');
  await at(db, 290);
  const reason = {
    name: 'CarrierError',
    message: 'carrier API answered 503 for shipment 42',
    stack:
      'CarrierError: carrier API answered 503 for shipment 42\n    at createShipment (/app/src/carrier.ts:41:11)\n    at async fulfil (/app/src/orders.ts:88:20)',
  };
  await db.query(`select absurd.fail_run('orders', $1, $2)`, [ids.run, JSON.stringify(reason)]);
  await at(db, 255);
  ids = await begin(db, 'orders', 'worker-b21e:1');
  await at(db, 251);
  await step(db, ids, 'create-label', { label: 'https://labels.example/42.pdf' });
  await at(db, 243);
  await db.query(`select absurd.fail_run('orders', $1, $2)`, [ids.run, JSON.stringify(reason)]);
  return task_id;
}

export async function workingDay(db: TestDatabase): Promise<Scene> {
  for (const queue of Object.keys(names)) await db.queue(queue);
  const failed = await failedOrder(db);
  await at(db, 0);
  await db.query(`select set_config('absurd.fake_now', '', false)`);
  await traffic(db, 'mail', 420, 9);
  await traffic(db, 'orders', 130, 2);
  await traffic(db, 'billing', 60, 14);
  const { task_id: done } = await db.spawn('reports', 'nightly-report', { day: '2026-01-02' });
  const reported = await begin(db, 'reports', 'worker-7c9f:1');
  await step(db, reported, 'collect', { rows: 18_234 });
  await step(db, reported, 'render', { pages: 12 });
  await db.query('select absurd.complete_run($1, $2, $3)', [
    'reports',
    reported.run,
    '{"file": "report-2026-01-02.pdf", "total": 12345678901234567890}',
  ]);
  await db.spawn('reports', 'nightly-report', { day: '2026-01-03' }, { parent: { queue: 'reports', task_id: done } });
  await begin(db, 'reports', 'worker-7c9f:1');
  const { task_id: waiting } = await db.spawn('billing', 'charge-card', { invoice: 77 });
  const held = await begin(db, 'billing', 'worker-b21e:1');
  await db.query(`select absurd.await_event('billing', $1, $2, 'await-approval', 'approved:77', 86400)`, [
    held.task,
    held.run,
  ]);
  for (let n = 0; n < 7; n++) await db.spawn('mail', 'send-mail', { n }, n % 3 === 0 ? { delay_seconds: 600 + n } : {});
  await db.query(`select absurd.emit_event('mail', 'bounce:19', '{"address": "bob@example.com", "code": 550}')`);
  await db.query(
    `select absurd.set_schedule('nightly-report', 'reports', 'nightly-report', '{"format": "pdf"}', '{"cron": "0 3 * * *", "time_zone": "Europe/Vienna"}')`,
  );
  await db.query(`select absurd.set_schedule('digest', 'mail', 'send-digest', '{}', '{"every": 900}')`);
  await db.query(`select absurd.pause_schedule('digest', null, 'text is being reviewed')`);
  await db.query(`select absurd.pause_queue('billing', now() + interval '2 hours', 'card provider is down')`);
  for (const [queue, worker, details] of [
    [
      'orders',
      'worker-7c9f:1',
      {
        task_names: ['fulfil-order', 'refund-order'],
        concurrency: 8,
        running: 1,
        sdk_name: 'absurdctl',
        sdk_version: '0.5.0',
      },
    ],
    [
      'mail',
      'worker-b21e:1',
      {
        task_names: ['send-mail', 'send-digest'],
        concurrency: 20,
        running: 3,
        state: 'draining',
        sdk_name: 'absurdctl',
        sdk_version: '0.5.0',
      },
    ],
  ] as const)
    await db.query('select absurd.heartbeat_worker($1, $2, $3)', [queue, worker, JSON.stringify(details)]);
  for (const [command, details] of [
    [
      'pause-queue',
      {
        queue_name: 'billing',
        reason: 'card provider is down',
        os_user: 'ann',
        os_host: 'ops-1',
        arguments: ['billing', '--for', '2h'],
      },
    ],
    [
      'retry-task',
      { queue_name: 'orders', reason: 'carrier is back', os_user: 'ann', os_host: 'ops-1', task_ids: [failed] },
    ],
    ['cancel-task', { queue_name: 'mail', reason: 'sent twice', os_user: 'ci', os_host: 'runner-4', task_count: 212 }],
  ] as const)
    await db.query('select absurd.record_operation($1, $2)', [command, JSON.stringify(details)]);
  return { failed, waiting, done };
}
