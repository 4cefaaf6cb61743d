import { expect, test } from 'vitest';
import { grantCommand, rightHint } from '../../src/lib/grants/hint.js';
import { changes, needOf } from '../../src/lib/cli/declaration.js';
import { loadCommands } from '../../src/main.js';

test.for([
  ['list-tasks -n send', 'reader'],
  ['migrate', 'owner'],
  ['migrate --dry-run', 'reader'],
  ['cleanup q 3', 'operator'],
  ['cleanup q 3 -n', 'reader'],
  ['retry-task -n send --yes', 'worker'],
  ['retry-task --all --dry-run', 'reader'],
  ['queue-policy q', 'reader'],
  ['queue-policy q --cleanup-ttl=3d', 'operator'],
  ['queue-policy -- --cleanup-ttl', 'reader'],
  ['grants app --as worker', 'reader'],
  ['grants app --as worker --apply', 'owner'],
  ['dev', 'none'],
  ['migrate --from 0.4.0 --dump-sql', 'none'],
] as const)('absurdctl %s needs %s', async ([line, need]) => {
  const [name, ...argv] = line.split(' ');
  const command = (await loadCommands()).find(({ id }) => id === name);
  if (command === undefined) throw new Error(line);
  expect(needOf(command, argv)).toBe(need);
  expect(changes(command, argv)).toBe(need !== 'reader' && line !== 'migrate --from 0.4.0 --dump-sql');
});

test('the hint is a command line for a shell, whatever the names are', () => {
  const standing = { me: `it's me`, owner: 'the boss', enters: true, standby: false };
  expect(grantCommand(standing, 'reader').text()).toBe(
    `absurdctl grants 'it'\\''s me' --as reader --apply -U 'the boss'`,
  );
  expect(rightHint(standing, 'worker')).toEqual(grantCommand(standing, 'worker'));
  expect(rightHint(standing, 'owner')).toBe(`only the owner of the schema may: -U 'the boss'`);
  expect(rightHint({ ...standing, owner: standing.me }, 'owner')).toContain('the role that owns that table');
  expect(rightHint({ ...standing, owner: null }, 'worker')).toBe('connect as a role that may (-U)');
});
