import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ensureBuilt } from '../support/database.js';
import { expect, test } from './support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

const program = `
import { Absurd } from 'absurdctl';
const absurd = new Absurd();
await absurd.createQueue();
absurd.registerTask({ name: 'job' }, async (params: number, ctx) => ctx.step('s', async () => params + 1));
const { taskID } = await absurd.spawn('job', 1);
console.log(await absurd.workBatch(), await absurd.fetchTaskResult(taskID));
await absurd.close();
`;

test('the documented command makes one ES module of a program, which works where nothing is installed', async ({
  db,
}) => {
  await ensureBuilt();
  const page = readFileSync(join(root, 'docs/sdk.md'), 'utf8');
  const command = /^npx esbuild [^]*?(?=\n```)/m
    .exec(page)?.[0]
    .replace('npx esbuild', join(root, 'node_modules/.bin/esbuild'));
  const folder = mkdtempSync(join(tmpdir(), 'absurd-bundle-'));
  const elsewhere = mkdtempSync(join(tmpdir(), 'absurd-bundle-'));
  try {
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(root, join(folder, 'node_modules', 'absurdctl'));
    writeFileSync(join(folder, 'worker.ts'), program);
    await promisify(execFile)('sh', ['-c', command ?? 'false'], { cwd: folder });
    writeFileSync(join(elsewhere, 'worker.mjs'), readFileSync(join(folder, 'worker.mjs')));
    const env = { ...process.env, ABSURD_DATABASE_URL: db.url, NO_COLOR: '1', FORCE_COLOR: undefined };
    const { stdout } = await promisify(execFile)(process.execPath, ['worker.mjs'], { cwd: elsewhere, env });
    expect(stdout).toBe(`1 { state: 'completed', result: 2 }\n`);
  } finally {
    for (const one of [folder, elsewhere]) rmSync(one, { recursive: true, force: true });
  }
});
