import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { invariants } from './checker/invariants.js';

const root = new URL('../../', import.meta.url);
const page = readFileSync(new URL('docs/guarantees.md', root), 'utf8');

test('docs/guarantees.md names every promise once, with tests that are there', () => {
  const rows = [...page.matchAll(/^\| `([a-z-]+)` +\| (.+) \| (.+) \|$/gm)];
  expect(rows.map(([, name]) => name).sort()).toEqual(Object.keys(invariants).sort());
  for (const [, name, , tests = ''] of rows) {
    const files = [...tests.matchAll(/`(test\/[^`]+)`/g)].map(([, file]) => String(file));
    expect(files.length, name).toBeGreaterThan(0);
    for (const file of files) expect(existsSync(new URL(file, root)), file).toBe(true);
  }
});
