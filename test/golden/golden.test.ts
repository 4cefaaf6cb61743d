import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse as words } from '../support/words.js';
import { topicSummaries } from '../../src/main.js';
import { run } from '../support/command.js';
import { afterAll, beforeAll, describe, expect, test, type Lease, type TestDatabase } from '../support/database.js';
import { now, openGallery, type Gallery, type Scene } from './scene.js';
import { table } from './table.js';

/** A terminal of so many columns, or a pipe. */
const renditions = [
  { name: 'terminal of 100 columns', width: 100 },
  { name: 'terminal of 60 columns', width: 60 },
  { name: 'pipe', width: undefined },
];

const output = (command: string): string => `./__output__/${command}.txt`;

/** Takes out what differs between two runs: ids, the server's address, the database's name, folders, sizes. */
function normalise(text: string, db: TestDatabase, { labels }: Scene, folder: string): string {
  let plain = text;
  for (const [id, label] of labels) plain = plain.replaceAll(id, label);
  const { hostname, port } = new URL(db.url);
  return (
    plain
      .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'new-id'.padEnd(36, '.'))
      .replaceAll(folder, 'FOLDER')
      .replaceAll(db.name, 'DATABASE')
      .replaceAll(`${hostname}:${port}`, 'HOST:PORT')
      .replaceAll('\u001b', '␛')
      .replaceAll('\r', '␍')
      // Sizes and dead rows are the server's business.
      .replace(/(?<=^(ledger|mail|orders)\t.*\t)[1-9]\d{4,}\t\d+(?=\t*$)/gm, 'BYTES\tDEAD')
      .replace(/[ \t]+$/gm, (blanks) => '·'.repeat(blanks.length))
  );
}

async function drawn(commands: readonly string[], db: TestDatabase, scene: Scene, width?: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'absurdctl-golden-'));
  try {
    let text = '';
    for (const typed of commands) {
      const argv = words(typed).map((word) => (word[0] === '$' ? String(Reflect.get(scene, word.slice(1))) : word));
      const { code, stdout, stderr } = await run(argv, { url: db.url, cwd: folder, width, now });
      const errors = stderr === '' ? '' : `--- standard error\n${stderr}`;
      text += `$ absurdctl ${typed}\n${stdout}${errors}--- exit ${code}\n\n`;
    }
    return normalise(text, db, scene, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function inEachRendition(draw: (width: number | undefined) => Promise<string>): Promise<string> {
  let all = '';
  for (const { name, width } of renditions) all += `======== ${name}\n\n${await draw(width)}`;
  return all;
}

test('every command has its golden output, or a reason why not', async () => {
  const known = (await topicSummaries()).flatMap(({ commands }) => commands.map(({ id }) => id));
  expect(Object.keys(table).sort(), 'test/golden/table.ts names the commands of src/main.ts').toEqual(known.sort());
});

test('the help of the program', async () => {
  const text = await inEachRendition(async (width) => (await run(['--help'], { width })).stdout);
  await expect(text).toMatchFileSnapshot(output('help'));
});

let gallery: Gallery;
beforeAll(async () => (gallery = await openGallery()));
afterAll(() => gallery.close());

describe('what reads', () => {
  let shared: Lease;
  beforeAll(async () => (shared = await gallery.copy()));
  afterAll(() => shared.close());
  const reading = Object.entries(table).flatMap(([id, { reads }]) => (reads ? [{ id, reads }] : []));
  test.for(reading)('$id', async ({ id, reads }) => {
    const text = await inEachRendition((width) => drawn(reads, shared.database, gallery.scene, width));
    await expect(text).toMatchFileSnapshot(output(id));
  });
});

describe('what changes something', () => {
  const writing = Object.entries(table).flatMap(([id, { writes }]) => (writes ? [{ id, writes }] : []));
  test.for(writing)('$id', async ({ id, writes }) => {
    const text = await inEachRendition(async (width) => {
      const { database, close } = await gallery.copy();
      try {
        return await drawn(writes, database, gallery.scene, width);
      } finally {
        await close();
      }
    });
    await expect(text).toMatchFileSnapshot(output(id));
  });
});
