/** A real Chromium, where the machine has one. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';

const found = [process.env.CHROMIUM_PATH, '/usr/bin/chromium'].find((path) => path !== undefined && existsSync(path));

/** What to add to the name of a test that is skipped without it. */
export const withoutChromium =
  found === undefined
    ? ' (skipped: no Chromium on this machine; CHROMIUM_PATH names one, Debian has it in the package chromium)'
    : '';

export async function launchChromium(): Promise<Browser> {
  const { chromium } = await import('playwright-core');
  return chromium.launch({ executablePath: found ?? '', args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** What axe-core finds on a page, a line each. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(axe, 'utf8'));
  return page.evaluate(async () => {
    const { axe: checker } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary?: string }[] }[] }> };
    };
    const found = await checker.run();
    return found.violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} ${failureSummary ?? ''}`),
    );
  });
}
