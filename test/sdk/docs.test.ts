import { readFileSync } from 'node:fs';
import { runProgram } from './program.js';
import { describe, expect, test } from './support.js';

/** Each page with the least number of programs that it has. */
const pages = { 'sdk.md': 6, 'children.md': 2, 'schedules.md': 1 };

interface DocumentedProgram {
  heading: string;
  source: string;
  output: string;
}

const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');

/** The programs of a page, each with what it prints, in order. */
function programs(page: string): DocumentedProgram[] {
  return page.split(/^#+ /m).flatMap((section) => {
    const found = section.matchAll(/```ts\n(.*?)```\n\n```text\n(.*?)```/gs);
    return [...found].map(([, source = '', output = '']) => ({
      heading: section.split('\n')[0] ?? '',
      source,
      output,
    }));
  });
}

describe.for(Object.entries(pages))('docs/%s', ([name, least]) => {
  const page = read(name);

  test('every program stands with its output', () => {
    expect(programs(page).length).toBeGreaterThanOrEqual(least);
    expect(page.match(/^```ts$/gm)).toHaveLength(programs(page).length);
  });

  test.for(programs(page))('$heading', async ({ source, output }, { db }) => {
    expect(await runProgram(source, db.url)).toBe(output);
  });
});
