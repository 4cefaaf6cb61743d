import { describe } from 'vitest';
import { skill } from '../../src/lib/cli/skill.js';
import { now, openGallery, type Gallery } from '../golden/scene.js';
import { run } from '../support/command.js';
import { afterAll, beforeAll, expect, test } from '../support/database.js';
import { parse } from '../support/words.js';

/** Every command line of the text: those of its code blocks, without their comments, and those between backticks. */
function commandLines(): string[] {
  const blocks = [...skill.matchAll(/```sh\n([^]*?)```/g)].flatMap(([, block = '']) => block.trim().split('\n'));
  const prose = skill.replace(/```sh\n[^]*?```/g, '');
  const inline = [...prose.matchAll(/`(absurdctl [^`]+)`/g)].map(([, line = '']) => line);
  const lines = [...blocks.map((line) => line.replace(/\s+#.*$/, '')), ...inline];
  return [...new Set(lines)].filter((line) => line !== 'absurdctl COMMAND --help');
}

const known: Record<string, string> = {
  QUEUE: 'orders',
  NAME: 'charge',
  EVENT: 'order.paid:41',
  STEP: 'reserve',
  'KEY=VALUE': 'amount=1',
};

let gallery: Gallery;
beforeAll(async () => (gallery = await openGallery()));
afterAll(() => gallery.close());

describe('the playbook', () => {
  test.for(commandLines())('%s', async (line) => {
    const { database, close } = await gallery.copy();
    try {
      const { scene } = gallery;
      const [program, ...words] = parse(line);
      expect(program).toBe('absurdctl');
      // Waiting for a task needs one that ends; all else is about the one that failed.
      const id = words[0] === 'await-task' ? scene.completed : scene.failed;
      const argv = words.map((word) => (word === 'ID' ? id : (known[word] ?? word)));
      const { code, stderr } = await run(argv, { url: database.url, now });
      // The scene has an expired lease, which doctor calls critical.
      expect({ code, stderr }).toMatchObject({ code: words[0] === 'doctor' ? 1 : 0 });
    } finally {
      await close();
    }
  });

  test('it names enough, no more than a page or two, and every member of JSON that it promises', async () => {
    expect(commandLines().length).toBeGreaterThan(25);
    expect(skill.split('\n').length).toBeLessThan(120);
    const { database, close } = await gallery.copy();
    try {
      const { scene } = gallery;
      const answers: Record<string, string[]> = {
        why: ['why', scene.failed],
        doctor: ['doctor'],
        'list-tasks': ['list-tasks'],
        'dump-task': ['dump-task', scene.failed],
      };
      const section = /## JSON members\n([^]*)/.exec(skill)?.[1] ?? '';
      const promised = [...section.matchAll(/^- ([\w-]+): ([^]*?)(?=\n- |\n\n)/gm)];
      expect(promised.map(([, name]) => name)).toEqual(Object.keys(answers));
      for (const [, name = '', members = ''] of promised) {
        const { stdout } = await run([...(answers[name] ?? []), '--json'], { url: database.url, now });
        for (const [, member = ''] of members.matchAll(/`(\w+)`/g)) expect(stdout, name).toContain(`"${member}":`);
      }
    } finally {
      await close();
    }
  });

  test("why's codes are those of docs/why.md", async () => {
    const { readFile } = await import('node:fs/promises');
    const page = await readFile(new URL('../../docs/why.md', import.meta.url), 'utf8');
    const rows = [.../\| code \| fix \|\n([^]*?)\n\n/.exec(skill)![1]!.matchAll(/^\| (`.*?) \|/gm)];
    const codes = rows.flatMap(([, cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, code]) => code));
    expect(codes.length).toBeGreaterThan(12);
    for (const code of codes) expect(page).toContain(`| \`${code ?? ''}\` |`);
  });
});
