import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readListening } from '../../src/lib/dashboard/options.js';
import { startDashboard, type TestDashboard } from '../support/dashboard.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';

const paths = ['/', '/tasks', '/api/overview', '/api/tasks', '/api/doctor', '/api/session', '/metrics', '/assets/x.js'];

describe('who may ask', () => {
  test('without the token nothing is answered but /healthz', async ({ db }) => {
    const dashboard = await startDashboard(db.url);
    for (const path of paths) expect((await dashboard.ask(path, { stranger: true })).status, path).toBe(401);
    for (const [name, value] of [
      ['authorization', 'Bearer wrong'],
      ['authorization', 'Bearer '],
      ['cookie', `absurdctl_${dashboard.port}=${dashboard.token}`],
      ['cookie', `absurdctl_${dashboard.port}=`],
    ] as const)
      expect((await dashboard.ask('/api/tasks', { stranger: true, headers: { [name]: value } })).status).toBe(401);
    expect(await dashboard.ask('/healthz', { stranger: true })).toMatchObject({ status: 200, text: 'ok\n' });
    expect((await dashboard.ask('/?token=wrong', { stranger: true })).status).toBe(401);
    // The token in an address opens pages, not the API.
    expect((await dashboard.ask(`/api/tasks?token=${dashboard.token}`, { stranger: true })).status).toBe(401);
  });

  test('the printed address becomes a cookie that is strict and for HTTP only, and does not hold the token', async ({
    db,
  }) => {
    const dashboard = await startDashboard(db.url);
    const entered = await dashboard.ask(`/tasks?token=${dashboard.token}&state=failed`, { stranger: true });
    expect(entered.status).toBe(200);
    expect(entered.text).toContain('0;url=/tasks?state=failed');
    expect(entered.text).not.toContain(dashboard.token);
    const [cookie = ''] = entered.headers['set-cookie'] ?? [];
    expect(cookie).toMatch(/^absurdctl_\d+=[\w-]{40,}; Path=\/; HttpOnly; SameSite=Strict$/);
    expect(cookie).not.toContain(dashboard.token);
    const headers = { cookie: cookie.split(';')[0] ?? '' };
    for (const path of ['/', '/api/overview', '/metrics'])
      expect((await dashboard.ask(path, { stranger: true, headers })).status, path).toBe(200);
  });

  test('a cookie of another server, or of another token, opens nothing', async ({ db }) => {
    const one = await startDashboard(db.url);
    const other = await startDashboard(db.url);
    const [cookie = ''] = (await one.ask(`/?token=${one.token}`, { stranger: true })).headers['set-cookie'] ?? [];
    const value = cookie.split(';')[0]?.split('=')[1] ?? '';
    const headers = { cookie: `absurdctl_${other.port}=${value}` };
    expect((await other.ask('/api/tasks', { stranger: true, headers })).status).toBe(401);
  });
});

