import { readFileSync } from 'node:fs';
import { runProgram } from './program.js';
import { describe, expect, test } from './support.js';

const page = readFileSync(new URL('../../docs/sdk.md', import.meta.url), 'utf8');

interface DocumentedProgram {
  heading: string;
  source: string;
  output: string;
}

/** The programs of the page, each with what it prints, in order. */
function programs(): DocumentedProgram[] {
  return page.split(/^#+ /m).flatMap((section) => {
    const found = section.matchAll(/```ts\n(.*?)```\n\n```text\n(.*?)```/gs);
    return [...found].map(([, source = '', output = '']) => ({
      heading: section.split('\n')[0] ?? '',
      source,
      output,
    }));
  });
}

describe('docs/sdk.md', () => {
  test('every program stands with its output', () => {
    expect(programs().length).toBeGreaterThanOrEqual(6);
    expect(page.match(/^```ts$/gm)).toHaveLength(programs().length);
  });

  test.for(programs())('$heading', async ({ source, output }, { db }) => {
    expect(await runProgram(source, db.url)).toBe(output);
  });
});
