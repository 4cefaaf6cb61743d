// Writes docs/commands.md from what the built program says of itself: npm run docs
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
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
