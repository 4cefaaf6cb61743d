import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openApi } from '../../src/lib/dashboard/openapi.js';
import { actions } from '../../src/lib/dashboard/actions.js';
import { schemas, type Schema } from '../../src/lib/dashboard/schemas.js';
import { views } from '../../src/lib/dashboard/views.js';
import { startDashboard, type Reply, type TestDashboard } from '../support/dashboard.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';
import { parseOpenMetrics } from '../support/openmetrics.js';

/** What of a value does not fit its schema, by the path to it. */
function misfits(value: unknown, schema: Schema, at = '$'): string[] {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.replace('#/components/schemas/', '') as keyof typeof schemas;
    return misfits(value, schemas[name], at);
  }
  if (schema.anyOf !== undefined) {
    const tried = schema.anyOf.map((one) => misfits(value, one, at));
    return tried.some((found) => found.length === 0) ? [] : (tried[0] ?? []);
  }
  const kind = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  const types = schema.type === undefined ? undefined : [schema.type].flat();
  const fits = types?.some(
    (type) =>
      type === kind || (type === 'integer' && Number.isInteger(value)) || (type === 'number' && kind === 'number'),
  );
  if (fits === false) return [`${at} is ${kind}, not ${types?.join(' or ') ?? ''}`];
  if (value === null || value === undefined) return [];
  if (schema.enum !== undefined && !schema.enum.includes(String(value))) return [`${at} is ${JSON.stringify(value)}`];
  if (Array.isArray(value)) return value.flatMap((item, i) => misfits(item, schema.items ?? {}, `${at}[${i}]`));
  if (typeof value !== 'object') return [];
  const members = value as Record<string, unknown>;
  return [
    ...(schema.required ?? []).filter((name) => !(name in members)).map((name) => `${at}.${name} is missing`),
    ...Object.entries(schema.properties ?? {}).flatMap(([name, one]) =>
      name in members ? misfits(members[name], one, `${at}.${name}`) : [],
    ),
  ];
}

/** Something of everything: a task in every state, an event, a wait, a schedule, a pause, a worker, an operation. */
async function scene(db: TestDatabase) {
  await db.queue('mail');
  await db.queue('empty');
  const failed = await db.spawn('mail', 'send', { to: 'ann', order: 42 }, { max_attempts: 1, headers: { h: 1 } });
  const [run] = await db.claim('mail', { worker: 'w1' });
  await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
    ...['mail', failed.task_id, 'fetch', '{"n": 12345678901234567890}', run?.run_id],
  ]);
  await db.query('select absurd.fail_run($1, $2, $3)', ['mail', run?.run_id, '{"name": "Error", "message": "boom"}']);
  const done = await db.spawn('mail', 'send', { to: 'bob' });
  const [second] = await db.claim('mail');
  await db.query('select absurd.complete_run($1, $2, $3)', ['mail', second?.run_id, '{"ok": true}']);
  const waiting = await db.spawn('mail', 'await-payment');
  const [third] = await db.claim('mail');
  await db.query('select absurd.await_event($1, $2, $3, $4, $5)', [
    ...['mail', waiting.task_id, third?.run_id, 'paid', 'paid:42'],
  ]);
  await db.query(`select absurd.emit_event('mail', 'shipped', '{"by": "ups"}')`);
  const open = await db.spawn('mail', 'send', {}, { parent: { queue: 'mail', task_id: done.task_id } });
  await db.query(`select absurd.set_schedule('nightly', 'mail', 'report', '{}', '{"cron": "0 3 * * *"}')`);
  await db.query(`select absurd.pause_queue('empty', null, 'quiet')`);
  await db.query(`select absurd.heartbeat_worker('mail', 'w9', '{"task_names": ["send"], "concurrency": 4}')`);
  await db.query(`select absurd.record_operation('retry-task', '{"reason": "why not", "queue_name": "mail"}')`);
  return { failed: failed.task_id, done: done.task_id, waiting: waiting.task_id, open: open.task_id };
}

const fill = (path: string, ids: Record<string, string>): string =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(ids[name] ?? name));

const good = (reply: Reply): Record<string, unknown> => {
  expect(reply.status, reply.text.slice(0, 300)).toBe(200);
  return reply.json();
};