describe('where a request comes from', () => {
  const wrongHosts = ['evil.example', 'localhost.evil.example', '127.0.0.1.nip.io', 'evil.example:80', '@', 'a b'];

  test('a host name that is not ours is refused, also with the token (DNS rebinding)', async ({ db }) => {
    const dashboard = await startDashboard(db.url);
    for (const host of [
      ...wrongHosts,
      `evil.example:${dashboard.port}`,
      `127.0.0.1:${dashboard.port + 1}`,
      '127.0.0.1',
    ])
      for (const path of ['/api/tasks', '/', '/healthz'])
        expect([400, 403], host).toContain((await dashboard.ask(path, { headers: { host } })).status);
    for (const host of [`localhost:${dashboard.port}`, `LOCALHOST:${dashboard.port}`, `[::1]:${dashboard.port}`])
      expect((await dashboard.ask('/api/session', { headers: { host } })).status, host).toBe(200);
  });

  test('the name of a proxy is served once it is allowed', async ({ db }) => {
    const dashboard = await startDashboard(db.url, { allowHost: ['Ops.example.com'], basePath: '/absurd' });
    const headers = { host: 'ops.example.com', origin: 'https://ops.example.com', 'x-forwarded-proto': 'https' };
    expect((await dashboard.ask('/api/session', { headers })).status).toBe(200);
    expect((await dashboard.ask('/api/session', { headers: { host: 'other.example.com' } })).status).toBe(403);
    const entered = await dashboard.ask(`/?token=${dashboard.token}`, { headers, stranger: true });
    expect(entered.headers['set-cookie']?.[0]).toMatch(/; Path=\/absurd; HttpOnly; SameSite=Strict; Secure$/);
  });

  const post = (dashboard: TestDashboard, headers: Record<string, string>, cookie?: string) =>
    dashboard.ask('/api/queues/q/pause', {
      method: 'POST',
      body: {},
      headers: { ...headers, ...(cookie === undefined ? {} : { cookie }) },
      stranger: cookie !== undefined,
    });

  test('a page of another site can neither read nor act, whatever it sends', async ({ db }) => {
    await db.queue('q');
    const dashboard = await startDashboard(db.url, { allowActions: true });
    const entered = await dashboard.ask(`/?token=${dashboard.token}`, { stranger: true });
    const cookie = entered.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    const own = `http://127.0.0.1:${dashboard.port}`;
    for (const origin of [
      'http://evil.example',
      'null',
      `http://127.0.0.1:${dashboard.port + 1}`,
      `${own}.evil.example`,
    ]) {
      expect((await post(dashboard, { origin }, cookie)).status, origin).toBe(403);
      expect((await post(dashboard, { origin })).status, origin).toBe(403);
      expect((await dashboard.ask('/api/tasks', { headers: { origin } })).status, origin).toBe(403);
    }
    // A form or a script of another site that hides its origin, and an old browser.
    expect((await post(dashboard, {}, cookie)).status).toBe(403);
    expect((await post(dashboard, { origin: own, 'sec-fetch-site': 'cross-site' }, cookie)).status).toBe(403);
    expect((await post(dashboard, { origin: own, 'sec-fetch-site': 'same-site' }, cookie)).status).toBe(403);
    expect((await dashboard.ask('/api/tasks', { headers: { 'sec-fetch-site': 'cross-site' } })).status).toBe(403);
    const form = await dashboard.ask('/api/queues/q/pause', {
      method: 'POST',
      body: '{}',
      headers: { origin: own, cookie, 'content-type': 'text/plain' },
      stranger: true,
    });
    expect(form.status).toBe(400);
    expect((await db.query('select * from absurd.get_queue_pauses()')).rows).toEqual([]);
    // A link on another site may open a page.
    const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', cookie };
    expect((await dashboard.ask('/tasks', { headers: link, stranger: true })).status).toBe(200);

    expect((await post(dashboard, { origin: own, 'sec-fetch-site': 'same-origin' }, cookie)).status).toBe(200);
    expect((await db.query('select * from absurd.get_queue_pauses()')).rows).toHaveLength(1);
  });
});

describe('what is served', () => {
  test('no path leads out of the built pages', async ({ db }) => {
    const dashboard = await startDashboard(db.url);
    for (const path of [
      '/assets/../index.html',
      '/assets/..%2findex.html',
      '/assets/%2e%2e/%2e%2e/package.json',
      '/assets/..%5c..%5cpackage.json',
      '/assets/%2e%2e%2f%2e%2e%2f%2e%2e%2fpackage.json',
      '/assets//etc/passwd',
      '/../../package.json',
      '/assets/\0',
      '/package.json',
      '/.env',
      '/assets/%ff',
    ]) {
      const reply = await dashboard.ask(path.replace('\0', '%00'));
      expect(reply.text, path).not.toMatch(/"name": "absurdctl"|root:/);
      expect([400, 404], path).toContain(reply.status);
    }
  });

  test('every answer has the strict headers, errors too', async ({ db }) => {
    const dashboard = await startDashboard(db.url);
    const asset = /\/assets\/[\w-]+\.js/.exec((await dashboard.ask('/')).text)?.[0] ?? '';
    for (const [path, options] of [
      ['/', {}],
      [asset, {}],
      ['/api/tasks', {}],
      ['/api/nothing', {}],
      ['/nothing', {}],
      ['/api/tasks', { stranger: true }],
      ['/api/tasks', { headers: { host: 'evil.example' } }],
    ] as const) {
      const { headers } = await dashboard.ask(path, options);
      expect(headers, path).toMatchObject({
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'x-frame-options': 'DENY',
        'cross-origin-resource-policy': 'same-origin',
      });
      const policy = String(headers['content-security-policy']);
      expect(policy).toMatch(/default-src 'none'; script-src 'self'; style-src 'self';/);
      expect(policy).not.toMatch(/unsafe|\*/);
      expect(headers['access-control-allow-origin']).toBeUndefined();
      if (path !== asset) expect(headers['cache-control'], path).toBe('no-store');
    }
    expect((await dashboard.ask('/')).text).not.toMatch(
      /<script(?![^>]*src=)|<style|\son\w+=|style=|https?:\/\/(?!www\.w3)/,
    );
  });

  test('it is read-only unless actions are allowed; a preview is not an action', async ({ db }) => {
    await db.queue('q');
    const dashboard = await startDashboard(db.url);
    const refused = await dashboard.ask('/api/queues/q/pause', { method: 'POST', body: {} });
    expect(refused.status).toBe(409);
    expect(refused.json()).toMatchObject({ code: 'actions_not_allowed', hint: 'start it with --allow-actions' });
    const preview = await dashboard.ask('/api/queues/q/pause', { method: 'POST', body: { dry_run: true } });
    expect(preview.json()).toMatchObject({ dry_run: true, allowed: true });
    expect((await db.query('select * from absurd.get_queue_pauses()')).rows).toEqual([]);
    for (const method of ['PUT', 'DELETE', 'PATCH'])
      expect((await dashboard.ask('/api/queues/q/pause', { method })).status).toBe(404);
  });

  test('a body that is no object, or too large, is refused', async ({ db }) => {
    await db.queue('q');
    const dashboard = await startDashboard(db.url, { allowActions: true });
    for (const body of ['[]', '1', '{', '{"nothing": 1}', '{"reason": 1}', `{"reason": "${'x'.repeat(1_100_000)}"}`])
      expect((await dashboard.ask('/api/queues/q/pause', { method: 'POST', body })).status).toBe(400);
    expect((await db.query('select * from absurd.get_queue_pauses()')).rows).toEqual([]);
  });
});

