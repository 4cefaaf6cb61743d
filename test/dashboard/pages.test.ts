import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { launchChromium, violations, withoutChromium } from '../support/browser.js';
import { openDashboard, startDashboard, type TestDashboard } from '../support/dashboard.js';
import { afterAll, beforeAll, describe, ensureBuilt, expect, test } from '../support/database.js';
import { createDatabase, type Lease } from '../support/database.js';
import { attack, dangers, hostileQueue, hostileTasks } from '../security/hostile.js';
import { workingDay, type Scene } from './scene.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** ABSURD_WRITE_IMAGES=1 writes the pictures of the docs. */
const images = process.env.ABSURD_WRITE_IMAGES === '1' ? join(root, 'docs', 'images') : undefined;

test('the pages weigh less than 200 kB compressed, and load nothing from elsewhere', async () => {
  await ensureBuilt();
  const folder = join(root, 'dist', 'dashboard');
  const files = ['index.html', ...readdirSync(join(folder, 'assets')).map((name) => `assets/${name}`)];
  const packed = files.map((name) => gzipSync(readFileSync(join(folder, name))).length);
  expect(packed.reduce((sum, size) => sum + size, 0)).toBeLessThan(200_000);
  for (const name of files) {
    const text = readFileSync(join(folder, name), 'utf8');
    const addresses = text.match(/https?:\/\/[\w.-]+/g) ?? [];
    expect(
      addresses.filter((one) => !one.startsWith('http://www.w3.org')),
      name,
    ).toEqual([]);
  }
});

