/**
 * docs/incidents.md shows real output: each incident is staged in a database of its own, its command line is typed, and the page must
 * hold what came out. `npx vitest run test/docs/incidents.test.ts -u` writes the page again.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse as words } from '../support/words.js';
import { expect, test } from '../support/database.js';
import { run } from '../support/command.js';
import { incidents, startClock } from './incidents/index.js';
import { normalise } from './incidents/normalise.js';

const page = fileURLToPath(new URL('../../docs/incidents.md', import.meta.url));
const text = readFileSync(page, 'utf8');

/** A heading of the page, the text beneath it, and its block of output. */
const sections = text.split(/^(?=## )/m);
const titleOf = (section: string): string => /^## (.*)$/m.exec(section)?.[1] ?? '';

const drawn = new Map<string, string>();

test.for(incidents)('$title', { timeout: 120_000 }, async (incident, { db, second }) => {
  startClock();
  const names = await incident.stage(db, second);
  if (!incident.stopped) await db.unfreeze();
  const typed = incident.command.replace(/\$(\w+)/g, (_, name: string) => names[name] ?? name);
  try {
    const { stdout, stderr } = await run(words(typed), { ...db, width: 110, now: new Date() });
    drawn.set(incident.title, normalise(`$ absurdctl ${typed}\n${stdout}${stderr}`.trimEnd(), db, names));
    const unbroken = stdout.replace(/\n\s*/g, ' ');
    expect(`${stdout}\n${unbroken}`).toMatch(incident.says);
    for (const advice of incident.types ?? []) {
      const line = advice.replace(/\$(\w+)/g, (_, name: string) => names[name] ?? name);
      expect(unbroken).toContain(`absurdctl ${line}`);
      expect(await run(words(line), db), line).toMatchObject({ code: 0 });
    }
  } finally {
    await incident.after?.(second, names);
  }
});

test('the page shows what came out', async () => {
  const whole = sections.map((section) => {
    const output = drawn.get(titleOf(section));
    return output === undefined
      ? section
      : section.replace(/```console\n[^]*?\n```/, () => `\`\`\`console\n${output}\n\`\`\``);
  });
  await expect(whole.join('')).toMatchFileSnapshot(page);
});

test('every incident has a section with a place for its output, and every section an incident', () => {
  const shown = sections.filter((section) => section.startsWith('## '));
  expect(shown.map(titleOf).sort()).toEqual(incidents.map(({ title }) => title).sort());
  expect(shown.filter((section) => !section.includes('```console\n')).map(titleOf)).toEqual([]);
});