describe('the description', () => {
  test('the file that is shipped is the one that is served, and names every route', async ({ db }) => {
    const dashboard = await startDashboard(db.url);
    const file = readFileSync(fileURLToPath(new URL('../../docs/dashboard-api.json', import.meta.url)), 'utf8');
    const { version } = JSON.parse(
      readFileSync(fileURLToPath(new URL('../../package.json', import.meta.url)), 'utf8'),
    ) as {
      version: string;
    };
    expect(JSON.parse(file)).toEqual(JSON.parse(JSON.stringify(openApi(version))));
    const served = (await dashboard.ask('/api/openapi.json')).json<{ paths: Record<string, object> }>();
    expect(served).toEqual(JSON.parse(file));
    const routes = [...views.map(({ path }) => `get ${path}`), ...actions.map(({ path }) => `post ${path}`)];
    const described = Object.entries(served.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect(described).toEqual(expect.arrayContaining(routes));
    expect(described.filter((one) => !routes.includes(one)).sort()).toEqual([
      'get /api/live',
      'get /api/openapi.json',
      'get /api/session',
      'get /healthz',
      'get /metrics',
    ]);
  });

  test('every view answers what its schema says', async ({ db }) => {
    const { failed } = await scene(db);
    const dashboard = await startDashboard(db.url);
    const ids = { queue: 'mail', id: failed, step: 'fetch', name: 'nightly' };
    for (const view of views) {
      const answer = good(await dashboard.ask(fill(view.path, ids)));
      expect(misfits(answer, schemas[view.answer]), view.path).toEqual([]);
    }
    expect(misfits(good(await dashboard.ask('/api/session')), schemas.Session)).toEqual([]);
    // The check itself can fail.
    expect(misfits({ code: 1, message: 'x' }, schemas.Error)).toEqual([
      '$.hint is missing',
      '$.code is number, not string',
    ]);
  });
});

describe('views', () => {
  test('tasks are filtered by every parameter, and a wrong one is a bad request', async ({ db }) => {
    const ids = await scene(db);
    const dashboard = await startDashboard(db.url);
    const found = async (query: string): Promise<string[]> => {
      const { rows } = good(await dashboard.ask(`/api/tasks?${query}`)) as { rows: { task_id: string }[] };
      return rows.map(({ task_id }) => task_id);
    };
    expect(await found('')).toHaveLength(4);
    expect(await found('state=failed')).toEqual([ids.failed]);
    expect((await found('state=failed,completed')).sort()).toEqual([ids.failed, ids.done].sort());
    expect(await found('name=await-payment&queue=mail')).toEqual([ids.waiting]);
    expect(await found('queue=empty')).toEqual([]);
    expect(await found('error=boom')).toEqual([ids.failed]);
    expect(await found('worker=w1&state=failed')).toEqual([ids.failed]);
    expect(await found('where=params.order%3D42')).toEqual([ids.failed]);
    expect(await found('where=params.order%3D42&where=params.to%3Dbob')).toEqual([]);
    expect((await dashboard.ask('/api/tasks?where=nonsense')).status).toBe(400);
    expect(await found('until=1h')).toEqual([]);
    expect(await found('since=1h')).toHaveLength(4);
    expect(await found('around=1h&within=5m')).toEqual([]);
    expect(await found('around=now&within=10m')).toHaveLength(4);
    expect(await found('limit=2')).toHaveLength(2);
    for (const query of ['stat=failed', 'state=gone', 'limit=0', 'limit=x', 'since=yesterday', 'around=1h&since=2h'])
      expect((await dashboard.ask(`/api/tasks?${query}`)).status, query).toBe(400);
    expect((await dashboard.ask('/api/tasks?stat=x')).json()).toMatchObject({ hint: 'did you mean state?' });
    expect((await dashboard.ask('/api/tasks?queue=mial')).json()).toMatchObject({ code: 'queue_not_found' });
    expect((await dashboard.ask('/api/tasks?queue=mial')).status).toBe(404);
  });

  test('a task comes with its steps, its waits, its family and its cause; numbers keep every digit', async ({ db }) => {
    const ids = await scene(db);
    const dashboard = await startDashboard(db.url);
    const failed = await dashboard.ask(`/api/tasks/mail/${ids.failed}`);
    expect(good(failed)).toMatchObject({
      task: { state: 'failed', params: { to: 'ann', order: 42 }, runs: [{ attempt: 1, state: 'failed' }] },
      why: { verdict: 'ended' },
    });
    expect(failed.text).toContain('12345678901234567890');
    expect(good(await dashboard.ask(`/api/tasks/mail/${ids.waiting}`))).toMatchObject({
      task: { waits: [{ event_name: 'paid:42', step_name: 'paid' }] },
      why: { verdict: 'waiting' },
    });
    expect(good(await dashboard.ask(`/api/tasks/mail/${ids.done}`))).toMatchObject({
      family: { parent: null, children: [{ task_id: ids.open, state: 'pending' }] },
    });
    expect(good(await dashboard.ask(`/api/tasks/mail/${ids.open}`))).toMatchObject({
      family: { parent: { task_id: ids.done } },
    });
    expect((await dashboard.ask('/api/tasks/mail/nonsense')).status).toBe(400);
    expect((await dashboard.ask('/api/tasks/mail/019a32d3-8425-7ae2-a5af-2f17a6707666')).status).toBe(404);
    expect((await dashboard.ask(`/api/tasks/none/${ids.open}`)).status).toBe(404);
  });

  test('the overview counts, pauses and throughput of a moment', async ({ db }) => {
    await scene(db);
    const dashboard = await startDashboard(db.url);
    const overview = good(await dashboard.ask('/api/overview')) as {
      queues: Record<string, unknown>[];
      throughput: { completed: number[]; failed: number[] };
    };
    expect(overview).toMatchObject({
      queues_total: 2,
      totals: { pending: 1, sleeping: 1, completed_runs: 1, failed_runs: 1, failure_rate: 0.5, paused_queues: 1 },
    });
    expect(overview.queues).toMatchObject([
      { queue_name: 'empty', pause: { reason: 'quiet' }, failure_rate: null },
      { queue_name: 'mail', pending: 1, completed: 1, failed: 1, pause: null },
    ]);
    expect(overview.throughput.completed).toHaveLength(60);
    expect(overview.throughput.completed.reduce((a, b) => a + b, 0)).toBe(1);
    expect(overview.throughput.failed.reduce((a, b) => a + b, 0)).toBe(1);
  });

  test('a queue that is locked is said to be, and the others are shown', async ({ db }) => {
    await scene(db);
    const dashboard = await startDashboard(db.url);
    const holder = await db.connect();
    await holder.query('begin; lock table absurd.t_mail');
    const { queues } = good(await dashboard.ask('/api/overview')) as {
      queues: { queue_name: string; error: string | null }[];
    };
    expect(queues.map(({ queue_name, error }) => [queue_name, error === null])).toEqual([
      ['empty', true],
      ['mail', false],
    ]);
    const tasks = good(await dashboard.ask('/api/tasks')) as { skipped: { queue_name: string }[] };
    expect(tasks.skipped.map(({ queue_name }) => queue_name)).toEqual(['mail']);
    await holder.query('rollback');
  });

  test('a schema of the contract alone has no schedules, pauses or operations, and says so', async ({ db }) => {
    await scene(db);
    await db.query('drop function absurd.get_schema_features()');
    const dashboard = await startDashboard(db.url, { allowActions: true });
    for (const path of ['/api/schedules', '/api/operations'])
      expect(good(await dashboard.ask(path)), path).toMatchObject({ rows: [], available: false });
    const { rows } = good(await dashboard.ask('/api/workers')) as { rows: { state: string }[] };
    expect(new Set(rows.map(({ state }) => state))).toEqual(new Set(['inferred']));
    expect(good(await dashboard.ask('/api/overview'))).toMatchObject({ totals: { paused_queues: 0 } });
    const pause = await dashboard.ask('/api/queues/mail/pause', { method: 'POST', body: {} });
    expect([pause.status, pause.json()]).toMatchObject([503, { code: 'schema_too_old' }]);
  });

  test('metrics parse, and health follows the database', async ({ db }) => {
    await scene(db);
    const dashboard = await startDashboard(db.url);
    const metrics = await dashboard.ask('/metrics');
    expect(metrics.headers['content-type']).toContain('application/openmetrics-text');
    expect([...parseOpenMetrics(metrics.text).keys()]).toContain('absurd_queue_ready');
    await db.query('drop schema absurd cascade');
    await expect.poll(async () => (await dashboard.ask('/healthz')).status, { timeout: 60_000 }).toBe(503);
    expect((await dashboard.ask('/api/tasks?limit=3')).json()).toMatchObject({ code: 'schema_missing' });
  });

  test('a connection that was ended is made again', async ({ db }) => {
    await scene(db);
    const dashboard = await startDashboard(db.url);
    good(await dashboard.ask('/api/tasks'));
    await db.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'absurdctl dashboard'`,
    );
    await expect.poll(async () => (await dashboard.ask(`/api/tasks?limit=7`)).status, { timeout: 60_000 }).toBe(200);
  });
});

const post = (dashboard: TestDashboard, path: string, body: object = {}): Promise<Reply> =>
  dashboard.ask(path, { method: 'POST', body });

describe('actions', () => {
  test('each has a preview that changes nothing, then does it and records it with its reason', async ({ db }) => {
    const ids = await scene(db);
    const dashboard = await startDashboard(db.url, { allowActions: true });
    const one = async <T>(sql: string, values: unknown[] = []): Promise<T> =>
      Object.values((await db.query(sql, values)).rows[0] ?? {})[0] as T;
    const state = (id: string): Promise<string> => one('select state from absurd.t_mail where task_id = $1', [id]);
    const done = async (path: string, body: object, command: string): Promise<Record<string, unknown>> => {
      const before = await one<string>('select count(*)::text from absurd.operations');
      const preview = good(await post(dashboard, path, { ...body, dry_run: true, reason: 'a test' }));
      expect(misfits(preview, schemas.Preview), path).toEqual([]);
      expect(preview).toMatchObject({ dry_run: true, allowed: true });
      expect(preview.command).toMatch(new RegExp(`^absurdctl ${command} `));
      expect(await one('select count(*)::text from absurd.operations')).toBe(before);
      const answer = good(await post(dashboard, path, { ...body, reason: 'a test' }));
      expect(misfits(answer, schemas.Done), path).toEqual([]);
      expect(answer).toMatchObject({ dry_run: false, recorded: true, command: preview.command });
      const { rows } = await db.query(
        'select command, reason, os_host is not null as host from absurd.operations order by operation_id desc limit 1',
      );
      expect(rows, path).toEqual([{ command, reason: 'a test', host: true }]);
      return answer;
    };
    const tasks = '/api/tasks/mail';
    await done(`${tasks}/${ids.failed}/retry`, {}, 'retry-task');
    expect(await state(ids.failed)).toBe('pending');
    await done(`${tasks}/${ids.open}/cancel`, {}, 'cancel-task');
    expect(await state(ids.open)).toBe('cancelled');
    await done(`${tasks}/${ids.waiting}/wake`, { as_timeout: true }, 'wake-task');
    expect(await one('select available_at <= now() from absurd.r_mail where task_id = $1', [ids.waiting])).toBe(true);
    await done('/api/queues/mail/pause', { for: '2h' }, 'pause-queue');
    expect(await one('select reason from absurd.get_queue_pauses($1)', ['mail'])).toBe('a test');
    await done('/api/queues/mail/resume', {}, 'resume-queue');
    expect((await db.query('select * from absurd.get_queue_pauses($1)', ['mail'])).rows).toEqual([]);
    await done('/api/events', { queue: 'mail', event: 'paid:42', payload: { by: 'card' } }, 'emit-event');
    expect(await one('select payload from absurd.e_mail where event_name = $1', ['paid:42'])).toEqual({ by: 'card' });
    const { result } = await done('/api/schedules/nightly/trigger', {}, 'trigger-schedule');
    expect(await state((result as { task_id: string }).task_id)).toBe('pending');
  });

  test('what cannot be done is said in the preview, and refused when it is asked for', async ({ db }) => {
    const ids = await scene(db);
    const dashboard = await startDashboard(db.url, { allowActions: true });
    for (const [path, body, words] of [
      [`/api/tasks/mail/${ids.done}/retry`, {}, 'only a failed task can be retried'],
      [`/api/tasks/mail/${ids.failed}/cancel`, {}, 'it has ended already'],
      [`/api/tasks/mail/${ids.waiting}/wake`, {}, 'waits for event "paid:42"'],
      [`/api/tasks/mail/${ids.open}/wake`, {}, 'does not sleep'],
      ['/api/queues/mail/resume', {}, 'is not paused'],
      ['/api/events', { queue: 'mail', event: 'shipped' }, 'its first payload stays'],
    ] as const) {
      const preview = good(await post(dashboard, path, { ...body, dry_run: true }));
      expect(preview.allowed, path).toBe(false);
      expect(String(preview.effects), path).toContain(words);
      const refused = await post(dashboard, path, body);
      expect([refused.status, refused.json()], path).toMatchObject([409, { code: 'wrong_state' }]);
    }
    for (const [path, body, status] of [
      ['/api/queues/none/pause', {}, 404],
      ['/api/queues/mail/pause', { for: 'long' }, 400],
      ['/api/queues/mail/pause', { for: '1h', until: '2030-01-01' }, 400],
      ['/api/schedules/none/trigger', {}, 404],
      ['/api/events', { queue: 'mail' }, 400],
      ['/api/events', { queue: 'mail', event: 'x', payload: [1] }, 400],
      [`/api/tasks/mail/${ids.failed}/retry`, { max_attempts: -1 }, 400],
    ] as const)
      expect((await post(dashboard, path, body)).status, path + JSON.stringify(body)).toBe(status);
    expect((await db.query('select * from absurd.operations')).rows).toHaveLength(1);
  });
});
