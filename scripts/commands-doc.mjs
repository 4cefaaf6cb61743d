// Writes docs/commands.md and docs/dashboard-api.json from what the built program says of itself: npm run docs
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const topics = JSON.parse(readFileSync(`${root}dist/cli/topics.json`, 'utf8'));

function help(id) {
  const { status, stdout } = spawnSync(process.execPath, [`${root}bin/absurdctl`, id, '--help'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`absurdctl ${id} --help ended with ${String(status)}`);
  return stdout.trimEnd();
}

const lines = [
  '# Commands',
  '',
  'Written by `npm run docs` from the commands themselves; a test holds the two together.',
  '',
];
for (const { title, commands } of topics) {
  lines.push(`## ${title.charAt(0)}${title.slice(1).toLowerCase()}`, '');
  for (const { id } of commands) lines.push(`### ${id}`, '', '```text', help(id), '```', '');
}
writeFileSync(`${root}docs/commands.md`, `${lines.join('\n').trimEnd()}\n`);

const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
const { dashboardApi } = createRequire(import.meta.url)(`${root}dist/cli/absurdctl.cjs`);
writeFileSync(`${root}docs/dashboard-api.json`, `${JSON.stringify(await dashboardApi(version), null, 2)}\n`);