describe.skipIf(withoutChromium !== '')(`in a browser${withoutChromium}`, () => {
  let browser: Browser;
  let lease: Lease;
  let dashboard: TestDashboard;
  let scene: Scene;

  beforeAll(async () => {
    browser = await launchChromium();
    lease = await createDatabase('current', true);
    scene = await workingDay(lease.database);
    dashboard = await openDashboard(lease.database.url, { allowActions: true, roundMs: 200, name: 'production' });
  });
  afterAll(async () => {
    await browser?.close();
    await dashboard?.close();
    await lease?.close();
  });

  interface Opened {
    page: Page;
    context: BrowserContext;
    /** What the page complained of, a refusal by its security policy above all. */
    said: string[];
  }

  /** A browser of its own that has entered by the printed address. */
  async function enter(at: TestDashboard, options: Parameters<Browser['newContext']>[0] = {}): Promise<Opened> {
    const context = await browser.newContext({
      viewport: { width: 1000, height: 680 },
      reducedMotion: 'reduce',
      ...options,
    });
    const page = await context.newPage();
    const said: string[] = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) said.push(message.text());
    });
    page.on('pageerror', (error) => said.push(String(error)));
    await page.goto(at.url);
    await page.getByRole('heading', { level: 1 }).waitFor();
    return { page, context, said };
  }

  const paths = (): [name: string, path: string, shown: string][] => [
    ['overview', '/', 'card provider is down'],
    ['tasks', '/tasks?queue=orders', 'fulfil-order'],
    ['task', `/tasks/orders/${scene.failed}`, 'CarrierError: carrier API answered 503'],
    ['events', '/events', 'bounce:19'],
    ['schedules', '/schedules', 'nightly-report'],
    ['workers', '/workers', 'worker-7c9f:1'],
    ['operations', '/operations', 'carrier is back'],
    ['doctor', '/doctor', 'Findings'],
  ];

  async function visit(page: Page, path: string, shown: string): Promise<void> {
    await page.goto(dashboard.origin + path);
    await page.getByText(shown).first().waitFor();
    await page.locator('.blank, .loading').first().waitFor({ state: 'detached' });
  }

  for (const scheme of ['light', 'dark'] as const) {
    test(`every page shows what it is for, and axe-core finds nothing (${scheme})`, async () => {
      const { page, context, said } = await enter(dashboard, { colorScheme: scheme });
      for (const [name, path, shown] of paths()) {
        await visit(page, path, shown);
        if (name === 'overview' || name === 'doctor')
          await page.locator('.findings, .findings-short .muted, .inner .muted').first().waitFor();
        expect(await violations(page), `${name} ${scheme}`).toEqual([]);
        if (images !== undefined) {
          mkdirSync(images, { recursive: true });
          const height = name.startsWith('task') ? 590 : 680;
          const clip = { x: 0, y: 0, width: 1000, height };
          await page.screenshot({ path: join(images, `dashboard-${name}-${scheme}.png`), clip });
        }
      }
      expect(said).toEqual([]);
      await context.close();
    });
  }

  test('no page is wider than a window of 320 pixels, or leaves one of 2,400 half empty', async () => {
    const { page, context } = await enter(dashboard, { viewport: { width: 320, height: 640 } });
    for (const [name, path, shown] of paths()) {
      await visit(page, path, shown);
      const wide = await page.evaluate<number>('document.documentElement.scrollWidth');
      expect(wide, name).toBeLessThanOrEqual(320);
      expect(await violations(page), name).toEqual([]);
      if (images !== undefined && name === 'overview')
        await page.screenshot({ path: join(images, 'dashboard-overview-narrow.png') });
    }
    await page.setViewportSize({ width: 2400, height: 1200 });
    await visit(page, '/', 'card provider is down');
    expect((await page.locator('main').boundingBox())?.width).toBeGreaterThan(1300);
    await context.close();
  });

  test('nothing jumps while a page fills and while it is live', async () => {
    const { page, context } = await enter(dashboard);
    for (const path of ['/', '/tasks', '/workers']) {
      await page.goto(dashboard.origin + path);
      await page.evaluate(`
        globalThis.shifts = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) globalThis.shifts += entry.value;
        }).observe({ type: 'layout-shift', buffered: true });`);
      await page.locator('tbody tr').first().waitFor();
      await lease.database.spawn('mail', 'send-mail', {});
      await page.waitForFunction(`document.querySelectorAll('.blank').length === 0`);
      // What Google calls good is below 0.1.
      expect(await page.evaluate<number>('globalThis.shifts'), path).toBeLessThan(0.05);
    }
    await context.close();
  });

  test('filters are in the address: typed, reloaded, gone back to', async () => {
    const { page, context } = await enter(dashboard);
    await page.goto(`${dashboard.origin}/tasks`);
    await page.getByRole('checkbox', { name: 'failed' }).check();
    await page.getByLabel('Queue').fill('orders');
    await page.getByLabel('Task name').fill('fulfil-order');
    await page.waitForURL(/name=fulfil-order/);
    expect(new URL(page.url()).search).toBe('?queue=orders&name=fulfil-order&state=failed');
    await page.getByText(scene.failed).waitFor();
    await page.reload();
    expect(await page.getByRole('checkbox', { name: 'failed' }).isChecked()).toBe(true);
    expect(await page.getByLabel('Queue').inputValue()).toBe('orders');
    await page.getByText(scene.failed).click();
    await page.getByRole('heading', { name: /fulfil-order/ }).waitFor();
    await page.goBack();
    expect(new URL(page.url()).search).toBe('?queue=orders&name=fulfil-order&state=failed');
    await page.getByText(scene.failed).waitFor();
    await page.goto(`${dashboard.origin}/tasks`);
    await page.getByLabel('Holds').fill('params.order=42');
    await page.waitForURL(/where=params.order%3D42/);
    await page.getByText(scene.failed).waitFor();
    await page.getByLabel('Queue').fill('ordres');
    await page.getByText('did you mean "orders"?').waitFor();
    await context.close();
  });

  test('a task shows its cause, its waterfall, its steps and numbers with every digit', async () => {
    const { page, context } = await enter(dashboard);
    await visit(page, `/tasks/orders/${scene.failed}`, 'CarrierError');
    expect(await page.locator('.lane-attempt').count()).toBe(2);
    expect(await page.locator('.waterfall .bar-event').count()).toBeGreaterThan(0);
    expect(await page.locator('.waterfall').innerText()).toMatch(/idle/);
    expect(await page.locator('.error pre').first().innerText()).toContain('/app/src/carrier.ts:41:11');
    await visit(page, `/tasks/reports/${scene.done}`, 'report-2026-01-02.pdf');
    expect(await page.getByLabel('Result').innerText()).toContain('12345678901234567890');
    await page.getByRole('table', { name: 'Family' }).getByRole('link').click();
    await page.waitForURL((url) => !url.href.includes(scene.done));
    await page.getByRole('cell', { name: 'parent' }).waitFor();
    await context.close();
  });

  test('a page is live: what happens in the database appears without a reload', async () => {
    const { page, context } = await enter(dashboard);
    await visit(page, '/tasks?queue=mail', 'send-mail');
    const { task_id } = await lease.database.spawn('mail', 'send-mail', { live: true });
    await page.getByText(task_id).waitFor();
    await context.close();
  });

  test('an action shows what it would do, asks for a reason, and does it', async () => {
    const { database } = lease;
    const { task_id } = await database.spawn('orders', 'refund-order', { order: 7 });
    const { page, context, said } = await enter(dashboard);
    await visit(page, `/tasks/orders/${task_id}`, 'refund-order');
    await page.getByRole('button', { name: 'Cancel task' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('The task will not run again').waitFor();
    await dialog.getByText(`absurdctl cancel-task ${task_id}`).waitFor();
    expect(await violations(page)).toEqual([]);
    if (images !== undefined) await page.screenshot({ path: join(images, 'dashboard-action.png') });
    await dialog.getByLabel('Reason').fill('ordered twice');
    await dialog.getByRole('button', { name: 'Cancel task' }).click();
    await page.getByRole('heading', { name: /cancelled/ }).waitFor();
    expect(await page.getByRole('button', { name: 'Cancel task' }).count()).toBe(0);
    const { rows } = await database.query('select reason from absurd.operations where task_ids @> array[$1::uuid]', [
      task_id,
    ]);
    expect(rows).toEqual([{ reason: 'ordered twice' }]);
    // Escape closes a dialog without doing anything.
    await visit(page, '/', 'mail');
    await page.getByRole('row', { name: /mail/ }).getByRole('button', { name: 'Pause' }).click();
    await dialog.getByText('get no new work').waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    expect((await database.query(`select * from absurd.get_queue_pauses('mail')`)).rows).toEqual([]);
    expect(said).toEqual([]);
    await context.close();
  });

  test('a keyboard is enough', async () => {
    const { page, context } = await enter(dashboard);
    await page.keyboard.press('g');
    await page.keyboard.press('t');
    await page.getByRole('heading', { name: 'Tasks', level: 1 }).waitFor();
    await page.keyboard.press('/');
    expect(await page.evaluate<string>(`document.activeElement?.getAttribute('name')`)).toBe('queue');
    await page.keyboard.type('orders');
    await page.waitForURL(/queue=orders/);
    await page.keyboard.press('Escape');
    await page.locator('tbody a').first().waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/tasks\/orders\//);
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await page.keyboard.press('Escape');
    await context.close();
  });

  test('without the token there is no page, and the address keeps none', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    expect((await page.goto(`${dashboard.origin}/tasks`))?.status()).toBe(401);
    await page.goto(dashboard.url);
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    expect(page.url()).toBe(`${dashboard.origin}/`);
    const [cookie] = await context.cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
    expect(await page.evaluate<string>('document.cookie')).toBe('');
    await context.close();
  });

  test('names and payloads of an attacker are characters on every page, and run nowhere', async ({ db }) => {
    const markup = '<img src=x onerror="globalThis.owned=1"><script>globalThis.owned=1</script>';
    const ids = await hostileTasks(db);
    const { task_id } = await db.spawn(hostileQueue, `${markup}${attack}`, {
      [markup]: `javascript:alert(1)${markup}${attack}`,
    });
    await db.query('select absurd.emit_event($1, $2, $3)', [
      hostileQueue,
      `${markup}${attack}`,
      JSON.stringify({ [markup]: attack }),
    ]);
    await db.query('select absurd.set_schedule($1, $2, $3, $4, $5)', [
      `${markup}${attack}`,
      hostileQueue,
      markup,
      '{}',
      '{"every": 60}',
    ]);
    await db.query('select absurd.pause_queue($1, null, $2)', [hostileQueue, `${markup}${attack}`]);
    await db.query('select absurd.heartbeat_worker($1, $2, $3)', [
      hostileQueue,
      `${markup}${attack}`,
      JSON.stringify({ task_names: [markup + attack] }),
    ]);
    await db.query('select absurd.record_operation($1, $2)', [
      markup,
      JSON.stringify({ reason: markup + attack, arguments: [attack] }),
    ]);
    const own = await startDashboard(db.url, { allowActions: true, roundMs: 500 });
    const { page, context, said } = await enter(own);
    const tasks = [ids.failed, ids.waiting, ids.expired, ids.pending, task_id].map(
      (id) => `/tasks/${encodeURIComponent(hostileQueue)}/${id}`,
    );
    for (const path of [
      '/',
      '/tasks',
      `/tasks?name=${encodeURIComponent(markup + attack)}`,
      ...tasks,
      '/events',
      '/schedules',
      '/workers',
      '/operations',
      '/doctor',
    ]) {
      await page.goto(own.origin + path);
      await page.locator('tbody tr:not(.blank), .findings, .inner .muted').first().waitFor();
      const texts = await page.evaluate<string>(`
        [document.body.innerText, document.title, ...[...document.querySelectorAll('*')].flatMap((element) =>
          ['title', 'aria-label', 'alt'].map((name) => element.getAttribute(name) ?? ''))].join('\\n')`);
      expect(dangers(texts), path).toEqual([]);
      expect(await page.evaluate(() => (globalThis as { owned?: number }).owned), path).toBeUndefined();
      expect(await page.locator('main img, main script, main iframe').count(), path).toBe(0);
      const links = await page.evaluate<string[]>(
        `[...document.querySelectorAll('a[href]')].map((one) => one.protocol)`,
      );
      expect(
        links.filter((protocol) => protocol !== 'http:'),
        path,
      ).toEqual([]);
    }
    // Every link of a list leads to the task that it shows.
    await page.goto(`${own.origin}/tasks`);
    await page.locator(`a[href*="${task_id}"]`).click();
    await page.getByRole('heading', { level: 1 }).getByText('<img src=x').waitFor();
    expect(said).toEqual([]);
    await context.close();
  });

  test('behind a path of a proxy all of it works the same', async () => {
    const own = await openDashboard(lease.database.url, { basePath: '/ops/absurd', roundMs: 500 });
    try {
      const { page, context, said } = await enter(own);
      expect(new URL(page.url()).pathname).toBe('/ops/absurd/');
      await page.getByRole('link', { name: 'Tasks' }).click();
      await page.locator('tbody a').first().click();
      await page.getByRole('heading', { name: 'Timeline' }).waitFor();
      expect(new URL(page.url()).pathname).toMatch(/^\/ops\/absurd\/tasks\//);
      await page.reload();
      await page.getByRole('heading', { name: 'Timeline' }).waitFor();
      // It is read-only, and offers no action.
      await page.getByText('read-only').waitFor();
      expect(await page.getByRole('button', { name: /Retry|Cancel|Wake/ }).count()).toBe(0);
      expect(said).toEqual([]);
      await context.close();
    } finally {
      await own.close();
    }
  });
});

test('the pictures of the docs are small', () => {
  const folder = join(root, 'docs', 'images');
  const names = readdirSync(folder);
  expect(names.length).toBeGreaterThan(10);
  for (const name of names) expect(statSync(join(folder, name)).size, name).toBeLessThan(90_000);
});
