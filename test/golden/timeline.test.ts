import { run } from '../support/command.js';
import { expect, test } from '../support/database.js';
import { scenes, stage } from './timeline-scenes.js';

const renditions = [
  { title: '80 columns, ASCII', options: { width: 80 } },
  { title: '120 columns', options: { width: 120, colour: true, env: { LANG: 'C.UTF-8' } } },
];

/** Colours are held by a test of their own; a picture of characters is read without them. */
const plain = (text: string): string => text.replace(/\u001b\[\d+m/g, '').replaceAll(/[ \t]+$/gm, '');

test.for(Object.keys(scenes))('a timeline of %s', async (name, { db }) => {
  const id = await stage(db, name);
  const { rows } = await db.query<{ now: Date }>('select absurd.current_time() as now');
  const now = rows[0]?.now;
  const family = name.includes('family') ? ['--children'] : [];
  let text = '';
  for (const { title, options } of renditions) {
    const { code, stdout, stderr } = await run(['show-timeline', id, ...family], { url: db.url, now, ...options });
    expect(code, stderr).toBe(0);
    text += `======== ${title}\n\n${plain(stdout)}--- standard error\n${stderr}\n`;
  }
  const ids = [...new Set(text.match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g) ?? [])];
  ids.forEach((each, i) => (text = text.replaceAll(each, `task-${i + 1}`.padEnd(36, '.'))));
  await expect(text).toMatchFileSnapshot(`./__output__/timelines/${name}.txt`);
});

test('the picture of the documentation', async ({ db }) => {
  const id = await stage(db, 'an order from end to end, with its family');
  const { code, stdout } = await run(['show-timeline', id, '--children', '--export', 'svg'], db);
  expect(code).toBe(0);
  // Ids are made at random, and a clock that is stopped is the test's own.
  const picture = stdout
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '019cb8a5-1400-7d3e-9c1b-5f6a1e0c2b42')
    .replace(/^<text [^\n]*The clock is stopped[^\n]*\n/m, '');
  await expect(picture).toMatchFileSnapshot('../../docs/images/timeline.svg');
});
