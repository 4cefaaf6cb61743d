import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { topicSummaries } from '../../src/main.js';
import { run } from '../support/command.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (file: string): string => readFileSync(root + file, 'utf8');
const pages = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  ...readdirSync(`${root}docs`)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

test('docs/commands.md is what the commands say of themselves (npm run docs)', async () => {
  const text = read('docs/commands.md');
  for (const { commands } of await topicSummaries()) {
    for (const { id } of commands) {
      const { stdout, code } = await run([id, '--help']);
      expect(code).toBe(0);
      expect(text, `${id}: run npm run docs`).toContain(`### ${id}\n\n\`\`\`text\n${stdout.trimEnd()}\n\`\`\`\n`);
    }
  }
});

test('every command that a page, a hint or the source tells people to type is there', async () => {
  const known = new Set((await topicSummaries()).flatMap(({ commands }) => commands.map(({ id }) => id)));
  const said = new Map<string, string>();
  const sources = (folder: string): string[] =>
    readdirSync(root + folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? sources(`${folder}/${entry.name}`) : [`${folder}/${entry.name}`],
    );
  for (const file of [...pages, ...sources('src')]) {
    for (const [, name = ''] of read(file).matchAll(/absurdctl ([a-z]+-[a-z-]+)(?![\w:/.])/g)) said.set(name, file);
  }
  expect(said.size).toBeGreaterThan(10);
  for (const [name, file] of said)
    if (name !== 'embedded-postgres') expect(known.has(name), `${name} in ${file}`).toBe(true);
});

test('every link of a page leads somewhere', () => {
  for (const file of pages) {
    const folder = file.includes('/') ? 'docs/' : '';
    for (const [, target = ''] of read(file).matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      expect(existsSync(root + folder + target), `${target} in ${file}`).toBe(true);
    }
  }
});
