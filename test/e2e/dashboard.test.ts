/** The built program serves what the tests of test/dashboard try in process. */
import { startCli } from '../support/cli.js';
import { expect, test } from '../support/database.js';

test('dashboard prints the address, serves pages, API, streams and metrics, and ends at Ctrl-C', async ({ db }) => {
  await db.queue('q');
  const { task_id } = await db.spawn('q', 'job');
  const running = await startCli(['dashboard', '--allow-actions', '-o', 'name'], {
    env: { ABSURD_DATABASE_URL: db.url },
  });
  await running.waitFor(/token=.+\n/);
  const address = new URL(running.output.stdout.trim());
  const headers = { authorization: `Bearer ${address.searchParams.get('token') ?? ''}` };
  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(address.origin + path, { ...init, headers: { ...headers, ...init.headers } });

  expect(address.hostname).toBe('127.0.0.1');
  expect((await fetch(address.origin)).status).toBe(401);
  const page = await (await ask('/')).text();
  const script = /\/assets\/[\w-]+\.js/.exec(page)?.[0] ?? '';
  expect((await ask(script)).headers.get('content-type')).toContain('text/javascript');
  expect(await (await ask('/api/tasks?queue=q')).text()).toContain(task_id);
  expect((await ask('/api/overview')).status).toBe(200);
  expect((await ask(`/api/tasks/q/${task_id}`)).status).toBe(200);
  expect(await (await ask('/metrics')).text()).toContain('absurd_queue_ready');
  expect(await (await ask('/healthz')).text()).toBe('ok\n');
  const stream = await ask('/api/live?of=%2Fapi%2Ftasks');
  expect(stream.headers.get('content-type')).toBe('text/event-stream');
  await stream.body?.cancel();
  const cancelled = await ask(`/api/tasks/q/${task_id}/cancel`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ reason: 'a test' }),
  });
  expect(await cancelled.json()).toMatchObject({ dry_run: false, recorded: true, result: { state: 'cancelled' } });

  running.kill('SIGINT');
  expect(await running.done).toMatchObject({ code: 130 });
});