describe('secrets', () => {
  const secret = 'hunter2';

  async function withSecrets(db: TestDatabase): Promise<{ id: string }> {
    await db.queue('q');
    const url = `postgresql://app:${secret}@db.example/prod`;
    const { task_id } = await db.spawn(
      'q',
      'job',
      { url, text: `at ${url}, then`, dsn: `host=x password=${secret} port=1` },
      {
        max_attempts: 1,
        headers: { url },
      },
    );
    const [run] = await db.claim('q');
    const reason = { name: 'Error', message: `connect ${url}`, stack: `Error: connect ${url}\n    at x` };
    await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
      ...['q', task_id, 'step', JSON.stringify({ url })],
      run?.run_id,
    ]);
    await db.query('select absurd.emit_event($1, $2, $3)', ['q', 'e', JSON.stringify({ url })]);
    await db.query('select absurd.fail_run($1, $2, $3)', ['q', run?.run_id, JSON.stringify(reason)]);
    return { id: task_id };
  }

  test('no password of an address reaches an answer, and what stands around it stays', async ({ db }) => {
    const { id } = await withSecrets(db);
    const dashboard = await startDashboard(db.url);
    const password = decodeURIComponent(new URL(db.url).password);
    for (const path of [
      `/api/tasks/q/${id}`,
      `/api/tasks/q/${id}/steps/step`,
      '/api/events',
      '/api/doctor',
      '/api/session',
      '/api/overview',
      '/metrics',
    ]) {
      const { text, status } = await dashboard.ask(path);
      expect(status, path).toBe(200);
      expect(text, path).not.toContain(secret);
      if (password !== '') expect(text, path).not.toContain(password);
    }
    const { task } = (await dashboard.ask(`/api/tasks/q/${id}`)).json<{ task: { params: object } }>();
    expect(task.params).toEqual({
      url: 'postgresql://app:***@db.example/prod',
      text: 'at postgresql://app:***@db.example/prod, then',
      dsn: 'host=x password=*** port=1',
    });
  });
});

describe('the command line', () => {
  const code = (work: () => unknown): unknown => {
    try {
      work();
      return undefined;
    } catch (error) {
      return (error as { exitCode: number }).exitCode;
    }
  };

  test('an address that other machines reach requires a file with a long token', () => {
    const folder = mkdtempSync(join(tmpdir(), 'absurd-token-'));
    try {
      const [good, short] = [join(folder, 'good'), join(folder, 'short')];
      writeFileSync(good, `${'t'.repeat(32)}\n`);
      writeFileSync(short, 'short\n');
      expect(code(() => readListening({ port: 0, listen: '0.0.0.0' }))).toBe(2);
      expect(code(() => readListening({ port: 0, listen: 'localhost' }))).toBe(2);
      expect(code(() => readListening({ port: 0, listen: '0.0.0.0', 'token-file': short }))).toBe(2);
      expect(code(() => readListening({ port: 0, listen: '::', 'token-file': join(folder, 'none') }))).toBe(1);
      for (const path of ['absurd', '/a b', '//', '/a/../b', '/a"', "/a'><script>"])
        expect(
          code(() => readListening({ port: 0, 'base-path': path })),
          path,
        ).toBe(path === '/a/../b' ? undefined : 2);
      expect(readListening({ port: 0, listen: '0.0.0.0', 'token-file': good })).toMatchObject({
        token: 't'.repeat(32),
        loopback: false,
      });
      const [one, two] = [readListening({ port: 0 }), readListening({ port: 0 })];
      expect(one.token).toMatch(/^[\w-]{32}$/);
      expect(one.token).not.toBe(two.token);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
